"""Every Python contender behind one small face, each used as its own documentation says.

To add one: a subclass of `Cache` (or `BlockingCache`), a line in `CONTENDERS`, its pin in `peers/requirements.txt`, and
its name in the scenarios that it is to appear in.

Peers are imported where they are opened: a worker loads only what it measures.
"""

from __future__ import annotations

from benchmarks.python.adapters.clients import RedisPy, RedisPyBlocking, ValkeyGlide
from benchmarks.python.adapters.face import BlockingCache, Cache
from benchmarks.python.adapters.managers import (
    Aiocache,
    AiocachePlain,
    Cashews,
    CashewsLock,
    DogpileBlocking,
    DogpileThreads,
    Naive,
)
from benchmarks.python.adapters.process import AiocacheMemory, AsyncLru, CashewsMemory, Dict, DictJson
from benchmarks.python.adapters.tidegate import Tidegate, TidegateBlocking, TidegateCached, TidegateL1, TidegateShared

CONTENDERS: dict[str, type[Cache] | type[BlockingCache]] = {
    "tidegate": Tidegate,
    "naive": Naive,
    "redis-py": RedisPy,
    "valkey-glide": ValkeyGlide,
    "cashews": Cashews,
    "cashews-lock": CashewsLock,
    "aiocache": Aiocache,
    "aiocache-plain": AiocachePlain,
    "dogpile-threads": DogpileThreads,
    "dict": Dict,
    "dict-json": DictJson,
    "async-lru": AsyncLru,
    "cashews-mem": CashewsMemory,
    "aiocache-mem": AiocacheMemory,
    "tidegate-l1-shared": TidegateShared,
    "tidegate-l1-own": TidegateL1,
    "tidegate-cached": TidegateCached,
    "tidegate-sync": TidegateBlocking,
    "redis-py-sync": RedisPyBlocking,
    "dogpile-redis": DogpileBlocking,
}
