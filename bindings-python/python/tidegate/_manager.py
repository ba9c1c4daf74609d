"""The manager for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import _tidegate
from ._base import ManagerBase, confirmed, entry_or_none, failure, raise_failed, shared
from ._batch import Batch, Part
from ._running import Running, State
from ._tasks import answer, answers, is_awaitable
from ._tidegate import NOTHING, Failed, Hit, Lease, Port, Served, Shared
from ._types import MISSING

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import ParamSpec, Self, Unpack

    from ._codec import Decode
    from ._context import Context
    from ._decorators import AsyncDecorator
    from ._entry import Entry
    from ._tidegate import Terms
    from ._types import AnyFallback, AsyncFallback, CallOptions, Duration, Options, PlainFallback, WriteOptions

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")


class CacheManager(ManagerBase):
    """A cache in front of a slow source, for asyncio. Shared freely between tasks, loops and threads.

    Opens no connection and starts no thread before its first use. Options: see `Options`.

    >>> import asyncio
    >>> cache = CacheManager("memory://", service="billing", ttl="5m")
    >>> async def fetch():
    ...     return {"id": 42}
    >>> asyncio.run(cache.get("user:profile:42", fetch))
    {'id': 42}
    """

    __slots__ = ("_behind", "_ports", "_running_loop")

    def __init__(self, url: str = "memory://", **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        from asyncio import get_running_loop

        from . import _loops
        from ._behind import Behind

        self._running_loop = get_running_loop
        self._behind = Behind()
        self._ports: dict[asyncio.AbstractEventLoop, Port] = {}
        _loops.add(self)

    # --- reads -----------------------------------------------------------------------------------------------------

    @overload
    async def get(self, key: str, fallback: AnyFallback, *, type: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, key: str, fallback: AsyncFallback[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, key: str, fallback: PlainFallback[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def get(self, key: str, *, default: D, type: type[T]) -> T | D: ...
    @overload
    async def get(self, key: str, *, default: D) -> Any | D: ...
    async def get(
        self,
        key: str,
        fallback: Any = MISSING,
        *,
        default: Any = MISSING,
        type: Any = None,
        **options: Any,
    ) -> Any:
        """The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.

        `fallback` is a function, async or plain, of no argument or of one (the `Context`); what it raises is raised
        unchanged. Without it, `default` is given where there is no entry. `type` is what the value is decoded to; the
        other options are those of `CallOptions`, and the manager's by default. The store being away raises nothing.
        What is served stale is computed anew in a task of its own, behind the caller.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> asyncio.run(cache.get("user:names", lambda: ["Ada"], ttl="1m", type=list[str]))
        ['Ada']
        >>> asyncio.run(cache.get("user:nobody", default="?"))
        '?'
        """
        try:
            decode = self._decoders[type]
        except TypeError:  # not hashable
            decode = self._decoder(type)
        if fallback is MISSING:
            return await self._get_or_default(key, default, decode, options)
        terms = self._terms
        if options or not callable(fallback) or default is not MISSING:
            terms = self._check_get(fallback, default, options)
        if self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, decode, terms)
        if self._holds:
            value = self._held(key, terms, decode)
            if value is not NOTHING:
                return value
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
                return decode(outcome)
            except Exception:  # noqa: BLE001 - told and mended in `_settle`
                pass
        return await self._settle(port, outcome, key, fallback, decode, terms)

    async def get_entry(self, key: str, *, type: Any = None) -> Entry | None:
        """The value with what is known of its entry; None when there is none, `StoreUnavailable` with the store away.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> asyncio.run(cache.set("user:profile:42", "Ada"))
        True
        >>> asyncio.run(cache.get_entry("user:profile:42")).value
        'Ada'
        """
        decode = self._decoder(type)
        hit = await self._peek(key)
        return None if hit is None else self._entry(key, hit, decode)

    async def exists(self, key: str) -> bool:
        """Whether there is an entry, a cached None included; `StoreUnavailable` with the store away."""
        return await self._peek(key) is not None

    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Awaitable[Mapping[str, Any]] | Mapping[str, Any]],
        *,
        type: type[T],
        **options: Unpack[CallOptions],
    ) -> dict[str, T]: ...
    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        **options: Unpack[CallOptions],
    ) -> dict[str, T | None]: ...
    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Mapping[str, T]],
        **options: Unpack[CallOptions],
    ) -> dict[str, T | None]: ...
    async def get_many(
        self, keys: Iterable[str], fetch_missing: Any, *, type: Any = None, **options: Any
    ) -> dict[str, Any]:
        """The values of many keys; `fetch_missing(keys)` is called once, for all that nobody has or computes.

        It gives a dict; a key that it leaves out is cached as None. It is called again only for keys that another
        caller was computing and failed to; and, behind, once for those that were served and are to be computed anew.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> asyncio.run(cache.get_many(["square:of:2", "square:of:3"], lambda keys: {k: int(k[-1]) ** 2 for k in keys}))
        {'square:of:2': 4, 'square:of:3': 9}
        """
        decode = self._decoder(type)
        terms = self._check_many(keys, fetch_missing, options)
        port = self._port()
        batch = Batch(self, keys, decode)
        if self._disabled_blocks and self._is_disabled():
            found = fetch_missing(list(batch.keys))
            return batch.uncached(await found if is_awaitable(found) else found)
        try:
            asked = batch.take_held(terms)
            batch.take_all(asked, await answers(port, self._native.begin_many(port, asked, False, terms)))
            self._renew_behind(port, batch, fetch_missing)
            await self._fetch(port, batch, fetch_missing)
            while batch.busy:
                await self._join(port, batch, fetch_missing, terms)
            while batch.unreadable:
                key = batch.unreadable.pop()
                batch.take(key, await answer(port, self._native.refresh(port, key, terms)))
                await self._fetch(port, batch, fetch_missing)
        except BaseException:
            batch.give_back()
            raise
        return batch.in_order()

    # --- writes ----------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Any, **options: Unpack[WriteOptions]) -> bool:
        """Store a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write. Options: `ttl`,
        `tags`, `stale_if_error`, `stale_while_revalidate`; the manager's by default.

        >>> import asyncio
        >>> asyncio.run(CacheManager().set("user:profile:42", {"name": "Ada"}, ttl="1h"))
        True
        """
        return await self.set_many({key: value}, **options)

    async def set_many(self, values: Mapping[str, Any], **options: Unpack[WriteOptions]) -> bool:
        """Store many values, with the options of `set`. True: the store confirmed them all."""
        terms = self._check_set(values, cast("dict[str, Any]", options))
        if self._disabled_blocks and self._is_disabled():
            return False
        items = self._encode_all(values)
        port = self._port()
        return confirmed(await answers(port, self._native.set(port, items, terms)))

    async def invalidate(self, key: str, *more: str, required: bool = False) -> bool:
        """Remove entries, here and for everybody; a fill that is under way will not bring them back.

        True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
        With `required=True` that is a `StoreUnavailable` instead.

        >>> import asyncio
        >>> asyncio.run(CacheManager().invalidate("user:profile:42"))
        True
        """
        port = self._port()
        return confirmed(await answers(port, self._native.invalidate(port, [key, *more], required)))

    async def expire(self, key: str, *more: str, required: bool = False) -> bool:
        """As `invalidate`, but what stands there is kept for callers who accept stale values."""
        port = self._port()
        return confirmed(await answers(port, self._native.expire(port, [key, *more], required)))

    async def invalidate_tag(self, tag: str, *more: str, required: bool = False) -> bool:
        """From now on no entry that carries one of these tags counts, here and for everybody, however many they are.

        Answers as `invalidate` does. False: this process serves nothing that carries the tag until the store has been
        told.

        >>> import asyncio
        >>> async def main():
        ...     cache = CacheManager()
        ...     await cache.set("user:profile:42", "Ada", tags=["user:42"])
        ...     await cache.invalidate_tag("user:42")
        ...     return await cache.exists("user:profile:42")
        >>> asyncio.run(main())
        False
        """
        port = self._port()
        return confirmed(await answers(port, self._native.invalidate_tag(port, [tag, *more], required)))

    async def clear(self, *, required: bool = False) -> bool:
        """Remove every entry of this namespace, and of those within it; answers as `invalidate` does.

        `ConfigError` for a manager that is no view: see `namespace`.
        """
        namespace, port = self._namespace(), self._port()
        return confirmed([await answer(port, self._native.clear(port, namespace, required))])

    @overload
    async def refresh(self, key: str, fallback: AnyFallback, *, type: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def refresh(self, key: str, fallback: AsyncFallback[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def refresh(self, key: str, fallback: PlainFallback[T], **options: Unpack[CallOptions]) -> T: ...
    async def refresh(self, key: str, fallback: Any, *, type: Any = None, **options: Any) -> Any:
        """Run `fallback` now, whatever is cached, store what it gives, and give it.

        >>> import asyncio
        >>> asyncio.run(CacheManager().refresh("user:profile:42", lambda: "Ada"))
        'Ada'
        """
        decode = self._decoder(type)
        terms = self._check(fallback, options, "type")
        return await self._refresh(key, fallback, decode, terms)

    # --- decorating ------------------------------------------------------------------------------------------------

    def cached(
        self,
        template: str,
        *,
        type: Any = MISSING,
        ignore: Iterable[str] = (),
        **options: Unpack[CallOptions],
    ) -> AsyncDecorator:
        """Cache what an async function gives under the key that `template` makes of its arguments.

        Every parameter stands in the template (`{user_id}`, `{user.id}`) or in `ignore`, `self` and `cls` aside. Values
        are decoded to the function's return annotation, or to `type`. Tags are templates too: `tags=["user:{user_id}"]`;
        the other options are those of `CallOptions`. The function gets `.invalidate(…)`,
        `.refresh(…)`, `.get_cached(…)` and `.key(…)`, which take its arguments.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> @cache.cached("square:of:{number}", ttl="5m")
        ... async def square(number: int) -> int:
        ...     return number**2
        >>> asyncio.run(square(3)), square.key(3)
        (9, 'square:of:3')
        """
        from ._decorators import async_decorator

        decorator: AsyncDecorator = async_decorator(self, template, type, ignore, cast("dict[str, Any]", options))
        return decorator

    # --- life ------------------------------------------------------------------------------------------------------

    async def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        What runs behind callers is waited for too, then cancelled. A view closes the manager that it is of. True: all
        had ended and nothing is owed to the store.
        """
        port = self._port()
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        deadline = monotonic() + timeout_ms / 1_000
        drained: bool = await answer(port, self._native.close(port, timeout_ms))
        await self._behind.end(max(0.0, deadline - monotonic()))
        (self._root or self)._deliver()
        return drained

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- one call's way --------------------------------------------------------------------------------------------

    async def _settle(
        self, port: Port, outcome: Any, key: str, fallback: AnyFallback, decode: Decode, terms: Terms | None
    ) -> Any:
        """From an outcome to the value: begin, (await), fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            if outcome.__class__ is tuple:
                if self._leads(key):
                    port.cancel(*outcome)
                    self._report_nested(key)
                    return await self._alone(key, fallback, decode, terms)
                outcome = await answer(port, outcome)
            kind = outcome.__class__
            if kind is Lease:
                return await self._lead(port, outcome, key, fallback, decode, terms)
            if outcome is None:
                return None
            if kind is Shared:
                return shared(outcome)
            if kind is Failed:
                raise_failed(outcome)
            payload = outcome.value if kind is Served else outcome
            try:
                value = None if payload is None else decode(payload)
            except Exception as error:  # noqa: BLE001 - a user's type may raise anything
                self._undecodable(key, payload, error)
            else:
                if kind is Served:
                    self._behind.start(self._go_on(port, outcome, key, fallback, decode, terms))
                return value
            if kind is Served:
                outcome.leave()
            if is_mended:
                return await self._alone(key, fallback, decode, terms)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(port, key, terms)

    async def _go_on(
        self, port: Port, served: Served, key: str, fallback: AnyFallback, decode: Decode, terms: Terms | None
    ) -> None:
        """Computes a key behind a caller who has been served, if it is to be computed."""
        lease = await answer(port, served.more())
        if lease.__class__ is Lease:
            await self._lead(port, lease, key, fallback, decode, terms, may_serve=False)

    async def _lead(
        self,
        port: Port,
        lease: Lease,
        key: str,
        fallback: Any,
        decode: Decode,
        terms: Terms | None,
        may_serve: bool = True,
    ) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        running, value = None, None
        try:
            context = self._context(fallback, key, decode, terms, lease)
            with self._leading([key]) as block:
                value = fallback() if context is None else fallback(context)
                if is_awaitable(value):
                    running = Running(self._running_loop(), value, [lease], block)
        except Exception as error:
            stale = self._consoled(lease.fail(failure(error)), key, decode)
            if stale is MISSING:
                raise
            return stale
        except BaseException:
            lease.give_back()
            raise
        if running is not None:
            if await running.until(may_serve) is State.SERVED:
                stale = self._instead(key, running.stale[0], decode)
                ended = self._ended(port, lease, running, key, decode, context)
                if stale is not MISSING:
                    self._behind.start(ended)
                    return stale
                return await ended
            return await self._ended(port, lease, running, key, decode, context)
        return await self._filled(port, lease, key, value, decode, context)

    async def _ended(
        self, port: Port, lease: Lease, running: Running, key: str, decode: Decode, context: Context | None
    ) -> Any:
        """Waits for a fallback in its task to end, or to run too late, and settles its lease."""
        if await running.until(False) is State.LATE:
            if running.failed is not None:
                raise_failed(running.failed)
            return self._overran(key, running.stale[0], decode)
        try:
            value = running.task.result()
        except Exception as error:
            stale = self._consoled(lease.fail(failure(error)), key, decode)
            if stale is MISSING:
                raise
            return stale
        except BaseException:
            # It was cancelled by somebody else: one of those who wait takes over.
            lease.give_back()
            raise
        return await self._filled(port, lease, key, value, decode, context)

    async def _filled(
        self, port: Port, lease: Lease, key: str, value: Any, decode: Decode, context: Context | None
    ) -> Any:
        value, outcome = self._fill(lease, key, value, decode, context)
        await answer(port, outcome)
        return value

    async def _alone(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        context = self._context(fallback, key, decode, terms)
        value = fallback() if context is None else fallback(context)
        return self._same(await value if is_awaitable(value) else value, decode)

    def _renew_behind(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Computes behind what has been served and is to be computed: the keys of one call together."""
        if served := batch.to_renew():
            self._behind.start(self._renew_many(port, Batch(self, served, batch.decode), served, fetch_missing))

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
                found = fetch_missing(part.keys)
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
        await answers(port, outcomes)

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

    async def _get(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        """`get` with everything checked: for decorated functions, where some block is disabled."""
        if self._is_disabled():
            return await self._alone(key, fallback, decode, terms)
        port = self._port()
        return await self._settle(port, self._begin(port, key, terms), key, fallback, decode, terms)

    async def _refresh(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, decode, terms)
        port = self._port()
        return await self._settle(port, self._native.refresh(port, key, terms), key, fallback, decode, terms)

    async def _get_or_default(self, key: str, default: Any, decode: Decode, options: dict[str, Any]) -> Any:
        self._check_default(key, default, options)
        return await self._get_found(key, default, decode, self._terms)

    async def _get_found(self, key: str, default: Any, decode: Decode, terms: Terms | None) -> Any:
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return default
        if self._holds:
            value = self._held(key, terms, decode)
            if value is not NOTHING:
                return value
        outcome = await answer(port, self._native.peek(port, key, False, terms))
        return self._found(key, outcome, default, decode)

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
        self._behind.leave(loop)
        if self._ports.pop(loop, None) is not None:
            for port in list(self._ports.values()):
                self._native.set_home(port)

    def _renew(self) -> None:
        """In a forked child: the loops are the parent's."""
        self._ports.clear()
        self._behind.forget()
        super()._renew()

    def _share(self, root: Self) -> None:
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
