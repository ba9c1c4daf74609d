"""Write-behind in Python, async and blocking: what the scenarios of all languages do not say."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tidegate.sync
from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, ClosedError, ConfigError, WriteBehind, WriteItem

from .conftest import Make, MakeBlocking
from .helpers import eventually, run_script

SOON = {"max_delay": "10ms"}


class Rows:
    """What a sink is given."""

    def __init__(self) -> None:
        self.items: list[WriteItem] = []

    def __call__(self, items: list[WriteItem]) -> None:
        self.items += items

    @property
    def values(self) -> list[Any]:
        return [item.value for item in self.items]


def opened(manager: Any, sink: Any, **options: Any) -> Any:
    """A queue with what no type checker lets pass."""
    return manager.write_behind("counters", sink, **options)


async def test_a_sink_is_given_the_key_the_value_the_id_and_the_attempt(cache: CacheManager) -> None:
    rows = Rows()

    async def save(items: list[WriteItem]) -> None:
        await asyncio.sleep(0)
        rows(items)

    behind = cache.write_behind("counters", save, max_delay="10ms")
    first = await behind.put("page:views:7", {"count": 1})
    second = await behind.put("page:views:7", None)
    assert await behind.flush()
    assert [(item.key, item.value, item.id, item.attempt) for item in rows.items] == [
        ("page:views:7", {"count": 1}, first, 1),
        ("page:views:7", None, second, 1),
    ]
    assert rows.items[0].order < rows.items[1].order
    assert rows.items[0].order == tuple(int(part) for part in first.split("-"))


async def test_values_are_decoded_to_the_type_that_is_asked_for(cache: CacheManager) -> None:
    rows = Rows()
    behind = cache.write_behind("counters", rows, type=tuple[int, int], max_delay="10ms", max_attempts=1)
    await behind.put("page:views:7", (1, 2))
    await behind.put("page:views:8", "no pair")
    assert await behind.flush()
    assert rows.values == [(1, 2)]
    (letter,) = await behind.dead_letters.list()
    assert (letter.key, letter.value, letter.reason) == ("page:views:8", None, "sink")


@pytest.mark.parametrize(
    ("sink", "options", "told"),
    [
        (42, {}, r"sink=42 is not callable; it takes a list of writes"),
        (print, {"batch": 0}, r"batch=0 is not accepted: batch takes a whole number from 1 to 1000"),
        (print, {"max_delay": -1}, r"max_delay=-1 is not accepted"),
        (print, {"max_dlay": 1}, r'there is no option "max_dlay"; did you mean "max_delay"\?'),
        (print, {"partitions": 1000}, r"partitions=1000 is not accepted"),
        (print, {"coalesce": 1}, r"coalesce=1 is not accepted: coalesce takes True or False"),
        (print, {"type": complex}, r"type=complex is not accepted"),
    ],
)
async def test_what_cannot_work_is_refused_when_the_queue_is_made(
    cache: CacheManager, sink: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        opened(cache, sink, **options)


async def test_what_cannot_work_is_refused_by_name(cache: CacheManager) -> None:
    behind = opened(cache, None)
    refusals: list[tuple[Callable[[], Any], str]] = [
        (lambda: behind.put("page:views:7", 1, operation_id=7), r"operation_id=7 is not a text"),
        (
            lambda: behind.put("page:views:7", 1, operation_id="x" * 201),
            r"operation_id.* has 201 bytes; it takes a text of 1 to 200",
        ),
        (lambda: behind.put("page:views:7", 1, ttl=-1), r"ttl=-1 is not accepted"),
        (lambda: behind.flush(timeout="soon"), r'timeout="soon" is not accepted'),
        (lambda: behind.dead_letters.list(limit=0), r"limit=0 is not accepted"),
    ]
    for call, told in refusals:
        with pytest.raises(ConfigError, match=told):
            await call()
    assert behind.pending == 0


async def test_a_sink_that_fails_or_gives_what_it_should_not_is_told_of_and_asked_again(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)
    given: list[Any] = [ValueError("no such table"), ["of another batch"], 42, None]
    attempts: list[int] = []

    def save(items: list[WriteItem]) -> Any:
        attempts.extend(item.attempt for item in items)
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    behind = opened(cache, save, **SOON)
    await behind.put("page:views:7", 1)
    assert await behind.flush()
    assert attempts == [1, 2, 3, 4]

    async def is_told() -> bool:
        return len([event for event in events if event.reason == "sink"]) == 3

    assert await eventually(is_told)
    told = [event.message or "" for event in events if event.reason == "sink"]
    assert told[0] == "the sink of the queue 'counters' failed on 1 write: ValueError('no such table')"
    assert {event.key for event in events if event.reason == "sink"} == {"page:views:7"}, "it fails alone"
    assert all("a right example: return [item.id for item in failed]" in text for text in told[1:])


LEFT = 'tidegate: unfinished: closed with work undone: 1 pending write of the queue "counters" ('


async def test_a_close_that_a_failing_sink_holds_up_is_soon_over_and_the_log_says_what_is_left(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make()

    def save(items: list[WriteItem]) -> None:
        raise OSError("the database is away")

    await opened(cache, save, **SOON).put("page:views:7", 1)
    began = time.monotonic()
    assert not await cache.close()
    assert time.monotonic() - began < 15, "not its whole half a minute"
    assert [text for text in caplog.messages if text.startswith(LEFT)]


def test_a_blocking_close_that_runs_out_of_time_says_what_is_left(
    make_blocking: MakeBlocking, caplog: pytest.LogCaptureFixture
) -> None:
    cache, entered, held = make_blocking(), threading.Event(), threading.Event()

    def save(items: list[WriteItem]) -> None:
        entered.set()
        held.wait(10)

    opened(cache, save, **SOON).put("page:views:7", 1)
    assert entered.wait(10)
    assert not cache.close(timeout=0.1)
    held.set()
    assert [text for text in caplog.messages if text.startswith(LEFT)]


async def test_a_put_is_a_set_for_those_who_observe(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.set", events.append)
    await opened(cache, None).put("page:views:7", 1)

    async def is_told() -> bool:
        return [(event.key, event.type) for event in events] == [("page:views:7", "cache.set")]

    assert await eventually(is_told)


def test_a_queue_that_was_made_outside_of_a_loop_works_from_its_first_use_and_in_the_next_loop_too(
    make: Make,
) -> None:
    cache, rows = make(), Rows()
    behind = opened(cache, rows, **SOON)

    async def put(value: int) -> bool:
        await behind.put("page:views:7", value)
        flushed: bool = await behind.flush()
        return flushed

    assert asyncio.run(put(1))
    assert asyncio.run(put(2))
    assert rows.values == [1, 2]
    asyncio.run(cache.close())


def test_a_loop_that_ends_with_a_batch_in_the_sink_leaves_it_to_the_next(make: Make) -> None:
    cache = make()
    values: list[tuple[Any, int]] = []
    entered = threading.Event()

    async def save(items: list[WriteItem]) -> None:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        values.extend((item.value, item.attempt) for item in items)

    behind = opened(cache, save, **SOON)

    async def begin() -> None:
        await behind.put("page:views:7", 1)
        assert await asyncio.to_thread(entered.wait, 5)

    async def end() -> bool:
        flushed: bool = await behind.flush()
        await cache.close()
        return flushed

    asyncio.run(begin())
    assert asyncio.run(end())
    assert values == [(1, 2)]


async def test_a_close_deals_with_what_is_pending_and_ends_the_work(make: Make) -> None:
    cache, rows = make(), Rows()
    behind: WriteBehind = cache.write_behind("counters", rows, max_delay="1m")
    tasks = asyncio.all_tasks()
    await behind.put("page:views:7", 1)
    assert await behind.close()
    assert rows.values == [1]
    with pytest.raises(ClosedError, match=r"the queue .* has been closed"):
        await behind.put("page:views:7", 2)
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() & tasks if task.get_name() == "tidegate-behind"]
    another = cache.write_behind("counters", rows, max_delay="1m")
    await another.put("page:views:7", 3)
    assert await cache.close()
    assert rows.values == [1, 3]


async def test_a_close_that_runs_out_of_time_says_so(make: Make) -> None:
    cache = make()

    def save(items: list[WriteItem]) -> None:
        raise OSError("the database is away")

    behind = opened(cache, save, **SOON)
    await behind.put("page:views:7", 1)
    assert not await behind.close(timeout="300ms")
    assert await opened(cache, None).flush(timeout="10ms") is False
    await cache.close(timeout=1)


def test_threads_work_and_end_at_the_close(make_blocking: MakeBlocking) -> None:
    cache, rows = make_blocking(), Rows()
    behind = opened(cache, rows, **SOON, partitions=2)
    threads = [thread for thread in threading.enumerate() if thread.name == "tidegate-queue-counters"]
    assert len(threads) == 2
    assert all(thread.daemon for thread in threads)
    for number in range(20):
        behind.put(f"page:views:{number}", number)
    assert behind.flush()
    assert sorted(rows.values) == list(range(20))
    assert cache.close()
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(ClosedError):
        behind.put("page:views:7", 1)


def test_a_blocking_sink_fails_and_is_asked_again(make_blocking: MakeBlocking) -> None:
    cache, seen = make_blocking(), []

    def save(items: list[WriteItem]) -> list[str]:
        seen.append([item.value for item in items])
        if len(seen) == 1:
            raise OSError("the database is away")
        return [item.id for item in items if item.value == 13]

    behind = opened(cache, save, **SOON, max_attempts=2)
    behind.put("page:views:7", 13)
    assert behind.flush()
    (letter,) = behind.dead_letters.list()
    assert (letter.value, letter.attempts) == (13, 2)
    assert behind.dead_letters.drop("0-1@0") == 0
    assert behind.dead_letters.drop(letter.id) == 1
    assert seen == [[13], [13]]


def test_a_script_that_forgets_close_ends_quickly_and_what_it_put_is_there(
    redis_server: RedisServer, service: str
) -> None:
    for package, wait in (("tidegate.sync", ""), ("tidegate", "await ")):
        done = run_script(
            f"""
            import asyncio, sys, time
            from {package} import CacheManager

            def save(items):
                print("the sink was asked")

            {"async " if wait else ""}def main():
                cache = CacheManager(sys.argv[1], service=sys.argv[2], command_timeout=5)
                behind = cache.write_behind("{package}", save, max_delay=60)
                {wait}behind.put("page:views:7", 1)

            {"asyncio.run(main())" if wait else "main()"}
            """,
            redis_server.url,
            service,
            seconds=20,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        with redis_server.client() as client:
            assert client.xlen(f"{service}:~queue:{package}:0") == 1


@pytest.mark.parametrize("package", ["tidegate.sync", "tidegate"])
def test_a_forked_child_works_by_itself_and_never_as_its_parent(
    redis_server: RedisServer, service: str, package: str
) -> None:
    is_async = package == "tidegate"
    wait = "await " if is_async else ""
    run = "asyncio.run(child())" if is_async else "child()"
    done = run_script(
        f"""
        import asyncio, os, sys, time
        from {package} import CacheManager

        def save(items):
            print(os.getpid() == parent, [item.value for item in items], flush=True)

        parent = os.getpid()
        cache = CacheManager(sys.argv[1], service=sys.argv[2], command_timeout=5)
        behind = cache.write_behind("{package}", save, max_delay="10ms")

        {"async " if wait else ""}def child():
            {wait}behind.put("page:views:7", 2)
            assert {wait}behind.flush()
            assert {wait}cache.close()

        {"async " if wait else ""}def before():
            {wait}behind.put("page:views:7", 1)
            assert {wait}behind.flush()
            {"await behind.close()" if is_async else ""}

        {"asyncio.run(before())" if is_async else "before()"}
        pid = os.fork()
        if pid == 0:
            {run}
            os._exit(0)
        if {is_async}:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            assert os.waitpid(pid, 0)[1] == 0
            assert cache.close()
        """,
        redis_server.url,
        service,
        seconds=40,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "True [1]"
    assert [line.split(" ", 1)[1] for line in lines] == ["[1]", "[2]"]
    # A child that works while its parent owns the queue has to wait for it: in asyncio the parent had closed.
    assert lines[1].startswith("False" if is_async else ("True", "False"))


def test_both_managers_work_on_one_queue(
    make: Make, make_blocking: MakeBlocking, redis_server: RedisServer, service: str
) -> None:
    options = {"command_timeout": 5, "service": service}
    with tidegate.sync.CacheManager(redis_server.url, **options) as plain:  # type: ignore[arg-type]
        rows = Rows()
        opened(plain, rows, **SOON)

        async def put() -> bool:
            async with CacheManager(redis_server.url, **options) as cache:  # type: ignore[arg-type]
                behind = cache.write_behind("counters")
                await behind.put("page:views:7", {"from": "asyncio"})
                return await behind.flush()

        assert asyncio.run(put())
        assert rows.values == [{"from": "asyncio"}]
