"""The events that a service has set aside, for programs that block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._checks import positive
from .._dead_events import DeadEvent, Letters, taken
from .._tidegate import DEAD_LETTERS_MAX
from . import _threads

if TYPE_CHECKING:
    from ._reading import Reader  # noqa: F401 - in the name of a base, which is a text


class EventDeadLetters(Letters["Reader"]):
    """The events of one name that this service has set aside."""

    __slots__ = ()

    def list(self, limit: int = 100) -> list[DeadEvent]:
        """The oldest `limit` of them, the oldest first; `StoreUnavailable`."""
        limit = positive("limit", limit, "100")
        return self._events(self._manager._native.event_letters(_threads.port(), self._name, limit))

    def retry(self, id: str | None = None) -> int:
        """Have one, or without an id all, handled again, by this service alone and as new events: how many."""
        return self._take(id, True)

    def drop(self, id: str | None = None) -> int:
        """Forget one, or without an id all: how many."""
        return self._take(id, False)

    def _take(self, id: str | None, again: bool) -> int:
        ids = [event.id for event in self.list(DEAD_LETTERS_MAX)] if id is None else [id]
        native = self._manager._native
        return sum([taken(native.take_event_letter(_threads.port(), self._name, one, again)) for one in ids])
