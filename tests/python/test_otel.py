"""Spans, by OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from tests.support.redis_server import RedisServer
from tidegate import CacheManager, HardTimeout, KeyFormatError

from .conftest import Make
from .helpers import Counter, eventually, opened
from .telemetry import Telemetry, id_of, links_of, parent_of, said
from .telemetry import telemetry as telemetry

KEY = "user:profile:1"


async def test_a_miss_has_its_fallback_under_it_and_the_users_spans_under_that(
    cache: CacheManager, telemetry: Telemetry, url: str
) -> None:
    telemetry.instrument(cache)

    async def fetch() -> int:
        await asyncio.sleep(0)
        with telemetry.tracer.start_as_current_span("SELECT"):
            return 1

    with telemetry.tracer.start_as_current_span("request") as request:
        assert await cache.get(KEY, fetch) == 1
        assert get_current_span() is request
        assert await cache.get(KEY, fetch) == 1
    miss, hit = telemetry.named("cache.get")
    fallback, select, top = (telemetry.one(name) for name in ("cache.fallback", "SELECT", "request"))
    assert [parent_of(span) for span in (miss, hit, fallback, select)] == [
        id_of(top),
        id_of(top),
        id_of(miss),
        id_of(fallback),
    ]
    where = "memory" if url.startswith("memory") else "redis"
    assert said(miss, "outcome", "source") == ("miss", None)
    assert said(hit, "outcome", "source") == ("hit", where)
    assert {span.kind for span in (miss, hit, fallback)} == {SpanKind.INTERNAL}
    assert not [name for span in telemetry.spans for name in span.attributes or {} if name.endswith((".key", "tenant"))]


async def test_plain_fallbacks_and_those_that_take_a_context(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    current: list[Any] = []

    def plain(ctx: Any) -> str:
        current.append(get_current_span())
        return f"of {ctx.key}"

    assert await cache.get(KEY, plain) == f"of {KEY}"
    assert current[0].get_span_context().span_id == id_of(telemetry.one("cache.fallback"))


async def test_each_caller_of_a_flight_has_a_span_of_its_own(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    fetch = Counter("value", held=True)

    async def ask(name: str) -> Any:
        with telemetry.tracer.start_as_current_span(name):
            return await cache.get(KEY, fetch)

    calls = [asyncio.create_task(ask(name)) for name in ("leader", "follower", "other")]
    await fetch.entered.wait()
    await asyncio.sleep(0.02)
    fetch.go.set()
    assert await asyncio.gather(*calls) == ["value"] * 3
    assert fetch.runs == 1
    by_parent = {parent_of(span): span for span in telemetry.named("cache.get")}
    leader, follower, other = (by_parent[id_of(telemetry.one(name))] for name in ("leader", "follower", "other"))
    fallback = telemetry.one("cache.fallback")
    assert parent_of(fallback) == id_of(leader)
    assert links_of(leader) == []
    for span in (follower, other):
        assert links_of(span) == [id_of(fallback)]
        assert said(span, "outcome", "source") == ("hit", "flight")
        assert span.context is not None
        assert fallback.context is not None
        assert span.context.trace_id != fallback.context.trace_id


async def test_a_fallbacks_exception_is_the_callers_and_is_told_once(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    error = LookupError("no such row")

    async def fails() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        await cache.get(KEY, fails)
    assert caught.value is error
    call, fallback = telemetry.one("cache.get"), telemetry.one("cache.fallback")
    for span in (call, fallback):
        assert (span.attributes or {})["error.type"] == "LookupError"
        assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in fallback.events] == ["exception"]
    assert call.events == ()
    assert said(call, "outcome") == ("miss",)


async def test_what_is_wrong_with_a_call_is_told_in_its_span(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    with pytest.raises(KeyFormatError):
        await cache.get("flat", lambda: 1)
    call = telemetry.one("cache.get")
    assert (call.attributes or {})["error.type"] == "KeyFormatError"
    assert [event.name for event in call.events] == ["exception"]
    assert said(call, "outcome") == (None,)


async def test_a_stale_value_and_the_refresh_behind_it(make: Make, telemetry: Telemetry) -> None:
    cache = make(stale_while_revalidate="1h")
    telemetry.instrument(cache)
    await cache.set(KEY, "old", ttl=0.01)
    await asyncio.sleep(0.1)

    async def fetch() -> str:
        with telemetry.tracer.start_as_current_span("SELECT"):
            return "new"

    with telemetry.tracer.start_as_current_span("request"):
        assert await cache.get(KEY, fetch) == "old"

    async def is_refreshed() -> bool:
        return bool(telemetry.named("cache.refresh"))

    assert await eventually(is_refreshed)
    stale, refresh = telemetry.one("cache.get"), telemetry.one("cache.refresh")
    fallback, select = telemetry.one("cache.fallback"), telemetry.one("SELECT")
    assert said(stale, "outcome", "stale.reason") == ("stale", "revalidating")
    assert (parent_of(refresh), links_of(refresh)) == (None, [id_of(stale)])
    assert (parent_of(fallback), parent_of(select)) == (id_of(refresh), id_of(fallback))
    assert refresh.context is not None
    assert stale.context is not None
    assert refresh.context.trace_id != stale.context.trace_id


async def test_get_many_refreshes_behind_too(make: Make, telemetry: Telemetry) -> None:
    cache = make(stale_while_revalidate="1h")
    telemetry.instrument(cache)
    await cache.set(KEY, "old", ttl=0.01)
    await asyncio.sleep(0.1)
    found = await cache.get_many([KEY, "user:profile:2"], lambda keys: dict.fromkeys(keys, "new"))
    assert found == {KEY: "old", "user:profile:2": "new"}

    async def is_refreshed() -> bool:
        return bool(telemetry.named("cache.refresh"))

    assert await eventually(is_refreshed)
    call = telemetry.one("cache.get_many")
    assert said(call, "outcome", "keys.count", "keys.fetched") == ("miss", 2, 1)
    assert links_of(telemetry.one("cache.refresh")) == [id_of(call)]


async def test_what_is_served_when_a_fallback_fails_or_is_slow(make: Make, telemetry: Telemetry) -> None:
    cache = make(stale_if_error="1h", error_backoff=0)
    telemetry.instrument(cache)
    await cache.set(KEY, "old")
    await cache.expire(KEY)

    def fails() -> str:
        raise LookupError

    assert await cache.get(KEY, fails) == "old"
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "new"

    assert await cache.get(KEY, slow, soft_timeout=0.02) == "old"
    assert [said(span, "outcome") for span in telemetry.named("cache.get")] == [("stale",)] * 2
    assert len(telemetry.named("cache.fallback")) == 1
    go.set()

    async def has_ended() -> bool:
        return len(telemetry.named("cache.fallback")) == 2

    assert await eventually(has_ended)
    with pytest.raises(HardTimeout):
        await cache.get("user:profile:2", lambda: asyncio.sleep(30), hard_timeout=0.02)
    late = telemetry.named("cache.get")[-1]
    assert (late.attributes or {})["error.type"] == "HardTimeout"

    async def is_cancelled() -> bool:
        return len(telemetry.named("cache.fallback")) == 3

    assert await eventually(is_cancelled)


async def test_cancelling_ends_the_spans(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    fetch = Counter(held=True)
    call = asyncio.create_task(cache.get(KEY, fetch))
    await fetch.entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for name in ("cache.get", "cache.fallback"):
        span = telemetry.one(name)
        assert str((span.attributes or {})["error.type"]).endswith("CancelledError")
        assert span.status.status_code is StatusCode.UNSET


async def test_a_fallback_that_never_took_its_first_step_has_ended_its_span_too(telemetry: Telemetry) -> None:
    cache = CacheManager()
    telemetry.instrument(cache)
    begun = False

    async def fetch() -> None:
        nonlocal begun
        begun = True

    def starts() -> Any:
        asyncio.get_running_loop().call_soon(call.cancel)
        return fetch()

    call = asyncio.create_task(cache.get(KEY, starts))
    with pytest.raises(asyncio.CancelledError):
        await call
    gc.collect()
    assert {span.name for span in telemetry.spans} == {"cache.get", "cache.fallback"}
    await cache.close()


async def test_decorators_views_and_keys(make: Make, telemetry: Telemetry) -> None:
    cache = make()
    acme = cache.tenant("acme")
    telemetry.instrument(cache, keys=True)

    @cache.cached("square:of:{number}")
    async def square(number: int) -> int:
        return number**2

    assert [await square(3), await square(3), await square.refresh(3), await square.get_cached(3)] == [9] * 4
    assert await square.invalidate(3)
    await acme.get(KEY, lambda: 1)
    await cache.namespace("shop").get("user:profile:2", lambda: 1)
    calls = [
        (span.name, *said(span, "key", "tenant", "outcome"))
        for span in telemetry.spans
        if span.name not in ("cache.fallback", "cache.persist")
    ]
    assert calls == [
        ("cache.get", "square:of:3", None, "miss"),
        ("cache.get", "square:of:3", None, "hit"),
        ("cache.refresh", "square:of:3", None, "miss"),
        ("cache.get", "square:of:3", None, "hit"),
        ("cache.invalidate", "square:of:3", None, "confirmed"),
        ("cache.get", KEY, "acme", "miss"),
        ("cache.get", "user:profile:2", None, "miss"),
    ]


async def test_a_template_instead_of_keys(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache, keys=lambda key: None if key.startswith("secret") else key.rpartition(":")[0])
    await cache.tenant("acme").get(KEY, lambda: 1)
    await cache.get("secret:of:1", lambda: 1)
    assert [said(span, "key", "tenant") for span in telemetry.named("cache.get")] == [
        ("user:profile", None),
        (None, None),
    ]


async def test_every_call_has_its_span(cache: CacheManager, telemetry: Telemetry) -> None:
    telemetry.instrument(cache)
    view = cache.namespace("shop")
    await view.set(KEY, 1)
    await view.set_many({KEY: 1, "user:profile:2": 2})
    await view.get_entry(KEY)
    await view.exists("user:profile:3")
    await view.get(KEY, default=None)
    await view.get("user:profile:3", default=None)
    await view.write_through(KEY, 2, lambda value: None)
    await view.refresh(KEY, lambda: 3)
    await view.set_fields("user:profile:4", {"name": "Ada"})
    await view.get_fields("user:profile:4", ["name"], lambda names: {})
    await view.invalidate_field("user:profile:4", "name")
    await view.expire(KEY)
    await view.invalidate(KEY)
    await view.invalidate_tag("users")
    await view.clear()
    with cache.disabled():
        await view.get(KEY, lambda: 1)
    calls = [(span.name.removeprefix("cache."), *said(span, "outcome")) for span in telemetry.spans]
    assert [call for call in calls if call[0] not in ("fallback", "persist")] == [
        ("set", "confirmed"),
        ("set_many", "confirmed"),
        ("get_entry", "hit"),
        ("get_entry", "miss"),
        ("get", "hit"),
        ("get", "miss"),
        ("write_through", "confirmed"),
        ("refresh", "miss"),
        ("set_fields", "confirmed"),
        ("get_fields", "hit"),
        ("invalidate_field", "confirmed"),
        ("expire", "confirmed"),
        ("invalidate", "confirmed"),
        ("invalidate_tag", "confirmed"),
        ("clear", "confirmed"),
        ("get", "uncached"),
    ]
    assert parent_of(telemetry.one("cache.persist")) == id_of(telemetry.one("cache.write_through"))


async def test_a_span_names_the_server_by_its_conventions(
    redis_server: RedisServer, service: str, telemetry: Telemetry
) -> None:
    async with opened(redis_server.url, service=service, l1="1MB", command_timeout="5s", role="session") as cache:
        telemetry.instrument(cache)

        async def is_held() -> bool:
            await cache.get(KEY, lambda: 1)
            return ("l1", "l1") in [said(span, "outcome", "source") for span in telemetry.named("cache.get")]

        assert await eventually(is_held)
    attributes = telemetry.named("cache.get")[0].attributes or {}
    assert {name: attributes[name] for name in ("db.system.name", "server.address", "server.port")} == {
        "db.system.name": "redis",
        "server.address": "127.0.0.1",
        "server.port": urlsplit(redis_server.url).port,
    }
    assert said(telemetry.named("cache.get")[0], "service", "role") == (service, "session")
