"""The managers of this process: one that blocks and one for asyncio for each place that `CACHES` names.

Django makes a backend object for each thread and each request's context; what they talk through is made once.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ... import _tidegate
from ..._errors import ConfigError

if TYPE_CHECKING:
    from ... import CacheManager
    from ...sync import CacheManager as BlockingCacheManager

M = TypeVar("M", "BlockingCacheManager", "CacheManager")

FOREVER = 10 * 365 * 86_400
"""Seconds that stand for Django's `timeout=None`: as long as an entry can live."""
_CLOSE_SECONDS = 10

# Django's timeouts say how long a session or a lock lives: nothing is cut off.
_DEFAULTS: dict[str, Any] = {"ttl_jitter": 0}

_blocking: dict[str, BlockingCacheManager] = {}
_async: dict[str, CacheManager] = {}
_opening = [Lock()]


class Place:
    """One entry of `CACHES`, checked: a URL, and what managers are given."""

    __slots__ = ("name", "options", "prefix", "url")

    def __init__(self, location: object, options: dict[str, Any], prefix: str) -> None:
        if isinstance(location, (list, tuple)) and len(location) == 1:
            location = location[0]
        if not location:
            location = "memory://"
        if not isinstance(location, str):
            raise ConfigError(
                f"LOCATION={location!r} is not one URL; servers stand in one: "
                '"redis-cluster://a:6379,b:6379", "redis-sentinel://a:26379,b:26379/main"'
            )
        for name in ("MAX_ENTRIES", "CULL_FREQUENCY"):
            if name in options:
                raise ConfigError(
                    f"OPTIONS[{name!r}]: nothing is culled here; the server's maxmemory-policy bounds what it keeps, "
                    'and OPTIONS={"l1": "64MB"} what this process keeps'
                )
        if "codec" in options:
            raise ConfigError("OPTIONS['codec']: the backend writes Django's values as msgpack; take it out")
        self.options = {**_DEFAULTS, **options, "codec": "msgpack"}
        if location == "memory://":
            # The blocking manager and the async one have to meet.
            location = f"memory://django-{self.options.get('service', 'app')}"
        self.url = location
        self.prefix = prefix
        self.name = repr((location, sorted(self.options.items(), key=lambda item: item[0])))

    def blocking(self) -> BlockingCacheManager:
        """The manager for code that blocks."""
        found = _blocking.get(self.name)
        if found is None or found._native.closed:
            from ...sync import CacheManager

            found = _opened(_blocking, self.name, lambda: CacheManager(self.url, **self.options))
        return found

    def asynchronous(self) -> CacheManager:
        """The manager for asyncio."""
        found = _async.get(self.name)
        if found is None or found._native.closed:
            from ... import CacheManager

            found = _opened(_async, self.name, lambda: CacheManager(self.url, **self.options))
        return found

    def namespaces(self) -> list[str]:
        """What `clear` of this prefix ends; without a prefix, all."""
        return ["django", _tidegate.build_key("of", self.prefix)[3:]] if self.prefix else ["django"]


def _opened(managers: dict[str, M], name: str, make: Callable[[], M]) -> M:
    with _opening[0]:
        found = managers.get(name)
        if found is None or found._native.closed:
            found = managers[name] = make()
        return found


def _unlock() -> None:
    # A child of a process that forked in the midst of it.
    _opening[0] = Lock()


def close(timeout: float = _CLOSE_SECONDS) -> None:
    """Let what is under way end, refreshes behind callers too, for up to `timeout` seconds: of all blocking managers.

    Called by itself when the process ends. Django's `close_caches`, after each request, closes nothing. What is used
    again afterwards is opened again.
    """
    ends = monotonic() + timeout
    while _blocking:
        _blocking.popitem()[1].close(max(0.0, ends - monotonic()))


async def aclose(timeout: float = _CLOSE_SECONDS) -> None:
    """The same for the async managers; `with_lifespan` calls it."""
    ends = monotonic() + timeout
    while _async:
        await _async.popitem()[1].close(max(0.0, ends - monotonic()))


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
