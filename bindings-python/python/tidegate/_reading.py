"""One call's way on a loop: from an outcome to its value, and what goes on behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _tidegate
from ._base import ManagerBase
from ._batch import Batch, Part
from ._outcomes import entry_or_none, raise_failed, shared
from ._running import Running, State
from ._tasks import answer, answers, is_awaitable, settled
from ._tidegate import NOTHING, Failed, Hit, Lease, Port, Served, Shared
from ._types import MISSING

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from ._awaiting import Awaiting
    from ._behind import Behind
    from ._codec import Coder
    from ._context import Leading
    from ._fallbacks import AnyFallback
    from ._observing import Observer
    from ._tidegate import Terms


# What async observers of a forked child's parent gave.
_left_behind: list[Awaiting | None] = []


class Reader(ManagerBase):
    """Not for use by itself."""

    __slots__ = ("_awaiting", "_behind", "_ports", "_running_loop")

    _awaits = True
    _awaiting: Awaiting | None
    """The async observers, where there are any."""
    _behind: Behind
    _ports: dict[asyncio.AbstractEventLoop, Port]
    _running_loop: Callable[[], asyncio.AbstractEventLoop]

    async def _settle(
        self, port: Port, outcome: Any, key: str, fallback: AnyFallback, coder: Coder, terms: Terms | None
    ) -> Any:
        """From an outcome to the value: begin, (await), fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            if outcome.__class__ is tuple:
                if self._leads(key):
                    port.cancel(*outcome)
                    self._report_nested(key)
                    return await self._alone(key, fallback, coder, terms)
                outcome = await answer(port, outcome)
            kind = outcome.__class__
            if kind is Lease:
                return await self._lead(port, outcome, key, fallback, coder, terms)
            if kind is Shared:
                return shared(outcome)
            if kind is Failed:
                raise_failed(outcome)
            value = self._decoded(key, outcome.value if kind is Served else outcome, coder)
            if value is not MISSING:
                if kind is Served:
                    self._behind.start(self._go_on(port, outcome, key, fallback, coder, terms))
                return value
            if kind is Served:
                outcome.leave()
            if is_mended:
                return await self._alone(key, fallback, coder, terms)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(port, key, terms)

    async def _go_on(
        self, port: Port, served: Served, key: str, fallback: AnyFallback, coder: Coder, terms: Terms | None
    ) -> None:
        """Computes a key behind a caller who has been served, if it is to be computed."""
        lease = await answer(port, served.more())
        if lease.__class__ is Lease:
            await self._lead(port, lease, key, fallback, coder, terms, may_serve=False)

    async def _lead(
        self,
        port: Port,
        lease: Lease,
        key: str,
        fallback: Any,
        coder: Coder,
        terms: Terms | None,
        may_serve: bool = True,
    ) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        running, value = None, None
        try:
            block, run = self._around(fallback, key, coder, terms, lease)
            with block:
                value = self._upgrades.over(self._native, key, lease, run)()
                if is_awaitable(value):
                    running = Running(self._running_loop(), value, [lease], block)
        except Exception as error:
            stale = self._consoled(lease, error, key, coder)
            if stale is MISSING:
                raise
            return stale
        except BaseException:
            lease.give_back()
            raise
        if running is None:
            return await self._filled(port, lease, key, value, coder, block)
        if await running.until(may_serve) is State.SERVED:
            stale = self._decoded(key, running.stale[0], coder)
            if stale is not MISSING:
                self._behind.start(self._ended(port, lease, running, key, coder, block))
                return stale
        return await self._ended(port, lease, running, key, coder, block)

    async def _ended(self, port: Port, lease: Lease, running: Running, key: str, coder: Coder, block: Leading) -> Any:
        """Waits for a fallback in its task to end, or to run too late, and settles its lease."""
        if await running.until(False) is State.LATE:
            if running.failed is not None:
                raise_failed(running.failed)
            return self._overran(key, running.stale[0], coder)
        try:
            value = running.task.result()
        except Exception as error:
            stale = self._consoled(lease, error, key, coder)
            if stale is MISSING:
                raise
            return stale
        except BaseException:
            # It was cancelled by somebody else: one of those who wait takes over.
            lease.give_back()
            raise
        return await self._filled(port, lease, key, value, coder, block)

    async def _filled(self, port: Port, lease: Lease, key: str, value: Any, coder: Coder, block: Leading) -> Any:
        value, outcome = self._fill(lease, key, value, coder, block.context)
        await settled(port, [outcome])
        return value

    async def _alone(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        block, run = self._around(fallback, key, coder, terms, None)
        with block:
            value = run()
            if is_awaitable(value):
                value = await value
        return self._same(key, value, coder)

    def _renew_behind(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Computes behind what has been served and is to be computed: the keys of one call together."""
        if served := batch.to_renew():
            self._behind.start(self._renew_many(port, Batch(self, served, batch.coder), served, fetch_missing))

    async def _renew_many(
        self, port: Port, batch: Batch, served: dict[str, Served], fetch_missing: Callable[[list[str]], Any]
    ) -> None:
        outcomes = await answers(port, [one.more() for one in served.values()])
        if batch.renews(dict(zip(served, outcomes, strict=True))):
            await self._fetch(port, batch, fetch_missing, may_serve=False)

    async def _fetch(
        self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any], may_serve: bool = True
    ) -> None:
        """Calls `fetch_missing` for what is leased at this moment, and fills it."""
        part = batch.missing()
        if not part.keys:
            return
        running, found = None, None
        try:
            with self._leading(part.keys) as block:
                found = self._upgrades.over_many(self._native, part.leases, fetch_missing)(part.keys)
                if is_awaitable(found):
                    running = Running(self._running_loop(), found, list(part.leases.values()), block)
        except Exception as error:
            if not batch.serve(part, part.fail(error)):
                raise
            return
        except BaseException:
            part.give_back()
            raise
        if running is not None:
            may_serve = may_serve and not part.alone
            if await running.until(may_serve) is State.SERVED and batch.serve(part, running.stale):
                self._behind.start(self._fetched(port, batch, part, running))
            else:
                await self._fetched(port, batch, part, running)
        else:
            await self._filled_all(port, batch, part, found)

    async def _fetched(self, port: Port, batch: Batch, part: Part, running: Running) -> None:
        """Waits for a `fetch_missing` in its task to end, or to run too late, and settles its leases."""
        if await running.until(False) is State.LATE:
            if running.failed is not None:
                raise_failed(running.failed)
            if not batch.serve(part, running.stale):
                raise _tidegate.hard_timeout(part.keys[0])
            return
        try:
            found = running.task.result()
        except Exception as error:
            if not batch.serve(part, part.fail(error)):
                raise
            return
        except BaseException:
            part.give_back()
            raise
        await self._filled_all(port, batch, part, found)

    async def _filled_all(self, port: Port, batch: Batch, part: Part, found: Any) -> None:
        try:
            outcomes = batch.fill(part, found)
        except Exception as error:
            part.fail(error)
            raise
        except BaseException:
            part.give_back()
            raise
        await settled(port, outcomes)

    async def _join(
        self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any], terms: Terms | None
    ) -> None:
        """Waits for the keys that others compute.

        What is leased to us because they failed is fetched at once, whatever else is being fetched: a lease is never
        held while something else is waited for.
        """
        import asyncio

        async def one(key: str, outcome: Any) -> None:
            batch.take(key, await answer(port, outcome))
            self._renew_behind(port, batch, fetch_missing)
            await self._fetch(port, batch, fetch_missing)

        keys, batch.busy = batch.busy, []
        begun = self._native.begin_many(port, keys, True, terms)
        tasks = [asyncio.ensure_future(one(key, outcome)) for key, outcome in zip(keys, begun, strict=True)]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _get(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        """`get` with everything checked."""
        held = self._held
        if held is not None:
            value = held(key, terms, coder, fallback)
            if value is not NOTHING:
                return value
        elif self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, coder, terms)
        port = self._ports.get(self._running_loop()) or self._enter_loop()
        outcome = self._begin(port, key, terms)
        if outcome.__class__ is tuple and not self._leads(key):
            # A wait, here rather than in `_settle`: every hit on Redis comes by.
            future, place = outcome
            try:
                outcome = await future
            except BaseException:
                port.cancel(future, place)
                raise
        if outcome.__class__ is bytes:
            try:
                return coder.json(outcome)
            except Exception:  # noqa: BLE001 - told and mended in `_settle`
                pass
        return await self._settle(port, outcome, key, fallback, coder, terms)

    async def _refresh(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, coder, terms)
        port = self._port()
        return await self._settle(port, self._native.refresh(port, key, terms), key, fallback, coder, terms)

    async def _get_or_default(self, key: str, default: Any, coder: Coder, options: dict[str, Any]) -> Any:
        self._check_default(key, default, options)
        return await self._get_found(key, default, coder, self._terms)

    async def _get_found(self, key: str, default: Any, coder: Coder, terms: Terms | None) -> Any:
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return default
        held = self._held
        if held is not None:
            value = held(key, terms, coder, held)
            if value is not NOTHING:
                return value
        outcome = await answer(port, self._native.peek(port, key, False, terms))
        return self._found(key, outcome, default, coder)

    async def _get_many_found(self, keys: list[str], coder: Coder, terms: Terms | None) -> dict[str, Any]:
        """The values of those that stand there, in one round trip; of none with the store away."""
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return {}
        found = self._held_of(keys, coder, terms)
        asked = [key for key in keys if key not in found]
        outcomes = await answers(port, self._native.peek_many(port, asked, terms))
        return found | self._found_of(asked, outcomes, coder)

    async def _peek(self, key: str) -> Hit | None:
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return None
        return entry_or_none(await answer(port, self._native.peek(port, key, True, self._terms)))

    # --- loops and observers ---------------------------------------------------------------------------------------

    def _port(self) -> Port:
        return self._ports.get(self._running_loop()) or self._enter_loop()

    def _enter_loop(self) -> Port:
        from . import _loops

        loop = self._running_loop()
        port = self._ports[loop] = _loops.port_of(loop)
        self._native.set_home(port)
        return port

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop is gone; another of ours, if there is one, delivers from now on."""
        if self._ports.pop(loop, None) is not None:
            for port in list(self._ports.values()):
                self._native.set_home(port)
        self._behind.leave(loop)
        if self._awaiting is not None:
            self._awaiting.leave(loop)
        for queue in list(self._queues):
            queue._left(loop)

    def _renew(self) -> None:
        """In a forked child: the loops are the parent's."""
        self._ports.clear()
        self._behind.forget()
        _left_behind.append(self._awaiting)
        self._awaiting = None
        super()._renew()

    def _await(self, observer: Observer, event: str, result: Any) -> None:
        from ._awaiting import Awaiting

        if self._awaiting is None:
            self._awaiting = Awaiting()
        self._awaiting.add(observer, event, result)

    def _unawaited(self) -> int:
        return 0 if self._awaiting is None else self._awaiting.dropped

    def _share(self, root: Self) -> None:
        self._awaiting = None
        self._ports, self._running_loop, self._behind = root._ports, root._running_loop, root._behind
        super()._share(root)

    def _listen(self) -> None:
        # Before the first loop there is nobody to be told: a port that is closed already stands in.
        port = next(iter(self._ports.values()), None)
        if port is None:
            port = Port.of_thread(False)
            port.close()
        self._native.listen(True, port)

    def _unlisten(self) -> None:
        port = Port.of_thread(False)
        port.close()
        self._native.listen(False, port)
