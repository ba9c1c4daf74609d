"""Types that name pydantic's models: read and written by pydantic. It is imported for those only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_OLDEST = (2, 11)
"""The first that can be told to take a field by its name and by its alias."""
_SHOWN_MAX = 3
_OWN_IN_MSGPACK = (bytes, bytearray, memoryview, datetime)


class Models:
    """How pydantic reads and writes one type."""

    __slots__ = ("_builtins", "_from_builtins", "from_json")

    def __init__(self, kind: Any) -> None:
        import pydantic

        if tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) < _OLDEST:
            raise TypeError(f"pydantic {pydantic.VERSION} is too old: at least {'.'.join(map(str, _OLDEST))} is needed")
        parts = list(_parts(kind, {}))
        secret = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)
        for part in parts:
            if _is_class(part) and issubclass(part, secret):
                raise TypeError(f"pydantic writes a {part.__qualname__} as asterisks, which nobody could read back")
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(kind)
        # Names are taken where an alias that is written would not be.
        by_alias = all(_is_taken_back(field, name) for part in parts for name, field in _fields_of(part).items())
        self.from_json = partial(adapter.validate_json, by_alias=True, by_name=True)
        # A UUID, a Decimal or a date is a text in msgpack, also for a strict model.
        self._from_builtins = partial(adapter.validate_python, by_alias=True, by_name=True, strict=False)
        self._builtins = partial(adapter.dump_python, by_alias=by_alias, round_trip=True, warnings=False)

    def builtins(self, value: Any, codec: str) -> Any:
        """A value of the type as dicts, lists and what the codec writes itself."""
        if codec == "json":
            return self._builtins(value, mode="json")
        from pydantic_core import to_jsonable_python

        found = self._builtins(value, mode="python")
        return msgspec.to_builtins(found, builtin_types=_OWN_IN_MSGPACK, enc_hook=to_jsonable_python)

    def from_builtins(self, value: Any) -> Any:
        """The value of the type."""
        return self._from_builtins(value)


@lru_cache(maxsize=1_024)
def models_of(kind: type) -> Models:
    """Of a model's class, whose instances are written wherever they are."""
    return Models(kind)


def is_model(kind: Any) -> bool:
    """Whether a class is a model, or a dataclass of pydantic's."""
    return _is_class(kind) and hasattr(kind, "__pydantic_serializer__")


def is_named_in(kind: Any) -> bool:
    """Whether a type has anything in it that only pydantic understands."""
    if "pydantic" not in sys.modules:
        return False
    return any(_is_pydantics(part) for part in _parts(kind, {}))


def is_broken(error: Exception) -> bool:
    """Whether pydantic was given what is no JSON."""
    return any(fault["type"] == "json_invalid" for fault in _faults(error))


def said_by_models(error: BaseException) -> str | None:
    """What an error of pydantic's says, without the values that it is about; None for another's."""
    faults = _faults(error)
    told = [f"{fault['msg']} - at `{_path(fault['loc'])}`" for fault in faults[:_SHOWN_MAX]]
    if len(faults) > _SHOWN_MAX:
        told.append(f"and {len(faults) - _SHOWN_MAX} more")
    return "; ".join(told) or None


def _faults(error: BaseException) -> list[Any]:
    pydantic = sys.modules.get("pydantic_core")
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return []
    faults: list[Any] = error.errors(include_url=False, include_input=False, include_context=False)
    return faults


def _path(steps: Iterable[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _parts(kind: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Everything that a type is made of, down to the fields of its classes.

    Those of Structs and attrs aside, which pydantic does not know.
    """
    if id(kind) in seen:
        return
    seen[id(kind)] = kind
    yield kind
    origin = get_origin(kind)
    if origin is Literal:
        return
    inner: list[Any] = [*get_args(kind), origin]
    inner += [getattr(kind, name, None) for name in ("__value__", "__supertype__")]
    cls = kind if origin is None else origin
    if _is_class(cls):
        inner += _hints(cls)
    for part in inner:
        if part is not None:
            yield from _parts(part, seen)


def _hints(cls: type) -> list[Any]:
    """The types of a class's fields."""
    if fields := _fields_of(cls):
        return [part for field in fields.values() for part in (field.annotation, *field.metadata)]
    is_dict = issubclass(cls, dict) and hasattr(cls, "__total__")
    is_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    if not (hasattr(cls, "__dataclass_fields__") or is_dict or is_tuple):
        return []
    try:
        return list(get_type_hints(cls, include_extras=True).values())
    except Exception:  # noqa: BLE001 - whoever builds it says what is wrong
        return []


def _fields_of(part: Any) -> dict[str, FieldInfo]:
    """The fields of a model."""
    return getattr(part, "__pydantic_fields__", {}) if _is_class(part) else {}


def _is_pydantics(part: Any) -> bool:
    """Whether a part of a type is a class that only pydantic can build, or stands in `Annotated[…]` for it."""
    if is_model(part) or (_is_class(part) and hasattr(part, "__get_pydantic_core_schema__")):
        return True
    return type(part).__module__.partition(".")[0] in ("pydantic", "annotated_types")


def _is_class(part: Any) -> bool:
    # Of Python 3.10 `list[int]` says that it is a class.
    return isinstance(part, type) and get_origin(part) is None


def _is_taken_back(field: FieldInfo, name: str) -> bool:
    """Whether a field is read by what it is written by."""
    written = field.serialization_alias
    if written is None or written == name:
        return True
    taken = field.validation_alias
    return written in getattr(taken, "choices", [taken])
