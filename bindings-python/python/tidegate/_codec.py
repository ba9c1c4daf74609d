"""Values as JSON and back, by msgspec. What a miss returns takes the same way as what a later hit returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ._errors import ConfigError

Decode = Callable[[bytes], Any]

_DEPTH_MAX = 64
_encode = msgspec.json.Encoder().encode
decode_any: Decode = msgspec.json.Decoder().decode


class Unencodable(Exception):
    """A value that cannot be written as JSON: where in it, and why."""


def encode(value: object) -> bytes | None:
    """The payload of a value; None for None, which is stored without one. Raises `Unencodable`."""
    if value is None:
        return None
    try:
        return _encode(value)
    except Exception as error:
        raise Unencodable(_locate(value, "$", _DEPTH_MAX)) from error


class Decoders(dict[Any, Decode]):
    """The decoders of the types that were asked for, made once each."""

    def __missing__(self, kind: Any) -> Decode:
        decode = _decoder(kind)
        self[kind] = decode
        return decode


def why_undecodable(error: Exception) -> str:
    """`decode` for bytes that are no JSON, `schema` for JSON of another shape than the type's."""
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return "decode"
    return "schema"


def _decoder(kind: Any) -> Decode:
    if kind is None or kind is Any:
        return decode_any
    try:
        decode = msgspec.json.Decoder(kind).decode
        unknown = _custom_type(msgspec.inspect.type_info(kind), set())
    except Exception as error:
        raise ConfigError(_refused(kind, str(error))) from error
    if unknown is not None:
        raise ConfigError(_refused(kind, f"msgspec cannot build a {unknown.__qualname__}"))
    return decode


def _refused(kind: object, reason: str) -> str:
    name = getattr(kind, "__qualname__", None) or repr(kind)
    return (
        f"type={name} is not accepted: {reason}; type takes what msgspec can decode: builtins, dataclasses, "
        "msgspec.Struct, TypedDict, NamedTuple, enums, datetime, UUID and their unions and containers; "
        "a right example: type=list[int]"
    )


def _custom_type(info: Any, seen: set[int]) -> type | None:
    """The first class within a type that msgspec knows nothing of."""
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    if id(info) in seen or not isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
        return None
    seen.add(id(info))
    for part in (getattr(info, name) for name in info.__struct_fields__):
        for item in part if isinstance(part, tuple) else [part]:
            if (found := _custom_type(item, seen)) is not None:
                return found
    return None


def _locate(value: object, path: str, depth: int) -> str:
    for step, child in _children(value) if depth else ():
        if not _encodes(child):
            return _locate(child, path + step, depth - 1)
    try:
        _encode(value)
    except Exception as error:  # noqa: BLE001 - said in the text
        return f"{path} is a {type(value).__qualname__}: {error}"
    return f"{path} is a {type(value).__qualname__}"


def _encodes(value: object) -> bool:
    try:
        _encode(value)
    except Exception:  # noqa: BLE001 - any will do
        return False
    return True


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((f"[{name!r}]", child) for name, child in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{at}]", child) for at, child in enumerate(value))
    else:
        fields: Iterable[str] = getattr(value, "__struct_fields__", getattr(value, "__dataclass_fields__", ()))
        yield from ((f".{name}", getattr(value, name, None)) for name in fields)
