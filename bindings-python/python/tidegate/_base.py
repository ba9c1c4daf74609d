"""What the async and the blocking manager share: options, codec, observers, and what becomes of a fallback's value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import WeakSet

from . import _tidegate
from ._context import Context, Leading
from ._disabled import Disabled, is_disabled
from ._errors import ConfigError, EncodeError
from ._fallbacks import takes_context
from ._observing import Observer, Observing
from ._outcomes import failure, raise_failed
from ._tidegate import NOTHING, Absent, Cache, Failed, Hit, Lease
from ._types import MISSING
from ._untyped import looks_otherwise, warn_once
from ._upgrade import Upgrades

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._codec import Coder, Coders
    from ._entry import Entry
    from ._metrics import MetricFamily
    from ._options import Options
    from ._stats import Stats
    from ._tidegate import Terms

_RIGHT_URL = '"redis://localhost:6379/0"'

# The engines of a forked child's parent.
_left_behind: list[Cache] = []


class ManagerBase(Observing):
    """Not for use by itself."""

    __slots__ = (
        "__weakref__",
        "_begin",
        "_codecs",
        "_coder",
        "_coders",
        "_delivering",
        "_disabled_blocks",
        "_held",
        "_namespaces",
        "_native",
        "_observers",
        "_options",
        "_queues",
        "_root",
        "_scope",
        "_store",
        "_terms",
        "_untyped",
        "_upgrades",
        "_url",
        "_views",
    )

    def __init__(self, url: str = "memory://", *, store: object = None, **options: Unpack[Options]) -> None:
        from . import _codec

        if not isinstance(url, str):
            # Else a variable that is not set would make a cache of each process of its own.
            unset = " (is the environment variable set? leave url out for a cache of this process alone)"
            hint = unset if url is None else ""
            raise ConfigError(f"url={url!r} is not a text{hint}; a right example: {_RIGHT_URL}")
        self._url = url
        self._store: _tidegate.MemoryStore | None = None
        if store is not None:
            self._store = _native_store(store, url)
        self._upgrades = Upgrades(options.get("upgrade"))
        self._options = {**options, "upgrade": self._upgrades.versions} if "upgrade" in options else options
        self._root: Self | None = None
        """The manager that a view is of."""
        self._views: WeakSet[Self] = WeakSet()
        self._queues: WeakSet[Any] = WeakSet()
        """Those of write-behind, of the manager and its views."""
        self._namespaces: tuple[str, ...] = ()
        self._terms: Terms | None = None
        self._scope = ""
        """Before a tenant's keys: `@tenant:`."""
        self._disabled_blocks = 0
        self._delivering: list[int] = []
        """The threads that hand events out just now."""
        self._open()
        self._codecs: dict[str, Coders] = _codec.codecs()
        self._write_with(self._native.codec)
        self._observers: dict[str, list[Observer]] = {}
        self._untyped: set[tuple[str, str]] = set()
        """Kinds of keys and types that have been warned of."""

    def _open(self) -> None:
        self._use(Cache(self._url, self._options, self._store))

    def _use(self, native: Cache) -> None:
        self._native = native
        # Bound once: every call comes by.
        self._begin = native.begin
        self._hold()

    def _write_with(self, codec: str) -> None:
        """What calls write with that say nothing of their own."""
        self._coders: Coders = self._codecs[codec]
        self._coder: Coder = self._coders[None]
        """Of values of any type."""

    def _hold(self) -> None:
        """Asks L1 first, where there is one and no block is disabled anywhere."""
        is_asked = self._native.holds and not self._disabled_blocks
        self._held = self._native.held if is_asked else None

    def _renew(self) -> None:
        """In a forked child: an engine that starts afresh.

        The parent's may hold the locks of threads that are not here, and calls of tasks that are not here either. It
        is kept for ever, since letting it go would touch them.
        """
        _left_behind.append(self._native)
        self._count_blocks(-self._disabled_blocks)
        self._open()
        for view in list(self._views):
            view._use(self._native)
            if view._terms is not None:
                self._native.adopt(view._terms)
        for queue in list(self._queues):
            queue._renew()
        if self._observers:
            self._listen()

    # --- views -----------------------------------------------------------------------------------------------------

    def _go_by(self, namespaces: tuple[str, ...], terms: Terms) -> None:
        """What is a view's own."""
        self._namespaces, self._terms, self._scope = namespaces, terms, terms.scope

    def _share(self, root: Self) -> None:
        """What a view has of its manager's."""
        self._root = root
        self._views, self._queues = root._views, root._queues
        self._url, self._options = root._url, root._options
        self._codecs = root._codecs
        self._write_with(root._native.codec if self._terms is None else self._terms.codec)
        self._observers = root._observers
        self._upgrades = root._upgrades
        self._untyped = root._untyped
        self._disabled_blocks = root._disabled_blocks
        self._use(root._native)

    def _count_blocks(self, change: int) -> None:
        """A block of `disabled` begins or ends, for the manager and all its views."""
        self._disabled_blocks += change
        self._hold()
        for view in list(self._views):
            view._disabled_blocks = self._disabled_blocks
            view._hold()

    def __repr__(self) -> str:
        name = f"{type(self).__module__.partition('._')[0]}.{type(self).__qualname__}"
        view = f".tenant({self._terms.tenant!r})" if self._scope and self._terms else ""
        view += f".namespace({self._namespaces[-1]!r})" if self._namespaces else ""
        return f"{name}({_without_password(self._url)!r}, service={self._native.service!r}){view}"

    if not TYPE_CHECKING:  # a type checker refuses the wrong `with` by itself

        def __enter__(self) -> NoReturn:
            raise TypeError(
                "this CacheManager is for asyncio: `async with`; blocking code imports that of tidegate.sync"
            )

        async def __aenter__(self) -> NoReturn:
            raise TypeError("this CacheManager blocks: `with`; asyncio's is that of tidegate")

        def __exit__(self, *_: object) -> None:
            """Never comes: nothing was entered."""

        async def __aexit__(self, *_: object) -> None:
            """Never comes: nothing was entered."""

    # --- what needs no store ---------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """The figures since this manager was made: `hits`, `misses`, `hit_rate`, `p99_ms`, `waits`, `breaker`, …

        A tenant's view gives the tenant's; `l1_entries`, `l1_bytes`, `events_dropped` and `breaker` are the manager's
        everywhere.

        >>> from tidegate.sync import CacheManager
        >>> CacheManager().stats()["hits"]
        0
        """
        stats = self._native.stats(self._terms)
        stats["events_dropped"] += (self._root or self)._unawaited()
        return cast("Stats", stats)

    def _unawaited(self) -> int:
        """How many events async observers were too slow for."""
        return 0

    def metrics(self) -> list[MetricFamily]:
        """What a monitoring system scrapes: counters and histograms since this manager was made, and what stands now.

        Of the whole manager, also where this is a view: `docs/observability/metrics.md`. `tidegate.prometheus` gives
        them to `prometheus_client`.

        >>> from tidegate.sync import CacheManager
        >>> [family.kind for family in CacheManager().metrics() if family.name == "tidegate_sets_total"]
        ['counter']
        """
        from ._metrics import families

        return families(self._native)

    def prometheus_text(self) -> str:
        """The same in Prometheus' text format, 0.0.4: what a scrape is answered.

        Its content type is `text/plain; version=0.0.4; charset=utf-8`.

        >>> from tidegate.sync import CacheManager
        >>> cache = CacheManager(service="billing")
        >>> 'tidegate_sets_total{service="billing",role="cache"} 0' in cache.prometheus_text().splitlines()
        True
        """
        return _tidegate.prometheus_text(self._native)

    def disabled(self) -> Disabled:
        """A block in which every `get` runs its fallback and nothing is stored; seen by this task or thread only.

        >>> from tidegate.sync import CacheManager
        >>> cache = CacheManager()
        >>> with cache.disabled():
        ...     cache.get("user:profile:42", lambda: "fresh")
        'fresh'
        >>> cache.exists("user:profile:42")
        False
        """
        return Disabled(self._root or self)

    # --- one call's way --------------------------------------------------------------------------------------------

    def _is_disabled(self) -> bool:
        return is_disabled(self._root or self)

    def _leads(self, key: str) -> bool:
        """Whether this call comes from inside the fallback of the same key."""
        return Leading.is_inside(self._native, (self._scope, key))

    def _leading(self, keys: Iterable[str]) -> Leading:
        """A block around the fallback of these keys. The engine, not the view: a tenant's views have the same keys."""
        return Leading(self._native, [(self._scope, key) for key in keys])

    def _around(
        self, fallback: Callable[..., Any], key: str, coder: Coder, terms: Terms | None, lease: Lease | None
    ) -> tuple[Leading, Callable[[], Any]]:
        """A block around the fallback of one key, and how it is run in there. Without a lease it leads nothing."""
        asked = (self._native, key, coder, terms, lease)
        block = Leading(self._native, () if lease is None else ((self._scope, key),), asked)
        if not takes_context(fallback):
            # Most never ask for one: it is made where they do.
            return block, fallback
        block.context = context = Context(*asked)
        return block, partial(fallback, context)

    def _report(self, key: str, reason: str, message: str) -> None:
        self._native.report(key, reason, message, self._terms)

    def _report_nested(self, key: str) -> None:
        self._report(key, "nested", f"get({key!r}) inside its own fallback or persist: runs at once, uncached")

    def _fill(self, lease: Lease, key: str, value: Any, coder: Coder, context: Context | None) -> tuple[Any, Any]:
        """Hands a fallback's value to the engine: the value as a later hit gives it, and the outcome of the fill."""
        ttl_ms = tags = None
        if context is not None:
            ttl_ms, tags = context._ttl_ms, context._tags
            if context._skipped:
                lease.share((value, None))
                return value, None
            if context._is_not_modified:
                return context.stale, lease.not_modified(ttl_ms, tags)
        try:
            payload = coder.encode(value)
            same = coder.decode(payload, coder.codec)
        except Exception as error:
            refusal = self._unstorable(key, error)
            lease.share((value, refusal))
            if refusal is not None:
                raise refusal from error
            return value, None
        except BaseException:
            lease.give_back()
            raise
        if coder.is_untyped and looks_otherwise(value):
            try:
                self._warn_untyped(key, value, same, coder)
            except BaseException:
                # With `-W error` this caller is told, and whoever waits runs his own.
                lease.give_back()
                raise
        return same, lease.fill(payload, coder.codec, ttl_ms, tags)

    def _decoded(self, key: str, held: Any, coder: Coder) -> Any:
        """The value of what a hit holds; `MISSING`, and told, where it cannot be read."""
        try:
            return coder.value(held)
        except Exception as error:  # noqa: BLE001 - a user's type may raise anything
            self._undecodable(key, error)
            return MISSING

    def _consoled(self, lease: Lease, error: Exception, key: str, coder: Coder) -> Any:
        """Settles the lease of a fallback that failed: the stale value for its caller; `MISSING`: he gets the error."""
        hit = lease.fail(failure(error))
        return MISSING if hit is None else self._decoded(key, hit, coder)

    def _overran(self, key: str, held: Any, coder: Coder) -> Any:
        """The stale value that is served at the hard timeout."""
        value = self._decoded(key, held, coder)
        if value is MISSING:
            raise _tidegate.hard_timeout(key)
        return value

    def _same(self, key: str, value: Any, coder: Coder) -> Any:
        """A value as a hit would give it, though it is not stored."""
        try:
            same = coder.decode(coder.encode(value), coder.codec)
        except Exception:  # noqa: BLE001 - told where it is stored
            return value
        if coder.is_untyped and looks_otherwise(value):
            self._warn_untyped(key, value, same, coder)
        return same

    def _warn_untyped(self, key: str, value: Any, same: Any, coder: Coder) -> None:
        """Tells, once, of a value that comes back as something else since no type is named."""
        for place, given, held in coder.untyped(value, same):
            if looks_otherwise(given):
                warn_once(self._untyped, key, place, given, held)

    def _encode_all(self, values: Mapping[str, Any], coder: Coder) -> list[tuple[str, bytes | None]]:
        """The payloads of many values; `EncodeError` for the first that cannot be encoded."""
        return [(key, self._encode_one(key, value, coder)) for key, value in values.items()]

    def _encode_one(self, key: str, value: Any, coder: Coder) -> bytes | None:
        from ._codec import Unencodable

        try:
            return coder.encode(value)
        except Unencodable as error:
            raise EncodeError(f"the value of {key!r} is not stored: {error}") from error

    def _found(self, key: str, outcome: Any, default: Any, coder: Coder) -> Any:
        """What a read without a fallback gives."""
        if outcome.__class__ is Absent:
            return default
        if outcome.__class__ is Failed:
            raise_failed(outcome)
        value = self._decoded(key, outcome, coder)
        return default if value is MISSING else value

    def _held_of(self, keys: list[str], coder: Coder, terms: Terms | None) -> dict[str, Any]:
        """The values of those that L1 holds."""
        held = self._held
        if held is None:
            return {}
        values = {key: held(key, terms, coder, held) for key in keys}
        return {key: value for key, value in values.items() if value is not NOTHING}

    def _found_of(self, keys: list[str], outcomes: list[Any], coder: Coder) -> dict[str, Any]:
        """The values of those that reads without a fallback have found."""
        pairs = zip(keys, outcomes, strict=True)
        values = {key: self._found(key, outcome, MISSING, coder) for key, outcome in pairs}
        return {key: value for key, value in values.items() if value is not MISSING}

    def _entry(self, key: str, hit: Hit, coder: Coder) -> Entry | None:
        from ._entry import Entry

        value = self._decoded(key, hit, coder)
        if value is MISSING:
            return None
        return Entry(value, hit.version, hit.created_at, hit.fresh_until, hit.stale_until, tuple(hit.tags), hit.source)

    def _unstorable(self, key: str, error: Exception) -> EncodeError | None:
        """Reports a value that cannot be stored; with `strict` gives what to raise."""
        from ._codec import Unencodable, said, why_undecodable

        is_unreadable = isinstance(error, Unencodable) or why_undecodable(error) == "decode"
        reason = "encode" if is_unreadable else "schema"
        message = f"the value of {key!r} is not stored: {said(error)}"
        self._report(key, reason, message)
        return EncodeError(message) if self._native.strict else None

    def _undecodable(self, key: str, error: Exception) -> None:
        """Reports an entry that Python cannot read; it counts as a miss."""
        from ._codec import said, why_undecodable

        self._report(key, why_undecodable(error), f"the entry of {key!r} cannot be read: {said(error)}")

    def _coder_for(self, kind: Any, terms: Terms | None) -> Coder:
        """What a call reads and writes with that goes by these terms; `kind` is the type that it asks for."""
        coders = self._coders if terms is self._terms or terms is None else self._codecs[terms.codec]
        try:
            return coders[kind]
        except TypeError:  # not hashable: made anew each time
            return coders.made(kind)


def _native_store(store: object, url: str) -> _tidegate.MemoryStore:
    """The native half of a `tidegate.testing.MemoryStore`, told by that: the testing kit stands above managers."""
    native = getattr(store, "_native", None)
    if not isinstance(native, _tidegate.MemoryStore):
        raise ConfigError(
            f"store={store!r} is not a tidegate.testing.MemoryStore; a right example: CacheManager(store=MemoryStore())"
        )
    if url != "memory://":
        raise ConfigError(
            "url and store both say where entries are kept: give one of them; a right example: "
            "CacheManager(store=store)"
        )
    return native


def _without_password(url: str) -> str:
    scheme, parted, rest = url.partition("://")
    place = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}{parted}{place}"
