"""The events that a service has set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from . import _tidegate
from ._checks import positive
from ._outcomes import raise_failed
from ._tasks import answer
from ._tidegate import Failed

if TYPE_CHECKING:
    from ._base import ManagerBase
    from ._reading import Reader  # noqa: F401 - in the name of a base, which is a text

M = TypeVar("M", bound="ManagerBase")


class DeadEvent(NamedTuple):
    """An event that was set aside: its handler failed, or its process died, `max_attempts` times."""

    id: str
    """What `retry` and `drop` take."""
    data: Any
    """None where it cannot be read."""
    event_id: str
    """The id that `publish_event` gave."""
    attempts: int
    """How often it was handed out."""
    error: str
    """Why it failed the last time."""
    published_at: int
    """By the server's clock, in ms since the epoch."""
    set_aside_at: int
    """By the same clock."""
    service: str
    """Whose manager published it."""


class Letters(Generic[M]):
    """What both kinds of managers have of it."""

    __slots__ = ("_manager", "_name")

    def __init__(self, manager: M, name: str) -> None:
        _tidegate.check_label("event", name)
        self._manager = manager
        self._name = name

    def _events(self, outcome: Any) -> list[DeadEvent]:
        return [self._event(*fields) for fields in taken(outcome)]

    def _event(
        self, id: str, event_id: str, attempts: int, error: str, service: str, payload: bytes | None, codec: str
    ) -> DeadEvent:
        try:
            data = self._manager._coder.decode(payload, codec)
        except Exception:  # noqa: BLE001 - that may be why it is here
            data = None
        return DeadEvent(id, data, event_id, attempts, error, _ms(event_id), _ms(id), service)


def _ms(id: str) -> int:
    return int(id.partition("-")[0])


def taken(outcome: Any) -> Any:
    """The outcome of a call that raises what failed."""
    if outcome.__class__ is Failed:
        raise_failed(outcome)
    return outcome


class EventDeadLetters(Letters["Reader"]):
    """The events of one name that this service has set aside."""

    __slots__ = ()

    async def list(self, limit: int = 100) -> list[DeadEvent]:
        """The oldest `limit` of them, the oldest first; `StoreUnavailable`."""
        limit = positive("limit", limit, "100")
        port = self._manager._port()
        return self._events(await answer(port, self._manager._native.event_letters(port, self._name, limit)))

    async def retry(self, id: str | None = None) -> int:
        """Have one, or without an id all, handled again, by this service alone and as new events: how many."""
        return await self._take(id, True)

    async def drop(self, id: str | None = None) -> int:
        """Forget one, or without an id all: how many."""
        return await self._take(id, False)

    async def _take(self, id: str | None, again: bool) -> int:
        ids = [event.id for event in await self.list(_tidegate.DEAD_LETTERS_MAX)] if id is None else [id]
        port, native = self._manager._port(), self._manager._native
        taking = [native.take_event_letter(port, self._name, one, again) for one in ids]
        return sum([taken(await answer(port, outcome)) for outcome in taking])
