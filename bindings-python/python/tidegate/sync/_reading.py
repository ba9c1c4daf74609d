"""One call's way in a thread: from an outcome to its value, and what goes on behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _tidegate
from .._base import ManagerBase
from .._batch import Batch, Part
from .._errors import ConfigError
from .._logging import log_faults
from .._outcomes import entry_or_none, raise_failed, shared
from .._running import State
from .._tidegate import NOTHING, Failed, Hit, Lease, Port, Served, Shared
from .._types import MISSING
from . import _threads
from ._apart import Apart, Result

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._codec import Coder
    from .._fallbacks import AnyFallback
    from .._tidegate import Terms
    from ._workers import Workers

T = TypeVar("T")


class Reader(ManagerBase):
    """Not for use by itself."""

    __slots__ = ("_courier", "_workers")

    _courier: Port | None
    _workers: Workers

    def _get(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        """`get` with everything checked."""
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, coder, terms)
        held = self._held
        if held is not None:
            value = held(key, terms, coder, fallback)
            if value is not NOTHING:
                return value
        if self._leads(key):
            return self._nested(key, fallback, coder, terms)
        outcome = self._begin(_threads.port(), key, terms)
        if outcome.__class__ is bytes:
            try:
                return coder.json(outcome)
            except Exception:  # noqa: BLE001 - told and mended in `_settle`
                pass
        return self._settle(outcome, key, fallback, coder, terms)

    def _refresh(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return self._alone(key, fallback, coder, terms)
        outcome = self._native.refresh(_threads.port(), key, terms)
        return self._settle(outcome, key, fallback, coder, terms)

    def _settle(self, outcome: Any, key: str, fallback: AnyFallback, coder: Coder, terms: Terms | None) -> Any:
        """From an outcome to the value: begin, fallback, fill. `get` and `refresh` both end here."""
        is_mended = False
        while True:
            kind = outcome.__class__
            if kind is Lease:
                return self._lead(outcome, key, fallback, coder, terms)
            if kind is Shared:
                return shared(outcome)
            if kind is Failed:
                raise_failed(outcome)
            value = self._decoded(key, outcome.value if kind is Served else outcome, coder)
            if value is not MISSING:
                if kind is Served:
                    self._workers.start(partial(self._go_on, outcome, key, fallback, coder, terms))
                return value
            if kind is Served:
                outcome.leave()
            if is_mended:
                return self._alone(key, fallback, coder, terms)
            # Computed anew and overwritten: what stands there counts as a miss.
            is_mended = True
            outcome = self._native.refresh(_threads.port(), key, terms)

    def _go_on(self, served: Served, key: str, fallback: AnyFallback, coder: Coder, terms: Terms | None) -> None:
        """Computes a key behind a caller who has been served, if it is to be computed. In a thread of its own."""
        lease = served.more()
        if lease.__class__ is Lease:
            self._ended(lease, self._run(fallback, key, coder, terms, lease), key, coder)

    def _lead(self, lease: Lease, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        """Runs the fallback under a lease, and settles the lease whatever happens."""
        try:
            if lease.is_soft:
                apart = Apart([lease])
                if self._workers.start(partial(self._run_apart, apart, lease, key, fallback, coder, terms), True):
                    return self._await_apart(apart, lease, key, coder)
            result = self._run(fallback, key, coder, terms, lease)
        except BaseException:
            # The program ends, in the middle: one of those who wait takes over.
            lease.give_back()
            raise
        return self._ended(lease, result, key, coder)

    def _run(self, fallback: Any, key: str, coder: Coder, terms: Terms | None, lease: Lease) -> Result:
        """What the fallback gives or raises, an exception that ends the program aside."""
        try:
            block, run = self._around(fallback, key, coder, terms, lease)
            with block:
                value = self._upgrades.over(self._native, key, lease, run)()
                refuse_awaitable(value)
        except Exception as error:  # noqa: BLE001 - raised by `_ended`
            return Result(error=error)
        return Result(value, context=block.context)

    def _run_apart(
        self, apart: Apart, lease: Lease, key: str, fallback: Any, coder: Coder, terms: Terms | None
    ) -> None:
        """The fallback in a thread of its own; settled here once its caller has been served."""
        try:
            result = self._run(fallback, key, coder, terms, lease)
        except BaseException as error:  # noqa: BLE001 - its caller raises it
            result = Result(error=error)
        if apart.bring(result):
            self._ended(lease, result, key, coder)

    def _await_apart(self, apart: Apart, lease: Lease, key: str, coder: Coder) -> Any:
        """Waits for a fallback in a thread of its own, or for the value that is served instead."""
        state = apart.until(True)
        if state is State.SERVED:
            value = self._decoded(key, apart.stale[0], coder)
            if value is not MISSING and apart.leave():
                return value
            state = apart.until(False)
        if state is State.LATE:
            if apart.failed is not None:
                raise_failed(apart.failed)
            return self._overran(key, apart.stale[0], coder)
        assert apart.result is not None
        return self._ended(lease, apart.result, key, coder)

    def _ended(self, lease: Lease, result: Result, key: str, coder: Coder) -> Any:
        """Settles a lease with what its fallback gave or raised."""
        if result.error is not None:
            return self._told(self._failed(lease, result, key, coder))
        port = lease.port
        value, outcome = self._fill(lease, key, result.value, coder, result.context)
        _settled(port, [outcome])
        return self._told(value)

    def _failed(self, lease: Lease, result: Result, key: str, coder: Coder) -> Any:
        error = result.error
        assert error is not None
        try:
            if not isinstance(error, Exception):
                lease.give_back()
                raise error
            value = self._consoled(lease, error, key, coder)
            if value is MISSING:
                raise error
            return value
        finally:
            # The error's trace has this frame: no circle.
            result.error = None
            del error

    def _alone(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        """Runs the fallback for this caller only; nothing is stored."""
        block, run = self._around(fallback, key, coder, terms, None)
        with block:
            value = run()
        refuse_awaitable(value)
        return self._same(key, value, coder)

    def _nested(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any:
        self._report_nested(key)
        return self._told(self._alone(key, fallback, coder, terms))

    def _renew_behind(self, batch: Batch, fetch_missing: Callable[[list[str]], Any]) -> None:
        """Computes behind what has been served and is to be computed: the keys of one call together."""
        if served := batch.to_renew():
            self._workers.start(partial(self._renew_many, Batch(self, served, batch.coder), served, fetch_missing))

    def _renew_many(self, batch: Batch, served: dict[str, Served], fetch_missing: Callable[[list[str]], Any]) -> None:
        if batch.renews({key: one.more() for key, one in served.items()}):
            port = next(iter(batch.leases.values())).port
            self._fetch(port, batch, fetch_missing, may_serve=False)

    def _fetch(
        self, port: Port, batch: Batch, fetch_missing: Callable[[list[str]], Any], may_serve: bool = True
    ) -> None:
        """Calls `fetch_missing` for what is leased at this moment, and fills it."""
        part = batch.missing()
        if not part.keys:
            return None
        leases = list(part.leases.values())
        try:
            if may_serve and not part.alone and all(lease.is_soft for lease in leases):
                apart = Apart(leases)
                if self._workers.start(partial(self._fetch_apart, apart, port, batch, part, fetch_missing), True):
                    return self._await_fetch(apart, port, batch, part)
            result = self._run_fetch(fetch_missing, part)
        except BaseException:
            part.give_back()
            raise
        return self._fetched(port, batch, part, result)

    def _run_fetch(self, fetch_missing: Callable[[list[str]], Any], part: Part) -> Result:
        try:
            with self._leading(part.keys):
                found = self._upgrades.over_many(self._native, part.leases, fetch_missing)(part.keys)
                refuse_awaitable(found)
        except Exception as error:  # noqa: BLE001 - raised by `_fetched`
            return Result(error=error)
        return Result(found)

    def _fetch_apart(
        self, apart: Apart, port: Port, batch: Batch, part: Part, fetch_missing: Callable[[list[str]], Any]
    ) -> None:
        """`fetch_missing` in a thread of its own; settled here once its caller has been served."""
        try:
            result = self._run_fetch(fetch_missing, part)
        except BaseException as error:  # noqa: BLE001 - its caller raises it
            result = Result(error=error)
        if apart.bring(result):
            self._fetched(port, batch, part, result)

    def _await_fetch(self, apart: Apart, port: Port, batch: Batch, part: Part) -> None:
        """Waits for a `fetch_missing` in a thread of its own, or for the values that are served instead."""
        state = apart.until(True)
        if state is State.SERVED:
            if batch.serve(part, apart.stale) and apart.leave():
                return
            state = apart.until(False)
        if state is State.LATE:
            if apart.failed is not None:
                raise_failed(apart.failed)
            if not batch.serve(part, apart.stale):
                raise _tidegate.hard_timeout(part.keys[0])
            return
        assert apart.result is not None
        self._fetched(port, batch, part, apart.result)

    def _fetched(self, port: Port, batch: Batch, part: Part, result: Result) -> None:
        """Settles leases with what `fetch_missing` gave or raised."""
        if result.error is not None:
            error, result.error = result.error, None
            try:
                if not isinstance(error, Exception):
                    part.give_back()
                    raise error
                if not batch.serve(part, part.fail(error)):
                    raise error
            finally:
                # The error's trace has this frame: no circle.
                del error
            return
        try:
            outcomes = batch.fill(part, result.value)
        except Exception as error:
            part.fail(error)
            raise
        except BaseException:
            part.give_back()
            raise
        _settled(port, outcomes)

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

    def _get_or_default(self, key: str, default: Any, coder: Coder, options: dict[str, Any]) -> Any:
        self._check_default(key, default, options)
        return self._get_found(key, default, coder, self._terms)

    def _get_found(self, key: str, default: Any, coder: Coder, terms: Terms | None) -> Any:
        if self._disabled_blocks and self._is_disabled():
            return default
        held = self._held
        if held is not None:
            value = held(key, terms, coder, held)
            if value is not NOTHING:
                return value
        outcome = self._native.peek(_threads.port(), key, False, terms)
        return self._told(self._found(key, outcome, default, coder))

    def _get_many_found(self, keys: list[str], coder: Coder, terms: Terms | None) -> dict[str, Any]:
        """The values of those that stand there, in one round trip; of none with the store away."""
        if self._disabled_blocks and self._is_disabled():
            return {}
        found = self._held_of(keys, coder, terms)
        asked = [key for key in keys if key not in found]
        port = _threads.port()
        outcomes = answers(port, self._native.peek_many(port, asked, terms))
        return self._told(found | self._found_of(asked, outcomes, coder))

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


def answers(port: Port, outcomes: list[Any]) -> list[Any]:
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


def _settled(port: Port, outcomes: list[Any]) -> None:
    """Waits for the answers to fills."""
    for outcome in answers(port, outcomes):
        while outcome.__class__ is Served:
            # The soft timeout, and the value was right behind it.
            outcome = outcome.more()


def refuse_awaitable(value: Any, what: str = "the fallback") -> None:
    """For what a plain function was to give."""
    if hasattr(value.__class__, "__await__"):
        if hasattr(value, "close"):
            value.close()
        raise ConfigError(
            f"{what} is async: tidegate.sync takes plain functions; use tidegate.CacheManager with asyncio"
        )
