"""The cache manager that everyone writes by hand, kept here as the thing to beat.

It is the pattern of many code bases, written as a good engineer would on a Friday: GET; on a miss `SET NX PX` takes a
lock; the holder looks once more, runs the fallback, SETs the value and DELetes the lock; everybody else sleeps 50 ms
and tries again. It fails open when Redis does, keeps a cached None apart from a miss, bounds its waiting and frees its
lock when the fallback fails. Nothing in it is sabotaged.

What is wrong with it cannot be seen in review, and the tests beside it show it:

- `invalidate` removes the value but not the right of a fallback already under way to store what it read *before*, so
  an old value can come back and stay for its whole ttl (`tests/race/race.py`);
- `write_through` writes the row and then SETs the value: two writers whose SETs come in the other order than their
  rows, a fallback that read the old row and stores it behind the SET, a writer that dies in between: each leaves the
  database and the cache apart for the whole ttl (`tests/faults/row_23_write_through.py`);
- the lock has no owner: one that ran out is deleted under the feet of whoever holds it now;
- waiters poll, each caller for itself, so they learn of a value up to 50 ms late (`tests/race/stampede.py`);
- with a hung Redis every call waits for the client's own timeout, seconds by default, and then does it again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

LOCK_MS = 10_000
RETRY_SECONDS = 0.05
WAIT_SECONDS = 5.0


class NaiveManager:
    """Cache-aside on redis-py, JSON values, one lock per key."""

    def __init__(self, redis: Redis, *, prefix: str = "app", lock_ms: int = LOCK_MS) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lock_ms = lock_ms

    async def get(self, key: str, fallback: Callable[[], Awaitable[Any]], ttl: float = 300) -> Any:
        """The cached value of `key`, or what `fallback` returns, which is kept for `ttl` seconds."""
        value_key, lock_key = self._keys(key)
        for _ in range(round(WAIT_SECONDS / RETRY_SECONDS)):
            try:
                cached = await self._redis.get(value_key)
                if cached is not None:
                    return json.loads(cached)
                locked = await self._redis.set(lock_key, "1", nx=True, px=self._lock_ms)
            except RedisError:
                logger.warning("cache unavailable, going to the source for %s", key, exc_info=True)
                break
            if locked:
                return await self._fill(value_key, lock_key, fallback, ttl)
            await asyncio.sleep(RETRY_SECONDS)
        return await fallback()

    async def invalidate(self, key: str) -> None:
        """Forget the value of `key`."""
        value_key, _ = self._keys(key)
        await self._redis.delete(value_key)

    async def write_through(
        self, key: str, value: Any, persist: Callable[[Any], Awaitable[None]], ttl: float = 300
    ) -> bool:
        """Have `persist` write `value` to the database, then SET it; true when that was answered."""
        await persist(value)
        value_key, _ = self._keys(key)
        return await self._quietly(self._redis.set(value_key, json.dumps(value), px=round(ttl * 1000))) is not None

    async def _fill(self, value_key: str, lock_key: str, fallback: Callable[[], Awaitable[Any]], ttl: float) -> Any:
        try:
            # Somebody may have filled it between our GET and our lock.
            cached = await self._quietly(self._redis.get(value_key))
            if cached is not None:
                return json.loads(cached)
            value = await fallback()
            await self._quietly(self._redis.set(value_key, json.dumps(value), px=round(ttl * 1000)))
            return value
        finally:
            await self._quietly(self._redis.delete(lock_key))

    async def _quietly(self, command: Awaitable[Any]) -> Any:
        try:
            return await command
        except RedisError:
            logger.warning("cache unavailable, going on without it", exc_info=True)
            return None

    def _keys(self, key: str) -> tuple[str, str]:
        return f"{self._prefix}:{key}", f"{self._prefix}:{key}:lock"
