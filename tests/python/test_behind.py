"""What goes on behind callers who have been served: in their contexts, in tasks that nobody loses, until `close`."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tidegate import CacheEvent, CacheManager, ClosedError, Context, HardTimeout

from .conftest import Make
from .helpers import Counter, eventually, run_script

KEY = "user:profile:1"
REVALIDATES = {"lease": "20s", "stale_while_revalidate": "1m", "error_backoff": 0, "ttl_jitter": 0.0}
SOFT = {"lease": "20s", "stale_if_error": "1m", "soft_timeout": "30ms", "error_backoff": 0, "ttl_jitter": 0.0}

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


async def _grow_old(cache: CacheManager, values: Mapping[str, Any], **options: Any) -> None:
    """Stores what is not fresh any more when this returns."""
    assert await cache.set_many(values, ttl="20ms", **options)

    async def is_old() -> bool:
        return not any([await cache.exists(key) for key in values])

    assert await eventually(is_old)


async def test_a_refresh_behind_has_the_context_of_its_caller(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    ended = asyncio.Event()
    seen: list[Any] = []

    async def fetch(ctx: Context) -> str:
        await asyncio.sleep(0)
        seen.extend([request.get(), ctx.stale])
        ended.set()
        return "new"

    request.set("mine")
    assert await cache.get(KEY, fetch) == "old"
    request.set("another")
    await ended.wait()
    assert seen == ["mine", "old"]
    assert await eventually(lambda: _is(cache, "new"))


async def _is(cache: CacheManager, value: Any, key: str = KEY) -> bool:
    return bool(await cache.get(key, default=None) == value)


async def test_what_runs_behind_is_kept_and_awaited_by_close(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    fetch = Counter("new", held=True)
    assert await cache.get(KEY, fetch) == "old"
    await fetch.entered.wait()
    gc.collect()
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    assert not closing.done()
    fetch.go.set()
    assert await closing
    assert fetch.runs == 1
    other = make(**REVALIDATES)
    assert await other.get(KEY, default=None) == "new"


async def test_close_cancels_what_does_not_end_in_time(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def fetch() -> Any:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    assert await cache.get(KEY, fetch) == "old"
    await entered.wait()
    assert not await cache.close(timeout="50ms")
    await asyncio.wait_for(cancelled.wait(), 5)
    with pytest.raises(ClosedError):
        await cache.get(KEY, fetch)


async def test_a_view_closes_what_runs_behind_its_managers_callers(make: Make) -> None:
    cache = make(**REVALIDATES)
    view = cache.namespace("shop")
    await _grow_old(view, {KEY: "old"})
    fetch = Counter("new", held=True)
    assert await view.get(KEY, fetch) == "old"
    await fetch.entered.wait()
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    assert not closing.done()
    fetch.go.set()
    assert await closing


async def test_close_waits_for_what_runs_behind_in_other_loops(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    entered, go, ended, closed = (threading.Event() for _ in range(4))

    async def fetch() -> str:
        entered.set()
        await asyncio.to_thread(go.wait, 5)
        ended.set()
        return "new"

    async def call() -> None:
        assert await cache.get(KEY, fetch) == "old"
        await asyncio.to_thread(closed.wait, 5)

    thread = threading.Thread(target=lambda: asyncio.run(call()))
    thread.start()
    await asyncio.to_thread(entered.wait, 5)
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    assert await closing
    assert ended.is_set()
    assert len(cache._behind._tasks) == 0
    closed.set()
    thread.join()


async def test_an_error_behind_is_an_event_and_nothing_else(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    events: list[CacheEvent] = []
    told = asyncio.Event()
    cache.on("cache.fallback_error", events.append)
    cache.on("cache.fallback_error", lambda _: told.set())

    async def fetch() -> Any:
        raise LookupError("by hand")

    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    with caplog.at_level(logging.DEBUG):
        assert await cache.get(KEY, fetch) == "old"
        await asyncio.wait_for(told.wait(), 5)
        await cache.close()
        gc.collect()
        await asyncio.sleep(0)
    assert [event.key for event in events] == [KEY]
    assert complaints == []
    assert [record for record in caplog.records if record.name != "asyncio"] == []


async def test_a_caller_who_is_cancelled_after_it_was_served_takes_nothing_along(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    fetch = Counter("new", held=True)
    served = asyncio.Event()

    async def call() -> None:
        assert await cache.get(KEY, fetch) == "old"
        served.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(call())
    await served.wait()
    await fetch.entered.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    fetch.go.set()
    assert await eventually(lambda: _is(cache, "new"))


async def test_past_the_soft_timeout_the_same_run_goes_on_and_is_filled(make: Make) -> None:
    cache = make(**SOFT)
    await _grow_old(cache, {KEY: "old"})
    fetch = Counter("new", held=True)
    caller = asyncio.create_task(cache.get(KEY, fetch))
    assert await caller == "old"
    assert fetch.runs == 1
    fetch.go.set()
    assert await eventually(lambda: _is(cache, "new"))
    assert (fetch.runs, cache.stats()["fallbacks"]) == (1, 1)


async def test_past_the_soft_timeout_an_error_is_nobodys(make: Make) -> None:
    cache = make(**SOFT)
    await _grow_old(cache, {KEY: "old"})
    told, go = asyncio.Event(), asyncio.Event()
    cache.on("cache.fallback_error", lambda _: told.set())

    async def fetch() -> Any:
        await go.wait()
        raise LookupError("too late to matter")

    assert await cache.get(KEY, fetch) == "old"
    go.set()
    await asyncio.wait_for(told.wait(), 5)


async def test_at_the_hard_timeout_the_old_value_is_served_and_the_run_cancelled(make: Make) -> None:
    cache = make(stale_if_error="1m", hard_timeout="50ms", ttl_jitter=0.0)
    await _grow_old(cache, {KEY: {"name": "Ada"}})
    cancelled = asyncio.Event()

    async def fetch() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert await cache.get(KEY, fetch) == {"name": "Ada"}
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_fallback_that_blocks_the_loop_and_fails_past_the_hard_timeout_is_consoled(make: Make) -> None:
    cache = make(stale_if_error="1m", hard_timeout="50ms", ttl_jitter=0.0)
    await _grow_old(cache, {KEY: {"name": "Ada"}})

    async def fetch() -> Any:
        time.sleep(0.3)  # noqa: ASYNC251
        raise LookupError("by hand")

    assert await cache.get(KEY, fetch) == {"name": "Ada"}
    assert cache.stats()["stale_served"] == 1


async def test_an_old_value_of_another_type_consoles_nobody(make: Make) -> None:
    cache = make(stale_if_error="1m", hard_timeout="50ms", ttl_jitter=0.0, error_backoff=0)
    await _grow_old(cache, {KEY: "text"})

    async def fail(ctx: Context) -> int:
        assert ctx.stale is None
        raise LookupError("by hand")

    with pytest.raises(LookupError, match="by hand"):
        await cache.get(KEY, fail, type=int)
    with pytest.raises(HardTimeout, match=KEY):
        await cache.get(KEY, Counter(1, held=True), type=int)


async def test_an_error_is_consoled_with_the_old_value(make: Make) -> None:
    cache = make(stale_if_error="1m", ttl_jitter=0.0)
    await _grow_old(cache, {KEY: ["old"]})
    events: list[CacheEvent] = []
    cache.on("cache.stale", events.append)

    def fail() -> Any:
        raise LookupError

    assert await cache.get(KEY, fail) == ["old"]
    await cache.close()
    assert [(event.key, event.reason) for event in events] == [(KEY, "error")]


KEYS = ["user:profile:1", "user:profile:2", "user:profile:3"]


async def test_many_that_were_served_are_fetched_behind_together(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEYS[0]: "old 1", KEYS[1]: "old 2"})
    calls: list[list[str]] = []
    entered, go = asyncio.Event(), asyncio.Event()

    async def fetch(keys: list[str]) -> dict[str, str]:
        calls.append(sorted(keys))
        if keys != KEYS[2:]:
            entered.set()
            await go.wait()
        return {key: f"new {key[-1]}" for key in keys}

    many = await cache.get_many(KEYS, fetch)
    assert many == {KEYS[0]: "old 1", KEYS[1]: "old 2", KEYS[2]: "new 3"}
    await entered.wait()
    assert sorted(calls) == sorted([KEYS[2:], KEYS[:2]])
    go.set()
    assert await eventually(lambda: _is(cache, "new 1"))
    assert await eventually(lambda: _is(cache, "new 2", KEYS[1]))


async def test_many_that_fail_are_served_old_if_all_are_there(make: Make) -> None:
    cache = make(stale_if_error="1m", ttl_jitter=0.0, error_backoff=0)
    await _grow_old(cache, {KEYS[0]: 1, KEYS[1]: None})

    async def fail(keys: list[str]) -> dict[str, int]:
        raise LookupError("by hand")

    assert await cache.get_many(KEYS[:2], fail) == {KEYS[0]: 1, KEYS[1]: None}
    with pytest.raises(LookupError, match="by hand"):
        await cache.get_many(KEYS, fail)


async def test_many_are_served_old_at_the_soft_timeout(make: Make) -> None:
    cache = make(**SOFT)
    await _grow_old(cache, {KEYS[0]: "old 1", KEYS[1]: "old 2"})
    calls: list[list[str]] = []
    go = asyncio.Event()

    async def fetch(keys: list[str]) -> dict[str, str]:
        calls.append(keys)
        await go.wait()
        return {key: f"new {key[-1]}" for key in keys}

    assert await cache.get_many(KEYS[:2], fetch) == {KEYS[0]: "old 1", KEYS[1]: "old 2"}
    go.set()
    assert await eventually(lambda: _is(cache, "new 2", KEYS[1]))
    assert calls == [KEYS[:2]]


async def test_a_call_of_a_key_from_behind_itself_runs_at_once(make: Make) -> None:
    cache = make(**REVALIDATES)
    await _grow_old(cache, {KEY: "old"})
    inner: list[Any] = []
    ended = asyncio.Event()

    async def fetch() -> str:
        inner.append(await cache.refresh("user:other:1", lambda: 1))
        inner.append(await cache.get(KEY, lambda: "inner"))
        ended.set()
        return "new"

    assert await cache.get(KEY, fetch) == "old"
    await asyncio.wait_for(ended.wait(), 5)
    assert inner[0] == 1
    assert inner[1] in ("old", "inner")
    assert await eventually(lambda: _is(cache, "new"))


BY_HAND = """
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
"""


@pytest.mark.parametrize(
    "end",
    ["asyncio.run(main())", BY_HAND, BY_HAND.replace("loop.run_until_complete(loop.shutdown_asyncgens())\n", "")],
    ids=["run", "by hand", "without a farewell"],
)
@pytest.mark.parametrize("options", [REVALIDATES, SOFT], ids=["revalidates", "soft"])
def test_a_loop_may_end_with_a_refresh_under_way(end: str, options: dict[str, Any]) -> None:
    source = f"""
import asyncio, gc
from tidegate import CacheManager

cache = CacheManager("memory://", **{options!r})

async def main():
    await cache.set("user:profile:1", "old", ttl="1ms")
    await asyncio.sleep(0.02)
    entered = asyncio.Event()
    async def fetch():
        entered.set()
        await asyncio.Event().wait()
    print(await cache.get("user:profile:1", fetch))
    await entered.wait()

{end}
gc.collect()

async def again():
    print(await cache.get("user:profile:1", lambda: "new", stale_while_revalidate=0, stale_if_error=0))
    await cache.close()

asyncio.run(again())
"""
    done = run_script(source)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.split() == ["old", "new"]
