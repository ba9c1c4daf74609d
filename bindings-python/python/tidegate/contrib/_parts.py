"""Keys of pages from the arguments of a view: as templates of decorated functions, and what requests have besides.

A page may be asked for without an argument, or with several values of one. In a key these are written so that no two of
them are the same: nothing is `-`, the text `-` is `%2D`, an empty text `%2D%2D`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from .. import _tidegate
from .._errors import ConfigError, KeyFormatError
from .._parsing import Template

_NOTHING = "-"
_ESCAPED = {"-": "%2D", "": "%2D%2D"}


def fill(template: Template, arguments: Mapping[str, Any]) -> str:
    """The key of a template with these arguments.

    >>> from tidegate._parsing import parse_template
    >>> fill(parse_template("product:page:{id}:{q}:{tag}"), {"id": 7, "q": None, "tag": ["a:b", "c"]})
    'product:page:7:-:a%3Ab,c'
    """
    pieces: list[str] = []
    for place in template.places:
        if place.name not in arguments:
            raise ConfigError(f"{place.name} is missing for the template {template.text!r}")
        pieces += [place.before, part(place.text, _walk(arguments[place.name], place.path, place.text))]
    return "".join([*pieces, template.after])


def reach(arguments: Mapping[str, Any], path: str) -> Any:
    """What a place such as `user.id` is of these arguments."""
    name, *steps = path.split(".")
    return _walk(arguments.get(name), steps, path)


def _walk(value: Any, steps: Iterable[str], place: str) -> Any:
    for step in steps:
        value = _step(value, step, place)
    return value


class Query:
    """A query's parameters by their names: a text, a list where there are several, nothing where there is none."""

    __slots__ = ("_values_of",)

    def __init__(self, values_of: Callable[[str], list[str]]) -> None:
        self._values_of = values_of

    def __getattr__(self, name: str) -> str | list[str] | None:
        values = self._values_of(name)
        return values if len(values) > 1 else (values[0] if values else None)


def part(place: str, value: object) -> str:
    """One segment; `KeyFormatError` for what has no text of its own."""
    if value is None:
        return _NOTHING
    if isinstance(value, (list, tuple)):
        return ",".join(part(place, one) for one in value) if value else "-,"
    if isinstance(value, (set, frozenset)):
        return ",".join(sorted(part(place, one) for one in value)) or "-,"
    if isinstance(value, Enum):
        return part(place, value.value)
    if isinstance(value, (datetime, date, time)):
        value = value.isoformat()
    elif isinstance(value, (float, Decimal)):
        value = str(value)
    if isinstance(value, str) and value in _ESCAPED:
        return _ESCAPED[value]
    try:
        # A comma of the data is told apart from one that divides.
        return _tidegate.key_part(place, value).replace(",", "%2C")
    except KeyFormatError as error:
        raise KeyFormatError(f"{error}; name an attribute of it that tells it apart: {{{place}.id}}") from error


def _step(value: Any, name: str, place: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    try:
        return getattr(value, name)
    except AttributeError:
        raise ConfigError(f"{{{place}}} of the template: a {type(value).__qualname__} has no {name!r}") from None
