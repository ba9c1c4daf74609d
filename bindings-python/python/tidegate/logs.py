"""Events as lines of `logging`: `log_events(cache)`, and what a logger does that is given to `cache.on`.

>>> import logging
>>> from tidegate.logs import log_events
>>> from tidegate.sync import CacheManager
>>> cache = CacheManager()
>>> stop = log_events(cache, logging.getLogger("shop.cache"), levels={"cache.invalidate": logging.INFO})
>>> cache.invalidate("user:profile:42")
True
>>> stop()
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _tidegate
from ._errors import ConfigError
from ._logging import is_logger, printable

if TYPE_CHECKING:
    from typing import Literal, Protocol

    from ._events import CacheEvent, EventType
    from ._logging import Log

    class Manager(Protocol):
        """Whose events are logged: one of either kind, or a view."""

        def on(self, event: Literal["*"], observer: Callable[[CacheEvent], object]) -> None: ...
        def off(self, event: Literal["*"], observer: Callable[[CacheEvent], object]) -> None: ...


__all__ = ["LEVELS", "LoggerObserver", "level_of", "log_events"]

LEVELS: dict[str, int] = {
    "cache.hit": logging.DEBUG,
    "cache.miss": logging.DEBUG,
    "cache.set": logging.DEBUG,
    "cache.invalidate": logging.DEBUG,
    "cache.stale": logging.WARNING,
    "cache.wait": logging.DEBUG,
    "cache.refresh": logging.DEBUG,
    "cache.error": logging.WARNING,
    "cache.fallback_error": logging.WARNING,
    "cache.breaker": logging.WARNING,
    "cache.connection": logging.WARNING,
    "cache.health": logging.WARNING,
}
"""The level of each event. What is as it should be is told less loudly: see `level_of`."""

_QUIET = {
    ("cache.stale", "revalidating"): logging.DEBUG,
    ("cache.breaker", "closed"): logging.INFO,
    ("cache.connection", "connected"): logging.INFO,
    ("cache.health", "ok"): logging.INFO,
}
_LOUD = {("cache.invalidate", "journalled"): logging.WARNING}
_FIRST = ("type", "key", "tenant", "tag")
# What stands elsewhere in a record already, or is the same in each.
_UNSAID = frozenset((*_FIRST, "timestamp", "service", "message"))


def level_of(event: CacheEvent) -> int:
    """The level at which an event is logged where nothing else is said.

    That of `LEVELS`; but a stale value that is being computed anew is DEBUG; a breaker that closed, a connection that
    was made and health that is right again are INFO; an invalidation that had to be journalled is a WARNING.
    """
    name, said = event.type, event.state or event.reason
    if name == "cache.stale":
        said = event.reason
    return _QUIET.get((name, said or ""), _LOUD.get((name, said or ""), LEVELS.get(name, logging.INFO)))


class LoggerObserver:
    """An observer that logs: the text is made only where the level is enabled, and a record is written.

    A record's `tidegate` is a dict of the event's fields, those that apply, for formatters of structured logs.
    """

    logs_faults = True

    def __init__(self, logger: Log, levels: Mapping[EventType, int | None] | None = None) -> None:
        self._logger = logger
        self._levels: dict[str, int | None] = {str(name): level for name, level in (levels or {}).items()}

    def __call__(self, event: CacheEvent) -> None:
        level = self._levels[event.type] if event.type in self._levels else level_of(event)
        if level is not None and self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", _Line(event), extra={"tidegate": fields_of(event)})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LoggerObserver):
            return NotImplemented
        return self._logger is other._logger and self._levels == other._levels

    def __hash__(self) -> int:
        return hash(id(self._logger))

    def __repr__(self) -> str:
        return f"<tidegate observer that logs to {self._logger!r}>"


class _Line:
    """The text of an event, made when somebody writes it: one line, whatever it says that a stranger has chosen."""

    __slots__ = ("_event",)

    def __init__(self, event: CacheEvent) -> None:
        self._event = event

    def __str__(self) -> str:
        event = self._event
        subject = "" if event.key is None else f" [{printable(event.key)}]"
        subject += "" if event.tag is None else f" of tag {printable(event.tag)}"
        subject += "" if event.tenant is None else f" of tenant {event.tenant!r}"
        fields = {name: value for name, value in fields_of(event).items() if name not in _UNSAID}
        more = "".join(f" {name}={_said(value)}" for name, value in fields.items())
        message = "" if event.message is None else f": {printable(event.message)}"
        return f"{event.type}{subject}{more}{message}"


def _said(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else printable(str(value))


def fields_of(event: CacheEvent) -> dict[str, Any]:
    """The fields of an event that apply."""
    return {name: value for name, value in vars(event).items() if value is not None}


def log_events(
    cache: Manager, logger: Log | None = None, levels: Mapping[EventType, int | None] | None = None
) -> Callable[[], None]:
    """Log every event of `cache`, and of its views, to `logger` (`logging.getLogger("tidegate.events")`).

    `levels` gives an event another level than `level_of` does; None leaves it out. Gives a function that ends it.
    `ConfigError` for an event that there is not.
    """
    for name in levels or ():
        if name not in LEVELS:
            raise ConfigError(
                f"levels names {name!r}, which is not an event; the events are {', '.join(_tidegate.EVENT_TYPES)}; "
                'a right example: levels={"cache.hit": logging.INFO}'
            )
    logger = logging.getLogger("tidegate.events") if logger is None else logger
    if not is_logger(logger):
        raise ConfigError(
            f"logger={logger!r} is not a logger; a right example: log_events(cache, logging.getLogger('shop.cache'))"
        )
    observer = LoggerObserver(logger, levels)
    cache.on("*", observer)
    return lambda: cache.off("*", observer)
