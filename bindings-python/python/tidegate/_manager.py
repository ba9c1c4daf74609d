"""The manager for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import _tidegate
from ._batch import Batch
from ._decorating import Decorating
from ._errors import KeyFormatError
from ._outcomes import confirmed, raise_failed
from ._tasks import answer, answers, is_awaitable
from ._tidegate import NOTHING, Failed, Port
from ._types import MISSING

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import ParamSpec, Self, Unpack

    from ._entry import Entry
    from ._fallbacks import AnyFallback, AsyncFallback, PlainFallback
    from ._health import Health
    from ._options import BehindOptions, CallOptions, Options, WriteOptions, WriteThroughOptions
    from ._types import Duration
    from ._write_behind import AsyncSink, Sink, WriteBehind
    from .testing import MemoryStore

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")


class CacheManager(Decorating):
    """A cache in front of a slow source, for asyncio. Shared freely between tasks, loops and threads.

    Opens no connection and starts no thread before its first use. Options: see `Options`. `store` is for tests: a
    `tidegate.testing.MemoryStore`, in place of a URL.

    >>> import asyncio
    >>> cache = CacheManager("memory://", service="billing", ttl="5m")
    >>> async def fetch():
    ...     return {"id": 42}
    >>> asyncio.run(cache.get("user:profile:42", fetch))
    {'id': 42}
    """

    __slots__ = ()

    def __init__(self, url: str = "memory://", *, store: MemoryStore | None = None, **options: Unpack[Options]) -> None:
        super().__init__(url, store=store, **options)
        from asyncio import get_running_loop

        from . import _loops
        from ._behind import Behind

        self._running_loop = get_running_loop
        self._awaiting = None
        self._behind = Behind()
        self._ports: dict[asyncio.AbstractEventLoop, Port] = {}
        self._subscriptions = []
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
    # Whatever is by keyword comes in one dict: a default of each would be looked up at every call.
    async def get(self, key: str, fallback: Any = MISSING, **options: Any) -> Any:
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
        if not options and (held := self._held) is not None:
            # Every hit of L1 comes by.
            value = held(key, self._terms, self._coder, fallback)
            if value is not NOTHING:
                return value
        kind = options.pop("type", None) if "type" in options else None
        if fallback is MISSING:
            default = options.pop("default", MISSING)
            return await self._get_or_default(key, default, self._coder_for(kind, None), options)
        terms = self._read_terms(options, "default", "type") if options else self._terms
        if not callable(fallback):
            self._check(fallback, {})
        coder = self._coder if kind is None and "codec" not in options else self._coder_for(kind, terms)
        return await self._get(key, fallback, coder, terms)

    async def get_entry(self, key: str, *, type: Any = None) -> Entry | None:
        """The value with what is known of its entry; None when there is none, `StoreUnavailable` with the store away.

        >>> import asyncio
        >>> cache = CacheManager()
        >>> asyncio.run(cache.set("user:profile:42", "Ada"))
        True
        >>> asyncio.run(cache.get_entry("user:profile:42")).value
        'Ada'
        """
        coder = self._coder_for(type, None)
        hit = await self._peek(key)
        return None if hit is None else self._entry(key, hit, coder)

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
        keys, terms = self._check_many(keys, fetch_missing, options)
        port = self._port()
        batch = Batch(self, keys, self._coder_for(type, terms))
        if self._disabled_blocks and self._is_disabled():
            with self._leading(()):
                found = fetch_missing(list(batch.keys))
                if is_awaitable(found):
                    found = await found
            return batch.uncached(found)
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

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write. Options:
        `ttl`, `tags`, `codec`, `stale_if_error`, `stale_while_revalidate`; the manager's by default.

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
        coder = self._coder_for(None, terms)
        items = self._encode_all(values, coder)
        port = self._port()
        return confirmed(await answers(port, self._native.set(port, items, coder.codec, terms)))

    async def write_through(
        self, key: str, value: V, persist: Callable[[V], object], **options: Unpack[WriteThroughOptions]
    ) -> bool:
        """Have `persist(value)` write to the database, and store the value, so that no reader is left with the old one.

        `persist` is a function, async or plain; what it raises is raised unchanged, and the cache holds nothing for the
        key then. True: the store holds the value. False: the row is written and the cache holds nothing for the key,
        since another writer or an invalidation came between, or the store is away (then an invalidation is journalled).
        Meanwhile readers wait for up to their `wait`, then compute without storing.

        Before `persist` is called: `EncodeError`, `ValueTooLarge`; with `on_store_down="refuse"` (`"persist"`)
        `StoreUnavailable`. The other options are those of `set`.

        >>> import asyncio
        >>> rows = {}
        >>> async def save(user):
        ...     rows[42] = user
        >>> async def main():
        ...     cache = CacheManager()
        ...     written = await cache.write_through("user:profile:42", {"name": "Ada"}, save, ttl="1h")
        ...     return written, await cache.get("user:profile:42", default=None)
        >>> asyncio.run(main()), rows
        ((True, {'name': 'Ada'}), {42: {'name': 'Ada'}})
        """
        terms = self._check_write_through(persist, cast("dict[str, Any]", options))
        coder = self._coder_for(None, terms)
        payload = self._encode_one(key, value, coder)
        port = self._port()
        write = await answer(port, self._native.begin_write(port, key, payload, coder.codec, terms))
        if write.__class__ is Failed:
            raise_failed(write)
        try:
            with self._leading([key]):
                ended = persist(value)
                if is_awaitable(ended):
                    await cast("Awaitable[object]", ended)
        except Exception:
            # Nobody knows what became of the row: when the caller hears of it, nothing that stood there is left.
            await answer(port, write.commit(False))
            raise
        except BaseException:
            write.abort()
            raise
        keeps = not (self._disabled_blocks and self._is_disabled())
        return confirmed([await answer(port, write.commit(keeps))])

    def write_behind(
        self,
        name: str,
        sink: Sink | AsyncSink | None = None,
        *,
        type: Any = None,
        **options: Unpack[BehindOptions],
    ) -> WriteBehind:
        """A queue: `put` answers once a write is durable and readable; `sink` is given the writes later, in batches.

        `sink(items)`, async or plain, is called by one process at a time for each partition; items have `.key`,
        `.value`, `.id`, `.order` and `.attempt`. It gives None when all is done, or the ids of those that failed; an
        exception is a failure of all. Writes of a key reach it in their order, each at least once: it applies one only
        where its row is of a smaller `order`. Without a sink this process only puts. `type` is what the values are
        decoded to for the sink.

        >>> import asyncio
        >>> rows = {}
        >>> def save(items):
        ...     rows.update((item.key, item.value) for item in items)
        >>> async def main():
        ...     async with CacheManager() as cache:
        ...         behind = cache.write_behind("counters", save)
        ...         await behind.put("page:views:7", 42)
        ...         return await cache.get("page:views:7", default=None)
        >>> asyncio.run(main()), rows
        (42, {'page:views:7': 42})
        """
        from ._write_behind import WriteBehind

        return WriteBehind(self, name, sink, self._coder_for(type, None), options)

    async def invalidate(self, key: str, *more: str, required: bool = False) -> bool:
        """Remove entries, here and for everybody; a fill that is under way will not bring them back.

        True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
        With `required=True` that is a `StoreUnavailable` instead.

        >>> import asyncio
        >>> asyncio.run(CacheManager().invalidate("user:profile:42"))
        True
        """
        port = self._port()
        try:
            asked = self._native.invalidate(port, [key, *more], required, self._terms)
        except KeyFormatError as error:
            raise self._explain_removed([key, *more], error) from None
        return confirmed(await answers(port, asked))

    async def expire(self, key: str, *more: str, required: bool = False) -> bool:
        """As `invalidate`, but what stands there is kept for callers who accept stale values."""
        port = self._port()
        return confirmed(await answers(port, self._native.expire(port, [key, *more], required, self._terms)))

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
        return confirmed(await answers(port, self._native.invalidate_tag(port, [tag, *more], required, self._terms)))

    async def clear(self, *, required: bool = False) -> bool:
        """Remove every entry of this namespace, and of those within it; answers as `invalidate` does.

        `ConfigError` for a manager that is no view: see `namespace`.
        """
        namespace, port = self._namespace(), self._port()
        return confirmed([await answer(port, self._native.clear(port, namespace, required, self._terms))])

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
        terms = self._check(fallback, options, "type")
        coder = self._coder_for(type, terms)
        return await self._refresh(key, fallback, coder, terms)

    # --- life ------------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """How the servers behind the cache are: each is asked now, past the breaker, and held against `health=`.

        One that does not answer is no error, but a finding; `status` is `"down"` where none answers.

        >>> import asyncio
        >>> from tidegate import CacheManager
        >>> asyncio.run(CacheManager().health()).status
        'ok'
        """
        from ._health import health_of

        port = self._port()
        return health_of(await answer(port, self._native.health(port)))

    async def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        What runs behind callers is waited for too, then cancelled. Invalidations that the store has not confirmed are
        sent again until it does. A view closes the manager that it is of. True: all had ended and nothing is owed to
        the store.
        """
        port = self._port()
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        deadline = monotonic() + timeout_ms / 1_000
        for queue in list(self._queues):
            queue._leave(port)
        drained: bool = await answer(port, self._native.close(port, timeout_ms))
        await self._behind.end(max(0.0, deadline - monotonic()))
        root = self._root or self
        root._deliver()
        if root._awaiting is not None:
            await root._awaiting.end(max(0.0, deadline - monotonic()))
        return drained

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
