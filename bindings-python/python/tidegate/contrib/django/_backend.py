"""The backend class for `CACHES`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import tzinfo
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from django import conf
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, default_key_func
from django.utils import timezone, translation

from ... import _tidegate
from ..._errors import StoreUnavailable
from ._managers import FOREVER, Place
from ._values import pack, unpack

if TYPE_CHECKING:
    from ... import Context, Entry
    from ..._base import ManagerBase
    from ...sync import CacheManager as BlockingCacheManager

NOTHING: Any = object()
ONCE: dict[str, Any] = {"stale_if_error": 0, "stale_while_revalidate": 0, "early_refresh": False}
"""What stands is not computed anew."""
TURN: dict[str, Any] = {**ONCE, "ttl": 0.001, "wait": 30}
"""Whose fallback runs holds the lease; its entry is gone when the next one comes."""


class Frame(BaseCache):
    """What both halves share: keys, timeouts, values. Not for use by itself."""

    _missing_key: object

    def __init__(self, location: object, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._place = Place(location, params.get("OPTIONS") or {}, self.key_prefix)

    def _key(self, key: Any, version: int | None) -> str:
        """Any key of Django's is one of ours: its parts are escaped, and none of them makes a segment of its own."""
        made = self.make_and_validate_key(key, version=version)
        if self.key_func is not default_key_func:
            return _tidegate.build_key("django-key", _text(made))
        number = self.version if version is None else version
        prefix = [_text(self.key_prefix)] if self.key_prefix else []
        return _tidegate.build_key("django", *prefix, _text(number), _text(key))

    def _keys(self, keys: Iterable[Any], version: int | None) -> dict[Any, str]:
        return {key: self._key(key, version) for key in keys}

    def _ttl(self, timeout: Any) -> float:
        """Seconds; zero or less for what is not to be kept."""
        timeout = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return FOREVER if timeout is None else min(timeout, FOREVER)

    def _value(self, manager: ManagerBase, key: str, plain: Any, default: Any) -> Any:
        """What is stored, as Django's value; what no backend of ours has written is a miss, and told."""
        if plain is NOTHING:
            return default
        try:
            return unpack(plain)
        except Exception as error:  # noqa: BLE001 - an entry may hold anything
            manager._report(key, "decode", f"the entry of {key!r} cannot be read: {error!r}")
            return default

    def _values(self, manager: ManagerBase, names: dict[Any, str], plain: dict[str, Any]) -> dict[Any, Any]:
        """What was found, as Django's values by its keys."""
        found = {key: self._value(manager, made, plain.get(made, NOTHING), NOTHING) for key, made in names.items()}
        return {key: value for key, value in found.items() if value is not NOTHING}

    def close(self, **kwargs: Any) -> None:
        """Nothing: Django calls it after each request, and connections outlive requests.

        `tidegate.contrib.django.close` ends them; the end of the process does so by itself.
        """


class Blocking(Frame):
    """The methods that block."""

    @property
    def _manager(self) -> BlockingCacheManager:
        view = self._made
        if view is None or view._native.closed:
            view = self._place.blocking()
            for name in self._place.namespaces():
                view = view.namespace(name)
            self._made = view
        return view

    _made: BlockingCacheManager | None = None

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value, or `default`; a cached None is a value."""
        made = self._key(key, version)
        return self._value(self._manager, made, self._manager.get(made, default=NOTHING), default)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store it, whatever stands there; with the store away the key is invalidated as soon as it is back."""
        self._set(self._key(key, version), pack(value, str(key)), self._ttl(timeout))

    def _set(self, made: str, plain: Any, ttl: float) -> bool:
        return self._manager.set(made, plain, ttl=ttl) if ttl > 0 else self._manager.invalidate(made)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store it where nothing stands: of all callers in the fleet one is told True. False with the store away."""
        made, ttl, plain = self._key(key, version), self._ttl(timeout), pack(value, str(key))
        if ttl <= 0:
            return not self._exists(made)
        has_run = False

        def fallback() -> Any:
            nonlocal has_run
            has_run = True
            return plain

        self._manager.get(made, fallback, ttl=ttl, **ONCE)
        return has_run and self._exists(made)

    def _exists(self, made: str) -> bool:
        try:
            return self._manager.exists(made)
        except StoreUnavailable:
            return False

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """A new life for what stands there; False where nothing does."""
        made, ttl = self._key(key, version), self._ttl(timeout)
        if ttl <= 0:
            return self._delete(made)
        if not self._exists(made):
            return False
        renewal = Renewal(ttl)
        self._manager.refresh(made, renewal.run)
        return renewal.is_done

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Remove it, also from fills that are under way; whether something stood there."""
        return self._delete(self._key(key, version))

    def _delete(self, made: str) -> bool:
        stood = self._exists(made)
        self._manager.invalidate(made)
        return stood

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is an entry; False with the store away."""
        return self._exists(self._key(key, version))

    def get_or_set(self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> Any:
        """The value; else what `default` is or gives, which one caller in the fleet computes while others wait."""
        made, ttl = self._key(key, version), self._ttl(timeout)
        manager = self._manager

        def fallback(ctx: Context) -> Any:
            if ttl <= 0:
                ctx.skip()
            return pack(compute() if callable(default) else default, str(key))

        compute = apart(default)
        return self._value(manager, made, manager.get(made, fallback, **kept(ttl)), None)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """Add to a number, one caller in the fleet after another; `ValueError` where nothing stands.

        What is left of its life stays as it is. A `set` or `delete` in between is overwritten.
        """
        made = self._key(key, version)
        total: Any = NOTHING

        def step() -> None:
            nonlocal total
            total = self._add_to(made, key, delta)

        while total is NOTHING:
            self._manager.get(turn_of(made), step, **TURN)
        return total

    def _add_to(self, made: str, key: Any, delta: int) -> Any:
        try:
            entry = self._manager.get_entry(made)
        except StoreUnavailable:
            entry = None
        total = added(entry, key, delta)
        self._set(made, total, left_of(self._manager, made, entry))
        return total

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values of those that stand there, in one round trip."""
        names, manager = self._keys(keys, version), self._manager
        plain: dict[str, Any] = {}
        for made in chunks(dict.fromkeys(names.values())):
            plain |= manager._get_many_found(made, manager._coder, manager._terms)
        return self._values(manager, names, plain)

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Store many; the keys of those that the store did not confirm, which are invalidated."""
        ttl, failed = self._ttl(timeout), []
        for keys in chunks(data):
            made = {self._key(key, version): pack(data[key], str(key)) for key in keys}
            if not (self._manager.set_many(made, ttl=ttl) if ttl > 0 else self._manager.invalidate(*made)):
                failed += keys
        return failed

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Remove many, in one command."""
        for some in chunks(keys):
            self._manager.invalidate(*(self._key(key, version) for key in some))

    def clear(self) -> bool:
        """Remove everything of this KEY_PREFIX, of every version; without a prefix all that Django has here.

        In one command, however many they are. What others keep on the server stays.
        """
        return self._manager.clear()


class Renewal:
    """A fallback that gives a new life to what stands there."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self.is_done = False

    def run(self, ctx: Context) -> Any:
        """Stores what stands there anew; nothing where nothing does."""
        try:
            value = ctx.not_modified()
        except ValueError:
            ctx.skip()
            return None
        ctx.ttl = self._ttl
        self.is_done = True
        return value


def apart(run: Any) -> Any:
    """A function that is itself in another thread than this too: in this one's language and time zone.

    What is computed behind callers runs so: no request ends there, after which Django would close the database's
    connections, so it does that as well.
    """
    here, speaking = get_ident(), _as_here()

    def guarded() -> Any:
        if get_ident() == here:
            return run()
        try:
            with speaking():
                return run()
        finally:
            from django.db import connections

            connections.close_all()

    return guarded


@contextmanager
def _as_in(language: str | None, zone: tzinfo) -> Iterator[None]:
    """In this language and time zone, which Django keeps by thread."""
    with translation.override(language), timezone.override(zone):
        yield


def _as_here() -> Callable[[], AbstractContextManager[None]]:
    # The backend may be used without any settings.
    if not conf.settings.configured:
        return nullcontext
    return partial(_as_in, translation.get_language(), timezone.get_current_timezone())


def turn_of(made: str) -> str:
    """The key whose lease makes increments come one after another."""
    return made.replace("django", "django-turn", 1)


def added(entry: Entry | None, key: Any, delta: int) -> Any:
    """The new value of a number."""
    if entry is None:
        raise ValueError(f"Key '{key}' not found")
    return pack(unpack(entry.value) + delta, str(key))


def left_of(manager: ManagerBase, made: str, entry: Entry | None) -> float:
    """How many seconds an entry has left, by its server's clock: this machine's would be wrong at each step anew."""
    if entry is None:
        return 0
    now_ms = _tidegate.server_ms(manager._native, made, manager._terms) or time.time() * 1_000
    # A ttl is rounded up to the next millisecond.
    return max(0.5, entry.fresh_until - now_ms - 0.5) / 1_000


def chunks(keys: Iterable[Any]) -> Iterator[list[Any]]:
    """As many as one call of a manager takes."""
    every = list(keys)
    for at in range(0, len(every), _tidegate.BATCH_MAX):
        yield every[at : at + _tidegate.BATCH_MAX]


def kept(ttl: float) -> dict[str, Any]:
    """The options of a call that keeps what it gets for so long."""
    return {"ttl": ttl} if ttl > 0 else {}


def _text(part: Any) -> str:
    # An empty key is a key of Django's.
    return str(part) or "\x00"
