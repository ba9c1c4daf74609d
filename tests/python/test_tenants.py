"""Tenants: what a view is, and that no name, key or tag reaches what is another's, in any call that there is."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import tidegate
import tidegate.sync
from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, ConfigError, KeyFormatError, Tag, TenantOptions, TidegateError, key

from .conftest import Make, MakeBlocking
from .helpers import Counter, eventually, run_script

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
KEY, TAG, NAMESPACE = "user:profile:1", "user:1", "catalog"
VICTIM, SECRET, OWN = "victim", "the victim's", "the manager's own"

OF_FIELDS = "user:fields:1"
# What somebody would call himself who wants to be another; all that are no name are refused.
NAMES = [
    *(
        "Victim",
        "victim ",
        " victim",
        "victim:",
        ":victim",
        "@victim",
        "@victim:",
        "%40victim",
        "victim:user",
        "%76ictim",
    ),
    *(
        "victi",
        "victimm",
        "victim%00",
        "victim\x00",
        "victim\n",
        "\u0435victim",
        "v\u0456ctim",
        "\uff56ictim",
        "vi\u200bctim",
    ),
    *(
        "*",
        "?",
        "[v]ictim",
        "{victim}",
        "}victim{",
        "..",
        "../victim",
        "~tag",
        "~tag:@victim",
        "v1",
        "%",
        "%%",
        "#",
        "\\",
    ),
    *("", "x" * 100, "x" * 101, ":" * 33, "victim" * 1_000, "\ud800"),
]
# Keys, tags and names of namespaces that he would ask for. Most are refused.
TEXTS = [
    *("@victim:user:profile:1", "@victim", "@:user:profile:1", "%40victim:user:profile:1", "..:@victim:user:profile:1"),
    *("victim:user:profile:1", "v1:@victim:user:profile:1", "~tag:@victim:user:1", "@victim:user:1", "~ns:catalog"),
    *("@victim:~ns:catalog", "user:profile:1\x00", "user:profile:1\n", "user:profile:*", "{user:profile:1}:lease"),
    *("@victim:user:fields:1", "user:fields:1", "{user:fields:1}:fields"),
    *("user:profile:1}:lease", "user:profile:1", "user:1", "catalog", "..", "", ":", "\ud800:x", "user:" + "x" * 300),
    *("@victim:user:" + "x" * 300, "user:profile:\uff11", 7, None, b"user:profile:1"),
]


async def done(result: Any) -> Any:
    """A call's result, of the async manager or of the blocking one."""
    return await result if inspect.isawaitable(result) else result


async def cached(view: Any, text: Any) -> Any:
    async def fetch() -> str:
        return "fetched"

    function = view.cached(text, tags=[text])(fetch if isinstance(view, CacheManager) else lambda: "fetched")
    return [await done(function()), await done(function.get_cached()), await done(function.invalidate())]


async def disabled(view: Any, text: Any) -> Any:
    with view.disabled():
        return await done(view.get(text, lambda: "fetched"))


async def observed(view: Any, text: Any) -> Any:
    """What he is told of his own calls names himself; told of others', he would be told whose they are."""
    seen: list[CacheEvent] = []
    view.on("cache.error", seen.append)
    await done(view.get(text, default=None))
    view.off("cache.error", seen.append)
    return [event.key for event in seen]


async def put_behind(view: Any, text: Any) -> Any:
    seen: list[Any] = []
    behind = view.write_behind("counters", seen.extend)
    try:
        await done(behind.put(text, "overwritten"))
        await done(behind.flush(5))
        return seen
    finally:
        await done(behind.close())


async def told(view: Any, text: Any) -> Any:
    """A handler that names what he wants."""
    handled = threading.Event()

    def handle(_: Any) -> list[Any]:
        handled.set()
        return [text, Tag(text) if isinstance(text, str) else text]

    subscription = view.on_event("user.updated", handle, max_attempts=1)
    try:
        assert await done(subscription.started())
        await done(view.publish_event("user.updated", None))
        assert await asyncio.to_thread(handled.wait, 5)
    finally:
        await done(subscription.close())


async def set_aside(view: Any, text: Any) -> Any:
    return await done(view.event_dead_letters(text if text != "catalog" else "user.updated").list())


async def nothing(view: Any, text: Any) -> Any:
    """By itself, at the end: it closes the manager, as that of any view does."""


async def unasked(view: Any, text: Any) -> Any:
    """They take no text, and tell of the whole manager: test_prometheus.py looks for a tenant there."""


# By the method's name: all that it can be asked for. A method without a case fails `test_every_method_has_a_case`.
CASES: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "get": lambda view, text: done(view.get(text, default="absent")),
    "get_many": lambda view, text: done(view.get_many([text], lambda keys: dict.fromkeys(keys, "fetched"))),
    "get_entry": lambda view, text: done(view.get_entry(text)),
    "exists": lambda view, text: done(view.exists(text)),
    "set": lambda view, text: done(view.set(text, "overwritten", tags=[TAG])),
    "write_through": lambda view, text: done(view.write_through(text, "overwritten", lambda _: None, tags=[TAG])),
    "set_many": lambda view, text: done(view.set_many({text: "overwritten"})),
    "get_fields": lambda view, text: done(
        view.get_fields(text, ["name"], lambda names: dict.fromkeys(names, "fetched"))
    ),
    "set_fields": lambda view, text: done(view.set_fields(text, {"name": "overwritten"}, tags=[TAG])),
    "invalidate_field": lambda view, text: done(view.invalidate_field(text, "name")),
    "invalidate": lambda view, text: done(view.invalidate(text)),
    "expire": lambda view, text: done(view.expire(text)),
    "invalidate_tag": lambda view, text: done(view.invalidate_tag(text)),
    "refresh": lambda view, text: done(view.refresh(text, lambda: "refreshed", tags=[TAG])),
    "cached": cached,
    "disabled": disabled,
    "namespace": lambda view, text: done(view.namespace(text).get(KEY, default="absent")),
    "clear": lambda view, text: done(view.namespace(text).clear()),
    "tenant": lambda view, text: done(view.tenant(text).get(KEY, default="absent")),
    "on": observed,
    "off": observed,
    "stats": lambda view, text: done(view.stats()),
    "write_behind": put_behind,
    "publish_event": lambda view, text: done(view.publish_event(text, "overwritten")),
    "on_event": told,
    "event_dead_letters": set_aside,
    "metrics": unasked,
    "health": unasked,
    "prometheus_text": unasked,
    "close": nothing,
}


@pytest.mark.parametrize("kind", [CacheManager, tidegate.sync.CacheManager])
def test_every_method_has_a_case(kind: type) -> None:
    methods = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}
    assert methods == set(CASES), "a new method: what could it reach of another tenant's?"


@pytest.mark.parametrize("l1", [None, "16MB"], ids=["", "l1"])
async def test_no_call_reaches_another_tenants(make: Make, service: str, l1: str | None, url: str) -> None:
    cache = make(l1=l1)
    await _attack(cache, l1)
    if url.startswith("redis"):
        _check_store(url, service)


@pytest.mark.parametrize("l1", [None, "16MB"], ids=["", "l1"])
async def test_no_blocking_call_reaches_another_tenants(
    make_blocking: MakeBlocking, service: str, l1: str | None, url: str
) -> None:
    await _attack(make_blocking(l1=l1), l1)
    if url.startswith("redis"):
        _check_store(url, service)


async def _attack(cache: Any, l1: str | None) -> None:
    victim = cache.tenant(VICTIM)

    async def furnish() -> None:
        await done(victim.namespace(NAMESPACE).set(KEY, SECRET, tags=[TAG]))
        await done(victim.set("user:" + "x" * 300, SECRET))
        await done(victim.namespace(NAMESPACE).set_fields(OF_FIELDS, {"name": SECRET}, tags=[TAG]))
        await done(cache.namespace(NAMESPACE).set(KEY, OWN, tags=[TAG]))

    async def check(what: str) -> None:
        for _ in range(2 if l1 else 1):
            assert await done(victim.namespace(NAMESPACE).get(KEY, lambda: what, tags=[TAG])) == SECRET, what
            assert await done(victim.get("user:" + "x" * 300, default=what)) == SECRET, what
            assert await done(victim.get_fields(OF_FIELDS, ["name"])) == {"name": SECRET}, what

    await furnish()
    await check("before")
    refused = 0
    for name in [*NAMES, None]:
        # The manager's own calls are somebody's too, who must not reach into a tenant's.
        try:
            attacker = cache.tenant(name) if name is not None else cache
        except KeyFormatError:
            refused += 1
            continue
        for number, (method, case) in enumerate(CASES.items(), NAMES.index(name) if name is not None else 0):
            # A third of them for each name and method: every two of the three meet.
            for text in TEXTS if name is None else TEXTS[number % 3 :: 3]:
                try:
                    seen = await case(attacker, text)
                except (TidegateError, TypeError):
                    seen = None
                stolen = SECRET in repr(seen) or (name is not None and OWN in repr(seen))
                # As a tenant's view the manager may name the victim by his name.
                is_his = name is None and method in ("tenant",) and text in (VICTIM, *TEXTS)
                assert not stolen or is_his, f"tenant({name!r}).{method}({text!r}) gave {seen!r}"
        await check(f"as {name!r}")
        if name is not None:
            assert await done(cache.namespace(NAMESPACE).get(KEY, lambda: name, tags=[TAG])) == OWN, name  # noqa: B023
            counted = attacker.stats()
            await done(victim.get(KEY, default=None))
            assert attacker.stats()["hits"] == counted["hits"], name
    assert refused == sum(1 for name in NAMES if name in ("", "x" * 101, "victim" * 1_000, "\ud800"))


def _check_store(url: str, service: str) -> None:
    """Each key on the server stands under the tenant that it was written by."""
    # Those of `TEXTS` are what the manager's own calls of `tenant` made.
    names = [name for name in [VICTIM, *NAMES, *TEXTS] if _is_name(name)]
    scopes = {f"@{key('x', str(name)).removeprefix('x:')}:" for name in names}
    found = set()
    with redis.Redis.from_url(url) as client:
        for raw in client.scan_iter(match=f"*{service}:*", count=1_000):
            name = raw.decode().strip("{").split("}")[0]
            kind, _, local = name.removeprefix(f"{service}:").partition(":")
            if kind not in ("v1", "~tag", "~queue"):
                continue
            if local.startswith("@"):
                scope = local[: local.index(":") + 1]
                assert scope in scopes, raw
                found.add(scope)
                local = local.removeprefix(scope)
            assert "@" not in local, raw
    assert len(found) > len(NAMES) / 2, "they wrote"


def _is_name(name: object) -> bool:
    try:
        return isinstance(name, str | int) and bool(CacheManager().tenant(name))
    except KeyFormatError:
        return False


# --- what a view is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["tenants"], ids=lambda vector: vector["value"])
def test_keys_and_tags_are_as_the_vectors_say(vector: dict[str, Any], own_redis: redis.Redis, own_url: str) -> None:
    ((kind, text),) = vector["tenant"].items()
    name = {"text": str, "int": int, "uuid": uuid.UUID}[kind](text)
    with tidegate.sync.CacheManager(own_url, service=vector["service"], command_timeout="5s") as cache:
        view = cache.tenant(name).namespace(vector["namespace"])
        assert view.set(vector["relative"], 1, tags=[vector["tag"]])
    found = {raw.decode() for raw in own_redis.scan_iter()}
    assert found - {f"{vector['service']}:~versions"} == {vector["value"], vector["tag_key"], vector["namespace_key"]}
    entry = own_redis.get(vector["value"])
    assert isinstance(entry, bytes)
    assert entry[52:68].hex() == vector["hash"]
    assert vector["tag_recorded"].encode() in entry


@pytest.fixture
def own_url(redis_server: RedisServer) -> str:
    """A database of its own, emptied."""
    return f"{redis_server.url.removesuffix('/0')}/9"


@pytest.fixture
def own_redis(own_url: str) -> redis.Redis:
    client = redis.Redis.from_url(own_url)
    client.flushdb()
    return client


@pytest.mark.parametrize(
    "name", [*(case["text"] for case in VECTORS["tenants_refused"]), None, 1.5, b"acme", [], "\ud800"]
)
def test_what_is_no_name_is_refused_with_a_right_example(name: Any) -> None:
    with pytest.raises(KeyFormatError, match=r'right example: cache.tenant\("acme"\)') as caught:
        CacheManager().tenant(name)
    assert len(str(caught.value)) < 400


def test_a_tenant_of_a_tenant_and_options_that_are_none_are_refused() -> None:
    cache = CacheManager()
    for view in (cache.tenant("acme"), cache.tenant("acme").namespace("catalog")):
        with pytest.raises(ConfigError, match="not of another tenant"):
            view.tenant("other")
    refused: list[tuple[Any, str]] = [
        ({"ttll": 1}, 'did you mean "ttl"'),
        ({"max_fallbacks": 0}, "max_fallbacks=0"),
        ({"service": "x"}, 'no option "service"'),
        ({"ttl": 0}, "ttl=0"),
    ]
    for options, said in refused:
        with pytest.raises(ConfigError, match=said):
            cache.tenant("acme", **options)
    assert repr(cache.tenant("a:b", ttl=None).namespace("shop")).endswith(".tenant('a:b').namespace('shop')")


def test_its_options_are_those_of_a_read_and_its_limits() -> None:
    assert set(TenantOptions.__annotations__) == set(tidegate._tidegate.TENANT_OPTIONS)


async def test_a_namespaces_tenant_is_that_namespace_of_the_tenants(make: Make) -> None:
    cache = make()
    assert await cache.namespace("shop").tenant("acme").set(KEY, 1)
    assert await cache.tenant("acme").namespace("shop").get(KEY, default=None) == 1
    assert await cache.namespace("shop").clear()
    assert await cache.tenant("acme").exists(KEY)
    assert await cache.tenant("acme").namespace("shop").clear()
    assert not await cache.tenant("acme").exists(KEY)


async def test_a_nested_read_of_another_tenants_same_key_is_no_read_of_its_own(make: Make) -> None:
    cache = make()
    acme, other = cache.tenant("acme"), cache.tenant("other")
    errors: list[CacheEvent] = []
    cache.on("cache.error", errors.append)
    assert await acme.get(KEY, lambda: other.get(KEY, lambda: 1)) == 1
    assert (await other.exists(KEY), errors) == (True, [])
    nested = "user:profile:2"
    assert await acme.get(nested, lambda: cache.tenant("acme").get(nested, lambda: 2)) == 2
    assert await eventually(lambda: asyncio.sleep(0, bool(errors)))
    assert [(event.reason, event.key, event.tenant) for event in errors] == [("nested", nested, "acme")]


async def test_a_fault_in_the_log_names_the_tenant_on_one_line(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    cache = make()
    odd = cache.tenant("a\nb")
    assert await odd.get(KEY, lambda: object()) is not None
    assert await eventually(lambda: asyncio.sleep(0, bool(caplog.messages)))
    assert caplog.messages[0].startswith("tidegate: encode [user:profile:1 of tenant 'a\\nb']: ")


async def test_two_views_of_one_tenant_share_flight_figures_and_limits(make: Make) -> None:
    cache = make()
    fetch = Counter(1, held=True)
    calls = [asyncio.ensure_future(cache.tenant("acme").get(KEY, fetch)) for _ in range(5)]
    await fetch.entered.wait()
    fetch.go.set()
    assert await asyncio.gather(*calls) == [1] * 5
    stats = cache.tenant("acme").stats()
    assert (stats["hits"], stats["misses"], stats["fallbacks"], fetch.runs) == (4, 1, 1, 1)
    assert stats["hit_rate"] == pytest.approx(0.8)
    assert stats["p99_ms"] > 0
    assert set(stats) == set(cache.stats())
    assert cache.tenant("other").stats()["hits"] == 0


async def test_ctx_tags_of_a_tenant_are_its_own(make: Make) -> None:
    cache = make()
    acme = cache.tenant("acme", tags=["eu"])
    assert await acme.set("user:profile:9", 1, tags=["late"])
    await asyncio.sleep(0.2)

    def fetch(ctx: tidegate.Context) -> int:
        with pytest.raises(KeyFormatError):
            ctx.tags = ["@other:x"]
        ctx.tags = ["late"]
        assert ctx.tags == ("late",)
        return 1

    assert await acme.get(KEY, fetch) == 1
    entry = await acme.get_entry(KEY)
    assert entry is not None
    assert sorted(entry.tags) == ["eu", "late"]
    assert await cache.invalidate_tag("late")
    assert await acme.exists(KEY)
    assert await acme.invalidate_tag("late")
    assert not await acme.exists(KEY)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_goes_on_with_its_parents_tenants(redis_server: RedisServer, service: str) -> None:
    source = """
        import os, sys
        from tidegate.sync import CacheManager
        cache = CacheManager(sys.argv[1], service=sys.argv[2], command_timeout="5s")
        acme = cache.tenant("acme")
        acme.set("user:profile:1", 1)
        assert acme.get("user:profile:1", default=None) == 1
        if (child := os.fork()) == 0:
            assert acme.stats()["hits"] == 0, "it counts anew"
            assert acme.get("user:profile:1", default=None) == 1
            assert cache.tenant("acme").stats()["hits"] == acme.stats()["hits"] == cache.stats()["hits"] == 1
            assert cache.tenant("other").get("user:profile:1", default=None) is None
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert acme.stats()["hits"] == 1
    """
    ended = run_script(source, redis_server.url, service)
    assert ended.returncode == 0, ended.stderr
