"""What is wrong with the fields of a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._errors import ConfigError

_RIGHT = 'a right example: cache.get_fields("user:profile:42", ["name", "email"], fetch)'


def check_names(names: object) -> list[str]:
    """The names that a call asks for, once each, in their order."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ConfigError(f"names={names!r} is no list of fields; {_RIGHT}")
    listed = list(dict.fromkeys(names))
    for name in listed:
        check_name(name)
    return listed


def check_name(name: object) -> None:
    """Refuses what is no text; the native half looks at the rest."""
    if not isinstance(name, str):
        raise ConfigError(f"field {name!r} is no text; {_RIGHT}")


def check_fetch(fetch_missing: object) -> None:
    """Refuses what cannot be called."""
    if not callable(fetch_missing):
        raise ConfigError(
            f"fetch_missing={fetch_missing!r} is not callable; it takes a list of fields and gives a dict; {_RIGHT}"
        )


def check_values(values: object) -> Mapping[str, Any]:
    """Refuses what is no dict of fields."""
    if not isinstance(values, Mapping):
        raise ConfigError(
            f'values={values!r} is no dict; a right example: cache.set_fields("user:profile:42", {{"name": "Ada"}})'
        )
    for name in values:
        check_name(name)
    return values
