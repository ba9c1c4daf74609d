"""Observers, the log and the figures."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import threading
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tests.support.until import until
from tidegate import CacheEvent, CacheManager, ConfigError, EventType
from tidegate.sync import CacheManager as Blocking
from tidegate.testing import FakeClock, MemoryStore

from .conftest import Make
from .helpers import Counter, eventually

KINDS: list[EventType] = [
    "cache.hit",
    "cache.miss",
    "cache.set",
    "cache.invalidate",
    "cache.wait",
    "cache.error",
    "cache.fallback_error",
]


def _watch(cache: CacheManager | Blocking) -> list[CacheEvent]:
    events: list[CacheEvent] = []
    for kind in KINDS:
        cache.on(kind, events.append)
    return events


async def test_events_tell_what_happened_in_order(cache: CacheManager, service: str) -> None:
    events = _watch(cache)

    async def fails() -> None:
        raise LookupError

    await cache.get("user:profile:1", lambda: 1)
    await cache.get("user:profile:1", lambda: 1)
    await cache.invalidate("user:profile:1")
    with pytest.raises(LookupError):
        await cache.get("user:profile:1", fails)
    await cache.close()
    assert [event.type for event in events] == [
        "cache.miss",
        "cache.set",
        "cache.hit",
        "cache.invalidate",
        "cache.miss",
        "cache.fallback_error",
    ]
    assert {event.service for event in events} == {service}
    assert {event.key for event in events} == {"user:profile:1"}
    hit = events[2]
    assert hit.source in ("memory", "redis")
    assert hit.version == events[1].version
    assert hit.duration_ms is not None
    assert hit.timestamp > 1_600_000_000_000
    assert events[3].state == "confirmed"
    with pytest.raises(dataclasses.FrozenInstanceError):
        hit.key = "other"  # type: ignore[misc]


async def test_events_come_to_the_loop_without_being_asked_for(cache: CacheManager) -> None:
    events = _watch(cache)
    threads: set[int] = set()
    cache.on("cache.miss", lambda event: threads.add(threading.get_ident()))
    await cache.get("user:profile:1", lambda: 1)

    async def came() -> bool:
        return len(events) == 2

    assert await eventually(came)
    assert threads == {threading.get_ident()}


async def test_a_wait_for_another_manager_is_told(make: Make) -> None:
    one, two = make(), make()
    events = _watch(two)
    fetch = Counter(1, held=True)
    leader = asyncio.create_task(one.get("user:profile:1", fetch))
    await fetch.entered.wait()
    waiter = asyncio.create_task(two.get("user:profile:1", fetch))
    await asyncio.sleep(0.05)
    fetch.go.set()
    await asyncio.gather(leader, waiter)
    await two.close()
    assert "cache.wait" in [event.type for event in events]


async def test_an_observer_that_raises_harms_nobody(cache: CacheManager, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: CacheEvent) -> None:
        raise RuntimeError("observer")

    cache.on("cache.miss", broken)
    events = _watch(cache)
    assert await cache.get("user:profile:1", lambda: 1) == 1
    await cache.close()
    assert [event.type for event in events] == ["cache.miss", "cache.set"]
    assert "broken" in caplog.text
    assert caplog.records[0].name == "tidegate"


async def test_off_ends_it(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.miss", events.append)
    cache.off("cache.miss", events.append)
    cache.off("cache.miss", print)
    await cache.get("user:profile:1", lambda: 1)
    await cache.close()
    assert events == []


async def test_errors_go_to_the_log_though_nobody_observes(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tidegate"):
        await cache.get("user:profile:1", object)
        await cache.close()
    assert "encode [user:profile:1]" in caplog.text


def test_observers_from_before_the_loop_and_through_many_loops() -> None:
    cache = CacheManager()
    events = _watch(cache)
    for number in range(3):

        async def use() -> None:
            before = len(events)
            await cache.get("user:profile:1", lambda: 1)

            async def came() -> bool:
                return len(events) > before

            assert await eventually(came)

        asyncio.run(use())
        assert events[-1].type == ("cache.set" if number == 0 else "cache.hit")


def test_when_the_loop_that_delivers_ends_another_goes_on() -> None:
    cache = CacheManager()
    events = _watch(cache)
    asyncio_loop = asyncio.new_event_loop()
    thread = threading.Thread(target=asyncio_loop.run_forever)
    thread.start()

    async def use(number: int) -> None:
        await cache.get(f"user:profile:{number}", lambda: 1)

    asyncio.run(use(0))  # this loop was told first
    asyncio.run_coroutine_threadsafe(use(1), asyncio_loop).result(5)
    asyncio.run(use(2))
    asyncio.run_coroutine_threadsafe(use(3), asyncio_loop).result(5)

    async def came() -> bool:
        return {event.key for event in events} == {f"user:profile:{number}" for number in range(4)}

    assert asyncio.run_coroutine_threadsafe(eventually(came), asyncio_loop).result(10)
    asyncio_loop.call_soon_threadsafe(asyncio_loop.stop)
    thread.join()
    asyncio_loop.close()


async def test_stats_count(cache: CacheManager) -> None:
    await cache.get("user:profile:1", lambda: 1)
    await cache.get("user:profile:1", lambda: 1)
    await cache.invalidate("user:profile:1")
    stats = cache.stats()
    assert {
        name: stats[name] for name in ("hits", "misses", "hit_rate", "fallbacks", "sets", "invalidation_count")
    } == {
        "hits": 1,
        "misses": 1,
        "hit_rate": 0.5,
        "fallbacks": 1,
        "sets": 1,
        "invalidation_count": 1,
    }
    assert stats["breaker"] == "closed"
    assert stats["p99_ms"] >= stats["p50_ms"] > 0


def test_blocking_observers_have_a_thread(blocking: Blocking) -> None:
    came = threading.Event()
    seen: list[tuple[str, int]] = []

    def observe(event: CacheEvent) -> None:
        seen.append((event.type, threading.get_ident()))
        came.set()

    assert "tidegate-events" not in [thread.name for thread in threading.enumerate()]
    blocking.on("cache.miss", observe)
    blocking.get("user:profile:1", lambda: 1)
    assert came.wait(5)
    assert seen[0][0] == "cache.miss"
    assert seen[0][1] != threading.get_ident()
    courier = next(thread for thread in threading.enumerate() if thread.name == "tidegate-events")
    blocking.off("cache.miss", observe)
    courier.join(5)
    assert not courier.is_alive()


def test_a_manager_that_goes_away_takes_its_thread_with_it() -> None:
    cache = Blocking()
    cache.on("cache.miss", print)
    courier = next(thread for thread in threading.enumerate() if thread.name == "tidegate-events")
    del cache
    courier.join(5)
    assert not courier.is_alive()


def test_blocking_errors_go_to_the_log(blocking: Blocking, caplog: pytest.LogCaptureFixture) -> None:
    value = object()
    assert blocking.get("user:profile:1", lambda: value) is value
    assert "encode [user:profile:1]" in caplog.text


def test_a_line_of_the_log_names_the_library_and_the_store(caplog: pytest.LogCaptureFixture) -> None:
    with Blocking("redis://localhost:1/0", service="shop") as away:
        assert away.get("user:profile:1", lambda: 1) == 1
        until(lambda: "tidegate: the store: disconnected: localhost:1: " in caplog.text, 5, "nothing was logged")


def test_the_log_hears_of_a_breaker_that_nobody_observes(caplog: pytest.LogCaptureFixture) -> None:
    def lines(service: str, *, observed: bool) -> list[tuple[str, str]]:
        """What an outage of the server, and its end, leaves in the log of its breaker."""
        caplog.clear()
        with RedisServer() as server:
            options: Any = {"breaker": {"failures": 2, "probe": 0.05}, "command_timeout": 1, "journal": 10}
            with Blocking(server.url, service=service, **options) as cache:
                assert cache.set("user:profile:1", 1)
                if observed:
                    cache.on("cache.breaker", lambda event: None)

                def state() -> str:
                    cache.get("user:profile:2", lambda: 1)
                    return cache.stats()["breaker"]

                server.kill()
                until(lambda: state() != "closed", 10, "it did not open")
                server.start()
                until(lambda: state() == "closed", 10, "it did not close")
                cache.get("user:profile:3", lambda: 1)
        return [(one.levelname, one.getMessage()) for one in caplog.records if "the breaker" in one.getMessage()]

    with caplog.at_level(logging.INFO, "tidegate"):
        opened, *closed = lines("heard", observed=False)
        assert opened[0] == "WARNING"
        assert re.fullmatch(
            r"tidegate: the store: the breaker of 127\.0\.0\.1:\d+ is open: calls run their fallback until .*",
            opened[1],
        )
        ((level, text),) = closed
        assert level == "INFO"
        assert text.partition(" is ")[2].startswith("closed: the store answers again")
        assert lines("observed", observed=True) == []


def test_the_log_hears_seldomer_of_an_outage_that_goes_on_and_an_observer_of_every_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    with Blocking(store=store, service="shop", breaker={"failures": 1_000, "ratio": 1, "window": 0.01}) as cache:
        heard: list[CacheEvent] = []
        cache.on("cache.error", heard.append)
        store.fail("down")
        for _ in range(400):
            cache.get("user:profile:1", lambda: 1)
            clock.advance(0.1)
        store.heal()
        until(lambda: len(heard) >= 400, 5, "an observer hears of each")
        until(lambda: len(caplog.messages) >= 6, 5, caplog.text)
        assert len(caplog.messages) < 12, caplog.text
        assert re.search(r" \(and \d+ more like it in \d+ s\)$", caplog.messages[-1])


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"event='cache\.hits' is not an event; the events are cache\.hit, "):
        CacheManager().on("cache.hits", print)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="observer=5 is not callable"):
        CacheManager().on("cache.hit", 5)  # type: ignore[call-overload]
