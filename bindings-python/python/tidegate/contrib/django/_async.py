"""The backend's async methods, on a manager for asyncio: no thread is taken, and a thousand may wait for one fill.

Django's own run the blocking ones in one thread for all requests. The two managers share keys, entries and leases as
two processes do.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from ..._errors import StoreUnavailable
from ._backend import NOTHING, ONCE, TURN, Frame, Renewal, added, chunks, kept, left_of, turn_of
from ._values import pack

if TYPE_CHECKING:
    from ... import CacheManager, Context


class Async(Frame):
    """The methods that are awaited, in the order of `Blocking`."""

    @property
    def _async(self) -> CacheManager:
        view = self._made_async
        if view is None or view._native.closed:
            view = self._place.asynchronous()
            for name in self._place.namespaces():
                view = view.namespace(name)
            self._made_async = view
        return view

    _made_async: CacheManager | None = None

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """As `get`."""
        made = self._key(key, version)
        return self._value(self._async, made, await self._async.get(made, default=NOTHING), default)

    async def aset(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """As `set`."""
        await self._aset(self._key(key, version), pack(value, str(key)), self._ttl(timeout))

    async def _aset(self, made: str, plain: Any, ttl: float) -> bool:
        return await (self._async.set(made, plain, ttl=ttl) if ttl > 0 else self._async.invalidate(made))

    async def aadd(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """As `add`."""
        made, ttl, plain = self._key(key, version), self._ttl(timeout), pack(value, str(key))
        if ttl <= 0:
            return not await self._aexists(made)
        has_run = False

        def fallback() -> Any:
            nonlocal has_run
            has_run = True
            return plain

        await self._async.get(made, fallback, ttl=ttl, **ONCE)
        return has_run and await self._aexists(made)

    async def _aexists(self, made: str) -> bool:
        try:
            return await self._async.exists(made)
        except StoreUnavailable:
            return False

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """As `touch`."""
        made, ttl = self._key(key, version), self._ttl(timeout)
        if ttl <= 0:
            return await self._adelete(made)
        if not await self._aexists(made):
            return False
        renewal = Renewal(ttl)
        await self._async.refresh(made, renewal.run)
        return renewal.is_done

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """As `delete`."""
        return await self._adelete(self._key(key, version))

    async def _adelete(self, made: str) -> bool:
        stood = await self._aexists(made)
        await self._async.invalidate(made)
        return stood

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """As `has_key`."""
        return await self._aexists(self._key(key, version))

    async def aget_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """As `get_or_set`; `default` may be an async function too."""
        made, ttl = self._key(key, version), self._ttl(timeout)

        async def fallback(ctx: Context) -> Any:
            if ttl <= 0:
                ctx.skip()
            value = default() if callable(default) else default
            return pack(await value if inspect.isawaitable(value) else value, str(key))

        plain = await self._async.get(made, fallback, **kept(ttl))
        return self._value(self._async, made, plain, None)

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """As `incr`."""
        made = self._key(key, version)
        total: Any = NOTHING

        async def step() -> None:
            nonlocal total
            total = await self._aadd_to(made, key, delta)

        while total is NOTHING:
            await self._async.get(turn_of(made), step, **TURN)
        return total

    async def _aadd_to(self, made: str, key: Any, delta: int) -> Any:
        try:
            entry = await self._async.get_entry(made)
        except StoreUnavailable:
            entry = None
        total = added(entry, key, delta)
        await self._aset(made, total, left_of(self._async, made, entry))
        return total

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """As `get_many`, in one round trip."""
        names, manager = self._keys(keys, version), self._async
        plain: dict[str, Any] = {}
        for made in chunks(dict.fromkeys(names.values())):
            plain |= await manager._get_many_found(made, manager._coder, manager._terms)
        return self._values(manager, names, plain)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """As `set_many`."""
        ttl, failed = self._ttl(timeout), []
        for keys in chunks(data):
            made = {self._key(key, version): pack(data[key], str(key)) for key in keys}
            if not await (self._async.set_many(made, ttl=ttl) if ttl > 0 else self._async.invalidate(*made)):
                failed += keys
        return failed

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """As `delete_many`."""
        for some in chunks(keys):
            await self._async.invalidate(*(self._key(key, version) for key in some))

    async def aclear(self) -> bool:
        """As `clear`."""
        return await self._async.clear()

    async def aclose(self, **kwargs: Any) -> None:
        """Nothing, as `close`."""
