"""Domain events from threads, and in processes that end or fork."""

from __future__ import annotations

import contextvars
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tidegate.sync
from tests.support.redis_server import RedisServer
from tidegate import ConfigError, EventDetails, KeyFormatError, key
from tidegate.testing import MemoryStore

from .conftest import MakeBlocking
from .helpers import run_script
from .test_events_domain import faults, reasons

NAME = "user.updated"
KEY = "user:profile:42"

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """As `eventually`, in a thread."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


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


def test_a_thread_waits_for_a_start_no_longer_than_its_timeout() -> None:
    store = MemoryStore()
    with tidegate.sync.CacheManager(store=store) as cache:
        with store.failing("down"):
            subscription = cache.on_event(NAME, lambda _: None)
            began = time.monotonic()
            assert not subscription.started(timeout="50ms")
            assert 0.05 <= time.monotonic() - began < 5
        assert subscription.started(timeout=60)
        with pytest.raises(ConfigError, match="timeout"):
            subscription.started(timeout=-1)


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
    letters = blocking.event_dead_letters(NAME)
    assert wait_until(lambda: len(letters.list()) == 1)
    assert letters.list()[0].data == 1
    assert (letters.retry(), letters.drop(), letters.list()) == (1, 0, [])


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
            asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is not what is looked for
            cache = tidegate.CacheManager(url, service=service, command_timeout=5)
            assert await cache.on_event("user.updated", handle_async).started()
            await cache.publish_event("user.updated", 1)
            while not begun.is_set():
                await asyncio.sleep(0.01)
        if flavour == "asyncio":
            asyncio.run(main())
        else:
            cache = tidegate.sync.CacheManager(url, service=service, command_timeout=5)
            assert cache.on_event("user.updated", handle).started()
            cache.publish_event("user.updated", 1)
            assert begun.wait(10)
        print("the end")
    """
    begun = time.monotonic()
    ended = run_script(source, redis_server.url, service, flavour)
    # The end of a loop ends its handlers, and says so; a thread goes with its process.
    left = "tidegate: unfinished: closed with work undone: an event" if flavour == "asyncio" else ""
    assert (ended.returncode, ended.stdout.strip()) == (0, "the end")
    assert ended.stderr.startswith(left), ended.stderr
    assert ended.stderr.count("\n") == bool(left), ended.stderr
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
            cache = tidegate.CacheManager(url, service=service, command_timeout=5)
            run = lambda mine: asyncio.run(work(cache, subscription, mine))
        else:
            cache = tidegate.sync.CacheManager(url, service=service, command_timeout=5)
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
