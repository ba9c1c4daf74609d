"""The manager for programs that block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import _tidegate
from .._base import ManagerBase, confirmed, entry_or_none, failure, raise_failed, shared
from .._batch import Batch
from .._context import Context, takes_context
from .._errors import ConfigError
from .._logging import log_faults
from .._scope import Leading
from .._tidegate import Failed, Hit, Lease, Port, Shared
from .._types import MISSING
from . import _threads

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .._codec import Decode
    from .._decorators import PlainDecorator
    from .._entry import Entry
    from .._types import AnyFallback, Duration, Options, PlainFallback

T = TypeVar("T")
D = TypeVar("D")


class CacheManager(ManagerBase):
    """A cache in front of a slow source, for programs that block. Shared freely between threads.

    Opens no connection and starts no thread before its first use. Ctrl-C ends a wait. Options: see `Options`.

    >>> cache = CacheManager("memory://", service="billing", ttl="5m")
    >>> cache.get("user:profile:42", lambda: {"id": 42})
    {'id': 42}
    """

    __slots__ = ("_courier",)

    def __init__(self, url: str = "memory://", **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._courier: Port | None = None
        _threads.managers.add(self)

    # --- reads -----------------------------------------------------------------------------------------------------

    @overload
    def get(self, key: str, fallback: AnyFallback, *, ttl: Duration | None = None, type: type[T]) -> T: ...
    @overload
    def get(self, key: str, fallback: PlainFallback[T], *, ttl: Duration | None = None) -> T: ...
    @overload
    def get(self, key: str, *, default: D, type: type[T]) -> T | D: ...
    @overload
    def get(self, key: str, *, default: D) -> Any | D: ...
    def get(
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

        `fallback` is a plain function of no argument or of one (the `Context`); what it raises is raised unchanged.
        Without it, `default` is given where there is no entry. `ttl` is seconds, a `timedelta` or a text (the
        manager's by default); `type` is what the value is decoded to. The store being away raises nothing.

        >>> cache = CacheManager()
        >>> cache.get("user:names", lambda: ["Ada"], ttl="1m", type=list[str])
        ['Ada']
        >>> cache.get("user:nobody", default="?")
        '?'
        """
        try:
            decode = self._decoders[type]
        except TypeError:  # not hashable
            decode = self._decoder(type)
        if fallback is MISSING:
            return self._get_or_default(key, default, decode, ttl, unknown)
        ttl_ms = None
        if ttl is not None or unknown or not callable(fallback) or default is not MISSING:
            ttl_ms = self._check_get(fallback, default, ttl, unknown)
        return self._get(key, fallback, ttl_ms, decode)

    def get_entry(self, key: str, *, type: Any = None) -> Entry | None:
        """The value with what is known of its entry; None when there is none, `StoreUnavailable` with the store away.

        >>> cache = CacheManager()
        >>> cache.set("user:profile:42", "Ada")
        True
        >>> cache.get_entry("user:profile:42").value
        'Ada'
        """
        decode = self._decoder(type)
        hit = self._peek(key)
        return None if hit is None else self._entry(key, hit, decode)

    def exists(self, key: str) -> bool:
        """Whether there is an entry, a cached None included; `StoreUnavailable` with the store away."""
        return self._peek(key) is not None

    @overload
    def get_many(
        self,
        keys: Iterable[str],
        fetch_missing: Callable[[list[str]], Mapping[str, Any]],
        *,
        ttl: Duration | None = None,
        type: type[T],
    ) -> dict[str, T]: ...
    @overload
    def get_many(
        self, keys: Iterable[str], fetch_missing: Callable[[list[str]], Mapping[str, T]], *, ttl: Duration | None = None
    ) -> dict[str, T | None]: ...
    def get_many(
        self, keys: Iterable[str], fetch_missing: Any, *, ttl: Duration | None = None, type: Any = None, **unknown: Any
    ) -> dict[str, Any]:
        """The values of many keys; `fetch_missing(keys)` is called once, for all that nobody has or computes.

        It gives a dict; a key that it leaves out is cached as None. It is called again only for keys that another
        caller was computing and failed to.

        >>> cache = CacheManager()
        >>> cache.get_many(["square:of:2", "square:of:3"], lambda keys: {k: int(k[-1]) ** 2 for k in keys})
        {'square:of:2': 4, 'square:of:3': 9}
        """
        decode = self._decoder(type)
        ttl_ms = self._check_many(keys, fetch_missing, ttl, unknown)
        batch = Batch(self, keys, decode, ttl_ms)
        if self._disabled_blocks and self._is_disabled():
            return batch.uncached(fetch_missing(list(batch.keys)))
        port = _threads.port()
        try:
            begun = [key for key in batch.keys if key not in batch.nested]
            batch.take_all(begun, _answers(port, self._native.begin_many(port, begun, False)))
            self._fetch(port, batch, fetch_missing)
            while batch.busy:
                self._join(port, batch, fetch_missing)
            while batch.unreadable:
                key = batch.unreadable.pop()
                batch.take(key, self._native.refresh(port, key))
                self._fetch(port, batch, fetch_missing)
        except BaseException:
            batch.give_back()
            raise
        return batch.in_order()

    # --- writes ----------------------------------------------------------------------------------------------------

    def set(self, key: str, value: Any, *, ttl: Duration | None = None, **unknown: Any) -> bool:
        """Store a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write.

        >>> CacheManager().set("user:profile:42", {"name": "Ada"}, ttl="1h")
        True
        """
        return self.set_many({key: value}, ttl=ttl, **unknown)

    def set_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None, **unknown: Any) -> bool:
        """Store many values. True: the store confirmed them all."""
        ttl_ms = self._check_set(values, ttl, unknown)
        if self._disabled_blocks and self._is_disabled():
            return False
        items = self._encode_all(values)
        port = _threads.port()
        return self._told(confirmed(_answers(port, self._native.set(port, items, ttl_ms))))

    def invalidate(self, key: str, *more: str, required: bool = False) -> bool:
        """Remove entries, here and for everybody; a fill that is under way will not bring them back.

        True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
        With `required=True` that is a `StoreUnavailable` instead.

        >>> CacheManager().invalidate("user:profile:42")
        True
        """
        port = _threads.port()
        return self._told(confirmed(_answers(port, self._native.invalidate(port, [key, *more], required))))

    def expire(self, key: str, *more: str, required: bool = False) -> bool:
        """As `invalidate`, but what stands there is kept for callers who accept stale values."""
        port = _threads.port()
        return self._told(confirmed(_answers(port, self._native.expire(port, [key, *more], required))))

    @overload
    def refresh(self, key: str, fallback: AnyFallback, *, ttl: Duration | None = None, type: type[T]) -> T: ...
    @overload
    def refresh(self, key: str, fallback: PlainFallback[T], *, ttl: Duration | None = None) -> T: ...
    def refresh(self, key: str, fallback: Any, *, ttl: Duration | None = None, type: Any = None, **unknown: Any) -> Any:
        """Run `fallback` now, whatever is cached, store what it gives, and give it.

        >>> CacheManager().refresh("user:profile:42", lambda: "Ada")
        'Ada'
        """
        decode = self._decoder(type)
        ttl_ms = self._check(fallback, ttl, unknown, ("ttl", "type"))
        return self._refresh(key, fallback, ttl_ms, decode)

    # --- decorating ------------------------------------------------------------------------------------------------

    def cached(
        self,
        template: str,
        *,
        ttl: Duration | None = None,
        type: Any = MISSING,
        ignore: Iterable[str] = (),
        **unknown: Any,
    ) -> PlainDecorator:
        """Cache what a plain function gives under the key that `template` makes of its arguments.

        Every parameter stands in the template (`{user_id}`, `{user.id}`) or in `ignore`, `self` and `cls` aside. Values
        are decoded to the function's return annotation, or to `type`. The function gets `.invalidate(…)`,
        `.refresh(…)`, `.get_cached(…)` and `.key(…)`, which take its arguments.

        >>> cache = CacheManager()
        >>> @cache.cached("square:of:{number}", ttl="5m")
        ... def square(number: int) -> int:
        ...     return number**2
        >>> square(3), square.key(3)
        (9, 'square:of:3')
        """
        from .._decorators import plain_decorator

        decorator: PlainDecorator = plain_decorator(self, template, ttl, type, ignore, unknown)
        return decorator

    # --- life ------------------------------------------------------------------------------------------------------

    def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        True: all had ended and nothing is owed to the store.
        """
        outcome = self._native.close(_threads.port(), _tidegate.duration_ms("timeout", timeout))
        self._deliver()
        return outcome is True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one call's way --------------------------------------------------------------------------------------------

    def _get(self, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        """`get` with everything checked."""
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, decode)
        if self._leads(key):
            return self._nested(key, fallback, decode)
        outcome = self._begin(_threads.port(), key)
        if outcome.__class__ is bytes:
            try:
                return decode(outcome)
            except Exception:  # noqa: BLE001 - told and mended in `_settle`
                pass
        return self._settle(outcome, key, fallback, ttl_ms, decode)

    def _refresh(self, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, decode)
        return self._settle(self._native.refresh(_threads.port(), key), key, fallback, ttl_ms, decode)

    def _settle(self, outcome: Any, key: str, fallback: AnyFallback, ttl_ms: int | None, decode: Decode) -> Any:
        """From an outcome to the value: begin, fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            kind = outcome.__class__
            if kind is Lease:
                return self._lead(outcome, key, fallback, ttl_ms, decode)
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
                return self._alone(key, fallback, decode)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(_threads.port(), key)

    def _lead(self, lease: Lease, key: str, fallback: Any, ttl_ms: int | None, decode: Decode) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        context = Context(key, ttl_ms) if takes_context(fallback) else None
        try:
            with Leading(self, [key]):
                value = fallback() if context is None else fallback(context)
                _refuse_awaitable(value)
        except Exception as error:
            lease.fail(failure(error))
            raise
        except BaseException:
            # The program ends: one of those who wait takes over.
            lease.give_back()
            raise
        value, outcome = self._fill(lease, key, value, decode, context, ttl_ms)
        _answers(_threads.port(), [outcome])
        return self._told(value)

    def _alone(self, key: str, fallback: Any, decode: Decode) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        value = fallback(Context(key, None)) if takes_context(fallback) else fallback()
        _refuse_awaitable(value)
        return self._same(value, decode)

    def _nested(self, key: str, fallback: Any, decode: Decode) -> Any:
        self._report_nested(key)
        return self._told(self._alone(key, fallback, decode))

    def _fetch(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Calls `fetch_missing` for what is leased at this moment, and fills it."""
        part = batch.missing()
        if not part.keys:
            return
        try:
            with Leading(self, part.keys):
                found = fetch_missing(part.keys)
                _refuse_awaitable(found)
            outcomes = batch.fill(part, found)
        except Exception as error:
            part.fail(error)
            raise
        except BaseException:
            part.give_back()
            raise
        _answers(port, outcomes)

    def _join(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Waits for the keys that others compute, one after another.

        What is leased to us because they failed is fetched at once; a thread that waited for all of them together
        would hold the second lease while it fetches for the first.
        """
        keys, batch.busy = batch.busy, []
        for key in keys:
            batch.take(key, self._begin(port, key))
            self._fetch(port, batch, fetch_missing)

    def _get_or_default(
        self, key: str, default: Any, decode: Decode, ttl: Duration | None, unknown: dict[str, Any]
    ) -> Any:
        self._check_default(key, default, ttl, unknown)
        if self._disabled_blocks and self._is_disabled():
            return default
        outcome = self._native.peek(_threads.port(), key, False)
        return self._told(self._found(key, outcome, default, decode))

    def _peek(self, key: str) -> Hit | None:
        if self._disabled_blocks and self._is_disabled():
            return None
        return entry_or_none(self._native.peek(_threads.port(), key, True))

    # --- observers -------------------------------------------------------------------------------------------------

    def _told(self, value: T) -> T:
        """Passes a value on; what has to be logged meanwhile is logged here while no courier does it."""
        if self._courier is None:
            log_faults(self._native.take_faults())
        return value

    def _listen(self) -> None:
        self._courier = _threads.start_courier(self)
        self._native.listen(True, self._courier)

    def _unlisten(self) -> None:
        courier, self._courier = self._courier, None
        if courier is not None:
            self._native.listen(False, courier)
            courier.close()

    def _renew(self) -> None:
        """In a forked child: the courier is not here."""
        self._courier = None
        super()._renew()


def _answers(port: Port, outcomes: list[Any]) -> list[Any]:
    """Each outcome itself, or what is waited for; all are under way together. Interrupted, every place is left."""
    waits = {outcome[1]: at for at, outcome in enumerate(outcomes) if outcome.__class__ is tuple}
    if not waits:
        return outcomes
    answers = list(outcomes)
    try:
        while waits:
            for place, answer in port.wait_any(list(waits)):
                answers[waits.pop(place)] = answer
    except BaseException:
        for place in waits:
            port.leave(place)
        for answer in answers:
            if answer.__class__ is Lease:
                answer.give_back()
        raise
    return answers


def _refuse_awaitable(value: Any) -> None:
    if hasattr(value.__class__, "__await__"):
        if hasattr(value, "close"):
            value.close()
        raise ConfigError(
            "the fallback is async: tidegate.sync takes plain functions; use tidegate.CacheManager with asyncio"
        )
