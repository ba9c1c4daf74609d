"""Entries of an older version of the service, taken over: the functions that make the new value of the old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._errors import ConfigError
from ._tasks import is_awaitable
from ._types import MISSING

if TYPE_CHECKING:
    from ._tidegate import Cache, Lease
    from ._types import Upgrade

_RIGHT = "a right example: version=2, upgrade={1: rename_fields}"


class Upgrades:
    """The functions of one manager, each by the version whose values it takes."""

    __slots__ = ("_functions",)

    def __init__(self, given: object) -> None:
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            raise ConfigError(f"upgrade={given!r} is no dict of functions by version; {_RIGHT}")
        for version, function in given.items():
            if not isinstance(version, int) or isinstance(version, bool):
                raise ConfigError(f"upgrade has the key {version!r}, which is no version; {_RIGHT}")
            if not callable(function):
                raise ConfigError(f"upgrade[{version}]={function!r} is not callable; {_RIGHT}")
        self._functions: Mapping[int, Upgrade] = dict(given)

    @property
    def versions(self) -> list[int]:
        return list(self._functions)

    def over(self, native: Cache, key: str, lease: Lease, run: Callable[[], Any]) -> Callable[[], Any]:
        """What is run under a lease: the functions, where an older version holds something, else `run`."""
        if not self._functions or (older := lease.older) is None:
            return run
        version, payload, codec = older

        def take_over() -> Any:
            return self._take_over(native, key, lease, version, (payload, codec), run)

        return take_over

    def over_many(
        self, native: Cache, leases: Mapping[str, Lease], fetch_missing: Callable[[list[str]], Any]
    ) -> Callable[[list[str]], Any]:
        """The same for a `fetch_missing`, which is called for what no older version holds."""
        if not self._functions or all(lease.older is None for lease in leases.values()):
            return fetch_missing

        def fetch(keys: list[str]) -> Any:
            found = {key: self.over(native, key, lease, _missing)() for key, lease in leases.items()}
            if any(is_awaitable(value) for value in found.values()):
                return self._fetch_behind(keys, found, fetch_missing)
            rest = [key for key in keys if found.get(key, MISSING) is MISSING]
            more = fetch_missing(rest) if rest else {}
            return _joined_later(found, more) if is_awaitable(more) else _joined(found, more)

        return fetch

    async def _fetch_behind(
        self, keys: list[str], found: dict[str, Any], fetch_missing: Callable[[list[str]], Any]
    ) -> Any:
        for key, value in found.items():
            if is_awaitable(value):
                found[key] = await value
        rest = [key for key in keys if found.get(key, MISSING) is MISSING]
        more: Any = fetch_missing(rest) if rest else {}
        return _joined(found, await more if is_awaitable(more) else more)

    def _take_over(
        self,
        native: Cache,
        key: str,
        lease: Lease,
        version: int,
        held: tuple[bytes | None, str],
        run: Callable[[], Any],
    ) -> Any:
        try:
            from ._codec import PLAIN

            payload, codec = held
            value, at = PLAIN.decode(payload, codec), version
            # A null is a null in every version.
            if payload is not None:
                while (function := self._functions.get(at)) is not None:
                    value, at = function(value), at + 1
                    if is_awaitable(value):
                        return self._go_on(native, key, lease, at, value, run)
        except Exception as error:  # noqa: BLE001 - the fallback serves
            _report(native, key, version, error)
            return run()
        lease.use_older()
        return value

    async def _go_on(
        self, native: Cache, key: str, lease: Lease, at: int, awaitable: Any, run: Callable[[], Any]
    ) -> Any:
        """From the first function on that is async."""
        try:
            value = await awaitable
            while (function := self._functions.get(at)) is not None:
                value, at = function(value), at + 1
                if is_awaitable(value):
                    value = await value
        except Exception as error:  # noqa: BLE001 - the fallback serves
            _report(native, key, at - 1, error)
            value = run()
            return await value if is_awaitable(value) else value
        lease.use_older()
        return value


def _missing() -> Any:
    return MISSING


def _joined(found: Mapping[str, Any], more: Any) -> Any:
    """What was taken over, and what was fetched; whatever is no mapping is refused by whoever reads it."""
    if not isinstance(more, Mapping):
        return more
    return {**more, **{key: value for key, value in found.items() if value is not MISSING}}


async def _joined_later(found: Mapping[str, Any], more: Any) -> Any:
    return _joined(found, await more)


def _report(native: Cache, key: str, version: int, error: Exception) -> None:
    message = f"what version {version} holds at {key!r} is not taken over: {error!r}"
    native.report(key, "upgrade", message, None)
