"""The manager for asyncio, traced."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._fields import FieldsCoder
from .._manager import CacheManager
from .._tidegate import NOTHING
from .._types import MISSING
from ._calls import behind, current, is_behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._calls import Tracing

    Traces = CacheManager
else:
    # The class of the manager itself comes after this one.
    Traces = object


class Traced(Traces):
    """What a manager's class is made of while it is instrumented, before its own."""

    __slots__ = ()

    _tracing: Tracing

    def _hold(self) -> None:
        # Every hit of L1 comes by `_get`.
        self._held = None
        self._begin = partial(self._tracing.begin, self._native)

    async def _get(self, key: str, fallback: Any, coder: Any, terms: Any) -> Any:
        operation = "get_fields" if coder.__class__ is FieldsCoder else "get"
        ask = super()._get
        with self._tracing.call(self, operation, key) as call:
            if self._native.holds and not self._disabled_blocks:
                value = self._native.held(key, terms, coder, fallback)
                if value is not NOTHING:
                    call.end("l1", "l1")
                    return value
            return await ask(key, call.traced(fallback), coder, terms)

    async def _refresh(self, key: str, fallback: Any, coder: Any, terms: Any) -> Any:
        ask = super()._refresh
        with self._tracing.call(self, "refresh", key) as call:
            return await ask(key, call.traced(fallback), coder, terms)

    async def _get_found(self, key: str, default: Any, coder: Any, terms: Any) -> Any:
        ask = super()._get_found
        with self._tracing.call(self, "get", key) as call:
            if self._native.holds and not self._disabled_blocks:
                value = self._native.held(key, terms, coder, coder)
                if value is not NOTHING:
                    call.end("l1", "l1")
                    return value
            call.end("miss", None)
            return await ask(key, default, coder, terms)

    async def _peek(self, key: str) -> Any:
        ask = super()._peek
        with self._tracing.call(self, "get_entry", key) as call:
            hit = await ask(key)
            call.found(hit)
            return hit

    async def get_many(self, keys: Iterable[str], fetch_missing: Any, *, type: Any = None, **options: Any) -> Any:
        ask = super().get_many
        with self._tracing.call(self, "get_many") as call:
            call.end("hit", None)
            found = await ask(keys, call.traced_many(fetch_missing), type=type, **options)
            call.attributes["tidegate.keys.count"] = len(found)
            return found

    # --- on the way ------------------------------------------------------------------------------------------------

    def _decoded(self, key: str, held: Any, coder: Any) -> Any:
        value = super()._decoded(key, held, coder)
        call = current.get()
        if call is not None and value is not MISSING:
            call.hit(held)
        return value

    def _found(self, key: str, outcome: Any, default: Any, coder: Any) -> Any:
        call = current.get()
        value = super()._found(key, outcome, default, coder)
        if call is not None:
            call.found(outcome)
        return value

    async def _lead(self, port: Any, lease: Any, key: str, *rest: Any, **more: Any) -> Any:
        call = current.get()
        if call is not None and not is_behind():
            call.end("miss", None)
        return await super()._lead(port, lease, key, *rest, **more)

    async def _alone(self, key: str, *rest: Any) -> Any:
        call = current.get()
        if call is not None:
            call.end("uncached", None)
        return await super()._alone(key, *rest)

    async def _go_on(self, *rest: Any) -> None:
        go_on = super()._go_on
        with behind():
            await go_on(*rest)

    async def _renew_many(self, *rest: Any) -> None:
        renew = super()._renew_many
        with behind():
            await renew(*rest)

    # --- writes ----------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Any, **options: Any) -> bool:
        ask = super().set_many
        with self._tracing.call(self, "set", key) as call:
            return call.confirmed(await ask({key: value}, **options))

    async def set_many(self, values: Any, **options: Any) -> bool:
        ask = super().set_many
        with self._tracing.call(self, "set_many") as call:
            return call.confirmed(await ask(values, **options))

    async def set_fields(self, key: str, values: Any, **options: Any) -> bool:
        ask = super().set_fields
        with self._tracing.call(self, "set_fields", key) as call:
            return call.confirmed(await ask(key, values, **options))

    async def write_through(self, key: str, value: Any, persist: Any, **options: Any) -> bool:
        ask = super().write_through
        with self._tracing.call(self, "write_through", key) as call:
            traced = _persist(call, persist) if callable(persist) else persist
            return call.confirmed(await ask(key, value, traced, **options))

    async def invalidate(self, key: str, *more: str, required: bool = False) -> bool:
        ask = super().invalidate
        with self._tracing.call(self, "invalidate", key) as call:
            return call.confirmed(await ask(key, *more, required=required))

    async def expire(self, key: str, *more: str, required: bool = False) -> bool:
        ask = super().expire
        with self._tracing.call(self, "expire", key) as call:
            return call.confirmed(await ask(key, *more, required=required))

    async def invalidate_field(self, key: str, name: str, *more: str, required: bool = False) -> bool:
        ask = super().invalidate_field
        with self._tracing.call(self, "invalidate_field", key) as call:
            return call.confirmed(await ask(key, name, *more, required=required))

    async def invalidate_tag(self, tag: str, *more: str, required: bool = False) -> bool:
        ask = super().invalidate_tag
        with self._tracing.call(self, "invalidate_tag") as call:
            return call.confirmed(await ask(tag, *more, required=required))

    async def clear(self, *, required: bool = False) -> bool:
        ask = super().clear
        with self._tracing.call(self, "clear") as call:
            return call.confirmed(await ask(required=required))


def _persist(call: Any, persist: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: call.run("persist", lambda: persist(value))
