"""write_through: whose task `persist` runs in, and what a write leaves that is cancelled, abandoned or forked."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, ConfigError, StoreUnavailable

from .conftest import Make, MakeBlocking
from .helpers import eventually, run_script

KEY = "user:profile:1"
CANCELS = 300

_request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Persist:
    """A `persist` that is held, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[object] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, value: object) -> None:
        self.given.append(value)
        self.entered.set()
        await self.go.wait()


async def test_persist_runs_in_the_callers_task_with_the_value_as_it_was_given(cache: CacheManager) -> None:
    _request.set("mine")
    given = {"name": "Ada"}
    seen: list[object] = []

    async def persist(value: dict[str, str]) -> str:
        seen.extend([value, asyncio.current_task(), _request.get()])
        _request.set("of persist")
        return "ignored"

    assert await cache.write_through(KEY, given, persist) is True
    assert seen[0] is given
    assert seen[1:] == [asyncio.current_task(), "mine"]
    assert _request.get() == "of persist"
    assert await cache.write_through(KEY, 2, seen.append) is True
    assert seen[-1] == 2


async def test_what_persist_raises_is_raised_unchanged(cache: CacheManager) -> None:
    await cache.set(KEY, "old")
    error = RuntimeError("the row is locked")

    async def fails(value: object) -> None:
        raise error

    def fails_at_once(value: object) -> None:
        raise error

    for persist in (fails, fails_at_once):
        with pytest.raises(RuntimeError) as raised:
            await cache.write_through(KEY, "new", persist)
        assert raised.value is error
        assert await cache.get(KEY, lambda: "computed") == "computed"


async def test_a_get_inside_its_own_persist_does_not_wait_for_itself(cache: CacheManager) -> None:
    seen: list[object] = []

    async def persist(value: object) -> None:
        seen.append(await asyncio.wait_for(cache.get(KEY, lambda: "computed"), 1))

    assert await cache.write_through(KEY, "new", persist)
    assert seen == ["computed"]
    assert await cache.get(KEY, default=None) == "new"


async def test_inside_a_disabled_block_the_row_is_written_and_the_old_entry_does_not_survive(
    cache: CacheManager,
) -> None:
    await cache.set(KEY, "old")
    rows: list[object] = []
    with cache.disabled():
        assert await cache.write_through(KEY, "new", rows.append) is False
    assert rows == ["new"]
    assert await cache.get(KEY, default="absent") == "absent"


async def test_a_null_is_written_through_for_its_own_ttl(cache: CacheManager) -> None:
    assert await cache.write_through(KEY, None, lambda value: None)
    assert await cache.get(KEY, default="absent") is None


async def test_persist_is_refused_by_name(cache: CacheManager) -> None:
    with pytest.raises(ConfigError, match=r"persist=3 is not callable; it takes the value .* a right example: "):
        await cache.write_through(KEY, 1, 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r'on_store_down="maybe" is not accepted: on_store_down takes "persist" or'):
        await cache.write_through(KEY, 1, print, on_store_down="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match='did you mean "on_store_down"'):
        await cache.write_through(KEY, 1, print, on_stoer_down="refuse")  # type: ignore[call-arg]


async def test_a_write_that_is_cancelled_at_any_moment_leaves_no_mark(make: Make, redis_server: RedisServer) -> None:
    """With the next reader it is seen: beside a mark nothing is stored."""
    cache = make(lease="100ms", wait=0)
    chance = random.Random(1)

    async def persist(value: object) -> None:
        await asyncio.sleep(chance.random() * 0.004)

    async def one(number: int) -> None:
        write = asyncio.ensure_future(cache.write_through(f"user:profile:{number}", number, persist))
        await asyncio.sleep(chance.random() * 0.006)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)

    await asyncio.gather(*(one(number) for number in range(CANCELS)))

    async def is_stored(number: int) -> bool:
        await cache.get(f"user:profile:{number}", lambda: number)
        return await cache.get(f"user:profile:{number}", default=None) == number

    for number in range(CANCELS):
        # A mark that was left would run out after ten seconds.
        assert await eventually(lambda number=number: is_stored(number), seconds=8)  # type: ignore[misc]
    assert await cache.close()


async def test_a_write_that_is_cancelled_before_its_beginning_is_answered_does_not_persist(
    own_server: RedisServer, service: str
) -> None:
    async with CacheManager(own_server.url, service=service, command_timeout=5) as cache:
        assert await cache.set(KEY, "old")
        own_server.pause()
        rows: list[object] = []
        write = asyncio.ensure_future(cache.write_through(KEY, "new", rows.append))
        await asyncio.sleep(0.05)
        write.cancel()
        own_server.resume()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert rows == []

        async def is_stored() -> bool:
            await cache.get(KEY, lambda: "computed")
            return await cache.get(KEY, default=None) == "computed"

        assert await eventually(is_stored)


async def test_a_coroutine_that_is_closed_in_its_persist_ends_its_write(cache: CacheManager) -> None:
    class Never:
        def __await__(self) -> Generator[str, None, None]:
            yield "inside"

    coroutine = cache.write_through(KEY, "new", lambda value: Never())
    step: Any = coroutine.send(None)
    while step != "inside":
        if step.done():
            step = coroutine.send(None)
        else:
            await asyncio.sleep(0.01)
    coroutine.close()

    async def is_stored() -> bool:
        await cache.get(KEY, lambda: "computed")
        return await cache.get(KEY, default=None) == "computed"

    assert await eventually(is_stored)


async def test_a_close_waits_for_a_write(make: Make) -> None:
    cache, persist = make(), Persist()
    write = asyncio.ensure_future(cache.write_through(KEY, "new", persist))
    await persist.entered.wait()
    closing = asyncio.ensure_future(cache.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    persist.go.set()
    assert await write is True
    assert await closing is True


async def test_a_close_that_waits_no_longer_says_so_and_the_write_ends_as_no_entry(make: Make) -> None:
    cache, persist = make(), Persist()
    write = asyncio.ensure_future(cache.write_through(KEY, "new", persist))
    await persist.entered.wait()
    assert await cache.close(timeout=0.05) is False
    persist.go.set()
    assert await write is False


async def test_events_and_figures_tell_of_writes(make: Make) -> None:
    cache = make()
    seen: list[CacheEvent] = []
    for event in ("cache.set", "cache.invalidate"):
        cache.on(event, seen.append)

    def fails(value: object) -> None:
        raise RuntimeError

    await cache.write_through(KEY, 1, lambda value: None)
    with pytest.raises(RuntimeError):
        await cache.write_through(KEY, 1, fails)

    async def is_told() -> bool:
        return len(seen) == 2

    assert await eventually(is_told)
    told = [(event.type, event.key, event.reason, event.state) for event in seen]
    assert told == [("cache.set", KEY, None, None), ("cache.invalidate", KEY, "write_through", "confirmed")]
    assert (seen[0].version or 0) > 0
    stats = cache.stats()
    assert (stats["sets"], stats["invalidation_count"]) == (1, 1)


async def test_with_the_store_gone_a_write_persists_or_is_refused(own_server: RedisServer, service: str) -> None:
    async with CacheManager(own_server.url, service=service) as cache:
        own_server.kill()
        rows: list[object] = []
        assert await cache.write_through(KEY, 1, rows.append) is False
        with pytest.raises(StoreUnavailable, match='did not confirm the beginning of a write of "user:profile:1"'):
            await cache.write_through(KEY, 2, rows.append, on_store_down="refuse")
        assert rows == [1]
        own_server.start()


def test_a_loop_that_ends_takes_its_writes_with_it(redis_server: RedisServer, service: str) -> None:
    ended = run_script(
        """
        import asyncio, sys, warnings
        from tidegate import CacheManager

        url, service = sys.argv[1:]
        cache = CacheManager(url, service=service, command_timeout=5)

        async def write():
            entered = asyncio.Event()
            async def persist(value):
                entered.set()
                await asyncio.sleep(3600)
            task = asyncio.ensure_future(cache.write_through("user:profile:1", 1, persist))
            await entered.wait()
            return task

        async def read():
            for _ in range(100):
                await cache.get("user:profile:1", lambda: "computed", wait=0)
                if await cache.get("user:profile:1", default=None) == "computed":
                    return True
                await asyncio.sleep(0.02)
            return False

        asyncio.run(write())  # cancels what is left
        print(asyncio.run(read()))
        """,
        redis_server.url,
        service,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)


def test_a_child_that_is_forked_inside_a_persist_ends_nothing_of_its_parents(
    redis_server: RedisServer, service: str
) -> None:
    ended = run_script(
        """
        import gc, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from tidegate.sync import CacheManager

        url, service = sys.argv[1:]
        cache = CacheManager(url, service=service, command_timeout=5)

        def persist(value):
            if os.fork() == 0:
                raise KeyError  # leaves the write in the child, whose mark is its parent's
            os.wait()

        try:
            print(cache.write_through("user:profile:1", 1, persist), flush=True)
        except KeyError:
            gc.collect()
            assert cache.set("user:profile:2", 2)
            os._exit(0)
        print(cache.get("user:profile:1", default=None), cache.get("user:profile:2", default=None))
        """,
        redis_server.url,
        service,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n1 2\n", "", 0)


def test_blocking_it_is_the_same_without_await(make_blocking: MakeBlocking) -> None:
    cache, other = make_blocking(), make_blocking()
    rows: list[object] = []
    assert cache.write_through(KEY, {"name": "Ada"}, rows.append, ttl="1h", tags=["user:1"]) is True
    assert rows == [{"name": "Ada"}]
    assert other.get(KEY, default=None) == {"name": "Ada"}
    assert other.invalidate_tag("user:1")

    def fails(value: object) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        cache.write_through(KEY, 1, fails)
    assert other.get(KEY, lambda: "computed") == "computed"
    with cache.disabled():
        assert cache.write_through(KEY, 2, rows.append) is False
    assert other.get(KEY, default="absent") == "absent"


def test_blocking_takes_no_async_persist(make_blocking: MakeBlocking) -> None:
    async def persist(value: object) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match=r"persist is async: tidegate\.sync takes plain functions"):
        make_blocking().write_through(KEY, 1, persist)


def test_blocking_writers_of_one_key_at_once_leave_nothing_of_either(make_blocking: MakeBlocking) -> None:
    cache = make_blocking()
    together = threading.Barrier(2)
    came: list[bool] = []

    def write(number: int) -> None:
        came.append(cache.write_through(KEY, number, lambda value: (together.wait(5), together.wait(5))))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == [False, False]
    assert cache.get(KEY, lambda: "computed") == "computed"
    assert cache.exists(KEY)
