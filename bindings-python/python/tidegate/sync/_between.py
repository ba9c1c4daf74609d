"""What a manager tells other services, and is told by them, for programs that block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _threads
from ._by_fields import ByFields

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._subscription import Handler
    from .._types import Duration
    from ._dead_events import EventDeadLetters
    from ._subscription import Subscription


class Between(ByFields):
    """Not for use by itself."""

    __slots__ = ("_subscriptions",)

    _subscriptions: list[Subscription]

    def publish_event(self, name: str, data: Any, *, max_len: int = 100_000, operation_id: str | None = None) -> str:
        """Tell every service that handles events of this name; gives the event's id once the store has it.

        `StoreUnavailable` when the store did not confirm it (it may have it all the same). `data` is any value that the
        codec can write, else `EncodeError`; over `max_value_bytes` `ValueTooLarge`. The stream keeps about `max_len`
        events. Within ten minutes a second event of this service with the same `operation_id` is the first one.

        >>> from tidegate.sync import CacheManager
        >>> CacheManager().publish_event("user.updated", {"id": 42}).count("-")
        1
        """
        from .._publishing import event_id, event_payload

        payload = event_payload(name, data, max_len, operation_id)
        outcome = self._native.publish_event(_threads.port(), name, payload, max_len, operation_id)
        return event_id(self._told(outcome))

    def on_event(
        self,
        name: str,
        handler: Handler,
        *,
        on_gap: Handler | None = None,
        max_attempts: int = 10,
        redeliver_after: Duration = 30,
        type: Any = None,
    ) -> Subscription:
        """Call `handler` with the data of each event of this name; what it gives is invalidated: keys and tags.

        It runs in a thread of its own, one event at a time. Each event goes to one process of the service, at least
        once: a handler that raises is called again, up to `max_attempts` times, and what a process held that is silent
        for `redeliver_after` seconds goes to another. With two arguments it gets the `EventDetails` too.
        `on_gap(missed)` is called when events are gone that the service had not read (0: nobody knows how many). `type`
        is what data is decoded to.

        >>> import threading
        >>> from tidegate import key, tag
        >>> from tidegate.sync import CacheManager
        >>> handled = threading.Event()
        >>> def handle(user):
        ...     handled.set()
        ...     return [key("user", "profile", user["id"]), tag(f"user:{user['id']}")]
        >>> with CacheManager() as cache:
        ...     subscription = cache.on_event("user.updated", handle)
        ...     id = cache.publish_event("user.updated", {"id": 42})
        ...     handled.wait(10), subscription.close()
        (True, True)
        """
        from .._publishing import check_single
        from .._subscription import Work
        from ._subscription import Subscription

        work = Work(self, name, handler, on_gap, max_attempts, redeliver_after, type)
        check_single(work.name, self._subscriptions)
        subscription = Subscription(self._root or self, work, self._subscriptions)
        subscription._begin()
        self._subscriptions.append(subscription)
        return subscription

    def event_dead_letters(self, name: str) -> EventDeadLetters:
        """The events of this name that this service has set aside: `list`, `retry`, `drop`."""
        from ._dead_events import EventDeadLetters

        return EventDeadLetters(self, name)

    # --- what becomes of subscriptions -----------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """In a forked child, once it is used."""
        for subscription in list(self._subscriptions):
            subscription._begin()

    def _renew(self) -> None:
        for subscription in self._subscriptions:
            subscription._renew()
        super()._renew()

    def _share(self, root: Self) -> None:
        self._subscriptions = root._subscriptions
        super()._share(root)
