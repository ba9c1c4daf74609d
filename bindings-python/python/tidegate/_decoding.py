"""Types, and what payloads of each codec are read with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import msgspec

from . import _models
from ._errors import ConfigError
from ._models import Models

Decode = Callable[[bytes], Any]


class Unreadable(ValueError):
    """A part of a payload that has no value in Python."""


class Way(NamedTuple):
    """How values of one type are read."""

    json: Decode
    msgpack: Decode
    raw: Decode
    models: Models | None = None
    """Where pydantic has to write them too."""


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise Unreadable(f"an extension of type {code}")


# A payload is bytes already: the very same object.
_ANY = Way(msgspec.json.Decoder().decode, msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode, bytes)


def way_of(kind: Any) -> Way:
    """How values of a type are read; `ConfigError` for one that nothing can be read as."""
    if kind is None or kind is Any:
        return _ANY
    try:
        return _way_of_models(kind) if _models.is_named_in(kind) else _way_of_msgspec(kind)
    except Exception as error:
        raise ConfigError(_refused(kind, str(error).partition("\n")[0])) from error


def _of_object(kind: type, value: object) -> object:
    # `dict[str, object]` is how strict type checkers have people write "anything".
    if kind is object:
        return value
    raise NotImplementedError


def _way_of_msgspec(kind: Any) -> Way:
    json = msgspec.json.Decoder(kind, dec_hook=_of_object).decode
    msgpack = msgspec.msgpack.Decoder(kind, ext_hook=_refuse_extension, dec_hook=_of_object).decode
    if (unknown := _custom_type(msgspec.inspect.type_info(kind), set())) is not None:
        raise TypeError(f"msgspec cannot build a {unknown.__qualname__}")

    def raw(payload: bytes) -> Any:
        return msgspec.convert(payload, kind, dec_hook=_of_object)

    return Way(json, msgpack, raw)


def _way_of_models(kind: Any) -> Way:
    models = Models(kind)

    def msgpack(payload: bytes) -> Any:
        return models.from_builtins(_ANY.msgpack(payload))

    return Way(models.from_json, msgpack, models.from_builtins, models)


def _refused(kind: object, reason: str) -> str:
    name = getattr(kind, "__qualname__", None) or repr(kind)
    return (
        f"type={name} is not accepted: {reason}; type takes builtins, dataclasses, msgspec.Struct, TypedDict, "
        "NamedTuple, attrs classes, pydantic models, enums, datetime, UUID, Decimal, and their unions, generics and "
        "containers; "
        "a right example: type=list[int]"
    )


def _custom_type(info: Any, seen: set[int]) -> type | None:
    """The first class within a type that nothing can be read as."""
    if isinstance(info, msgspec.inspect.CustomType):
        return None if info.cls is object else info.cls
    if id(info) in seen or not isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
        return None
    seen.add(id(info))
    for part in (getattr(info, name) for name in info.__struct_fields__):
        for item in part if isinstance(part, tuple) else [part]:
            if (found := _custom_type(item, seen)) is not None:
                return found
    return None
