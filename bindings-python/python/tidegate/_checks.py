"""What a call was given, checked: its arguments, and the terms that it goes by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from . import _tidegate
from ._errors import ConfigError, KeyFormatError
from ._field_checks import check_name
from ._types import MISSING

if TYPE_CHECKING:
    from ._tidegate import Cache, Terms


class Checks:
    """Of a manager, or a view. Each refuses what cannot work."""

    __slots__ = ()

    _native: Cache
    _terms: Terms | None

    def _read_terms(self, options: dict[str, Any], *own: str) -> Terms | None:
        """What a read goes by; refuses what it does not take. `own` are its arguments by name, for the message."""
        if not options:
            return self._terms
        try:
            return self._native.terms(self._terms, "read", options)
        except ConfigError:
            for name in options:
                if name == "default" and name in own:
                    said = f"default={options[name]!r} and a fallback do not go together"
                    raise ConfigError(f"{said}: there is always the fallback's value") from None
                if name not in _tidegate.READ_OPTIONS:
                    raise _tidegate.unknown_option(name, sorted({*own, *_tidegate.READ_OPTIONS})) from None
            if not _says_nothing(options):
                raise
        return self._read_terms({name: value for name, value in options.items() if name != "ttl"}, *own)

    def _write_terms(self, options: dict[str, Any]) -> Terms | None:
        """What `set` goes by."""
        if not options:
            return self._terms
        try:
            return self._native.terms(self._terms, "write", options)
        except ConfigError:
            if not _says_nothing(options):
                raise
        return self._write_terms({name: value for name, value in options.items() if name != "ttl"})

    def _check_write_through(self, persist: object, options: dict[str, Any]) -> Terms | None:
        """Gives what `write_through` goes by."""
        given = {name: value for name, value in options.items() if name != "ttl" or value is not None}
        terms = self._native.terms(self._terms, "write_through", given) if given else self._terms
        if not callable(persist):
            raise ConfigError(
                f"persist={persist!r} is not callable; it takes the value and writes it to the database; "
                'a right example: cache.write_through("user:profile:42", user, save)'
            )
        return terms

    def _check(self, fallback: object, options: dict[str, Any], *own: str) -> Terms | None:
        """Gives what the call goes by."""
        terms = self._read_terms(options, *own)
        if isinstance(fallback, CoroutineType):
            name = fallback.__name__
            fallback.close()  # else Python warns that nobody awaited it
            raise ConfigError(
                f"fallback={fallback!r} is not callable: it has been called already. Pass the function, not its call: "
                f"{name}, not {name}(); a right example: "
                'cache.get("user:profile:42", fetch), or lambda: fetch(42)'
            )
        if not callable(fallback):
            no_default = "; for a default say default=None" if fallback is None else ""
            raise ConfigError(
                f"fallback={fallback!r} is not callable{no_default}; "
                'a right example: cache.get("user:profile:42", fetch)'
            )
        return terms

    def _explain_removed(self, keys: list[Any], error: KeyFormatError) -> KeyFormatError:
        """The engine's error, with what to write instead of a list or a pattern."""
        if any(isinstance(key, (list, tuple, set, frozenset)) for key in keys):
            return KeyFormatError(f"{error}; give several one by one: cache.invalidate(*keys)")
        if any(isinstance(key, str) and "*" in key for key in keys):
            return KeyFormatError(
                f"{error}; no key is a pattern, for many keys use a tag: cache.invalidate_tag('team:7')"
            )
        return error

    def _check_default(self, key: object, default: object, options: dict[str, Any]) -> None:
        self._read_terms(options, "default", "type")
        if default is MISSING:
            raise ConfigError(
                f"get({key!r}) has neither a fallback nor a default; "
                'a right example: cache.get("user:profile:42", fetch), or cache.get("user:profile:42", default=None)'
            )
        for name, value in options.items():
            if name == "ttl" and value is None:
                continue
            raise ConfigError(f"{name}={value!r} has no use in a get without a fallback: nothing is stored")

    def _check_many(
        self, keys: object, fetch_missing: object, options: dict[str, Any]
    ) -> tuple[list[Any], Terms | None]:
        terms = self._read_terms(options, "type")
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise ConfigError(
                f"keys={keys!r} is no list of keys; a right example: cache.get_many([key_1, key_2], fetch)"
            )
        if not callable(fetch_missing):
            raise ConfigError(
                f"fetch_missing={fetch_missing!r} is not callable; it takes a list of keys and gives a dict; "
                "a right example: cache.get_many([key_1, key_2], fetch)"
            )
        keys = list(keys)
        _tidegate.check_batch("keys", len(keys))
        return keys, terms

    def _check_set(self, values: object, options: dict[str, Any]) -> Terms | None:
        terms = self._write_terms(options)
        if not isinstance(values, Mapping):
            raise ConfigError(f"values={values!r} is no dict; a right example: cache.set_many({{key_1: value_1}})")
        _tidegate.check_batch("values", len(values))
        for key in values:
            _tidegate.check_key(key)
        return terms

    def _check_fields(self, names: list[Any], options: dict[str, Any] | None = None, kind: str = "fields") -> Terms:
        """Gives what a call of these fields goes by."""
        for name in names:
            check_name(name)
        return self._native.terms(self._terms, kind, options or {}, names)


def _says_nothing(options: dict[str, Any]) -> bool:
    """Whether there is a `ttl=None`."""
    return options.get("ttl", MISSING) is None


def positive(name: str, value: object, example: str) -> int:
    """A whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**53:
        raise ConfigError(f"{name}={value!r} is no whole number from 1; a right example: {name}={example}")
    return value
