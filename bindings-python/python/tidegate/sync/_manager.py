"""The manager for programs that block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from .. import _tidegate
from .._batch import Batch
from .._errors import KeyFormatError
from .._outcomes import confirmed, raise_failed
from .._tidegate import NOTHING, Failed, Port
from .._types import MISSING
from . import _threads
from ._decorating import Decorating
from ._reading import answers, refuse_awaitable
from ._workers import Workers

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .._entry import Entry
    from .._fallbacks import AnyFallback, PlainFallback
    from .._health import Health
    from .._options import BehindOptions, CallOptions, Options, WriteOptions, WriteThroughOptions
    from .._types import Duration
    from .._write_behind import Sink
    from ..testing import MemoryStore
    from ._write_behind import WriteBehind

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")


class CacheManager(Decorating):
    """A cache in front of a slow source, for programs that block. Shared freely between threads.

    Opens no connection and starts no thread before its first use. Ctrl-C ends a wait. Options: see `Options`. `store`
    is for tests: a `tidegate.testing.MemoryStore`, in place of a URL.

    >>> cache = CacheManager("memory://", service="billing", ttl="5m")
    >>> cache.get("user:profile:42", lambda: {"id": 42})
    {'id': 42}
    """

    __slots__ = ()

    def __init__(self, url: str = "memory://", *, store: MemoryStore | None = None, **options: Unpack[Options]) -> None:
        super().__init__(url, store=store, **options)
        self._courier: Port | None = None
        self._workers = Workers()
        self._subscriptions = []
        _threads.managers.add(self)

    # --- reads -----------------------------------------------------------------------------------------------------

    @overload
    def get(self, key: str, fallback: AnyFallback, *, type: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    def get(self, key: str, fallback: PlainFallback[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    def get(self, key: str, *, default: D, type: type[T]) -> T | D: ...
    @overload
    def get(self, key: str, *, default: D) -> Any | D: ...
    # As in the async manager.
    def get(self, key: str, fallback: Any = MISSING, **options: Any) -> Any:
        """The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.

        `fallback` is a plain function of no argument or of one (the `Context`); what it raises is raised unchanged.
        Without it, `default` is given where there is no entry. `type` is what the value is decoded to; the other
        options are those of `CallOptions`, and the manager's by default. The store being away raises nothing. What is
        served stale is computed anew in a thread of its own, behind the caller.

        >>> cache = CacheManager()
        >>> cache.get("user:names", lambda: ["Ada"], ttl="1m", type=list[str])
        ['Ada']
        >>> cache.get("user:nobody", default="?")
        '?'
        """
        if not options and (held := self._held) is not None:
            value = held(key, self._terms, self._coder, fallback)
            if value is not NOTHING:
                return value
        kind = options.pop("type", None) if "type" in options else None
        if fallback is MISSING:
            default = options.pop("default", MISSING)
            return self._get_or_default(key, default, self._coder_for(kind, None), options)
        terms = self._read_terms(options, "default", "type") if options else self._terms
        if not callable(fallback):
            self._check(fallback, {})
        coder = self._coder if kind is None and "codec" not in options else self._coder_for(kind, terms)
        return self._get(key, fallback, coder, terms)

    def get_entry(self, key: str, *, type: Any = None) -> Entry | None:
        """The value with what is known of its entry; None when there is none, `StoreUnavailable` with the store away.

        >>> cache = CacheManager()
        >>> cache.set("user:profile:42", "Ada")
        True
        >>> cache.get_entry("user:profile:42").value
        'Ada'
        """
        coder = self._coder_for(type, None)
        hit = self._peek(key)
        return None if hit is None else self._entry(key, hit, coder)

    def exists(self, key: str) -> bool:
        """Whether there is an entry, a cached None included; `StoreUnavailable` with the store away."""
        return self._peek(key) is not None

    @overload
    def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Mapping[str, Any]],
        *,
        type: type[T],
        **options: Unpack[CallOptions],
    ) -> dict[str, T]: ...
    @overload
    def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Mapping[str, T]],
        **options: Unpack[CallOptions],
    ) -> dict[str, T | None]: ...
    def get_many(self, keys: Iterable[str], fetch_missing: Any, *, type: Any = None, **options: Any) -> dict[str, Any]:
        """The values of many keys; `fetch_missing(keys)` is called once, for all that nobody has or computes.

        It gives a dict; a key that it leaves out is cached as None. It is called again only for keys that another
        caller was computing and failed to; and, behind, once for those that were served and are to be computed anew.

        >>> cache = CacheManager()
        >>> cache.get_many(["square:of:2", "square:of:3"], lambda keys: {k: int(k[-1]) ** 2 for k in keys})
        {'square:of:2': 4, 'square:of:3': 9}
        """
        keys, terms = self._check_many(keys, fetch_missing, options)
        batch = Batch(self, keys, self._coder_for(type, terms))
        if self._disabled_blocks and self._is_disabled():
            with self._leading(()):
                found = fetch_missing(list(batch.keys))
            return batch.uncached(found)
        port = _threads.port()
        try:
            asked = batch.take_held(terms)
            batch.take_all(asked, answers(port, self._native.begin_many(port, asked, False, terms)))
            self._renew_behind(batch, fetch_missing)
            self._fetch(port, batch, fetch_missing)
            while batch.busy:
                self._join(port, batch, fetch_missing, terms)
            while batch.unreadable:
                key = batch.unreadable.pop()
                batch.take(key, self._native.refresh(port, key, terms))
                self._fetch(port, batch, fetch_missing)
        except BaseException:
            batch.give_back()
            raise
        return batch.in_order()

    # --- writes ----------------------------------------------------------------------------------------------------

    def set(self, key: str, value: Any, **options: Unpack[WriteOptions]) -> bool:
        """Store a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write. Options:
        `ttl`, `tags`, `codec`, `stale_if_error`, `stale_while_revalidate`; the manager's by default.

        >>> CacheManager().set("user:profile:42", {"name": "Ada"}, ttl="1h")
        True
        """
        return self.set_many({key: value}, **options)

    def set_many(self, values: Mapping[str, Any], **options: Unpack[WriteOptions]) -> bool:
        """Store many values, with the options of `set`. True: the store confirmed them all."""
        terms = self._check_set(values, cast("dict[str, Any]", options))
        if self._disabled_blocks and self._is_disabled():
            return False
        coder = self._coder_for(None, terms)
        items = self._encode_all(values, coder)
        port = _threads.port()
        return self._told(confirmed(answers(port, self._native.set(port, items, coder.codec, terms))))

    def write_through(
        self, key: str, value: V, persist: Callable[[V], object], **options: Unpack[WriteThroughOptions]
    ) -> bool:
        """Have `persist(value)` write to the database, and store the value, so that no reader is left with the old one.

        `persist` is a plain function; what it raises is raised unchanged, and the cache holds nothing for the key then.
        True: the store holds the value. False: the row is written and the cache holds nothing for the key, since
        another writer or an invalidation came between, or the store is away (then an invalidation is journalled).
        Meanwhile readers wait for up to their `wait`, then compute without storing.

        Before `persist` is called: `EncodeError`, `ValueTooLarge`; with `on_store_down="refuse"` (`"persist"`)
        `StoreUnavailable`. The other options are those of `set`.

        >>> cache, rows = CacheManager(), []
        >>> cache.write_through("user:profile:42", {"name": "Ada"}, rows.append, ttl="1h"), rows
        (True, [{'name': 'Ada'}])
        >>> cache.get("user:profile:42", default=None)
        {'name': 'Ada'}
        """
        terms = self._check_write_through(persist, cast("dict[str, Any]", options))
        coder = self._coder_for(None, terms)
        payload = self._encode_one(key, value, coder)
        write = self._native.begin_write(_threads.port(), key, payload, coder.codec, terms)
        if write.__class__ is Failed:
            raise_failed(write)
        try:
            with self._leading([key]):
                refuse_awaitable(persist(value), "persist")
        except Exception:
            # Nobody knows what became of the row: when the caller hears of it, nothing that stood there is left.
            write.commit(False)
            raise
        except BaseException:
            write.abort()
            raise
        keeps = not (self._disabled_blocks and self._is_disabled())
        return self._told(confirmed([write.commit(keeps)]))

    def write_behind(
        self, name: str, sink: Sink | None = None, *, type: Any = None, **options: Unpack[BehindOptions]
    ) -> WriteBehind:
        """A queue: `put` answers once a write is durable and readable; `sink` is given the writes later, in batches.

        `sink(items)` is called in a thread of its own, by one process at a time for each partition; items have `.key`,
        `.value`, `.id`, `.order` and `.attempt`. It gives None when all is done, or the ids of those that failed; an
        exception is a failure of all. Writes of a key reach it in their order, each at least once: it applies one only
        where its row is of a smaller `order`. Without a sink this process only puts. `type` is what the values are
        decoded to for the sink.

        >>> rows = {}
        >>> def save(items):
        ...     rows.update((item.key, item.value) for item in items)
        >>> with CacheManager() as cache:
        ...     behind = cache.write_behind("counters", save)
        ...     _ = behind.put("page:views:7", 42)
        ...     cache.get("page:views:7", default=None)
        42
        >>> rows
        {'page:views:7': 42}
        """
        from ._write_behind import WriteBehind

        return WriteBehind(self, name, sink, self._coder_for(type, None), options)

    def invalidate(self, key: str, *more: str, required: bool = False) -> bool:
        """Remove entries, here and for everybody; a fill that is under way will not bring them back.

        True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
        With `required=True` that is a `StoreUnavailable` instead.

        >>> CacheManager().invalidate("user:profile:42")
        True
        """
        port = _threads.port()
        try:
            asked = self._native.invalidate(port, [key, *more], required, self._terms)
        except KeyFormatError as error:
            raise self._explain_removed([key, *more], error) from None
        return self._told(confirmed(answers(port, asked)))

    def expire(self, key: str, *more: str, required: bool = False) -> bool:
        """As `invalidate`, but what stands there is kept for callers who accept stale values."""
        port = _threads.port()
        return self._told(confirmed(answers(port, self._native.expire(port, [key, *more], required, self._terms))))

    def invalidate_tag(self, tag: str, *more: str, required: bool = False) -> bool:
        """From now on no entry that carries one of these tags counts, here and for everybody, however many they are.

        Answers as `invalidate` does. False: this process serves nothing that carries the tag until the store has been
        told.

        >>> cache = CacheManager()
        >>> cache.set("user:profile:42", "Ada", tags=["user:42"]), cache.invalidate_tag("user:42")
        (True, True)
        >>> cache.exists("user:profile:42")
        False
        """
        port = _threads.port()
        return self._told(
            confirmed(answers(port, self._native.invalidate_tag(port, [tag, *more], required, self._terms)))
        )

    def clear(self, *, required: bool = False) -> bool:
        """Remove every entry of this namespace, and of those within it; answers as `invalidate` does.

        `ConfigError` for a manager that is no view: see `namespace`.
        """
        namespace = self._namespace()
        return self._told(confirmed([self._native.clear(_threads.port(), namespace, required, self._terms)]))

    @overload
    def refresh(self, key: str, fallback: AnyFallback, *, type: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    def refresh(self, key: str, fallback: PlainFallback[T], **options: Unpack[CallOptions]) -> T: ...
    def refresh(self, key: str, fallback: Any, *, type: Any = None, **options: Any) -> Any:
        """Run `fallback` now, whatever is cached, store what it gives, and give it.

        >>> CacheManager().refresh("user:profile:42", lambda: "Ada")
        'Ada'
        """
        terms = self._check(fallback, options, "type")
        coder = self._coder_for(type, terms)
        return self._refresh(key, fallback, coder, terms)

    # --- life ------------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """How the servers behind the cache are: each is asked now, past the breaker, and held against `health=`.

        One that does not answer is no error, but a finding; `status` is `"down"` where none answers.

        >>> from tidegate.sync import CacheManager
        >>> CacheManager().health().status
        'ok'
        """
        from .._health import health_of

        return health_of(self._native.health(_threads.port()))

    def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        What runs behind callers is waited for too. Invalidations that the store has not confirmed are sent again
        until it does. A view closes the manager that it is of. True: all had ended and nothing is owed to the store.
        """
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        deadline = monotonic() + timeout_ms / 1_000
        outcome = self._native.close(_threads.port(), timeout_ms)
        for queue in list(self._queues):
            queue._end(deadline)
        self._workers.end(max(0.0, deadline - monotonic()))
        (self._root or self)._deliver()
        return outcome is True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
