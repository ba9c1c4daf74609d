"""Domain events: services that invalidate on each other's, from asyncio and from threads."""

from __future__ import annotations

import asyncio
import contextvars
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import tidegate.sync
from tests.support.redis_server import RedisServer
from tidegate import (
    CacheEvent,
    CacheManager,
    ClosedError,
    ConfigError,
    EncodeError,
    EventDetails,
    KeyFormatError,
    StoreUnavailable,
    Tag,
    ValueTooLarge,
    key,
    tag,
)

from .conftest import Make, MakeBlocking
from .helpers import eventually, run_script

NAME = "user.updated"
KEY = "user:profile:42"

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def faults(manager: Any) -> list[CacheEvent]:
    """The manager's `cache.error` events from now on."""
    told: list[CacheEvent] = []
    manager.on("cache.error", told.append)
    return told


def reasons(told: list[CacheEvent], reason: str) -> list[str]:
    """What was said for that reason."""
    return [event.message or "" for event in told if event.reason == reason]


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """As `eventually`, in a thread."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


# --- asyncio ----------------------------------------------------------------------------------------------------------


async def test_an_event_invalidates_the_keys_and_tags_that_its_handler_names(make: Make) -> None:
    crm, billing = make(service="crm"), make()
    await billing.set(KEY, "old")
    await billing.set("team:page:7", "old", tags=["team:7"])
    subscription = billing.on_event(NAME, lambda e: [key("user", "profile", e["id"]), tag(f"team:{e['team']}")])
    assert await subscription.started()
    assert subscription.name == NAME
    id = await crm.publish_event(NAME, {"id": 42, "team": 7})
    assert int(id.split("-")[0]) > 0

    async def are_gone() -> bool:
        return not await billing.exists(KEY) and not await billing.exists("team:page:7")

    assert await eventually(are_gone)
    assert await subscription.close()
    assert not await subscription.started()


@pytest.mark.parametrize("given", [KEY, [KEY], (KEY,), {KEY}, tag("user:42"), [tag("user", 42)], map(tag, ["user:42"])])
async def test_what_a_handler_gives_may_be_one_or_many(cache: CacheManager, given: Any) -> None:
    await cache.set(KEY, "old", tags=["user:42"])
    # An iterator is used up by the store before.
    cache.on_event(NAME, lambda _: map(tag, ["user:42"]) if isinstance(given, map) else given)
    await cache.publish_event(NAME, None)
    assert await eventually(lambda: _is_gone(cache))


async def _is_gone(cache: CacheManager, name: str = KEY) -> bool:
    return not await cache.exists(name)


async def test_an_async_handler_with_two_arguments_gets_the_details_in_the_context_of_its_beginning(
    make: Make,
) -> None:
    crm, billing = make(service="crm"), make()
    seen: list[Any] = []

    async def handle(data: Any, details: EventDetails) -> None:
        await asyncio.sleep(0)
        seen.append((data, details, request.get()))

    request.set("mine")
    subscription = billing.on_event(NAME, handle)
    assert await subscription.started()
    request.set("another")
    id = await crm.publish_event(NAME, {"big": 2**60, "text": "ä"})
    assert await eventually(lambda: _has(seen))
    [(data, details, context)] = seen
    assert (data, context) == ({"big": 2**60, "text": "ä"}, "mine")
    assert details == EventDetails(id, NAME, int(id.split("-")[0]), 1, "crm")


async def _has(seen: list[Any], count: int = 1) -> bool:
    return len(seen) >= count


@dataclass
class User:
    """What an event's data is decoded to."""

    id: int


async def test_data_is_decoded_to_the_type_that_is_asked_for(cache: CacheManager) -> None:
    seen: list[Any] = []
    told = faults(cache)
    cache.on_event(NAME, seen.append, type=User, max_attempts=1)
    await cache.publish_event(NAME, {"id": "not a number"})
    await cache.publish_event(NAME, {"id": 42})
    assert await eventually(lambda: _has(seen))
    assert seen == [User(42)]
    assert await eventually(lambda: _has(reasons(told, "dead_letter")))
    assert "ValidationError" in reasons(told, "event_handler")[0]


async def test_a_handler_that_raises_is_tried_again_and_then_set_aside_while_others_go_on(cache: CacheManager) -> None:
    seen: list[Any] = []
    told = faults(cache)

    async def handle(data: str, details: EventDetails) -> Any:
        seen.append((data, details.attempt))
        if data == "poison":
            raise ValueError("no")
        if data == "late" and details.attempt == 1:
            raise asyncio.CancelledError
        return 7 if data == "wrong" else None

    cache.on_event(NAME, handle, max_attempts=3)
    for data in ("poison", "late", "wrong", "good"):
        await cache.publish_event(NAME, data)
    assert await eventually(lambda: _has(reasons(told, "dead_letter"), 2), 10)
    assert [attempt for data, attempt in seen if data == "poison"] == [1, 2, 3]
    assert [attempt for data, attempt in seen if data == "late"] == [1, 2]
    assert seen.index(("good", 1)) < seen.index(("poison", 2))
    failures = reasons(told, "event_handler")
    assert any("ValueError: no" in text and "attempt 1 of 3" in text for text in failures)
    assert any("was cancelled" in text for text in failures)
    assert any("the handler gave 7" in text for text in failures)


async def test_close_finishes_the_event_that_is_handled_and_a_handler_may_close_its_own(make: Make) -> None:
    cache, other = make(), make()
    entered, go = asyncio.Event(), asyncio.Event()
    closed: list[bool] = []

    async def handle(_: Any) -> str:
        entered.set()
        await go.wait()
        return KEY

    subscription = cache.on_event(NAME, handle)
    await cache.set(KEY, "old")
    await cache.publish_event(NAME, 1)
    await entered.wait()
    closing = asyncio.create_task(cache.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    go.set()
    assert await closing
    assert not await other.exists(KEY)
    assert await subscription.close()

    async def handle_once(_: Any) -> None:
        closed.append(await mine.close())

    mine = other.on_event("user.removed", handle_once)
    await other.publish_event("user.removed", 1)
    assert await eventually(lambda: _has(closed))
    assert closed == [False]


async def test_a_handler_that_is_too_slow_for_a_close_is_cancelled_and_its_event_goes_to_another(make: Make) -> None:
    cache, other = make(), make()
    entered = asyncio.Event()
    cancelled: list[bool] = []

    async def hang(_: Any) -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    cache.on_event(NAME, hang)
    await cache.publish_event(NAME, "held")
    await entered.wait()
    assert not await cache.close(timeout=0.1)
    assert cancelled == [True]
    seen: list[Any] = []
    other.on_event(NAME, seen.append)
    assert await eventually(lambda: _has(seen))
    assert seen == ["held"]


async def test_what_was_trimmed_is_told_and_on_gap_names_what_is_invalidated(make: Make) -> None:
    crm, billing = make(service="crm"), make(l1="1MB")
    told = faults(billing)
    first = billing.on_event(NAME, lambda _: None)
    assert await first.started()
    assert await first.close()
    for number in range(400):
        await crm.publish_event(NAME, number, max_len=1)
    await billing.set(KEY, "old", tags=["users"])
    missed: list[int] = []
    seen: list[int] = []

    def on_gap(count: int) -> Tag:
        missed.append(count)
        return tag("users")

    billing.on_event(NAME, seen.append, on_gap=on_gap)
    assert await eventually(lambda: _is_gone(billing))
    assert await eventually(lambda: _has(seen, 400 - missed[0]))
    assert len(missed) == 1
    assert missed[0] + len(seen) == 400
    assert [str(missed[0]) in text for text in reasons(told, "events_trimmed")] == [True]


async def test_a_handler_that_is_registered_before_any_loop_runs_and_views_begin_with_the_first_use(
    url: str, service: str
) -> None:
    def program() -> list[Any]:
        seen: list[Any] = []
        cache = CacheManager(url, service=service, command_timeout="5s")
        view = cache.namespace("catalog")
        first = cache.on_event(NAME, seen.append)
        second = view.on_event("user.removed", seen.append)

        async def once() -> None:
            await cache.exists(KEY)
            assert await first.started()
            assert await second.started()
            await cache.publish_event(NAME, 1)
            await view.publish_event("user.removed", 2)
            assert await eventually(lambda: _has(seen, 2))
            seen.clear()

        # It goes on in the next loop, and what came meanwhile is not lost.
        asyncio.run(once())
        asyncio.run(once())
        return seen

    assert await asyncio.to_thread(program) == []


async def test_mistakes_are_told_in_words(cache: CacheManager) -> None:
    subscribe: Any = cache.on_event
    publish: Any = cache.publish_event
    with pytest.raises(ConfigError, match="handler=7 is not callable"):
        subscribe(NAME, 7)
    with pytest.raises(ConfigError, match="on_gap=7 is not callable"):
        subscribe(NAME, print, on_gap=7)
    for attempts in (0, 1.5, True, "3"):
        with pytest.raises(ConfigError, match="max_attempts="):
            subscribe(NAME, print, max_attempts=attempts)
    with pytest.raises(ConfigError, match="redeliver_after"):
        subscribe(NAME, print, redeliver_after=0)
    for name in ("", "user updated", "user::x", 7, "~x"):
        with pytest.raises(KeyFormatError, match=r'a right example: "user\.updated"'):
            subscribe(name, print)
        with pytest.raises(KeyFormatError, match=r'a right example: "user\.updated"'):
            await publish(name, 1)
    with pytest.raises(EncodeError, match=r"event 'user.updated' is not published: \$\['x'\] is a object"):
        await publish(NAME, {"x": object()})
    for wrong in ({"max_len": 0}, {"max_len": 1.5}, {"operation_id": 7}, {"operation_id": ""}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            await publish(NAME, 1, **wrong)
    with pytest.raises(ValueTooLarge, match="max_value_bytes"):
        await publish(NAME, "x" * 2_000_000)
    cache.on_event(NAME, print)
    with pytest.raises(ConfigError, match="has a handler already"):
        cache.on_event(NAME, print)
    with pytest.raises(KeyFormatError):
        tag("user::42")
    await cache.close()
    with pytest.raises(ClosedError):
        await publish(NAME, 1)
    with pytest.raises(ClosedError):
        subscribe("user.removed", print)


async def test_a_publication_with_a_name_is_one(cache: CacheManager) -> None:
    first = await cache.publish_event(NAME, 1, operation_id="row-7")
    assert await cache.publish_event(NAME, 1, operation_id="row-7") == first
    assert await cache.publish_event(NAME, 1, operation_id="row-8") != first


async def test_with_the_store_away_a_publisher_is_told_and_a_handler_goes_on_when_it_is_back(
    own_server: RedisServer, service: str
) -> None:
    async with CacheManager(own_server.url, service=service) as cache:
        seen: list[Any] = []
        subscription = cache.on_event(NAME, seen.append)
        assert await subscription.started()
        own_server.pause()
        with pytest.raises(StoreUnavailable, match=NAME):
            await cache.publish_event(NAME, "lost")
        own_server.resume()

        async def is_published() -> bool:
            try:
                await cache.publish_event(NAME, "there", operation_id="there")
            except StoreUnavailable:
                return False
            return True

        assert await eventually(is_published, 10)
        assert await eventually(lambda: _is_in("there", seen), 10)


async def _is_in(value: Any, seen: list[Any]) -> bool:
    return value in seen


async def test_many_names_are_quiet_while_nothing_happens(own_server: RedisServer, service: str) -> None:
    async with CacheManager(own_server.url, service=service, command_timeout="5s") as cache:
        seen: list[Any] = []
        subscriptions = [cache.on_event(f"user.e{number}", seen.append) for number in range(100)]
        for subscription in subscriptions:
            assert await subscription.started()
        # Polls grow rarer from the second one on.
        await asyncio.sleep(3)
        before = _scripts_run(own_server)
        await asyncio.sleep(2)
        assert _scripts_run(own_server) - before <= 120
        await cache.publish_event("user.e7", 7)
        assert await eventually(lambda: _has(seen))


def _scripts_run(server: RedisServer) -> int:
    stats: Any = server.client().info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_handles_events_and_ends_with_its_manager(make_blocking: MakeBlocking) -> None:
    crm, billing = make_blocking(service="crm"), make_blocking()
    billing.set(KEY, "old")
    seen: list[Any] = []

    def handle(data: Any, details: EventDetails) -> list[str]:
        seen.append((data, details.service, details.attempt, request.get(), threading.current_thread()))
        if details.attempt == 1:
            raise ValueError("not yet")
        return [key("user", "profile", data["id"])]

    request.set("mine")
    subscription = billing.on_event(NAME, handle)
    assert subscription.started()
    crm.publish_event(NAME, {"id": 42})
    assert wait_until(lambda: not billing.exists(KEY))
    assert [one[:4] for one in seen] == [({"id": 42}, "crm", attempt, "mine") for attempt in (1, 2)]
    thread = seen[0][4]
    assert thread.daemon
    assert billing.close()
    assert wait_until(lambda: not thread.is_alive())


def test_a_blocking_subscription_closes_and_its_service_catches_up(make_blocking: MakeBlocking) -> None:
    crm, billing = make_blocking(service="crm"), make_blocking()
    entered, go = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        entered.set()
        assert go.wait(10)

    subscription = billing.on_event(NAME, hold)
    assert subscription.started()
    crm.publish_event(NAME, 1)
    crm.publish_event(NAME, 2)
    assert entered.wait(10)
    threading.Timer(0.05, go.set).start()
    assert subscription.close()
    crm.publish_event(NAME, 3)
    seen: list[Any] = []
    again = billing.on_event(NAME, seen.append)
    assert wait_until(lambda: sorted(seen) == [2, 3])
    assert again.close()


def test_blocking_mistakes_are_told_in_words(blocking: tidegate.sync.CacheManager) -> None:
    told = faults(blocking)
    publish: Any = blocking.publish_event
    with pytest.raises(KeyFormatError):
        publish("user updated", 1)
    with pytest.raises(ConfigError, match="max_len"):
        publish(NAME, 1, max_len=-1)

    async def wrong(_: Any) -> None:
        pass

    subscription = blocking.on_event(NAME, wrong, max_attempts=1)
    with pytest.raises(ConfigError, match="has a handler already"):
        blocking.on_event(NAME, print)
    publish(NAME, 1)
    assert wait_until(lambda: bool(reasons(told, "dead_letter")))
    assert subscription.close()


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["asyncio", "threads"])
def test_a_program_that_ends_with_a_handler_at_work_ends(redis_server: RedisServer, service: str, flavour: str) -> None:
    source = """
        import asyncio, sys, threading, time
        import tidegate, tidegate.sync
        url, service, flavour = sys.argv[1:]
        begun = threading.Event()
        def handle(data):
            begun.set()
            time.sleep(60)
        async def handle_async(data):
            begun.set()
            await asyncio.sleep(60)
        async def main():
            cache = tidegate.CacheManager(url, service=service)
            assert await cache.on_event("user.updated", handle_async).started()
            await cache.publish_event("user.updated", 1)
            while not begun.is_set():
                await asyncio.sleep(0.01)
        if flavour == "asyncio":
            asyncio.run(main())
        else:
            cache = tidegate.sync.CacheManager(url, service=service)
            assert cache.on_event("user.updated", handle).started()
            cache.publish_event("user.updated", 1)
            assert begun.wait(10)
        print("the end")
    """
    begun = time.monotonic()
    ended = run_script(source, redis_server.url, service, flavour)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "the end", "")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("flavour", ["asyncio", "threads"])
def test_a_forked_child_starts_afresh(redis_server: RedisServer, service: str, flavour: str) -> None:
    source = """
        import asyncio, os, sys, time
        import tidegate, tidegate.sync
        url, service, flavour = sys.argv[1:]
        consumers = set()
        async def work(cache, subscription, mine):
            await cache.exists("user:profile:1")
            assert await subscription.started()
            await cache.publish_event("user.updated", mine)
            for _ in range(500):
                if seen:
                    return
                await asyncio.sleep(0.01)
        def work_blocking(cache, subscription, mine):
            cache.exists("user:profile:1")
            assert subscription.started()
            cache.publish_event("user.updated", mine)
            for _ in range(500):
                if seen:
                    return
                time.sleep(0.01)
        seen = []
        if flavour == "asyncio":
            cache = tidegate.CacheManager(url, service=service)
            run = lambda mine: asyncio.run(work(cache, subscription, mine))
        else:
            cache = tidegate.sync.CacheManager(url, service=service)
            run = lambda mine: work_blocking(cache, subscription, mine)
        subscription = cache.on_event("user.updated", seen.append)
        run("parent")
        assert seen == ["parent"], seen
        seen.clear()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            run("child")
            os.write(writing, str(seen).encode())
            os._exit(0)
        os.waitpid(child, 0)
        here = list(seen)
        print(here, os.read(reading, 100).decode())
    """
    # Python warns of a fork beside threads.
    quiet = "import warnings; warnings.simplefilter('ignore')\n"
    ended = run_script(quiet + textwrap.dedent(source), redis_server.url, service, flavour)
    assert ended.returncode == 0, ended.stderr
    # Of the two that read, either may be given it.
    assert "child" in ended.stdout, ended.stdout
