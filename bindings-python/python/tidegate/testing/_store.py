"""The store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from .. import _tidegate
from .._base import ManagerBase
from .._errors import ConfigError
from ._clock import FakeClock

if TYPE_CHECKING:
    from .._types import Duration

FaultName: TypeAlias = Literal["down", "hang", "slow", "lost-reply"]
"""What a store can be made to do: fail at once, never answer, answer late, or do what it is asked and not say so."""


class MemoryStore:
    """A server in this process, for tests: `CacheManager(store=store)`.

    A test makes as many managers on it as its service has processes.

    On a `clock` all of them go by that; without one by the real time. With a `seed` chance (the jitter of ttls and
    waits) is the same in each run, for managers that are made in the same order.

    >>> from tidegate.sync import CacheManager
    >>> store = MemoryStore(FakeClock(), seed=1)
    >>> one, other = CacheManager(store=store), CacheManager(store=store)
    >>> one.set("user:name:42", "Ada"), other.get("user:name:42", default=None)
    (True, 'Ada')
    >>> with store.failing("down"):
    ...     one.invalidate("user:name:42")
    False
    """

    __slots__ = ("_native", "clock")

    def __init__(self, clock: FakeClock | None = None, seed: int | None = None) -> None:
        if clock is not None and not isinstance(clock, FakeClock):
            raise ConfigError(f"clock={clock!r} is not a FakeClock; a right example: MemoryStore(clock=FakeClock())")
        is_whole = isinstance(seed, int) and not isinstance(seed, bool)
        if seed is not None and not (is_whole and 0 <= seed < 2**53):
            raise ConfigError(
                f"seed={seed!r} is not accepted: seed takes an integer from 0 on; a right example: MemoryStore(seed=1)"
            )
        self.clock = clock
        """What it goes by; None is the real time."""
        self._native = _tidegate.MemoryStore(None if clock is None else clock._native, seed)

    def fail(self, fault: FaultName, *, delay: Duration | None = None, only: ManagerBase | None = None) -> None:
        """From now on this becomes of commands, until `heal`; of all managers on the store, or of `only` one.

        - `"down"`: the server is out of reach; each command fails at once. What it holds stays.
        - `"hang"`: it is there and says nothing; each command is a timeout after `command_timeout`. What was sent runs
          when the store heals, as with a process that was stopped, though nobody hears of it any more.
        - `"slow"`: each command runs, and its answer takes `delay`; longer than `command_timeout` is a timeout.
        - `"lost-reply"`: each command runs, and is a timeout all the same.
        """
        if not isinstance(fault, str):
            raise ConfigError(f'fault={fault!r} is not a text; a right example: store.fail("down")')
        self._native.fail(fault, delay, _native_of(only))

    def heal(self, *, only: ManagerBase | None = None) -> None:
        """All managers on the store are served again, or `only` this one."""
        self._native.heal(_native_of(only))

    @contextmanager
    def failing(
        self, fault: FaultName, *, delay: Duration | None = None, only: ManagerBase | None = None
    ) -> Iterator[None]:
        """A block in which it fails, as with `fail`; it heals at the end."""
        self.fail(fault, delay=delay, only=only)
        try:
            yield
        finally:
            self.heal(only=only)

    def flush(self) -> None:
        """Forget everything that it holds, as FLUSHALL does."""
        self._native.flush()

    def __repr__(self) -> str:
        return f"tidegate.testing.MemoryStore(clock={self.clock!r})"


def _native_of(only: ManagerBase | None) -> _tidegate.Cache | None:
    if only is not None and not isinstance(only, ManagerBase):
        raise ConfigError(f'only={only!r} is not a CacheManager; a right example: store.fail("down", only=cache)')
    return None if only is None else only._native
