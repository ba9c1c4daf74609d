"""Clients of Redis with JSON, and no cache logic."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from benchmarks.python.adapters.face import CONNECTIONS, TTL_SECONDS, BlockingCache, Cache, Fallback, PlainFallback
from benchmarks.python.records import compact


class RedisPy(Cache):
    """GET and `json.loads`, a SET on a miss; hiredis parses."""

    distribution = "redis"

    async def open(self) -> None:
        self._redis = open_pool(self.url)

    async def get(self, key: str, fallback: Fallback) -> Any:
        text = await self._redis.get(f"redis-py:{key}")
        if text is not None:
            return json.loads(text)
        value = await fallback()
        await self._redis.set(f"redis-py:{key}", compact(value), ex=TTL_SECONDS)
        return value

    async def invalidate(self, key: str) -> None:
        await self._redis.delete(f"redis-py:{key}")

    async def close(self) -> None:
        await self._redis.aclose()


class ValkeyGlide(Cache):
    """GET and `json.loads` through GLIDE's Rust core, a SET on a miss."""

    distribution = "valkey-glide"

    async def open(self) -> None:
        glide: Any = import_module("glide")
        place = urlsplit(self.url)
        address = glide.NodeAddress(place.hostname, place.port)
        # By default a request is given up after 250 ms, as a pause of the machine may take.
        settings = glide.GlideClientConfiguration([address], request_timeout=5_000)
        self._client = await glide.GlideClient.create(settings)
        self._expiry = glide.ExpirySet(glide.ExpiryType.SEC, TTL_SECONDS)

    async def get(self, key: str, fallback: Fallback) -> Any:
        text = await self._client.get(f"glide:{key}")
        if text is not None:
            return json.loads(text)
        value = await fallback()
        await self._client.set(f"glide:{key}", compact(value), expiry=self._expiry)
        return value

    async def invalidate(self, key: str) -> None:
        await self._client.delete([f"glide:{key}"])

    async def close(self) -> None:
        await self._client.close()


class RedisPyBlocking(BlockingCache):
    """The same as `RedisPy`, blocking."""

    distribution = "redis"

    def open(self) -> None:
        from redis import BlockingConnectionPool, Redis

        pool = BlockingConnectionPool.from_url(self.url, max_connections=CONNECTIONS, timeout=None)
        self._redis = Redis(connection_pool=pool)

    def get(self, key: str, fallback: PlainFallback) -> Any:
        text: Any = self._redis.get(f"redis-py:{key}")
        if text is not None:
            return json.loads(text)
        value = fallback()
        self._redis.set(f"redis-py:{key}", compact(value), ex=TTL_SECONDS)
        return value

    def close(self) -> None:
        self._redis.close()


def open_pool(url: str) -> Any:
    """redis-py, where callers queue for a connection instead of being refused one."""
    from redis.asyncio import BlockingConnectionPool, Redis

    return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None))
