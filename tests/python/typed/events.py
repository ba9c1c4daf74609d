"""What a user's type checker makes of events. Read by mypy and pyright (test_types.py), never run."""

from __future__ import annotations

import logging
from typing import Literal

from typing_extensions import assert_type

from tidegate import (
    BreakerEvent,
    CacheEvent,
    CacheManager,
    ConnectionEvent,
    ErrorEvent,
    EventType,
    FallbackErrorEvent,
    HealthEvent,
    HitEvent,
    InvalidateEvent,
    MissEvent,
    RefreshEvent,
    SetEvent,
    StaleEvent,
    WaitEvent,
)
from tidegate.logs import log_events
from tidegate.sync import CacheManager as Blocking

cache = CacheManager()
blocking = Blocking()


def on_hit(event: HitEvent) -> None:
    assert_type(event.type, Literal["cache.hit"])
    assert_type(event.key, str)
    assert_type(event.source, Literal["l1", "memory", "redis", "flight"])
    assert_type(event.duration_ms, float)
    assert_type(event.version, "int | None")
    assert_type(event.tenant, "str | None")
    assert_type(event.reason, None)


def on_invalidate(event: InvalidateEvent) -> None:
    assert_type(event.key, "str | None")
    assert_type(event.tag, "str | None")
    assert_type(event.state, Literal["confirmed", "journalled"])
    assert_type(event.reason, Literal["key", "fields", "expire", "tag", "namespace", "write_through"])


def on_health(event: HealthEvent) -> None:
    assert_type(event.value, "float | None")
    assert_type(event.state, Literal["ok", "warning"])


def on_any(event: CacheEvent) -> None:
    assert_type(event.key, "str | None")
    if isinstance(event, SetEvent):
        assert_type(event.version, int)


async def on_any_async(event: CacheEvent) -> None: ...
def on_error(event: ErrorEvent) -> str:
    return event.message


def on_miss(event: MissEvent) -> None: ...
def on_set(event: SetEvent) -> None: ...
def on_stale(event: StaleEvent) -> None: ...
def on_wait(event: WaitEvent) -> None: ...
def on_refresh(event: RefreshEvent) -> None: ...
def on_fallback_error(event: FallbackErrorEvent) -> None: ...
def on_breaker(event: BreakerEvent) -> None: ...
def on_connection(event: ConnectionEvent) -> None: ...


for manager in (cache, blocking):
    manager.on("cache.hit", on_hit)
    manager.on("cache.hit", on_any)
    manager.on("cache.miss", on_miss)
    manager.on("cache.set", on_set)
    manager.on("cache.invalidate", on_invalidate)
    manager.on("cache.stale", on_stale)
    manager.on("cache.wait", on_wait)
    manager.on("cache.refresh", on_refresh)
    manager.on("cache.error", on_error)
    manager.on("cache.fallback_error", on_fallback_error)
    manager.on("cache.breaker", on_breaker)
    manager.on("cache.connection", on_connection)
    manager.on("cache.health", on_health)
    manager.on("cache.set", lambda event: event.version + 1)
    manager.on("*", on_any)
    manager.on("*", on_any_async)
    manager.on("cache.error", logging.getLogger("shop"))
    manager.off("cache.hit", on_hit)
    log_events(manager, logging.getLogger("shop"), levels={"cache.hit": None})

names: list[EventType] = ["cache.hit", "cache.miss"]
for name in names:
    cache.on(name, on_any)
