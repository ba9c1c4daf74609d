"""What goes on behind callers of the blocking manager: in threads, in their contexts, until `close`."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, Context
from tidegate.sync import CacheManager

from .conftest import MakeBlocking
from .helpers import run_script
from .test_behind import KEY, KEYS, REVALIDATES, SOFT

SECONDS = 5.0

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def _in_time(holds: Any) -> bool:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _grow_old(cache: CacheManager, *keys: str) -> None:
    assert cache.set_many({key: f"old {key[-1]}" for key in keys}, ttl="20ms")
    assert _in_time(lambda: not any(cache.exists(key) for key in keys))


class Held:
    """A fallback that tells where it runs, and waits to be let go."""

    def __init__(self, value: Any = "new") -> None:
        self.value = value
        self.runs: list[tuple[str, str, Any]] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, ctx: Context) -> Any:
        self.runs.append((threading.current_thread().name, request.get(), ctx.stale))
        self.entered.set()
        assert self.go.wait(SECONDS)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_a_refresh_behind_runs_in_a_named_thread_with_the_callers_context(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, KEY)
    fetch = Held()
    request.set("mine")
    assert cache.get(KEY, fetch) == "old 1"
    request.set("another")
    assert fetch.entered.wait(SECONDS)
    fetch.go.set()
    assert _in_time(lambda: cache.get(KEY, default=None) == "new")
    ((thread, seen, stale),) = fetch.runs
    assert thread.startswith("tidegate-behind-")
    assert (seen, stale) == ("mine", "old 1")


def test_close_waits_for_what_runs_behind(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, KEY)
    fetch = Held()
    assert cache.get(KEY, fetch) == "old 1"
    assert fetch.entered.wait(SECONDS)
    closed: list[bool] = []
    closing = threading.Thread(target=lambda: closed.append(cache.close()))
    closing.start()
    assert closed == []
    fetch.go.set()
    closing.join(SECONDS)
    assert closed == [True]
    assert make_blocking().get(KEY, default=None) == "new"


def test_close_ends_the_threads(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, KEY)
    fetch = Held()
    fetch.go.set()
    assert cache.get(KEY, fetch) == "old 1"
    assert fetch.entered.wait(SECONDS)
    threads = set(cache._workers._threads)
    assert threads
    assert cache.close()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_close_does_not_wait_for_ever(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, KEY)
    fetch = Held()
    assert cache.get(KEY, fetch) == "old 1"
    assert fetch.entered.wait(SECONDS)
    begun = time.monotonic()
    assert not cache.close(timeout="50ms")
    assert time.monotonic() - begun < SECONDS / 2
    fetch.go.set()


def test_past_the_soft_timeout_the_same_run_goes_on_and_is_filled(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**SOFT)
    _grow_old(cache, KEY)
    fetch = Held()
    assert cache.get(KEY, fetch) == "old 1"
    fetch.go.set()
    assert _in_time(lambda: cache.get(KEY, default=None) == "new")
    assert [(run[0].startswith("tidegate-behind-"), run[2]) for run in fetch.runs] == [(True, "old 1")]
    assert cache.stats()["fallbacks"] == 1


def test_before_the_soft_timeout_the_caller_has_the_new_value(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**{**SOFT, "soft_timeout": "5s"})
    _grow_old(cache, KEY)
    fetch = Held({"name": "Ada"})
    fetch.go.set()
    assert cache.get(KEY, fetch) == {"name": "Ada"}
    assert cache.get(KEY, default=None) == {"name": "Ada"}


def test_before_the_soft_timeout_an_error_is_the_callers_if_nothing_consoles(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**{**SOFT, "soft_timeout": "5s"})
    _grow_old(cache, KEY)
    fetch = Held(LookupError("by hand"))
    fetch.go.set()
    assert cache.get(KEY, fetch) == "old 1"
    with pytest.raises(LookupError, match="by hand"):
        cache.get(KEY, fetch, type=int)


def test_at_the_hard_timeout_a_caller_in_front_of_a_thread_is_freed(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**{**SOFT, "soft_timeout": "10s", "hard_timeout": "100ms"})
    _grow_old(cache, KEY)
    fetch = Held()
    assert cache.get(KEY, fetch) == "old 1"
    # Whatever it brings is nobody's.
    fetch.go.set()
    assert cache.close()


def test_an_error_behind_is_an_event(make_blocking: MakeBlocking, capsys: pytest.CaptureFixture[str]) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, KEY)
    events: list[CacheEvent] = []
    cache.on("cache.fallback_error", events.append)
    fetch = Held(LookupError("by hand"))
    fetch.go.set()
    assert cache.get(KEY, fetch) == "old 1"
    assert _in_time(lambda: events)
    assert [event.key for event in events] == [KEY]
    assert cache.close()
    assert capsys.readouterr().err == ""


def test_many_that_were_served_are_fetched_behind_together(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    _grow_old(cache, *KEYS[:2])
    calls: list[list[str]] = []

    def fetch(keys: list[str]) -> dict[str, str]:
        calls.append(sorted(keys))
        return {key: f"new {key[-1]}" for key in keys}

    assert cache.get_many(KEYS, fetch) == {KEYS[0]: "old 1", KEYS[1]: "old 2", KEYS[2]: "new 3"}
    assert _in_time(lambda: cache.get(KEYS[1], default=None) == "new 2")
    assert _in_time(lambda: cache.get(KEYS[0], default=None) == "new 1")
    assert sorted(calls) == sorted([KEYS[2:], KEYS[:2]])


def test_many_are_served_old_at_the_soft_timeout(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**SOFT)
    _grow_old(cache, *KEYS[:2])
    go = threading.Event()
    calls: list[list[str]] = []

    def fetch(keys: list[str]) -> dict[str, str]:
        calls.append(sorted(keys))
        assert go.wait(SECONDS)
        return {key: f"new {key[-1]}" for key in keys}

    assert cache.get_many(KEYS[:2], fetch) == {KEYS[0]: "old 1", KEYS[1]: "old 2"}
    go.set()
    assert _in_time(lambda: cache.get(KEYS[1], default=None) == "new 2")
    assert calls == [KEYS[:2]]


def test_more_refreshes_than_threads_all_come_to_their_end(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(**REVALIDATES)
    keys = [f"user:profile:{number}" for number in range(60)]
    _grow_old(cache, *keys)
    before = threading.active_count()
    most = 0

    def fetch() -> str:
        nonlocal most
        most = max(most, threading.active_count() - before)
        time.sleep(0.005)
        return "new"

    for key in keys:
        cache.get(key, fetch)
    assert _in_time(lambda: all(cache.get(key, default=None) == "new" for key in keys))
    assert 1 <= most <= 40


def test_an_exit_waits_for_no_refresh(redis_server: RedisServer, service: str) -> None:
    for url in ("memory://", redis_server.url):
        begun = time.monotonic()
        done = run_script(
            """
            import sys, threading, time
            from tidegate.sync import CacheManager

            cache = CacheManager(
                sys.argv[1], service=sys.argv[2], stale_while_revalidate="1m", command_timeout="5s", lease="20s"
            )
            cache.set("user:profile:1", "old", ttl="1ms")
            time.sleep(0.05)
            entered = threading.Event()

            def fetch():
                entered.set()
                time.sleep(60)

            print(cache.get("user:profile:1", fetch))
            entered.wait()
            """,
            url,
            service,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "old\n", "")
        assert time.monotonic() - begun < 20


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_refreshes_in_threads_of_its_own(redis_server: RedisServer, service: str) -> None:
    done = run_script(
        """
        import os, sys, threading, time, warnings
        from tidegate.sync import CacheManager

        warnings.simplefilter("ignore")  # threads and forks: that is what is tried
        cache = CacheManager(
            sys.argv[1], service=sys.argv[2], stale_while_revalidate="1m",
            ttl_jitter=0, command_timeout="5s", lease="20s"
        )

        def renews():
            cache.set("user:profile:1", "old", ttl="1ms")
            time.sleep(0.05)
            ended = threading.Event()
            first = cache.get("user:profile:1", lambda: ended.set() or "new")
            return first, ended.wait(5)

        print(renews(), flush=True)
        child = os.fork()
        if child == 0:
            print(renews(), flush=True)
            os._exit(0 if cache.close() else 1)
        print(os.waitpid(child, 0)[1])
        cache.close()
        """,
        redis_server.url,
        service,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["('old', True)", "('old', True)", "0"]
