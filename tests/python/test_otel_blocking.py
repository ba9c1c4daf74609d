"""Spans in threads, metrics, and the beginning and end of both, by OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tidegate import CacheManager, ConfigError
from tidegate.otel import instrument
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking
from .helpers import Counter, run_script
from .telemetry import Telemetry, id_of, links_of, parent_of, said
from .telemetry import telemetry as telemetry

KEY = "user:profile:1"


def test_threads_have_their_callers_spans(make_blocking: MakeBlocking, telemetry: Telemetry) -> None:
    cache = make_blocking(stale_while_revalidate="1h")
    telemetry.instrument(cache)
    entered, go = threading.Event(), threading.Event()

    def fetch() -> str:
        entered.set()
        assert go.wait(10)
        with telemetry.tracer.start_as_current_span("SELECT"):
            return "value"

    def ask(name: str) -> None:
        with telemetry.tracer.start_as_current_span(name):
            assert cache.get(KEY, fetch) == "value"

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("leader", "follower")]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    # Until it waits for the other's fallback.
    threading.Event().wait(0.2)
    go.set()
    for thread in threads:
        thread.join(10)
    by_parent = {parent_of(span): span for span in telemetry.named("cache.get")}
    leader, follower = (by_parent[id_of(telemetry.one(name))] for name in ("leader", "follower"))
    fallback = telemetry.one("cache.fallback")
    assert parent_of(fallback) == id_of(leader)
    assert parent_of(telemetry.one("SELECT")) == id_of(fallback)
    assert links_of(follower) == [id_of(fallback)]


def test_a_refresh_in_a_thread_behind_is_linked(make_blocking: MakeBlocking, telemetry: Telemetry) -> None:
    cache = make_blocking(stale_while_revalidate="1h")
    telemetry.instrument(cache)
    cache.set(KEY, "old", ttl=0.01)
    refreshed = threading.Event()
    threading.Event().wait(0.1)

    def fetch() -> str:
        refreshed.set()
        return "new"

    assert cache.get(KEY, fetch) == "old"
    assert refreshed.wait(10)
    cache.close()
    call, refresh = telemetry.one("cache.get"), telemetry.one("cache.refresh")
    assert (parent_of(refresh), links_of(refresh)) == (None, [id_of(call)])
    assert parent_of(telemetry.one("cache.fallback")) == id_of(refresh)


def test_blocking_calls_and_decorators(blocking: Blocking, telemetry: Telemetry) -> None:
    telemetry.instrument(blocking)

    @blocking.cached("square:of:{number}")
    def square(number: int) -> int:
        return number**2

    def fails() -> None:
        raise LookupError

    assert [square(3), square(3)] == [9, 9]
    with pytest.raises(LookupError):
        blocking.get(KEY, fails)
    blocking.get_many([KEY, "user:profile:2"], lambda keys: {})
    blocking.set(KEY, 1)
    blocking.write_through(KEY, 1, lambda value: None)
    blocking.invalidate(KEY)
    calls = [(span.name.removeprefix("cache."), *said(span, "outcome")) for span in telemetry.spans]
    assert [call for call in calls if call[0] not in ("fallback", "persist")] == [
        ("get", "miss"),
        ("get", "hit"),
        ("get", "miss"),
        ("get_many", "miss"),
        ("set", "confirmed"),
        ("write_through", "confirmed"),
        ("invalidate", "confirmed"),
    ]


async def test_metrics(make: Make, telemetry: Telemetry, service: str) -> None:
    cache = make()
    instrumentation = telemetry.instrument(cache)
    await cache.get(KEY, lambda: 1)
    await cache.get(KEY, lambda: 1)
    with pytest.raises(LookupError):
        await cache.get("user:profile:2", lambda: [][0])
    await cache.invalidate(KEY)
    points = telemetry.points()
    common = {"tidegate.service": service, "tidegate.role": "cache"}
    assert points["tidegate.hits"] == [(common, 1)]
    assert points["tidegate.misses"] == [(common, 2)]
    assert points["tidegate.fallback_errors"] == [(common, 1)]
    assert points["tidegate.breaker.state"] == [(common, 0)]
    durations = {
        (at["tidegate.operation"], at["tidegate.outcome"], at.get("error.type")): count
        for at, count in points["tidegate.operation.duration"]
    }
    assert durations == {
        ("get", "miss", None): 1,
        ("get", "hit", None): 1,
        ("get", "miss", "IndexError"): 1,
        ("invalidate", "confirmed", None): 1,
    }
    assert {at["tidegate.outcome"]: count for at, count in points["tidegate.fallback.duration"]} == {
        "ok": 1,
        "error": 1,
    }
    assert not [name for those in points.values() for at, _ in those for name in at if "key" in name]
    instrumentation.uninstrument()
    await cache.get(KEY, lambda: 1)
    assert "tidegate.hits" not in telemetry.points()


async def test_uninstrument(make: Make, telemetry: Telemetry) -> None:
    cache = make()
    kind, view = type(cache), cache.tenant("acme")
    instrumentation = telemetry.instrument(cache)
    assert isinstance(cache, CacheManager)
    assert repr(cache).startswith("tidegate.CacheManager(")
    with pytest.raises(ConfigError, match="is instrumented already"):
        telemetry.instrument(view)
    fetch = Counter("value", held=True)
    under_way = asyncio.create_task(cache.get(KEY, fetch))
    await fetch.entered.wait()
    instrumentation.uninstrument()
    instrumentation.uninstrument()
    fetch.go.set()
    assert await under_way == "value"
    assert {span.name for span in telemetry.spans} == {"cache.get", "cache.fallback"}
    assert type(cache) is type(view) is kind
    await cache.get("user:profile:2", lambda: 1)
    await view.get(KEY, lambda: 1)
    assert len(telemetry.spans) == 2
    telemetry.instrument(view)
    await cache.get("user:profile:3", lambda: 1)
    assert len(telemetry.spans) == 4


def test_what_is_no_manager_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cache=5 is no CacheManager"):
        instrument(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"keys='all' is neither True, False nor a function"):
        instrument(Blocking(), keys="all")  # type: ignore[arg-type]


def test_without_opentelemetry_it_says_what_to_install() -> None:
    done = run_script("""
        import sys
        sys.modules["opentelemetry"] = None
        import tidegate
        assert not [name for name in sys.modules if name.startswith("opentelemetry.")]
        try:
            import tidegate.otel
        except ImportError as error:
            print(error)
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip install 'tidegate[otel]'" in done.stdout
