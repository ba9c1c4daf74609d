"""The manager for programs that block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from .. import _tidegate
from .._base import ManagerBase, confirmed, entry_or_none, failure, raise_failed, shared
from .._batch import Batch
from .._errors import ConfigError
from .._logging import log_faults
from .._tidegate import NOTHING, Failed, Hit, Lease, Port, Served, Shared
from .._types import MISSING
from . import _threads
from ._workers import Handover, Result, Workers

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .._codec import Decode
    from .._context import Context
    from .._decorators import PlainDecorator
    from .._entry import Entry
    from .._tidegate import Terms
    from .._types import AnyFallback, CallOptions, Duration, Options, PlainFallback, WriteOptions

T = TypeVar("T")
D = TypeVar("D")


class CacheManager(ManagerBase):
    """A cache in front of a slow source, for programs that block. Shared freely between threads.

    Opens no connection and starts no thread before its first use. Ctrl-C ends a wait. Options: see `Options`.

    >>> cache = CacheManager("memory://", service="billing", ttl="5m")
    >>> cache.get("user:profile:42", lambda: {"id": 42})
    {'id': 42}
    """

    __slots__ = ("_courier", "_workers")

    def __init__(self, url: str = "memory://", **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._courier: Port | None = None
        self._workers = Workers()
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
    def get(
        self,
        key: str,
        fallback: Any = MISSING,
        *,
        default: Any = MISSING,
        type: Any = None,
        **options: Any,
    ) -> Any:
        """The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.

        `fallback` is a plain function of no argument or of one (the `Context`); what it raises is raised unchanged.
        Without it, `default` is given where there is no entry. `type` is what the value is decoded to; the other options
        are those of `CallOptions`, and the manager's by default. The store being away raises nothing. What is served
        stale is computed anew in a thread of its own, behind the caller.

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
            return self._get_or_default(key, default, decode, options)
        terms = self._terms
        if options or not callable(fallback) or default is not MISSING:
            terms = self._check_get(fallback, default, options)
        return self._get(key, fallback, decode, terms)

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
        decode = self._decoder(type)
        terms = self._check_many(keys, fetch_missing, options)
        batch = Batch(self, keys, decode)
        if self._disabled_blocks and self._is_disabled():
            return batch.uncached(fetch_missing(list(batch.keys)))
        port = _threads.port()
        try:
            asked = batch.take_held(terms)
            batch.take_all(asked, _answers(port, self._native.begin_many(port, asked, False, terms)))
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

        `ValueTooLarge` for one over `max_value_bytes`, `EncodeError` for one that the codec cannot write. Options: `ttl`,
        `tags`, `stale_if_error`, `stale_while_revalidate`; the manager's by default.

        >>> CacheManager().set("user:profile:42", {"name": "Ada"}, ttl="1h")
        True
        """
        return self.set_many({key: value}, **options)

    def set_many(self, values: Mapping[str, Any], **options: Unpack[WriteOptions]) -> bool:
        """Store many values, with the options of `set`. True: the store confirmed them all."""
        terms = self._check_set(values, cast("dict[str, Any]", options))
        if self._disabled_blocks and self._is_disabled():
            return False
        items = self._encode_all(values)
        port = _threads.port()
        return self._told(confirmed(_answers(port, self._native.set(port, items, terms))))

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
        return self._told(confirmed(_answers(port, self._native.invalidate_tag(port, [tag, *more], required))))

    def clear(self, *, required: bool = False) -> bool:
        """Remove every entry of this namespace, and of those within it; answers as `invalidate` does.

        `ConfigError` for a manager that is no view: see `namespace`.
        """
        namespace = self._namespace()
        return self._told(confirmed([self._native.clear(_threads.port(), namespace, required)]))

    @overload
    def refresh(self, key: str, fallback: AnyFallback, *, type: type[T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    def refresh(self, key: str, fallback: PlainFallback[T], **options: Unpack[CallOptions]) -> T: ...
    def refresh(self, key: str, fallback: Any, *, type: Any = None, **options: Any) -> Any:
        """Run `fallback` now, whatever is cached, store what it gives, and give it.

        >>> CacheManager().refresh("user:profile:42", lambda: "Ada")
        'Ada'
        """
        decode = self._decoder(type)
        terms = self._check(fallback, options, "type")
        return self._refresh(key, fallback, decode, terms)

    # --- decorating ------------------------------------------------------------------------------------------------

    def cached(
        self,
        template: str,
        *,
        type: Any = MISSING,
        ignore: Iterable[str] = (),
        **options: Unpack[CallOptions],
    ) -> PlainDecorator:
        """Cache what a plain function gives under the key that `template` makes of its arguments.

        Every parameter stands in the template (`{user_id}`, `{user.id}`) or in `ignore`, `self` and `cls` aside. Values
        are decoded to the function's return annotation, or to `type`. Tags are templates too: `tags=["user:{user_id}"]`;
        the other options are those of `CallOptions`. The function gets `.invalidate(…)`,
        `.refresh(…)`, `.get_cached(…)` and `.key(…)`, which take its arguments.

        >>> cache = CacheManager()
        >>> @cache.cached("square:of:{number}", ttl="5m")
        ... def square(number: int) -> int:
        ...     return number**2
        >>> square(3), square.key(3)
        (9, 'square:of:3')
        """
        from .._decorators import plain_decorator

        decorator: PlainDecorator = plain_decorator(self, template, type, ignore, cast("dict[str, Any]", options))
        return decorator

    # --- life ------------------------------------------------------------------------------------------------------

    def close(self, timeout: Duration = 30) -> bool:
        """Let what is under way end, for up to `timeout` seconds, then let go of the store; calls raise `ClosedError`.

        What runs behind callers is waited for too. A view closes the manager that it is of. True: all had ended and
        nothing is owed to the store.
        """
        timeout_ms = _tidegate.duration_ms("timeout", timeout)
        deadline = monotonic() + timeout_ms / 1_000
        outcome = self._native.close(_threads.port(), timeout_ms)
        self._workers.end(max(0.0, deadline - monotonic()))
        (self._root or self)._deliver()
        return outcome is True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one call's way --------------------------------------------------------------------------------------------

    def _get(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        """`get` with everything checked."""
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, decode, terms)
        if self._holds:
            value = self._held(key, terms, decode)
            if value is not NOTHING:
                return value
        if self._leads(key):
            return self._nested(key, fallback, decode, terms)
        outcome = self._begin(_threads.port(), key, terms)
        if outcome.__class__ is bytes:
            try:
                return decode(outcome)
            except Exception:  # noqa: BLE001 - told and mended in `_settle`
                pass
        return self._settle(outcome, key, fallback, decode, terms)

    def _refresh(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, decode, terms)
        outcome = self._native.refresh(_threads.port(), key, terms)
        return self._settle(outcome, key, fallback, decode, terms)

    def _settle(self, outcome: Any, key: str, fallback: AnyFallback, decode: Decode, terms: Terms | None) -> Any:
        """From an outcome to the value: begin, fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            kind = outcome.__class__
            if kind is Lease:
                return self._lead(outcome, key, fallback, decode, terms)
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
                    self._workers.start(partial(self._go_on, outcome, key, fallback, decode, terms))
                return value
            if kind is Served:
                outcome.leave()
            if is_mended:
                return self._alone(key, fallback, decode, terms)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(_threads.port(), key, terms)

    def _go_on(self, served: Served, key: str, fallback: AnyFallback, decode: Decode, terms: Terms | None) -> None:
        """Computes a key behind a caller who has been served, if it is to be computed. In a thread of its own."""
        lease = served.more()
        if lease.__class__ is Lease:
            context = self._context(fallback, key, decode, terms, lease)
            self._ended(lease, self._run(fallback, key, context), key, decode, context)

    def _lead(self, lease: Lease, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        try:
            context = self._context(fallback, key, decode, terms, lease)
            if lease.is_soft:
                handover = Handover()
                work = partial(self._run_apart, handover, lease, key, fallback, decode, context)
                if self._workers.start(work, at_once=True):
                    return self._await_apart(handover, lease, key, decode, context)
            result = self._run(fallback, key, context)
        except BaseException:
            # The program ends, in the middle: one of those who wait takes over.
            lease.give_back()
            raise
        return self._ended(lease, result, key, decode, context)

    def _run(self, fallback: Any, key: str, context: Context | None) -> Result:
        """What the fallback gives or raises, an exception that ends the program aside."""
        try:
            with self._leading([key]):
                value = fallback() if context is None else fallback(context)
                _refuse_awaitable(value)
        except Exception as error:  # noqa: BLE001 - raised by `_ended`
            return Result(error=error)
        return Result(value)

    def _run_apart(
        self, handover: Handover, lease: Lease, key: str, fallback: Any, decode: Decode, context: Context | None
    ) -> None:
        """The fallback in a thread of its own; settled here once its caller has been served."""
        try:
            result = self._run(fallback, key, context)
        except BaseException as error:
            result = Result(error=error)
        if handover.bring(result):
            lease.hand(None)
        elif not handover.is_dropped:
            self._ended(lease, result, key, decode, context)

    def _await_apart(self, handover: Handover, lease: Lease, key: str, decode: Decode, context: Context | None) -> Any:
        """Waits for a fallback in a thread of its own, or for the value that is served instead."""
        while True:
            try:
                told = lease.told()
            except BaseException:
                handover.drop()
                raise
            if told.__class__ is Shared:
                return self._ended(lease, handover.result, key, decode, context)
            if told.__class__ is Served:
                value = self._instead(key, told.value, decode)
                if value is not MISSING and handover.leave():
                    return value
            else:
                # The hard timeout: the lease is free, and whatever the thread brings is nobody's.
                handover.drop()
                lease.give_back()
                if told.__class__ is Failed:
                    raise_failed(told)
                return self._overran(key, told, decode)

    def _ended(self, lease: Lease, result: Result, key: str, decode: Decode, context: Context | None) -> Any:
        """Settles a lease with what its fallback gave or raised."""
        if result.error is not None:
            return self._told(self._failed(lease, result, key, decode))
        port = lease.port
        value, outcome = self._fill(lease, key, result.value, decode, context)
        _answers(port, [outcome])
        return self._told(value)

    def _failed(self, lease: Lease, result: Result, key: str, decode: Decode) -> Any:
        error = result.error
        assert error is not None
        try:
            if not isinstance(error, Exception):
                lease.give_back()
                raise error
            value = self._consoled(lease.fail(failure(error)), key, decode)
            if value is MISSING:
                raise error
            return value
        finally:
            # The error's trace has this frame: no circle.
            result.error = None
            del error

    def _alone(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        context = self._context(fallback, key, decode, terms)
        value = fallback() if context is None else fallback(context)
        _refuse_awaitable(value)
        return self._same(value, decode)

    def _nested(self, key: str, fallback: Any, decode: Decode, terms: Terms | None) -> Any:
        self._report_nested(key)
        return self._told(self._alone(key, fallback, decode, terms))

    def _renew_behind(self, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Computes behind what has been served and is to be computed: the keys of one call together."""
        if served := batch.to_renew():
            self._workers.start(partial(self._renew_many, Batch(self, served, batch.decode), served, fetch_missing))

    def _renew_many(self, batch: Batch, served: dict[str, Served], fetch_missing: Callable[[list[str]], Any]) -> None:
        if batch.renews({key: one.more() for key, one in served.items()}):
            port = next(iter(batch.leases.values())).port
            self._fetch(port, batch, fetch_missing)

    def _fetch(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Calls `fetch_missing` for what is leased at this moment, and fills it."""
        part = batch.missing()
        if not part.keys:
            return
        try:
            with self._leading(part.keys):
                found = fetch_missing(part.keys)
                _refuse_awaitable(found)
        except Exception as error:
            if not batch.serve(part, part.fail(error)):
                raise
            return
        except BaseException:
            part.give_back()
            raise
        try:
            outcomes = batch.fill(part, found)
        except Exception as error:
            part.fail(error)
            raise
        except BaseException:
            part.give_back()
            raise
        _answers(port, outcomes)

    def _join(self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any], terms: Terms | None) -> None:
        """Waits for the keys that others compute, one after another.

        What is leased to us because they failed is fetched at once; a thread that waited for all of them together
        would hold the second lease while it fetches for the first.
        """
        keys, batch.busy = batch.busy, []
        for key in keys:
            batch.take(key, self._begin(port, key, terms))
            self._renew_behind(batch, fetch_missing)
            self._fetch(port, batch, fetch_missing)

    def _get_or_default(self, key: str, default: Any, decode: Decode, options: dict[str, Any]) -> Any:
        self._check_default(key, default, options)
        return self._get_found(key, default, decode, self._terms)

    def _get_found(self, key: str, default: Any, decode: Decode, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return default
        if self._holds:
            value = self._held(key, terms, decode)
            if value is not NOTHING:
                return value
        outcome = self._native.peek(_threads.port(), key, False, terms)
        return self._told(self._found(key, outcome, default, decode))

    def _peek(self, key: str) -> Hit | None:
        if self._disabled_blocks and self._is_disabled():
            return None
        return entry_or_none(self._native.peek(_threads.port(), key, True, self._terms))

    # --- observers -------------------------------------------------------------------------------------------------

    def _told(self, value: T) -> T:
        """Passes a value on; what has to be logged meanwhile is logged here while no courier does it."""
        if (self._root or self)._courier is None:
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
        self._workers.renew()
        super()._renew()

    def _share(self, root: Self) -> None:
        self._courier, self._workers = None, root._workers
        super()._share(root)


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
            elif answer.__class__ is Served:
                answer.leave()
        raise
    return answers


def _refuse_awaitable(value: Any) -> None:
    if hasattr(value.__class__, "__await__"):
        if hasattr(value, "close"):
            value.close()
        raise ConfigError(
            "the fallback is async: tidegate.sync takes plain functions; use tidegate.CacheManager with asyncio"
        )
