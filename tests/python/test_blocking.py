"""What is the blocking manager's own: threads, signals, limits."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.redis_server import RedisServer
from tests.support.until import until
from tidegate import ClosedError, ConfigError, Context, HardTimeout
from tidegate.sync import CacheManager

from .conftest import MakeBlocking


def test_the_main_job(blocking: CacheManager) -> None:
    assert blocking.get("user:profile:1", lambda: {"name": "Ada"}) == {"name": "Ada"}
    assert blocking.get("user:profile:1", default=None) == {"name": "Ada"}
    entry = blocking.get_entry("user:profile:1")
    assert entry is not None
    assert entry.value == {"name": "Ada"}
    assert blocking.refresh("user:profile:1", lambda: "new") == "new"
    assert blocking.expire("user:profile:1")
    assert blocking.set("user:profile:1", 1, ttl="1m")
    assert blocking.set_many({"user:profile:2": 2, "user:profile:3": None})
    assert blocking.invalidate("user:profile:1", "user:profile:2")
    assert [blocking.exists(f"user:profile:{number}") for number in (1, 2, 3)] == [False, False, True]


def test_threads_share_one_fallback(blocking: CacheManager) -> None:
    runs = []

    def fetch(ctx: Context) -> str:
        runs.append(ctx.key)
        time.sleep(0.1)
        return "value"

    with ThreadPoolExecutor(64) as pool:
        seen = list(pool.map(lambda _: blocking.get("user:profile:1", fetch), range(64)))
    assert seen == ["value"] * 64
    assert runs == ["user:profile:1"]


def test_a_failure_reaches_every_thread_as_the_same_object(blocking: CacheManager) -> None:
    boom = LookupError("no")
    entered = threading.Event()

    def fetch() -> None:
        entered.set()
        time.sleep(0.1)
        raise boom

    def get(_: int) -> BaseException | None:
        try:
            blocking.get("user:profile:1", fetch)
        except LookupError as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, range(8))) == [boom] * 8


def test_a_get_inside_its_own_fallback_runs_at_once(blocking: CacheManager) -> None:
    assert blocking.get("user:profile:1", lambda: [blocking.get("user:profile:1", lambda: "inner")]) == ["inner"]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A process that was started in the background ignores SIGINT until it says otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_wait(make_blocking: MakeBlocking) -> None:
    one, two = make_blocking(), make_blocking()
    entered, go = threading.Event(), threading.Event()

    def fetch() -> str:
        entered.set()
        go.wait(10)
        return "value"

    holder = threading.Thread(target=one.get, args=("user:profile:1", fetch))
    holder.start()
    entered.wait(5)
    threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        two.get("user:profile:1", lambda: "never")
    assert time.monotonic() - begun < 1
    go.set()
    holder.join()
    assert two.get("user:profile:1", lambda: "never") == "value"


def test_ctrl_c_in_a_fallback_hands_over(blocking: CacheManager) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blocking.get("user:profile:1", interrupted)
    assert blocking.get("user:profile:1", lambda: "next") == "next"


def test_the_hard_timeout_frees_the_key_and_those_who_wait(make_blocking: MakeBlocking) -> None:
    blocking = make_blocking(hard_timeout="150ms")
    entered, go = threading.Event(), threading.Event()

    def fetch() -> str:
        entered.set()
        go.wait(10)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(blocking.get, "user:profile:1", fetch)
        entered.wait(5)
        with pytest.raises(HardTimeout, match="user:profile:1"):
            blocking.get("user:profile:1", lambda: "never")
        assert blocking.get("user:profile:1", lambda: "next") == "next"
        go.set()
        # A thread cannot be freed from its own function; what it brings too late is its own and not stored.
        assert leader.result(5) == "late"
    assert blocking.get("user:profile:1", default=None) == "next"


def test_an_async_fallback_is_refused(blocking: CacheManager) -> None:
    async def fetch() -> int:
        return 1

    with pytest.raises(ConfigError, match=r"takes plain functions"):
        blocking.get("user:profile:1", fetch)  # type: ignore[unused-coroutine]
    assert blocking.get("user:profile:1", lambda: "free") == "free"


def test_with_closes(make_blocking: MakeBlocking) -> None:
    with make_blocking() as blocking:
        blocking.set("user:profile:1", 1)
    with pytest.raises(RuntimeError, match="closed"):
        blocking.exists("user:profile:1")


def test_disabled(blocking: CacheManager) -> None:
    blocking.set("user:profile:1", "stored")
    with blocking.disabled(), blocking.disabled():
        assert blocking.get("user:profile:1", lambda: "fresh") == "fresh"
    assert blocking.get("user:profile:1", lambda: "fresh") == "stored"


def test_of_two_who_close_the_less_patient_is_heard(own_server: RedisServer) -> None:
    manager = CacheManager(own_server.url, service="close", command_timeout="200ms", connect_timeout="5s")
    assert manager.set("a:b", 1)
    own_server.pause()
    assert manager.invalidate("a:b") is False
    closed: list[bool] = []
    patient = threading.Thread(target=lambda: closed.append(manager.close(30)))
    patient.start()
    until(lambda: manager._native.closed, 10, "nobody closes it")
    began = time.monotonic()
    assert manager.close(0.3) is False, "the invalidation is owed yet"
    patient.join(10)
    assert time.monotonic() - began < 5
    assert closed == [False]
    own_server.resume()


def test_a_fallback_that_closes_its_own_manager_waits_no_longer_than_it_says() -> None:
    manager = CacheManager()
    began = time.monotonic()

    def fallback() -> bool:
        return manager.close(0.2)

    with contextlib.suppress(ClosedError):
        assert manager.get("a:b", fallback) is False
    assert time.monotonic() - began < 5
    assert manager.close(5) in (True, False)
