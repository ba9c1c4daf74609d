"""Events, recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, overload

from .._base import ManagerBase
from .._errors import ConfigError
from .._tidegate import EVENT_TYPES

if TYPE_CHECKING:
    from .._events import CacheEvent, EventType

# How often a loop goes round until whatever an event can lead to has happened.
_TURNS = 20
_PATIENCE_SECONDS = 10


class RecordedEvents(Sequence["CacheEvent"]):
    """The events of managers, in the order in which they were delivered; made by `record`.

    >>> from tidegate.sync import CacheManager
    >>> cache = CacheManager()
    >>> recorded = record(cache)
    >>> cache.get("user:name:42", lambda: "Ada")
    'Ada'
    >>> recorded.settle().types
    ['cache.miss', 'cache.set']
    >>> recorded.one("cache.set").key
    'user:name:42'
    """

    def __init__(self, *caches: ManagerBase) -> None:
        self._caches: list[ManagerBase] = []
        self._events: list[CacheEvent] = []
        for cache in caches:
            self.add(cache)

    def add(self, cache: ManagerBase) -> None:
        """Record the events of another manager too."""
        if not isinstance(cache, ManagerBase):
            raise ConfigError(f"cache={cache!r} is not a CacheManager; a right example: record(cache)")
        self._caches.append(cache)
        cache.on("*", self._events.append)

    def stop(self) -> None:
        """Record no more."""
        for cache in self._caches:
            cache.off("*", self._events.append)
        self._caches.clear()

    def settle(self) -> RecordedEvents:
        """Wait until all that has happened so far has been delivered; gives itself."""
        for cache in self._caches:
            root = cache._root or cache
            root._deliver()
            # Another thread may be in the middle of it.
            until = time.monotonic() + _PATIENCE_SECONDS
            while any(thread != get_ident() for thread in list(root._delivering)):
                if time.monotonic() > until:
                    raise TimeoutError("an observer of another thread does not end")
                time.sleep(0.000_5)
        return self

    async def settled(self) -> RecordedEvents:
        """The same, and before that the loop's other tasks go on, for as long as nothing but the loop holds them up."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return self.settle()

    @property
    def types(self) -> list[str]:
        """The type of each: `["cache.miss", "cache.set"]`."""
        return [event.type for event in self._events]

    def of(self, *types: EventType, **fields: Any) -> list[CacheEvent]:
        """Those of these types (of any, where none is named) whose fields are these."""
        unknown = [kind for kind in types if kind not in EVENT_TYPES]
        if unknown:
            raise ConfigError(f"event={unknown[0]!r} is not an event; the events are {', '.join(EVENT_TYPES)}")

        def fits(event: CacheEvent) -> bool:
            is_of_type = not types or event.type in types
            return is_of_type and all(getattr(event, name) == value for name, value in fields.items())

        return [event for event in self._events if fits(event)]

    def one(self, *types: EventType, **fields: Any) -> CacheEvent:
        """The only one of those; an `AssertionError` that shows what there is where there are none, or more."""
        found = self.of(*types, **fields)
        if len(found) != 1:
            wanted = ", ".join([*types, *(f"{name}={value!r}" for name, value in fields.items())])
            raise AssertionError(f"{len(found)} events are ({wanted}), of {self!r}")
        return found[0]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._events.clear()

    @overload
    def __getitem__(self, at: int) -> CacheEvent: ...
    @overload
    def __getitem__(self, at: slice) -> list[CacheEvent]: ...
    def __getitem__(self, at: int | slice) -> CacheEvent | list[CacheEvent]:
        return self._events[at]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[CacheEvent]:
        return iter(self._events)

    def __repr__(self) -> str:
        return f"RecordedEvents({[_shown(event) for event in self._events]})"


def _shown(event: CacheEvent) -> str:
    said = (event.type, event.key or event.tag, event.source, event.reason, event.state)
    return " ".join(word for word in said if word)


def record(*caches: ManagerBase) -> RecordedEvents:
    """Record the events of these managers from now on."""
    return RecordedEvents(*caches)
