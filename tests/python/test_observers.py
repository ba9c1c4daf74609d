"""Observers of every kind: async ones, slow ones, loggers, and those of all events."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import Any

import pytest

from tests.support.until import until
from tidegate import CacheEvent, CacheManager, ConfigError, EventType, HitEvent
from tidegate.logs import level_of, log_events
from tidegate.sync import CacheManager as Blocking

from .conftest import Make
from .helpers import eventually

EVENTS_MAX = 10_000


async def test_an_async_observer_is_awaited_in_order_and_before_close_ends(cache: CacheManager) -> None:
    seen: list[tuple[str, str | None]] = []

    async def observe(event: CacheEvent) -> None:
        await asyncio.sleep(0.001)
        seen.append((event.type, event.key))

    cache.on("*", observe)
    for number in range(3):
        await cache.get(f"user:profile:{number}", lambda: 1)
    await cache.close()
    expected = [(f"cache.{kind}", f"user:profile:{number}") for number in range(3) for kind in ("miss", "set")]
    assert [told for told in seen if told[0] != "cache.connection"] == expected


async def test_an_async_observer_that_raises_is_logged_and_told_again(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    told = 0

    async def broken(event: CacheEvent) -> None:
        nonlocal told
        told += 1
        raise RuntimeError("later")

    cache.on("cache.miss", broken)
    for number in range(2):
        assert await cache.get(f"user:profile:{number}", lambda: 1) == 1
    await cache.close()
    assert told == 2
    assert caplog.text.count("RuntimeError: later") == 2
    assert {record.name for record in caplog.records} == {"tidegate"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell who was cancelled")
async def test_an_async_observer_that_awaits_what_was_cancelled_harms_no_other(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[CacheEvent] = []

    async def awaits(event: CacheEvent) -> None:
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    async def sees(event: CacheEvent) -> None:
        seen.append(event)

    cache.on("cache.set", awaits)
    cache.on("cache.set", sees)
    for number in range(3):
        await cache.set(f"user:profile:{number}", 1)
    assert await cache.close()
    assert len(seen) == 3
    assert caplog.text.count("CancelledError") >= 3


async def test_an_observer_that_raises_what_is_no_exception_harms_no_other(
    cache: CacheManager, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[CacheEvent] = []

    def cancelled(event: CacheEvent) -> None:
        raise asyncio.CancelledError

    cache.on("cache.set", cancelled)
    cache.on("cache.set", seen.append)
    for number in range(3):
        await cache.set(f"user:profile:{number}", 1)
    assert await cache.close()
    assert len(seen) == 3
    assert caplog.text.count("the observer ") == 3


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_no_observer_ends_the_thread_that_tells_them(
    blocking: Blocking, caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    seen: list[CacheEvent] = []

    def ends(event: CacheEvent) -> None:
        raise raised

    blocking.on("cache.set", ends)
    blocking.on("cache.set", seen.append)
    blocking.set("user:profile:0", 1)
    until(lambda: len(seen) >= 1, 5, "the other observer was not told")
    for number in range(1, 3):
        blocking.set(f"user:profile:{number}", 1)
    until(lambda: len(seen) >= 3, 5, "the other observer was not told")
    blocking.off("cache.set", ends)
    assert raised.__name__ in caplog.text


async def test_an_async_observer_that_hangs_harms_nobody() -> None:
    cache = CacheManager()

    async def hangs(event: CacheEvent) -> None:
        await asyncio.Event().wait()

    plain: list[CacheEvent] = []
    cache.on("cache.set", hangs)
    cache.on("cache.set", plain.append)
    count = EVENTS_MAX + 500
    for first in range(0, count, 5_000):
        numbers = range(first, min(first + 5_000, count))
        await cache.set_many({f"user:profile:{number}": 1 for number in numbers})
        while len(plain) < numbers.stop:  # noqa: ASYNC110 - delivered in the loop's own time
            await asyncio.sleep(0.001)
    # One is being awaited.
    assert cache.stats()["events_dropped"] == count - EVENTS_MAX - 1
    assert await cache.close(timeout=0.05)


async def test_an_async_observer_runs_in_no_callers_context(cache: CacheManager) -> None:
    """A `get` in an observer is no part of a fallback that happened to be running."""
    got: list[Any] = []

    async def observe(event: CacheEvent) -> None:
        cache.off("cache.miss", observe)
        got.append(await cache.get("user:profile:1", lambda: "observer"))

    cache.on("cache.miss", observe)

    async def fetch() -> str:
        await asyncio.sleep(0.05)
        return "caller"

    assert await cache.get("user:profile:1", fetch) == "caller"
    await cache.close()
    assert got == ["caller"]


def test_a_loop_that_ends_takes_its_async_observers_with_it(recwarn: pytest.WarningsRecorder) -> None:
    cache = CacheManager()
    ended: list[str | None] = []

    async def slow(event: CacheEvent) -> None:
        await asyncio.sleep(0 if event.key == "user:profile:9" else 30)
        ended.append(event.key)

    cache.on("cache.miss", slow)

    async def use(number: int) -> None:
        await cache.get(f"user:profile:{number}", lambda: 1)
        await asyncio.sleep(0.05)

    asyncio.run(use(1))
    asyncio.run(use(9))
    assert ended == ["user:profile:9"]
    assert not recwarn.list


async def test_a_blocking_manager_refuses_an_async_observer(
    blocking: Blocking, caplog: pytest.LogCaptureFixture
) -> None:
    async def observe(event: CacheEvent) -> None: ...

    class Observer:
        async def __call__(self, event: CacheEvent) -> None: ...

    for observer in (observe, Observer()):
        with pytest.raises(ConfigError, match=r"is async: tidegate\.sync takes plain functions"):
            blocking.on("cache.hit", observer)
    came = threading.Event()

    def hidden(event: CacheEvent) -> Any:
        came.set()
        return observe(event)

    blocking.on("cache.miss", hidden)
    blocking.get("user:profile:1", lambda: 1)
    assert came.wait(5)
    # It is told behind the observer's return.
    until(lambda: "gave something to be awaited" in caplog.text, 5, "nothing was logged")
    blocking.close()


async def test_one_observer_of_all_events_beside_those_of_one(cache: CacheManager) -> None:
    every: list[CacheEvent] = []
    hits: list[HitEvent] = []
    cache.on("*", every.append)
    cache.on("cache.hit", hits.append)
    await cache.get("user:profile:1", lambda: 1)
    await cache.get("user:profile:1", lambda: 1)

    async def is_told() -> bool:
        return bool(hits)

    assert await eventually(is_told)
    cache.off("*", every.append)
    await cache.get("user:profile:1", lambda: 1)
    await cache.close()
    told = [event.type for event in every if event.type != "cache.connection"]
    assert told == ["cache.miss", "cache.set", "cache.hit"]
    assert len(hits) == 2


async def test_events_that_nobody_takes_in_time_are_dropped_and_counted() -> None:
    cache = CacheManager()
    sets: list[CacheEvent] = []
    cache.on("cache.set", sets.append)
    count = EVENTS_MAX + 100
    parts = [range(count // 2), range(count // 2, count)]
    # In one turn of the loop, though one call would not take them all.
    await asyncio.gather(*(cache.set_many({f"user:profile:{number}": 1 for number in part}) for part in parts))
    await cache.close()
    assert len(sets) + cache.stats()["events_dropped"] == count
    assert len(sets) >= EVENTS_MAX


async def test_an_observer_that_blocks_delays_no_blocking_caller(blocking: Blocking) -> None:
    go, told = threading.Event(), threading.Event()

    def slow(event: CacheEvent) -> None:
        told.set()
        go.wait(10)

    blocking.on("cache.miss", slow)
    for number in range(20):
        assert blocking.get(f"user:profile:{number}", lambda: 1) == 1
    assert told.wait(5)
    assert not go.is_set()
    go.set()


# --- logging ---------------------------------------------------------------------------------------------------------


async def test_a_logger_is_an_observer(cache: CacheManager, service: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("shop.cache")
    with caplog.at_level(logging.DEBUG, "shop.cache"):
        cache.on("cache.miss", logger)
        cache.on("cache.error", logging.LoggerAdapter(logger, {}))
        await cache.get("user:profile:1", object)
        await cache.close()
    miss, error = caplog.records
    assert (miss.name, miss.levelno) == ("shop.cache", logging.DEBUG)
    assert miss.getMessage().startswith("cache.miss [user:profile:1] source=")
    fields = vars(miss)["tidegate"]
    assert (fields["type"], fields["key"], fields["service"]) == ("cache.miss", "user:profile:1", service)
    assert None not in fields.values()
    # Once: not to the log `tidegate` as well.
    assert (error.name, error.levelno) == ("shop.cache", logging.WARNING)
    assert "reason=encode: the value of 'user:profile:1' is not stored" in error.getMessage()


async def test_a_logger_is_taken_away_again(cache: CacheManager, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("shop.cache")
    with caplog.at_level(logging.DEBUG, "shop.cache"):
        cache.on("cache.miss", logger)
        cache.off("cache.miss", logger)
        stop = log_events(cache, logger)
        stop()
        await cache.get("user:profile:1", lambda: 1)
        await cache.close()
    assert not caplog.records


async def test_each_event_has_a_level(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    cache = make(stale_if_error="1h")
    levels: dict[EventType, int | None] = {"cache.set": None, "cache.miss": logging.ERROR}
    log_events(cache, levels=levels)

    def fails() -> None:
        raise LookupError

    with caplog.at_level(logging.DEBUG, "tidegate.events"):
        await cache.get("user:profile:1", lambda: 1)
        await cache.get("user:profile:1", lambda: 1)
        await cache.expire("user:profile:1")
        await cache.get("user:profile:1", fails)
        await cache.close()
    logged = [(record.getMessage().split()[0], record.levelname) for record in caplog.records]
    assert [told for told in logged if told[0] != "cache.connection"] == [
        ("cache.miss", "ERROR"),
        ("cache.hit", "DEBUG"),
        ("cache.invalidate", "DEBUG"),
        ("cache.miss", "ERROR"),
        ("cache.fallback_error", "WARNING"),
        ("cache.stale", "WARNING"),
    ]


def test_what_is_as_it_should_be_is_told_less_loudly() -> None:
    def level(kind: str, **fields: Any) -> str:
        return logging.getLevelName(level_of(CacheEvent(kind, 1, "shop", **fields)))

    assert level("cache.stale", reason="revalidating") == "DEBUG"
    assert level("cache.stale", reason="error") == "WARNING"
    assert level("cache.breaker", state="open") == "WARNING"
    assert level("cache.breaker", state="closed") == "INFO"
    assert level("cache.connection", state="connected") == "INFO"
    assert level("cache.connection", state="disconnected", reason="timeout") == "WARNING"
    assert level("cache.invalidate", state="confirmed", reason="key") == "DEBUG"
    assert level("cache.invalidate", state="journalled", reason="key") == "WARNING"
    assert level("cache.health", state="ok", reason="memory") == "INFO"
    assert level("cache.health", state="warning", reason="memory") == "WARNING"


async def test_no_event_begins_a_line_of_its_own(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    cache = make()
    log_events(cache)
    hostile = "acme\r\nWARNING forged\u2028\u202e\x1b[2J"
    with caplog.at_level(logging.DEBUG, "tidegate.events"):
        acme = cache.tenant(hostile)
        await acme.get("user:\u202eprofile:1", lambda: 1, tags=["user:\u202ex"])
        await acme.invalidate_tag("user:\u202ex")
        await acme.get("user:profile:2", lambda: {"key\r\nforged": object()})
        await cache.close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) >= 5
    assert all(line.isprintable() for line in lines), lines
    fields: list[dict[str, Any]] = [vars(record)["tidegate"] for record in caplog.records]
    assert hostile in {one.get("tenant") for one in fields}


async def test_a_text_is_made_only_where_it_is_written(cache: CacheManager) -> None:
    class Counting(logging.Handler):
        records: list[logging.LogRecord] = []  # noqa: RUF012 - of this one handler

        def emit(self, record: logging.LogRecord) -> None:
            self.records.append(record)

    logger = logging.Logger("shop.quiet", logging.WARNING)
    logger.addHandler(Counting())
    log_events(cache, logger)
    await cache.get("user:profile:1", lambda: 1)
    await cache.get("user:profile:1", object)
    await cache.invalidate("user:profile:1")
    await cache.get("user:profile:1", object)
    await cache.close()
    assert {record.args[0].__class__.__name__ for record in Counting.records if record.args} == {"_Line"}  # type: ignore[index]
    assert {record.levelno for record in Counting.records} == {logging.WARNING}


def test_what_is_no_level_and_no_logger_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"levels names 'cache\.hits', which is not an event"):
        log_events(Blocking(), levels={"cache.hits": 10})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"logger='shop' is not a logger; a right example"):
        log_events(Blocking(), "shop")  # type: ignore[arg-type]
