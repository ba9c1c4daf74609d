"""Domain events: services that invalidate on each other's, from asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
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
    _tidegate,
    key,
    tag,
)
from tidegate.testing import FakeClock, MemoryStore

from .conftest import Make
from .helpers import eventually

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


async def test_waiting_for_a_start_ends_with_its_timeout() -> None:
    clock = FakeClock(by_hand=True)
    store = MemoryStore(clock)
    async with CacheManager(store=store) as cache:
        store.fail("down")
        subscription = cache.on_event(NAME, lambda _: None)
        soon, later, patient = (asyncio.ensure_future(subscription.started(seconds)) for seconds in ("5s", 60, None))
        await asyncio.sleep(0)
        clock.advance(4.9)
        assert not (await asyncio.wait([soon, later, patient], timeout=0.05))[0]
        clock.advance(0.1)
        assert await soon is False
        assert not later.done()
        store.heal()
        clock.advance(30)
        assert [await later, await patient] == [True, True]
        assert await subscription.started(0)
        with pytest.raises(ConfigError, match="timeout"):
            await subscription.started("soon")


@pytest.mark.parametrize("manager", [CacheManager, tidegate.sync.CacheManager])
def test_what_events_go_by_is_what_the_core_says(manager: type[CacheManager]) -> None:
    def default(function: Any, name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    assert default(manager.publish_event, "max_len") == _tidegate.EVENTS_KEPT
    assert default(manager.on_event, "max_attempts") == _tidegate.EVENT_ATTEMPTS
    assert default(manager.on_event, "redeliver_after") * 1_000 == _tidegate.EVENT_REDELIVER_MS


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


async def test_what_was_set_aside_is_looked_at_handled_again_and_dropped(make: Make) -> None:
    crm, billing = make(service="crm"), make()
    told = faults(billing)
    seen: list[Any] = []
    mended: list[bool] = []

    def handle(data: Any) -> None:
        if not mended:
            raise ValueError("no")
        seen.append(data)

    assert await billing.on_event(NAME, handle, max_attempts=1).started()
    other: list[Any] = []
    assert await crm.on_event(NAME, other.append).started()
    ids = [await crm.publish_event(NAME, number) for number in range(4)]
    assert await eventually(lambda: _has(reasons(told, "dead_letter"), 4))
    assert await eventually(lambda: _has(other, 4))
    letters = billing.event_dead_letters(NAME)

    async def are_there() -> bool:
        return len(await letters.list()) == 4

    assert await eventually(are_there)
    first = (await letters.list(limit=1))[0]
    assert (first.data, first.event_id, first.attempts, first.service) == (0, ids[0], 1, "crm")
    assert "ValueError: no" in first.error
    assert first.set_aside_at >= first.published_at > 0
    mended.append(True)
    assert await letters.retry(first.id) == 1
    assert await letters.retry(first.id) == await letters.drop("no id") == 0
    assert await eventually(lambda: _has(seen))
    assert await letters.drop((await letters.list())[0].id) == 1
    assert await letters.retry() == 2
    assert await eventually(lambda: _has(seen, 3))
    assert (sorted(seen), other, await letters.list()) == ([0, 2, 3], [0, 1, 2, 3], [])
    with pytest.raises(ConfigError, match="limit"):
        await letters.list(limit=0)
    with pytest.raises(KeyFormatError):
        billing.event_dead_letters("no name")


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
