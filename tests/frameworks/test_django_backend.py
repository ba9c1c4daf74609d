"""The backend for Django in the process: values, keys, timeouts, one computation for all, an outage."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import threading
import time as clock
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import CacheKeyWarning, cache, caches
from django.db import models
from django.http import HttpResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.utils.functional import lazystr
from django.utils.safestring import SafeString, mark_safe

from tests.frameworks.django_configured import BACKEND, Row, place
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tidegate import ConfigError, EncodeError
from tidegate.contrib.django import (
    TidegateCache,
    aclose,
    close,
    manager,
)
from tidegate.contrib.django.apps import check_caches


class Color(models.TextChoices):
    RED = "red"


class Plain(Enum):
    ONE = 1


Pair = namedtuple("Pair", "a b")

__all__ = ["place"]  # a fixture


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"\x00\xff",
        7,
        2**70,
        -(2**63),
        1.5,
        float("inf"),
        None,
        True,
        (1, (2, [3])),
        {1, 2},
        frozenset({"a"}),
        {"a": {1: (2, None)}, "~": "not a mark", "v": 1},
        {(1, 2): "keys that are no texts"},
        OrderedDict(a=1),
        datetime(2030, 1, 2, 3, 4, 5, 678),
        datetime(2030, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        date(2030, 1, 2),
        time(3, 4, 5, 6),
        timedelta(days=-1, microseconds=5),
        decimal.Decimal("1.50"),
        UUID(int=5),
        [SafeString("<b>"), "é"],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_is(value: Any) -> None:
    for given in (cache.get_or_set("key", value), cache.get("key"), cache.get_many(["key"])["key"]):
        assert given == value
        assert type(given) is (dict if isinstance(value, OrderedDict) else type(value))
    assert asyncio.run(cache.aget("key")) == value
    assert asyncio.run(cache.aget_many(["key", "none"])) == {"key": value}


def test_texts_of_django_s_are_texts() -> None:
    cache.set("safe", mark_safe("<b>"))
    assert isinstance(cache.get("safe"), SafeString)
    cache.set("lazy", [lazystr("later"), Color.RED])
    assert cache.get("lazy") == ["later", "red"]


def test_responses_come_back_with_headers_and_cookies() -> None:
    response = HttpResponse(
        "é", status=201, reason="Made", headers={"X-Own": "1"}, content_type="text/x; charset=utf-8"
    )
    response.set_cookie("a", "b c", max_age=5, httponly=True)
    cache.set("response", response)
    found = cache.get("response")
    assert (found.status_code, found.reason_phrase, found.content) == (201, "Made", response.content)
    assert dict(found.items()) == dict(response.items())
    assert str(found.cookies) == str(response.cookies)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (Row(name="Ada"), r"\.Row, which only pickle.*model_to_dict"),
        ({"rows": [Row.objects.all()]}, r"\$\['rows'\]\[0\] is a .*QuerySet.*queryset\.values"),
        (lambda: 1, r"store what it gives"),
        (Pair(1, 2), r"named tuple.*_asdict"),
        (Plain.ONE, r"member\.value"),
        (StreamingHttpResponse, r"store what it gives"),
        (object(), r"make the object anew"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_only_pickle_could_write_is_refused_with_what_to_do(value: Any, advice: str) -> None:
    if value is StreamingHttpResponse:
        value, advice = StreamingHttpResponse([b""]), "a stream is not kept"
    writes: list[Callable[[], Any]] = [
        lambda: cache.set("key", value),
        lambda: cache.add("key", value),
        lambda: cache.set_many({"key": value}),
        lambda: cache.get_or_set("key", lambda: value),
    ]
    for write in writes:
        with pytest.raises(EncodeError, match=advice):
            write()
    with pytest.raises(EncodeError, match=advice):
        asyncio.run(cache.aset("key", value))
    assert cache.get("key", "nothing") == "nothing"


@pytest.mark.parametrize(
    "stored", [{"~": "os.system", "v": "true"}, {"~": "decimal", "v": []}, {"~": "tuple"}, {"~": ["x"], "v": 1}]
)
def test_an_entry_that_nobody_here_has_written_is_a_miss(stored: Any) -> None:
    cache.set("key", "right")
    made = cache._key("key", None)
    cache._manager.set(made, stored)
    assert cache.get("key", "miss") == "miss"
    assert cache.get_many(["key"]) == {}
    assert asyncio.run(cache.aget("key", "miss")) == "miss"


def test_prefixes_versions_and_hostile_keys_are_apart() -> None:
    keys = ["a", "a:b", "1:a", ":1:a", "", " ", "%3A", "{x}", "@tenant:a", "é" * 300]
    every = [(alias, key, version) for alias in ("default", "other", "v2") for key in keys for version in (None, 3)]
    for number, (alias, key, version) in enumerate(every):
        with _warned(key):
            caches[alias].set(key, number, version=version)
    for number, (alias, key, version) in enumerate(every):
        if (alias, version) == ("default", 3):
            continue  # `v2` is this alias by another version
        with _warned(key):
            assert caches[alias].get(key, version=version) == number


def _warned(key: str) -> Any:
    # As Django's own backends do, of what memcached would refuse.
    return pytest.warns(CacheKeyWarning) if " " in key or len(key) > 250 else contextlib.nullcontext()


def test_clear_ends_what_has_the_prefix_and_without_one_all() -> None:
    cache.set("key", 1)
    caches["other"].set("key", 2)
    manager().set("own:key", 3)
    caches["other"].clear()
    assert (cache.get("key"), caches["other"].get("key")) == (1, None)
    caches["other"].set("key", 2)
    asyncio.run(cache.aclear())
    assert (cache.get("key"), caches["other"].get("key")) == (None, None)
    assert manager().get("own:key", default=None) == 3, "what is not Django's stays"


def test_get_or_set_computes_once_for_all_and_a_delete_meanwhile_counts() -> None:
    runs: list[int] = []
    entered, go = threading.Event(), threading.Event()

    def compute() -> int:
        runs.append(1)
        entered.set()
        assert go.wait(20)
        return len(runs)

    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(caches["default"].get_or_set("key", compute, 60)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    assert entered.wait(20)
    assert cache.delete("key") is False
    go.set()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert len(runs) <= 2, "the run that was under way is not kept; one more is, for those who waited"
    runs.clear()
    assert cache.get_or_set("zero", lambda: "value", 0) == "value"
    assert cache.get("zero") is None


def test_async_methods_wait_together_and_take_async_functions() -> None:
    runs: list[int] = []

    async def compute() -> str:
        runs.append(1)
        await asyncio.sleep(0.02)
        return "value"

    async def main() -> list[Any]:
        return await asyncio.gather(*(cache.aget_or_set("key", compute, 60) for _ in range(300)))

    assert asyncio.run(main()) == ["value"] * 300
    assert runs == [1]
    assert cache.get("key") == "value", "both halves are one cache"

    async def others() -> None:
        assert await cache.aadd("n", 1) is True
        assert await cache.aadd("n", 2) is False
        assert await cache.aincr("n", 4) == 5
        assert await cache.adecr("n") == 4
        assert await cache.atouch("n", 0) is True
        assert await cache.ahas_key("n") is False
        assert await cache.atouch("n") is False
        assert await cache.aset_many({"a": 1, "b": 2}) == []
        assert await cache.adelete("a") is True
        await cache.adelete_many(["b"])
        assert await cache.aget_many(["a", "b"]) == {}
        assert await cache.aincr_version("key") == 2
        assert await cache.aget("key", version=2) == "value"
        await cache.aclose()

    asyncio.run(others())


def test_add_changes_nothing_that_stands_there_however_soon_it_ends() -> None:
    here = TidegateCache("memory://", {"OPTIONS": {"service": "early", "early_refresh": True}})
    here._manager.get(here._key("lock", None), lambda: passed(0.5), ttl=1)
    ends = monotonic() + 0.8
    while monotonic() < ends and here.get("lock") is not None:
        assert here.add("lock", "yours", 60) is False
        assert asyncio.run(here.aadd("lock", "yours", 60)) is False
        assert here.get("lock", "mine") == "mine"
        passed(0.01)


def passed(seconds: float) -> str:
    threading.Event().wait(seconds)
    return "mine"


def test_what_has_run_out_is_nothing_though_it_may_stand_in_for_a_failure() -> None:
    here = TidegateCache("memory://", {"OPTIONS": {"service": "stale", "stale_if_error": "1h"}})
    here.set("n", 5, 0.05)
    passed(0.1)
    with pytest.raises(ValueError, match="not found"):
        here.incr("n")
    with pytest.raises(ValueError, match="not found"):
        asyncio.run(here.aincr("n"))
    assert (here.has_key("n"), here.touch("n"), here.get("n"), here.delete("n")) == (False, False, None, False)
    assert here.add("n", 1) is True


@pytest.mark.parametrize("off", [-5, 5])
def test_an_increment_leaves_the_end_as_it_is_whatever_this_machines_clock_says(
    off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = TidegateCache("memory://", {"OPTIONS": {"service": "skewed"}})
    here.set("n", 0, 3_600)

    def ends() -> int:
        entry = here._manager.get_entry(here._key("n", None))
        assert entry is not None
        return entry.fresh_until

    began, real = ends(), clock.time
    monkeypatch.setattr(clock, "time", lambda: real() + off)
    for _ in range(10):
        here.incr("n")
        asyncio.run(here.aincr("n"))
    assert here.get("n") == 20
    assert abs(ends() - began) < 1_000


def test_what_is_used_again_after_its_close_is_open() -> None:
    cache.set("key", 1)
    close()
    assert cache.get("key", "none") in (1, "none")
    manager().close()
    assert cache.set("key", 2) is None
    assert manager().exists("own:key") is False

    async def again() -> None:
        await cache.aset("key", 3)
        await aclose()
        await cache.aset("key", 4)
        assert await cache.aget("key") == 4
        await aclose()

    asyncio.run(again())


def test_several_caches_close_within_one_timeout(redis_server: RedisServer) -> None:
    every = [
        TidegateCache(redis_server.url, {"OPTIONS": {"service": f"owes{number}", "command_timeout": "200ms"}})
        for number in range(3)
    ]
    for one in every:
        one.set("key", 1)
    redis_server.pause()
    for one in every:
        one.delete("key")
    began = monotonic()
    close(1)
    assert 0.9 < monotonic() - began < 1.9
    redis_server.resume()


def test_many_are_read_together_from_the_process_or_the_store(redis_server: RedisServer) -> None:
    for options in ({}, {"l1": "1MB"}):
        here = TidegateCache(redis_server.url, {"OPTIONS": {"service": "many", "command_timeout": "5s", **options}})
        here.set_many({f"key-{number}": (number, None) for number in range(50)} | {"none": None})
        keys = [f"key-{number}" for number in range(60)] + ["none"]
        expected = {f"key-{number}": (number, None) for number in range(50)} | {"none": None}
        for _ in range(2):
            assert here.get_many(keys) == expected
            assert asyncio.run(here.aget_many(iter(keys))) == expected
        here.delete_many(keys)
        assert asyncio.run(here.aget_many(keys)) == here.get_many(keys) == {}
        close()


def test_many_are_read_in_one_round_trip(redis_server: RedisServer) -> None:
    with Proxy(redis_server.url) as proxy:
        options = {"service": "trips", "command_timeout": "5s", "fleet_report": None}
        here = TidegateCache(proxy.url, {"OPTIONS": options, "KEY_PREFIX": "one"})
        other = TidegateCache(proxy.url, {"OPTIONS": options, "KEY_PREFIX": "other"})
        expected = {f"key-{number}": number for number in range(100)}
        here.set_many(expected)
        keys = [*expected, "none"]
        assert here.get_many(keys) == expected, "from here on what the server's clock says is known"
        # So that no answer comes before the last key is asked for.
        proxy.delay(0.05)
        before = proxy.seen["round trips"]
        assert here.get_many(keys) == expected
        assert other.get_many(keys) == {}
        # Two, and a heartbeat may come in between.
        assert proxy.seen["round trips"] - before <= 5
        here.clear()
        assert here.get_many(keys) == {}, "their tag has ended"
        proxy.heal()
        close()


def test_many_may_be_read_while_one_of_them_is_computed() -> None:
    cache.set("other", 1)
    assert cache.get_or_set("key", lambda: cache.get_many(["key", "other"])) == {"other": 1}

    async def compute() -> Any:
        return await cache.aget_many(["akey", "other"])

    assert asyncio.run(cache.aget_or_set("akey", compute)) == {"other": 1}


def test_with_the_store_away_nothing_raises_and_nothing_is_promised(redis_server: RedisServer) -> None:
    options = {"service": "away", "command_timeout": "1s"}
    away = TidegateCache(redis_server.url, {"OPTIONS": options})
    away.set("key", "old")
    redis_server.pause()
    assert away.get("key", "default") == "default"
    assert away.add("lock", 1) is False, "a lock that nobody else would see is none"
    assert away.get_many(["key", "none"]) == {}
    assert away.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert away.get_or_set("key", lambda: "computed") == "computed"
    assert away.delete("key") is False
    assert away.has_key("key") is False
    assert away.touch("key") is False
    with pytest.raises(ValueError, match="not found"):
        away.incr("key")
    redis_server.resume()


@pytest.mark.parametrize(
    ("location", "options", "message"),
    [
        (["redis://a", "redis://b"], {}, "redis-cluster://"),
        ("memory://", {"MAX_ENTRIES": 5}, "maxmemory-policy"),
        ("memory://", {"codec": "json"}, "codec"),
    ],
)
def test_settings_that_cannot_work_are_refused(location: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TidegateCache(location, {"OPTIONS": options})


def test_a_check_tells_of_caches_that_nobody_shares() -> None:
    assert [(found.id, found.is_serious()) for found in check_caches(None)] == [("tidegate.W001", False)] * 3
    wrong = {"BACKEND": BACKEND, "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": {"service": "shop", "ttl_jiter": 0}}
    other = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES={"default": wrong, "other": other}):
        (found,) = check_caches(None)
        assert (found.id, found.is_serious()) == ("tidegate.E001", True)
        assert "ttl_jitter" in found.msg
    with override_settings(DEBUG=True):
        assert check_caches(None) == []
