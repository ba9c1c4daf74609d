"""Django's values as plain data, without pickle: what is read from a cache can only ever become one of these.

Text, numbers, booleans, bytes, lists and dicts with text keys stand as they are, so that any language reads them. What
has no likeness among them stands as `{"~": kind, "v": data}`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from http.cookies import Morsel
from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe

from ..._errors import EncodeError

_MARK, _DATA = "~", "v"
_DEPTH_MAX = 60
_BITS_64 = range(-(2**63), 2**64)
_PLAIN = frozenset({str, float, bool, type(None), bytes})
_DICTS = (dict, OrderedDict, defaultdict, Counter)


def pack(value: Any, key: str) -> Any:
    """What is stored for a value; `EncodeError` names the place of what cannot be, and says what to store instead.

    >>> pack({"total": Decimal("1.50"), "items": (1, 2)}, "order:7")
    {'total': {'~': 'decimal', 'v': '1.50'}, 'items': {'~': 'tuple', 'v': [1, 2]}}
    """
    if value is None:
        # A value like any other to Django; as a null it would live for `null_ttl`.
        return _marked("none", None)
    return value if type(value) in _PLAIN else _pack(value, key, "$", 0)


def _pack(value: Any, key: str, path: str, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _DEPTH_MAX:
        raise EncodeError(f"the value of {key!r} is not stored: {path[:80]}… is deeper than {_DEPTH_MAX} levels")
    if kind is int:
        return value if value in _BITS_64 else _marked("int", str(value))
    if kind is list:
        return [_pack(one, key, f"{path}[{at}]", depth + 1) for at, one in enumerate(value)]
    if kind in _DICTS:
        if all(type(name) is str for name in value) and _MARK not in value:
            return {name: _pack(one, key, f"{path}[{name!r}]", depth + 1) for name, one in value.items()}
        items = enumerate(value.items())
        return _marked(
            "dict", [[_pack(part, key, f"{path}.items()[{n}]", depth + 1) for part in item] for n, item in items]
        )
    if kind in (tuple, set, frozenset):
        parts = [_pack(one, key, f"{path}[{at}]", depth + 1) for at, one in enumerate(value)]
        return _marked(kind.__name__, parts)
    if kind in _SIMPLE:
        name, write = _SIMPLE[kind]
        return _marked(name, write(value))
    return _pack_other(value, key, path, depth)


def _pack_other(value: Any, key: str, path: str, depth: int) -> Any:
    if isinstance(value, HttpResponse) and not isinstance(value, StreamingHttpResponse):
        if getattr(value, "is_rendered", True):
            return _marked("response", _pack_response(value))
        raise _refused(value, key, path, "render it first: response.render()")
    if isinstance(value, Promise):
        # A lazy text, in the language of this moment.
        return _pack(value._proxy____cast(), key, path, depth + 1)
    if isinstance(value, Enum):
        if isinstance(value, (str, int)):
            # TextChoices and IntegerChoices are their values.
            return _pack(value.value, key, path, depth + 1)
        raise _refused(value, key, path, "store its value: member.value")
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise _refused(value, key, path, _advice(value))


def _advice(value: Any) -> str:
    from django.db.models import Model, QuerySet

    if isinstance(value, Model):
        return "store its data, django.forms.models.model_to_dict(obj), or its pk, and read the row by that"
    if isinstance(value, QuerySet):
        return "store its data: list(queryset.values(…))"
    if isinstance(value, StreamingHttpResponse):
        return "a stream is not kept; store what it is made of"
    if isinstance(value, tuple):
        return "a named tuple comes back as another type: store value._asdict(), or tuple(value)"
    if callable(value):
        return "store what it gives, and not the function or class"
    if isinstance(value, dict):
        return "store dict(value)"
    return "store what it holds as a dict, and make the object anew"


def _refused(value: Any, key: str, path: str, advice: str) -> EncodeError:
    kind = type(value)
    return EncodeError(
        f"the value of {key!r} is not stored: {path} is a {kind.__module__}.{kind.__qualname__}, which only "
        f"pickle could write, and an entry must not be able to run code; {advice}"
    )


def _marked(name: str, data: Any) -> dict[str, Any]:
    return {_MARK: name, _DATA: data}


_SIMPLE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    SafeString: ("safe", str.__str__),
    complex: ("complex", lambda value: [value.real, value.imag]),
}


def unpack(plain: Any) -> Any:
    """The value of what is stored; `ValueError`, `TypeError` or `KeyError` for what no `pack` has written.

    >>> unpack({"total": {"~": "decimal", "v": "1.50"}})
    {'total': Decimal('1.50')}
    """
    kind = type(plain)
    if kind is list:
        return [unpack(one) for one in plain]
    if kind is not dict:
        return plain
    if _MARK in plain:
        return _READ[plain[_MARK]](plain[_DATA])
    return {name: unpack(one) for name, one in plain.items()}


def _pack_response(response: HttpResponse) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "reason": response._reason_phrase,
        "headers": [[name, value] for name, value in response.items()],
        "cookies": [[one.key, one.value, one.coded_value, dict(one)] for one in response.cookies.values()],
        "content": response.content,
    }


def _read_response(data: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(data["content"], status=data["status"], reason=data["reason"])
    del response.headers["Content-Type"]
    for name, value in data["headers"]:
        response.headers[name] = value
    for name, value, coded, attributes in data["cookies"]:
        morsel: Morsel[str] = Morsel()
        morsel.set(name, value, coded)
        morsel.update(attributes)
        response.cookies[name] = morsel
    return response


_READ: dict[str, Callable[[Any], Any]] = {
    "none": lambda _: None,
    "int": int,
    "dict": lambda items: {unpack(name): unpack(value) for name, value in items},
    "tuple": lambda parts: tuple(unpack(one) for one in parts),
    "set": lambda parts: {unpack(one) for one in parts},
    "frozenset": lambda parts: frozenset(unpack(one) for one in parts),
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": UUID,
    "safe": mark_safe,
    "complex": lambda parts: complex(*parts),
    "response": _read_response,
}
