"""Mistakes around calls: events, queues, the testing kit, metrics. Each marked line is refused, as in calls.py."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

import tidegate.otel
import tidegate.prometheus
from tidegate import (
    BreakerEvent,
    CacheEvent,
    CacheManager,
    ConnectionEvent,
    HealthEvent,
    HitEvent,
    MissEvent,
    TidegateError,
    WriteItem,
)
from tidegate.logs import log_events
from tidegate.sync import CacheManager as Blocking
from tidegate.testing import FakeClock, MemoryStore, record

cache = CacheManager()
blocking = Blocking()


def on_any(event: CacheEvent) -> None: ...
def on_miss(event: MissEvent) -> None: ...
def on_hit(event: HitEvent) -> None: ...
def on_connection(event: ConnectionEvent) -> None: ...


# --- events

cache.on("cache.hits", on_any)  # wrong: no such event
cache.on("cache.hit", on_miss)  # wrong: of another event
cache.on("*", on_hit)  # wrong: it is given every event
cache.on("cache.set", lambda event: event.versions)  # wrong: no such field
cache.on("cache.miss", lambda event: event.version + 1)  # wrong: a miss has no version
cache.on("cache.invalidate", lambda event: event.key.upper())  # wrong: a tag's has no key
cache.on("cache.hit", lambda: None)  # wrong: it is given the event
cache.on("cache.hit", 5)  # wrong: no function
cache.off("cache.hit", on_miss)  # wrong: of another event
blocking.on("cache.breaker", on_connection)  # wrong: of another event
log_events(cache, "shop")  # wrong: a logger
log_events(cache, levels={"cache.hits": None})  # wrong: no such event


def changes(event: HitEvent) -> None:
    event.key = "other"  # wrong: it has happened


def compares(event: BreakerEvent) -> bool:
    return event.state == "half_open"  # wrong: it is open or closed


def unit(event: HealthEvent) -> float:
    return event.value  # wrong: there may be none


def fault(error: TidegateError) -> str:
    return error.kode  # wrong: no such field


# --- events between services, write-behind


def sink(items: list[WriteItem]) -> None: ...
async def sink_later(items: list[WriteItem]) -> None: ...


async def between() -> None:
    cache.on_event("user.updated", 7)  # wrong: no function
    cache.on_event("user.updated", lambda data: 7)  # wrong: a number names nothing
    cache.on_event("user.updated", lambda data: None, max_attempt=3)  # wrong: no such option
    cache.publish_event("user.updated", {"id": 42})  # wrong: not awaited
    await cache.publish_event("user.updated", 1, max_length=10)  # wrong: no such option
    await cache.publish_event(42, 1)  # wrong: a name is a text
    queue = cache.write_behind("counters", sink_later)
    queue.put("page:views:7", 1)  # wrong: not awaited
    await queue.put("page:views:7", 1, operation=7)  # wrong: no such option
    await queue.put("page:views:7", 1, operation_id=7)  # wrong: a text
    await queue.dead_letters.list(limit="all")  # wrong: a number
    cache.write_behind("counters", lambda item, more: None)  # wrong: it is given the items
    cache.write_behind("counters", 5)  # wrong: no function
    cache.write_behind("counters", sink, speed=1)  # wrong: no such option
    cache.write_behind("counters", sink, batch="all")  # wrong: a number
    blocking.write_behind("counters", sink_later)  # wrong: blocking code cannot await it


# --- figures and health


async def watching() -> None:
    cache.stats()["hitrate"]  # wrong: no such figure
    cache.stats()["hits"].upper()  # wrong: a number
    (await cache.health()).state  # wrong: it is `status`
    (await cache.health()).findings[0].why  # wrong: no such field
    cache.metrics()[0].label  # wrong: no such field


# --- the testing kit


async def testing() -> None:
    clock = FakeClock()
    clock.advance(None)  # wrong: no duration
    FakeClock(start="noon")  # wrong: no time
    FakeClock(0, True)  # wrong: options go by name
    store = MemoryStore(clock)
    MemoryStore(seed="1")  # wrong: a number
    MemoryStore("memory://")  # wrong: a clock
    store.fail("dwon")  # wrong: no such fault
    store.fail("slow", delay=[5])  # wrong: no duration
    store.fail("down", only=store)  # wrong: a manager
    store.failing("gone")  # wrong: no such fault
    CacheManager(store="memory://")  # wrong: a URL is no store
    recorded = record(cache)
    recorded.settled()  # wrong: not awaited
    recorded.one("cache.hits")  # wrong: no such event
    recorded.of("cache.hit", "cache.sets")  # wrong: no such event
    recorded.one("cache.hit").keys  # wrong: no such field
    recorded.one("cache.hit", kye="user:profile:42")  # not refused: fields are by name, and differ by event
    record("cache")  # wrong: a manager


# --- Prometheus and OpenTelemetry

tidegate.prometheus.instrument("cache")  # wrong: a manager
tidegate.prometheus.instrument(cache, CollectorRegistry())  # wrong: options go by name
tidegate.prometheus.instrument(cache, registry="default")  # wrong: a registry
tidegate.prometheus.instrument(cache, keys=True)  # wrong: no key is a label
tidegate.otel.instrument("cache")  # wrong: a manager
tidegate.otel.instrument(cache, keys="all")  # wrong: yes, no, or a function
tidegate.otel.instrument(cache, meter_provider="default")  # wrong: a provider
tidegate.otel.instrument(cache).stop()  # wrong: it is `uninstrument`
