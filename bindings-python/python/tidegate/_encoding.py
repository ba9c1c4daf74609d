"""Values as payloads, by codec; and where in a value that cannot be written the fault is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from . import _tidegate
from ._models import Models, is_model, models_of, said_by_models

_DEPTH_MAX = 64
_NULLS = (b"null", b"\xc0")
"""What a value may come to in JSON and in msgpack: NaN, or what only looked like a value."""


class Unencodable(Exception):
    """A value that cannot be written: where in it, and why."""


def encoder(codec: str, models: Models | None) -> Callable[[Any], bytes | None]:
    """Gives the payload of a value; None for one that is stored as a null. Raises `Unencodable`."""
    if codec == "raw":
        return _raw
    write = _WRITE[codec]
    # What pydantic makes of a value is written like any other: numbers and texts go by one rule.
    return partial(_payload, write, write if models is None else partial(_by_models, write, models, codec))


def _payload(plain: Callable[[Any], bytes], write: Callable[[Any], bytes], value: object) -> bytes | None:
    if value is None:
        return None
    try:
        payload = write(value)
    except Exception as error:
        raise Unencodable(_locate(plain, value, error)) from error
    return None if payload in _NULLS else payload


def _by_models(write: Callable[[Any], bytes], models: Models, codec: str, value: object) -> bytes:
    return write(models.builtins(value, codec))


def _raw(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    name = type(value).__qualname__
    raise Unencodable(f"$ is a {name}: the codec raw takes bytes, bytearray, memoryview, and None for a null")


_NO_KEYS = (type(None), bool, tuple, list, dict, set, frozenset)
"""What msgspec knows as values, and asks about as keys."""


def _foreign(codec: str, value: object) -> Any:
    """What msgspec does not know."""
    kind: type = type(value)
    if is_model(kind):
        return models_of(kind).builtins(value, codec)
    if kind in _NO_KEYS:
        raise TypeError(f"it has a {kind.__qualname__} as a key, which is no text and no number")
    raise TypeError(
        f"Encoding objects of type {kind.__qualname__} is unsupported: make it a dataclass, a TypedDict, an attrs, "
        "msgspec or pydantic class, give a dict of what is in it, or bytes with codec='raw'"
    )


_write_json = msgspec.json.Encoder(enc_hook=partial(_foreign, "json")).encode
_pack = msgspec.msgpack.Encoder(enc_hook=partial(_foreign, "msgpack")).encode
_FOREIGN = {
    "key": "a dict with keys that are no texts, which other languages would read as texts",
    "extension": "an extension type, which other languages do not know",
}


def _write_msgpack(value: object) -> bytes:
    payload = _pack(value)
    if (found := _tidegate.foreign(payload)) is not None:
        raise TypeError(_FOREIGN[found])
    return payload


_WRITE: dict[str, Callable[[Any], bytes]] = {"json": _write_json, "msgpack": _write_msgpack}


def _locate(write: Callable[[Any], bytes], value: object, error: Exception) -> str:
    path, left = "$", _DEPTH_MAX
    while left and (inner := _first_fault(write, value)) is not None:
        step, value, error = inner
        path, left = path + step, left - 1
    return f"{path} is a {type(value).__qualname__}: {said_by_models(error) or error}"


def _first_fault(write: Callable[[Any], bytes], value: object) -> tuple[str, object, Exception] | None:
    """The first part of a value that cannot be written by itself."""
    for step, child in _children(value):
        try:
            write(child)
        except Exception as error:  # noqa: BLE001 - said in the text
            return step, child, error
    return None


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((f"[{name!r}]", child) for name, child in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{at}]", child) for at, child in enumerate(value))
    else:
        yield from ((f".{name}", getattr(value, name, None)) for name in _fields(type(value)))


def _fields(kind: type) -> Iterable[str]:
    if attributes := getattr(kind, "__attrs_attrs__", ()):
        return [attribute.name for attribute in attributes]
    for fields in ("__struct_fields__", "__dataclass_fields__", "__pydantic_fields__"):
        if names := getattr(kind, fields, ()):
            return tuple(names)
    return ()
