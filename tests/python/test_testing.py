"""The testing kit, as a user's test uses it: time goes by, and the store fails, when it is told to. No sleeps."""

from __future__ import annotations

import asyncio
import datetime
import os
import threading
from typing import Any

import pytest

import tidegate.sync
from tidegate import CacheManager, ConfigError
from tidegate.testing import FakeClock, FaultName, MemoryStore, RecordedEvents, record

KEY = "user:name:42"


class Users:
    """A user's service: a function that fetches, behind the cache."""

    def __init__(self, cache: CacheManager) -> None:
        self.cache = cache
        self.fetched = 0

    async def name(self) -> str:
        return await self.cache.get(KEY, self._fetch, type=str)

    async def _fetch(self) -> str:
        self.fetched += 1
        return f"Ada {self.fetched}"


class BlockingUsers:
    """The same, blocking."""

    def __init__(self, cache: tidegate.sync.CacheManager) -> None:
        self.cache = cache
        self.fetched = 0

    def name(self) -> str:
        return self.cache.get(KEY, self._fetch, type=str)

    def _fetch(self) -> str:
        self.fetched += 1
        return f"Ada {self.fetched}"


FAULTS: list[tuple[FaultName, dict[str, Any], float]] = [
    ("down", {}, 0),
    ("hang", {}, 0.1),
    ("lost-reply", {}, 0.1),
    ("slow", {"delay": "500ms"}, 0.1),
    ("slow", {"delay": 0.02}, 0.06),
]


@pytest.mark.parametrize(("fault", "options", "cost"), FAULTS)
async def test_a_store_that_fails_costs_a_service_nothing_but_its_cache(
    fault: FaultName, options: dict[str, Any], cost: float, tidegate_cache: CacheManager, tidegate_store: MemoryStore
) -> None:
    users = Users(tidegate_cache)
    assert await users.name() == "Ada 1"
    await users.cache.invalidate(KEY)
    assert tidegate_store.clock is not None
    before = tidegate_store.clock.now()
    with tidegate_store.failing(fault, **options):
        assert await users.name() == "Ada 2"
    assert tidegate_store.clock.now() - before == pytest.approx(cost)


@pytest.mark.parametrize(("fault", "options", "cost"), FAULTS)
def test_the_same_where_nobody_else_could_let_the_time_pass(
    fault: FaultName,
    options: dict[str, Any],
    cost: float,
    tidegate_sync_cache: tidegate.sync.CacheManager,
    tidegate_store: MemoryStore,
    tidegate_clock: FakeClock,
) -> None:
    users = BlockingUsers(tidegate_sync_cache)
    assert users.name() == "Ada 1"
    users.cache.invalidate(KEY)
    before = tidegate_clock.now()
    with tidegate_store.failing(fault, **options):
        assert users.name() == "Ada 2"
    assert tidegate_clock.now() - before == pytest.approx(cost)


async def test_an_entry_lives_for_its_ttl(tidegate_cache: CacheManager, tidegate_clock: FakeClock) -> None:
    users = Users(tidegate_cache)
    await users.name()
    tidegate_clock.advance(299)
    assert await users.name() == "Ada 1"
    tidegate_clock.advance(datetime.timedelta(seconds=1))
    assert await users.name() == "Ada 2"


class TestStale:
    @pytest.fixture
    def tidegate_options(self) -> dict[str, Any]:
        return {"ttl": "1m", "stale_if_error": "10m", "stale_while_revalidate": "1m", "soft_timeout": "2s"}

    async def test_windows_go_by(
        self, tidegate_cache: CacheManager, tidegate_clock: FakeClock, tidegate_events: RecordedEvents
    ) -> None:
        users = Users(tidegate_cache)
        await users.name()
        tidegate_clock.advance("90s")
        assert await users.name() == "Ada 1"
        await tidegate_events.settled()
        assert tidegate_events.one("cache.stale").reason == "revalidating"
        assert await users.name() == "Ada 2"

        async def fails() -> str:
            raise OSError("the database is away")

        tidegate_clock.advance("5m")
        assert await tidegate_cache.get(KEY, fails) == "Ada 2"
        tidegate_clock.advance("10m")
        with pytest.raises(OSError, match="away"):
            await tidegate_cache.get(KEY, fails)

    async def test_a_soft_timeout(self, tidegate_cache: CacheManager, tidegate_clock: FakeClock) -> None:
        await tidegate_cache.set(KEY, "Ada")
        tidegate_clock.advance("3m")
        held = asyncio.Event()

        async def slow() -> str:
            await held.wait()
            return "Grace"

        call = asyncio.create_task(tidegate_cache.get(KEY, slow))
        await asyncio.sleep(0)
        tidegate_clock.advance("2s")
        assert await call == "Ada"
        held.set()


async def test_the_breaker_opens_and_a_probe_finds_the_store_back(
    tidegate_cache: CacheManager,
    tidegate_store: MemoryStore,
    tidegate_clock: FakeClock,
    tidegate_events: RecordedEvents,
) -> None:
    users = Users(tidegate_cache)
    tidegate_store.fail("down")
    for _ in range(5):
        await users.name()
    assert tidegate_cache.stats()["breaker"] == "open"
    tidegate_clock.advance("1m")
    assert tidegate_cache.stats()["breaker"] == "open"
    tidegate_store.heal()
    tidegate_clock.advance("1s")
    assert tidegate_cache.stats()["breaker"] == "closed"
    await tidegate_events.settled()
    assert [event.state for event in tidegate_events.of("cache.breaker")] == ["open", "closed"]
    assert [event.state for event in tidegate_events.of("cache.connection")] == ["disconnected", "connected"]


async def test_a_stampede_of_two_managers_runs_one_fallback(
    tidegate_store: MemoryStore, tidegate_clock: FakeClock
) -> None:
    caches = [CacheManager(store=tidegate_store), CacheManager(store=tidegate_store)]
    recorded = record(*caches)
    runs = 0
    held = asyncio.Event()

    async def fetch() -> str:
        nonlocal runs
        runs += 1
        await held.wait()
        return "Ada"

    calls = [asyncio.create_task(caches[number % 2].get(KEY, fetch)) for number in range(100)]
    await recorded.settled()
    tidegate_clock.advance("4s")
    await recorded.settled()
    held.set()
    assert set(await asyncio.gather(*calls)) == {"Ada"}
    assert runs == 1
    await recorded.settled()
    assert len(recorded.of("cache.wait")) == 1
    for cache in caches:
        assert await cache.close(timeout=1)


async def test_an_invalidation_whose_reply_is_lost_is_owed_and_replayed(
    tidegate_cache: CacheManager,
    tidegate_store: MemoryStore,
    tidegate_clock: FakeClock,
    tidegate_events: RecordedEvents,
) -> None:
    other = CacheManager(store=tidegate_store)
    await tidegate_cache.set(KEY, "Ada")
    with tidegate_store.failing("lost-reply", only=tidegate_cache):
        assert not await tidegate_cache.invalidate(KEY)
        assert await other.set(KEY, "Grace")
    assert await tidegate_cache.get(KEY, default=None) is None
    assert await other.get(KEY, default=None) == "Grace"
    tidegate_clock.advance("1s")
    assert await other.get(KEY, default=None) is None
    await tidegate_events.settled()
    assert tidegate_events.one("cache.invalidate").state == "journalled"
    assert await other.close()


async def test_l1_is_coherent_and_empty_in_doubt(tidegate_store: MemoryStore) -> None:
    cache, other = CacheManager(store=tidegate_store, l1="1MB"), CacheManager(store=tidegate_store)
    await other.set(KEY, "Ada")
    for _ in range(3):
        assert await cache.get(KEY, default=None) == "Ada"
    assert cache.stats()["l1_hits"] == 2
    await other.set(KEY, "Grace")
    assert await cache.get(KEY, default=None) == "Grace"
    with tidegate_store.failing("hang", only=cache):
        assert cache.stats()["l1_entries"] == 0
        assert await cache.get(KEY, default=None) is None
        await other.set(KEY, "Mary")
    assert await cache.get(KEY, default=None) == "Mary"


async def test_a_clock_by_hand_moves_for_nobody() -> None:
    clock = FakeClock(start=datetime.datetime(2001, 9, 9, 1, 46, 40, tzinfo=datetime.timezone.utc), by_hand=True)
    assert clock.now() == 1_000_000_000
    assert "2001-09-09T01:46:40" in repr(clock)
    store = MemoryStore(clock)
    users = Users(CacheManager(store=store))
    store.fail("hang")
    call = asyncio.create_task(users.name())
    await asyncio.sleep(0.001)
    assert not call.done()
    clock.advance("100ms")
    assert await call == "Ada 1"


async def test_times_are_those_of_the_clock(tidegate_cache: CacheManager, tidegate_clock: FakeClock) -> None:
    recorded = record(tidegate_cache)
    await tidegate_cache.set(KEY, "Ada", ttl="1m")
    entry = await tidegate_cache.get_entry(KEY)
    assert entry is not None
    now_ms = tidegate_clock.now() * 1_000
    assert entry.created_at == pytest.approx(now_ms, abs=1)
    assert entry.fresh_until == pytest.approx(now_ms + 60_000, abs=1)
    assert recorded.settle().one("cache.set").timestamp == pytest.approx(now_ms, abs=1)


def test_chance_is_the_same_for_the_same_seed() -> None:
    def life(seed: int | None) -> int:
        cache = tidegate.sync.CacheManager(store=MemoryStore(FakeClock(), seed=seed))
        cache.set(KEY, "Ada")
        entry = cache.get_entry(KEY)
        assert entry is not None
        return entry.fresh_until - entry.created_at

    assert life(1) == life(1)
    assert len({life(seed) for seed in range(5)}) > 1


async def test_on_the_real_clock_a_hang_is_a_timeout_after_its_time() -> None:
    store = MemoryStore()
    users = Users(CacheManager(store=store, command_timeout="5ms"))
    with store.failing("hang"):
        assert await users.name() == "Ada 1"
    assert await users.name() == "Ada 2"


async def test_views_go_by_the_store(tidegate_cache: CacheManager, tidegate_store: MemoryStore) -> None:
    acme = tidegate_cache.tenant("acme").namespace("catalog")
    await acme.set("product:7", "lamp")
    assert await tidegate_cache.get("product:7", default=None) is None
    with tidegate_store.failing("down", only=acme):
        assert not await acme.clear()
        assert not await tidegate_cache.invalidate(KEY)
    tidegate_store.flush()
    assert await tidegate_cache.tenant("acme").get("product:7", default=None) is None


def test_write_behind_goes_by_the_clock(
    tidegate_sync_cache: tidegate.sync.CacheManager, tidegate_clock: FakeClock
) -> None:
    rows: dict[str, Any] = {}
    written = threading.Event()

    def save(items: Any) -> None:
        rows.update((item.key, item.value) for item in items)
        written.set()

    behind = tidegate_sync_cache.write_behind("counters", save, max_delay="1h")
    behind.put("page:views:7", 42)
    assert not written.is_set()
    assert behind.flush(timeout=10)
    assert rows == {"page:views:7": 42}
    assert tidegate_clock.now() == FakeClock().now()
    behind.close()


def test_a_forked_child_has_what_the_store_held() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    cache = tidegate.sync.CacheManager(store=store, ttl="1m", ttl_jitter=0, l1="1MB")
    cache.set(KEY, "Ada")
    child = os.fork()
    if child == 0:
        try:
            assert cache.get(KEY, default=None) == "Ada"
            store.fail("down")
            assert not cache.invalidate(KEY)
            store.heal()
            clock.advance("1s")
            assert cache.invalidate(KEY)
            clock.advance("2m")
            assert cache.get(KEY, lambda: "Grace") == "Grace"
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.get(KEY, default=None) == "Ada"


def test_recorded_events_say_what_they_are(tidegate_sync_cache: tidegate.sync.CacheManager) -> None:
    recorded = record(tidegate_sync_cache)
    tidegate_sync_cache.set(KEY, "Ada")
    tidegate_sync_cache.get(KEY, default=None)
    assert recorded.settle().types == ["cache.connection", "cache.set", "cache.hit"]
    assert recorded.of("cache.hit", "cache.set", key=KEY) == list(recorded)[1:]
    assert recorded[-1].source == "memory"
    assert "cache.set user:name:42 memory" in repr(recorded)
    with pytest.raises(AssertionError, match=r"0 events are \(cache.miss, key='user:name:42'\), of RecordedEvents"):
        recorded.one("cache.miss", key=KEY)
    with pytest.raises(ConfigError, match="is not an event"):
        recorded.of("cache.hits")  # type: ignore[arg-type]
    recorded.clear()
    recorded.stop()
    tidegate_sync_cache.get(KEY, default=None)
    assert list(recorded.settle()) == []


def test_many_threads_are_waited_for(tidegate_sync_cache: tidegate.sync.CacheManager) -> None:
    recorded = record(tidegate_sync_cache)
    for number in range(500):
        tidegate_sync_cache.set(f"user:name:{number}", number)
        assert len(recorded.settle().of("cache.set")) == number + 1


# What no type checker would let by.
Manager: Any = CacheManager
Blocking: Any = tidegate.sync.CacheManager
Store: Any = MemoryStore
Clock: Any = FakeClock
Record: Any = record

BAD: list[tuple[Any, str]] = [
    (lambda: Manager(store={}), "store={} is not a tidegate.testing.MemoryStore; a right example: CacheManager("),
    (lambda: Blocking(store="memory://"), "store='memory://' is not a"),
    (lambda: Manager("redis://localhost", store=Store(), service="x"), "url and store both say where"),
    (lambda: Store(clock=1), "clock=1 is not a FakeClock; a right example"),
    (lambda: Store(seed=-1), "seed=-1 is not accepted"),
    (lambda: Store(seed=True), "seed=True is not accepted"),
    (lambda: Store().fail("dwon"), 'fault="dwon" is not accepted: fault takes "down", "hang", "slow"'),
    (lambda: Store().fail(None), "fault=None is not a text"),
    (lambda: Store().fail("slow"), 'takes a delay; a right example: store.fail("slow", delay=0.05)'),
    (lambda: Store().fail("slow", delay=-1), "delay=-1 is not accepted"),
    (lambda: Store().fail("down", delay=1), 'only "slow" takes a delay'),
    (lambda: Store().fail("down", only=CacheManager()), "this manager is not on this store"),
    (lambda: Store().heal(only=1), "only=1 is not a CacheManager"),
    (lambda: Clock().advance(-1), "duration=-1 is not accepted"),
    (lambda: Clock().advance("5 minutes"), 'duration="5 minutes" is not accepted'),
    (lambda: Clock(start="now"), "start='now' is not accepted"),
    (lambda: Clock(start=datetime.datetime(2030, 1, 1)), "with a time zone"),
    (lambda: Record(1), "cache=1 is not a CacheManager"),
]


@pytest.mark.parametrize(("call", "says"), BAD)
def test_what_is_wrong_is_said(call: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        call()
    assert says in str(refused.value)
