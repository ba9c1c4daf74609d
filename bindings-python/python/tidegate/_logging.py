"""The logger of tidegate's own: faults (`cache.error`), breakers, and what observers raise."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from . import _tidegate

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter
    from typing import TypeAlias

    from ._tidegate import _Event

    Log: TypeAlias = "Logger | LoggerAdapter[Any]"

_AT_KIND, _AT_KEY, _AT_REASON, _AT_MESSAGE, _AT_STATE, _AT_TENANT = 0, 3, 6, 7, 9, 12


def log_faults(faults: Iterable[_Event], observed: Container[str] = ()) -> None:
    """Write `cache.error` and `cache.breaker` events to `logging.getLogger("tidegate")`, but for those `observed`.

    As warnings; a breaker that closes again as information.
    """
    faults = [fault for fault in faults if fault[_AT_KIND] not in observed]
    if not faults:
        return
    import logging

    logger = logging.getLogger("tidegate")
    for fault in faults:
        if fault[_AT_KIND] == "cache.breaker":
            level = logging.INFO if fault[_AT_STATE] == "closed" else logging.WARNING
            logger.log(level, "tidegate: the store: %s", fault[_AT_MESSAGE])
            continue
        # A stranger may have chosen the tenant's name, and parts of the key; messages come on one line.
        tenant = "" if fault[_AT_TENANT] is None else f" of tenant {fault[_AT_TENANT]!r}"
        key = "" if fault[_AT_KEY] is None else f" [{printable(str(fault[_AT_KEY]))}{tenant}]"
        about = "the store: " if fault[_AT_REASON] in _tidegate.STORE_REASONS else ""
        # Most formats of a log leave the logger's name out.
        logger.warning("tidegate: %s%s%s: %s", about, fault[_AT_REASON], key, fault[_AT_MESSAGE])


def printable(text: str) -> str:
    """A text on one line: keys have no control characters, but may have some that turn the order of a line around."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def is_logger(observer: object) -> bool:
    """Whether an observer is a logger of `logging`, or an adapter of one."""
    return not callable(observer) and hasattr(observer, "isEnabledFor") and hasattr(observer, "log")


def log_observer(observer: Callable[..., Any], event: str) -> None:
    """Write what an observer has just raised."""
    import logging

    logging.getLogger("tidegate").exception("the observer %r of %s raised", observer, event)
