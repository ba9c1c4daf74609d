"""What a manager tells other services, and is told by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._by_fields import ByFields
from ._tasks import answer

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from ._dead_events import EventDeadLetters
    from ._subscription import Handler, Subscription
    from ._tidegate import Port
    from ._types import Duration


class Between(ByFields):
    """Not for use by itself."""

    __slots__ = ("_subscriptions",)

    _subscriptions: list[Subscription]

    async def publish_event(
        self, name: str, data: Any, *, max_len: int = 100_000, operation_id: str | None = None
    ) -> str:
        """Tell every service that handles events of this name; gives the event's id once the store has it.

        `StoreUnavailable` when the store did not confirm it (it may have it all the same). `data` is any value that the
        codec can write, else `EncodeError`; over `max_value_bytes` `ValueTooLarge`. The stream keeps about `max_len`
        events. Within ten minutes a second event of this service with the same `operation_id` is the first one.

        >>> import asyncio
        >>> from tidegate import CacheManager
        >>> asyncio.run(CacheManager().publish_event("user.updated", {"id": 42})).count("-")
        1
        """
        from ._publishing import event_id, event_payload

        payload = event_payload(name, data, max_len, operation_id)
        port = self._port()
        outcome = await answer(port, self._native.publish_event(port, name, payload, max_len, operation_id))
        return event_id(outcome)

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

        It runs in this loop, async or plain, one event at a time; without a running loop it begins with the first use
        of the manager in one. Each event goes to one process of the service, at least once: a handler that raises is
        called again, up to `max_attempts` times, and what a process held that is silent for `redeliver_after` seconds
        goes to another. With two arguments it gets the `EventDetails` too. `on_gap(missed)` is called when events are
        gone that the service had not read (0: nobody knows how many). `type` is what data is decoded to.

        >>> import asyncio
        >>> from tidegate import CacheManager, key, tag
        >>> async def main():
        ...     async with CacheManager() as cache:
        ...         handled = asyncio.Event()
        ...         def handle(user):
        ...             handled.set()
        ...             return [key("user", "profile", user["id"]), tag(f"user:{user['id']}")]
        ...         cache.on_event("user.updated", handle)
        ...         await cache.publish_event("user.updated", {"id": 42})
        ...         await handled.wait()
        >>> asyncio.run(main())
        """
        from ._publishing import check_single
        from ._subscription import Subscription, Work

        work = Work(self, name, handler, on_gap, max_attempts, redeliver_after, type)
        check_single(work.name, self._subscriptions)
        subscription = Subscription(self._root or self, work, self._subscriptions)
        try:
            loop = self._running_loop()
        except RuntimeError:
            # In the first of our loops, if there is one.
            for loop, port in list(self._ports.items())[:1]:
                loop.call_soon_threadsafe(subscription._begin, port, loop)
        else:
            subscription._begin(self._port(), loop)
        self._subscriptions.append(subscription)
        return subscription

    def event_dead_letters(self, name: str) -> EventDeadLetters:
        """The events of this name that this service has set aside: `list`, `retry`, `drop`."""
        from ._dead_events import EventDeadLetters

        return EventDeadLetters(self, name)

    # --- what becomes of subscriptions -----------------------------------------------------------------------------

    def _enter_loop(self) -> Port:
        port, loop = super()._enter_loop(), self._running_loop()
        for subscription in list(self._subscriptions):
            subscription._begin(port, loop)
        return port

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._left(loop)
        for subscription in list(self._subscriptions):
            subscription._left(loop)

    def _renew(self) -> None:
        for subscription in self._subscriptions:
            subscription._renew()
        super()._renew()

    def _share(self, root: Self) -> None:
        self._subscriptions = root._subscriptions
        super()._share(root)
