"""The manager for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _tidegate
from ._base import ManagerBase, confirmed, entry_or_none, failure, raise_failed, shared
from ._batch import Batch
from ._context import Context, takes_context
from ._scope import Leading
from ._tasks import answer, answers, in_task, is_awaitable
from ._tidegate import Failed, Hit, Lease, Port, Shared
from ._types import MISSING

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import ParamSpec, Self, Unpack

    from ._codec import Decode
    from ._decorators import AsyncDecorator
    from ._entry import Entry
    from ._types import AnyFallback, AsyncFallback, Duration, Options, PlainFallback

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")

_GET_OPTIONS = ("default", "ttl", "type")
_TTL_OPTIONS = ("ttl",)


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

    __slots__ = ("_ports", "_running_loop")

    def __init__(self, url: str = "memory://", **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        from asyncio import get_running_loop

        from . import _loops

        self._running_loop = get_running_loop
        self._ports: dict[asyncio.AbstractEventLoop, Port] = {}
        _loops.add(self)

    # --- reads -----------------------------------------------------------------------------------------------------

    @overload
    async def get(self, key: str, fallback: AnyFallback, *, ttl: Duration | None = None, type: type[T]) -> T: ...
    @overload
    async def get(self, key: str, fallback: AsyncFallback[T], *, ttl: Duration | None = None) -> T: ...
    @overload
    async def get(self, key: str, fallback: PlainFallback[T], *, ttl: Duration | None = None) -> T: ...
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
        ttl: Duration | None = None,
        type: Any = None,
        **unknown: Any,
    ) -> Any:
        """The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.

        `fallback` is a function, async or plain, of no argument or of one (the `Context`); what it raises is raised
        unchanged. Without it, `default` is given where there is no entry. `ttl` is seconds, a `timedelta` or a text
        (the manager's by default); `type` is what the value is decoded to. The store being away raises nothing.

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
            return await self._get_or_default(key, default, decode, ttl, unknown)
        ttl_ms = None
        if ttl is not None or unknown or not callable(fallback) or default is not MISSING:
            ttl_ms = self._check_get(fallback, default, ttl, unknown)
        port = self._ports.get(self._running_loop()) or self._enter_loop()
        if self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, decode)
        outcome = self._begin(port, key)
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
        return await self._settle(port, outcome, key, fallback, ttl_ms, decode)

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
        ttl: Duration | None = None,
        type: type[T],
    ) -> dict[str, T]: ...
    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        ttl: Duration | None = None,
    ) -> dict[str, T | None]: ...
    @overload
    async def get_many(
        self, keys: Iterable[str], fetch_missing: Callable[[list[str]], Mapping[str, T]], *, ttl: Duration | None = None
    ) -> dict[str, T | None]: ...
    async def get_many(
        self, keys: Iterable[str], fetch_missing: Any, *, ttl: Duration | None = None, type: Any = None, **unknown: Any
    ) -> dict[str, Any]:
        """The values of many keys; `fetch_missing(keys)` is called once, for all that nobody has or computes.

        It gives a dict; a key that it leaves out is cached as None. It is called again only for keys that another
        caller was computing and failed to.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> asyncio.run(cache.get_many(["square:of:2", "square:of:3"], lambda keys: {k: int(k[-1]) ** 2 for k in keys}))
        {'square:of:2': 4, 'square:of:3': 9}
        """
        decode = self._decoder(type)
        ttl_ms = self._check_many(keys, fetch_missing, ttl, unknown)
        port = self._port()
        batch = Batch(self, keys, decode, ttl_ms)
        if self._disabled_blocks and self._is_disabled():
            found = fetch_missing(list(batch.keys))
            return batch.uncached(await found if is_awaitable(found) else found)
        try:
            begun = [key for key in batch.keys if key not in batch.nested]
            batch.take_all(begun, await answers(port, self._native.begin_many(port, begun, False)))
            await self._fetch(port, batch, fetch_missing)
            while batch.busy:
                await self._join(port, batch, fetch_missing)
            while batch.unreadable:
                key = batch.unreadable.pop()
                batch.take(key, await answer(port, self._native.refresh(port, key)))
                await self._fetch(port, batch, fetch_missing)
        except BaseException:
            batch.give_back()
            raise
        return batch.in_order()

    # --- writes ----------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Any, *, ttl: Duration | None = None, **unknown: Any) -> bool:
        """Store a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write.

        >>> import asyncio
        >>> asyncio.run(CacheManager().set("user:profile:42", {"name": "Ada"}, ttl="1h"))
        True
        """
        return await self.set_many({key: value}, ttl=ttl, **unknown)

    async def set_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None, **unknown: Any) -> bool:
        """Store many values. True: the store confirmed them all."""
        ttl_ms = self._check_set(values, ttl, unknown)
        if self._disabled_blocks and self._is_disabled():
            return False
        items = self._encode_all(values)
        port = self._port()
        return confirmed(await answers(port, self._native.set(port, items, ttl_ms)))

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

    @overload
    async def refresh(self, key: str, fallback: AnyFallback, *, ttl: Duration | None = None, type: type[T]) -> T: ...
    @overload
    async def refresh(self, key: str, fallback: AsyncFallback[T], *, ttl: Duration | None = None) -> T: ...
    @overload
    async def refresh(self, key: str, fallback: PlainFallback[T], *, ttl: Duration | None = None) -> T: ...
    async def refresh(
        self, key: str, fallback: Any, *, ttl: Duration | None = None, type: Any = None, **unknown: Any
    ) -> Any:
        """Run `fallback` now, whatever is cached, store what it gives, and give it.

        >>> import asyncio
        >>> asyncio.run(CacheManager().refresh("user:profile:42", lambda: "Ada"))
        'Ada'
        """
        decode = self._decoder(type)
        ttl_ms = self._check(fallback, ttl, unknown, ("ttl", "type"))
        return await self._refresh(key, fallback, ttl_ms, decode)

    # --- decorating ------------------------------------------------------------------------------------------------

    def cached(
        self,
        template: str,
        *,
        ttl: Duration | None = None,
        type: Any = MISSING,
        ignore: Iterable[str] = (),
        **unknown: Any,
    ) -> AsyncDecorator:
        """Cache what an async function gives under the key that `template` makes of its arguments.

        Every parameter stands in the template (`{user_id}`, `{user.id}`) or in `ignore`, `self` and `cls` aside. Values
        are decoded to the function's return annotation, or to `type`. The function gets `.invalidate(…)`,
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

        decorator: AsyncDecorator = async_decorator(self, template, ttl, type, ignore, unknown)
        return decorator

    # --- life ------------------------------------------------------------------------------------------------------

    async def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        True: all had ended and nothing is owed to the store.
        """
        port = self._port()
        drained: bool = await answer(port, self._native.close(port, _tidegate.duration_ms("timeout", timeout)))
        self._deliver()
        return drained

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- one call's way --------------------------------------------------------------------------------------------

    async def _settle(
        self, port: Port, outcome: Any, key: str, fallback: AnyFallback, ttl_ms: int | None, decode: Decode
    ) -> Any:
        """From an outcome to the value: begin, (await), fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            if outcome.__class__ is tuple:
                if self._leads(key):
                    port.cancel(*outcome)
                    self._report_nested(key)
                    return await self._alone(key, fallback, decode)
                outcome = await answer(port, outcome)
            kind = outcome.__class__
            if kind is Lease:
                return await self._lead(port, outcome, key, fallback, ttl_ms, decode)
            if outcome is None:
                return None
            if kind is Shared:
                return shared(outcome)
            if kind is Failed:
                raise_failed(outcome)
            try:
                return decode(outcome)
            except Exception as error:  # noqa: BLE001 - a user's type may raise anything
                self._undecodable(key, outcome, error)
            if is_mended:
                return await self._alone(key, fallback, decode)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(port, key)

    async def _lead(self, port: Port, lease: Lease, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        context = Context(key, ttl_ms) if takes_context(fallback) else None
        try:
            with Leading(self, [key]):
                value = fallback() if context is None else fallback(context)
                if is_awaitable(value):
                    value = await in_task(value, [lease])
        except Exception as error:
            lease.fail(failure(error))
            raise
        except BaseException:
            # Cancelled, or the program ends: one of those who wait takes over.
            lease.give_back()
            raise
        value, outcome = self._fill(lease, key, value, decode, context, ttl_ms)
        await answer(port, outcome)
        return value

    async def _alone(self, key: str, fallback: Any, decode: Decode) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        value = fallback(Context(key, None)) if takes_context(fallback) else fallback()
        return self._same(await value if is_awaitable(value) else value, decode)

    async def _fetch(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Calls `fetch_missing` for what is leased at this moment, and fills it."""
        part = batch.missing()
        if not part.keys:
            return
        try:
            with Leading(self, part.keys):
                found = fetch_missing(part.keys)
                if is_awaitable(found):
                    found = await in_task(found, list(part.leases.values()))
            outcomes = batch.fill(part, found)
        except Exception as error:
            part.fail(error)
            raise
        except BaseException:
            part.give_back()
            raise
        await answers(port, outcomes)

    async def _join(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Waits for the keys that others compute.

        What is leased to us because they failed is fetched at once, whatever else is being fetched: a lease is never
        held while something else is waited for.
        """
        import asyncio

        async def one(key: str, outcome: Any) -> None:
            batch.take(key, await answer(port, outcome))
            await self._fetch(port, batch, fetch_missing)

        keys, batch.busy = batch.busy, []
        begun = self._native.begin_many(port, keys, True)
        tasks = [asyncio.ensure_future(one(key, outcome)) for key, outcome in zip(keys, begun, strict=True)]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _get(self, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        """`get` with everything checked: for decorated functions, where some block is disabled."""
        if self._is_disabled():
            return await self._alone(key, fallback, decode)
        port = self._port()
        return await self._settle(port, self._begin(port, key), key, fallback, ttl_ms, decode)

    async def _refresh(self, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return await self._alone(key, fallback, decode)
        port = self._port()
        return await self._settle(port, self._native.refresh(port, key), key, fallback, ttl_ms, decode)

    async def _get_or_default(
        self, key: str, default: Any, decode: Decode, ttl: Duration | None, unknown: dict[str, Any]
    ) -> Any:
        self._check_default(key, default, ttl, unknown)
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return default
        outcome = await answer(port, self._native.peek(port, key, False))
        return self._found(key, outcome, default, decode)

    async def _peek(self, key: str) -> Hit | None:
        port = self._port()
        if self._disabled_blocks and self._is_disabled():
            return None
        return entry_or_none(await answer(port, self._native.peek(port, key, True)))

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

    def _renew(self) -> None:
        """In a forked child: the loops are the parent's."""
        self._ports.clear()
        super()._renew()

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
