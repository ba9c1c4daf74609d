"""Publishing of domain events: what goes in, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _tidegate
from ._checks import positive
from ._codec import PLAIN, Unencodable
from ._errors import ConfigError, EncodeError
from ._outcomes import raise_failed
from ._tidegate import Failed


def event_payload(name: object, data: Any, max_len: object, operation_id: object) -> bytes | None:
    """The payload of an event; refuses what cannot be published."""
    _tidegate.check_label("event", name)
    positive("max_len", max_len, "100_000")
    if operation_id is not None and not isinstance(operation_id, str):
        raise ConfigError(f"operation_id={operation_id!r} is not a text; a right example: operation_id=str(row.id)")
    try:
        return PLAIN.encode(data)
    except Unencodable as error:
        raise EncodeError(f"the data of event {name!r} is not published: {error}") from error


def event_id(outcome: Any) -> str:
    """What a publication gives."""
    if outcome.__class__ is Failed:
        raise_failed(outcome)
    return str(outcome)


def check_single(name: str, subscriptions: Iterable[Any]) -> None:
    """A right name of events, which has no handler yet."""
    _tidegate.check_label("event", name)
    if any(subscription.name == name for subscription in subscriptions):
        raise ConfigError(
            f"event {name!r} has a handler already; a service has one for each event: close its subscription first, "
            "or do both in one handler"
        )
