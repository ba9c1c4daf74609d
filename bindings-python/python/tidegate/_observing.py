"""Observers: who they are, and how they are told."""

from __future__ import annotations

from _thread import RLock, get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, overload

from . import _tidegate
from ._errors import ConfigError
from ._logging import is_logger, log_faults, log_observer
from ._tasks import is_awaitable
from ._views import Views

if TYPE_CHECKING:
    from typing import TypeAlias, TypeVar

    from . import _events
    from ._events import CacheEvent, EventType
    from ._logging import Log
    from ._tidegate import Cache

    E = TypeVar("E", bound=CacheEvent)
    Observes: TypeAlias = "Callable[[E], object] | Log"

Observer = Callable[["CacheEvent"], object]

EVERY: Final = "*"
"""Instead of an event's name: all of them."""

# Observers come and go one after another, whatever thread they are of. A thread may come again in the middle, where the
# collector runs somebody's finalizer.
_changing = RLock()


def renew() -> None:
    """In a forked child: who held it is not here."""
    global _changing
    _changing = RLock()


class Observing(Views):
    """What a manager has of its observers. Not for use by itself."""

    __slots__ = ()

    _native: Cache
    _observers: dict[str, list[Observer]]
    _delivering: list[int]
    """The threads that hand out events just now."""
    _awaits: ClassVar[bool] = False
    """Whether async observers are awaited."""

    # One for each event, so that an observer's own parameter is checked.
    @overload
    def on(self, event: Literal["cache.hit"], observer: Observes[_events.HitEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.miss"], observer: Observes[_events.MissEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.set"], observer: Observes[_events.SetEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.invalidate"], observer: Observes[_events.InvalidateEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.stale"], observer: Observes[_events.StaleEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.wait"], observer: Observes[_events.WaitEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.refresh"], observer: Observes[_events.RefreshEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.error"], observer: Observes[_events.ErrorEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.fallback_error"], observer: Observes[_events.FallbackErrorEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.breaker"], observer: Observes[_events.BreakerEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.connection"], observer: Observes[_events.ConnectionEvent]) -> None: ...
    @overload
    def on(self, event: Literal["cache.health"], observer: Observes[_events.HealthEvent]) -> None: ...
    @overload
    def on(self, event: EventType | Literal["*"], observer: Observes[CacheEvent]) -> None: ...
    def on(self, event: str, observer: Any) -> None:
        """Call `observer` with each event of this name (`"*"`: of all), in batches, never on a caller's path.

        It is given a `CacheEvent` of the kind's own class, or is a `logging.Logger`, which is logged to. An async one
        is awaited, one event at a time, by the manager for asyncio; `tidegate.sync` refuses it. What an observer raises
        goes to the log `tidegate`. Events are kept only while somebody observes.

        >>> from tidegate.sync import CacheManager
        >>> cache, seen = CacheManager(), []
        >>> cache.on("cache.miss", lambda event: seen.append(event.key))
        >>> cache.get("user:profile:42", lambda: "Ada"), cache.close()
        ('Ada', True)
        >>> seen
        ['user:profile:42']
        """
        _check_event(event)
        if is_logger(observer):
            from .logs import LoggerObserver

            observer = LoggerObserver(observer)
        if not callable(observer):
            raise ConfigError(f'observer={observer!r} is not callable; a right example: cache.on("cache.hit", print)')
        if not self._awaits and _is_async(observer):
            raise ConfigError(
                f"observer={observer!r} is async: tidegate.sync takes plain functions, tidegate.CacheManager both; "
                'a right example: cache.on("cache.hit", print)'
            )
        with _changing:
            was_silent = not self._observers
            self._observers.setdefault(event, []).append(observer)
            if was_silent:
                (self._root or self)._listen()

    @overload
    def off(self, event: Literal["cache.hit"], observer: Observes[_events.HitEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.miss"], observer: Observes[_events.MissEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.set"], observer: Observes[_events.SetEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.invalidate"], observer: Observes[_events.InvalidateEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.stale"], observer: Observes[_events.StaleEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.wait"], observer: Observes[_events.WaitEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.refresh"], observer: Observes[_events.RefreshEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.error"], observer: Observes[_events.ErrorEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.fallback_error"], observer: Observes[_events.FallbackErrorEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.breaker"], observer: Observes[_events.BreakerEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.connection"], observer: Observes[_events.ConnectionEvent]) -> None: ...
    @overload
    def off(self, event: Literal["cache.health"], observer: Observes[_events.HealthEvent]) -> None: ...
    @overload
    def off(self, event: EventType | Literal["*"], observer: Observes[CacheEvent]) -> None: ...
    def off(self, event: str, observer: Any) -> None:
        """Stop calling `observer`; does nothing when it was not called."""
        _check_event(event)
        if is_logger(observer):
            from .logs import LoggerObserver

            observer = LoggerObserver(observer)
        with _changing:
            observers = self._observers.get(event, [])
            if observer in observers:
                observers.remove(observer)
            if event in self._observers and not observers:
                del self._observers[event]
                if not self._observers:
                    (self._root or self)._unlisten()

    def _listen(self) -> None:
        raise NotImplementedError

    def _unlisten(self) -> None:
        raise NotImplementedError

    def _deliver(self) -> None:
        """Hand out what has happened since the last time."""
        thread = get_ident()
        self._delivering.append(thread)
        try:
            self._hand_out()
        finally:
            self._delivering.remove(thread)

    def _hand_out(self) -> None:
        faults = self._native.take_faults()
        if faults:
            log_faults(faults, self._logged_elsewhere())
        events = self._native.take_events()
        if not events:
            return
        from ._events import KINDS

        observers = self._observers
        ending: BaseException | None = None
        for fields in events:
            name = fields[0]
            told = (*observers.get(name, ()), *observers.get(EVERY, ()))
            if not told:
                continue
            event = KINDS[name](*fields)
            for observer in told:
                try:
                    result = observer(event)
                except (KeyboardInterrupt, SystemExit) as error:
                    # The program may end, but not before the others have been told.
                    ending = error
                except BaseException:  # noqa: BLE001 - an observer harms nobody, whatever it raises: a task's cancellation too
                    log_observer(observer, name)
                else:
                    if result is not None and is_awaitable(result):
                        self._await(observer, name, result)
        if ending is not None:
            raise ending

    def _await(self, observer: Observer, event: str, result: Any) -> None:
        """An observer gave something to be awaited: where nobody can, it is let go, and told."""
        if hasattr(result, "close"):
            result.close()
        try:
            raise ConfigError("an observer of tidegate.sync gave something to be awaited; it takes plain functions")
        except ConfigError:
            log_observer(observer, event)

    def _logged_elsewhere(self) -> list[str]:
        """Faults that go to a log by an observer, and a breaker that is observed: not to be logged a second time."""
        observers = self._observers
        every = observers.get(EVERY, ())
        logs_faults = any(
            getattr(observer, "logs_faults", False) for observer in (*observers.get("cache.error", ()), *every)
        )
        hears_breaker = every or observers.get("cache.breaker")
        return ["cache.error"] * bool(logs_faults) + ["cache.breaker"] * bool(hears_breaker)


def _is_async(observer: object) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(observer) or iscoroutinefunction(getattr(observer, "__call__", None))  # noqa: B004


def _check_event(event: str) -> None:
    if event != EVERY and event not in _tidegate.EVENT_TYPES:
        raise ConfigError(
            f"event={event!r} is not an event; the events are {', '.join(_tidegate.EVENT_TYPES)}, and '*' for all; "
            'a right example: cache.on("cache.hit", print)'
        )
