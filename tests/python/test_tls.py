"""TLS and accounts, standalone, behind Sentinels and in Clusters.

What is right works; what is wrong is told, without secrets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import acl
from tests.support.acl import data_access
from tests.support.certificates import Certificates
from tests.support.cluster import RedisCluster, slot_of
from tests.support.places import denials, forget_denials
from tests.support.redis_server import RedisServer
from tests.support.sentinel import RedisSentinel
from tidegate import CacheManager, WriteItem

from .conftest import PATIENT
from .helpers import Counter, Seen, eventually, managers, opened


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    with Certificates() as those:
        yield those


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Iterator[RedisServer]:
    with RedisServer(tls=certificates) as server:
        yield server


def _files(certificates: Certificates) -> dict[str, str]:
    return certificates.options()


def _texts(certificates: Certificates) -> dict[str, str]:
    return certificates.pem()


@pytest.mark.parametrize("how", [_files, _texts])
async def test_certificates_are_paths_or_pem(
    tls_server: RedisServer, certificates: Certificates, how: Callable[[Certificates], dict[str, str]], service: str
) -> None:
    async with opened(tls_server.url, service=service, tls=how(certificates), **PATIENT) as cache:
        assert await cache.set("user:profile:1", 1)
        assert await cache.get("user:profile:1", lambda: 2) == 1


async def test_a_host_by_another_name_is_told_by_server_name(certificates: Certificates, service: str) -> None:
    with RedisServer(tls=certificates) as server:
        options = {**certificates.options(), "server_name": "localhost"}
        async with opened(server.url, service=service, tls=options, **PATIENT) as cache:
            assert await cache.set("user:profile:1", 1)
        async with opened(server.url, service=service, tls={**options, "server_name": "redis.internal"}) as cache:
            seen = Seen(cache)
            assert await cache.get("user:profile:1", lambda: 2) == 2
            assert await seen.tells("certificate"), seen.text()


PASSWORD = "s3cret-of-the-test"


def _of_another_authority(server: RedisServer, certificates: Certificates, other: Certificates) -> tuple[str, Any]:
    return server.url, {**certificates.options(), "ca": str(other.ca)}


def _without_a_certificate(server: RedisServer, certificates: Certificates, other: Certificates) -> tuple[str, Any]:
    return server.url, certificates.options(shows_certificate=False)


def _another_certificate(server: RedisServer, certificates: Certificates, other: Certificates) -> tuple[str, Any]:
    return server.url, {**other.options(), "ca": str(certificates.ca)}


def _without_tls(server: RedisServer, certificates: Certificates, other: Certificates) -> tuple[str, Any]:
    return server.url.replace("rediss://", "redis://"), None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (_of_another_authority, "certificate"),
        (_without_a_certificate, "certificate"),
        (_another_certificate, "certificate"),
        (_without_tls, "TLS"),
    ],
)
async def test_a_wrong_tls_set_up_is_told_and_the_fallback_serves(
    tls_server: RedisServer, certificates: Certificates, wrong: Callable[..., tuple[str, Any]], words: str, service: str
) -> None:
    with Certificates() as other:
        url, tls = wrong(tls_server, certificates, other)
        url = url.replace("://", f"://user:{PASSWORD}@")
        options = {"tls": tls} if tls else {}
        async with opened(url, service=service, **options) as cache:
            seen = Seen(cache)
            assert await cache.get("user:profile:1", lambda: 1) == 1
            assert await seen.tells(words), seen.text()
            _tells_no_secret(cache, seen, certificates)


async def test_a_tls_url_to_a_port_without_is_told(
    redis_server: RedisServer, certificates: Certificates, service: str
) -> None:
    url = f"rediss://user:{PASSWORD}@{redis_server.address}"
    async with opened(url, service=service, tls=certificates.options()) as cache:
        seen = Seen(cache)
        assert await cache.get("user:profile:1", lambda: 1) == 1
        assert await seen.tells("TLS"), seen.text()
        _tells_no_secret(cache, seen, certificates)


def _tells_no_secret(cache: CacheManager, seen: Seen, certificates: Certificates) -> None:
    told = seen.text() + repr(cache)
    key = certificates.client[1].read_text()
    assert PASSWORD not in told
    assert not any(line in told for line in key.splitlines() if not line.startswith("-----"))


@pytest.mark.parametrize("scheme", ["redis", "redis-cluster", "redis-sentinel"])
async def test_a_wrong_password_is_told_without_it(scheme: str, service: str) -> None:
    access = data_access()
    wrong = f"{acl.SERVICE}:{PASSWORD}@"
    place: Any
    match scheme:
        case "redis":
            place = RedisServer(access=access)
        case "redis-cluster":
            place = RedisCluster(access=access)
        case _:
            place = RedisSentinel(access=access)
    with place:
        url = place.url.replace(f"{access.user.in_url}@", wrong)
        assert wrong in url
        async with opened(url, service=acl.SERVICE) as cache:
            seen = Seen(cache)
            assert await cache.get("user:profile:1", lambda: 1) == 1
            assert await seen.tells("WRONGPASS|NOAUTH"), seen.text()
            assert PASSWORD not in seen.text() + repr(cache)


async def test_sentinels_have_accounts_of_their_own(certificates: Certificates) -> None:
    access, own = data_access(), acl.sentinel_access()
    with RedisSentinel(tls=certificates, access=access, sentinel_access=own) as group:
        async with managers(group, acl.SERVICE, acl.SERVICE, l1="1MB") as (one, other):
            assert await one.get("user:profile:1", lambda: 1) == 1
            assert await other.get("user:profile:1", lambda: 2) == 1
            group.failover()

            async def is_back() -> bool:
                return await one.set("user:profile:2", 2)

            assert await eventually(is_back, 10)
            assert denials(group) == []
            logs = [entry for sentinel in group.sentinels for entry in sentinel.client().acl_log()]
            assert logs == []
        without = group.url.partition("?")[0]
        async with opened(without, service=acl.SERVICE, **group.options) as cache:
            seen = Seen(cache)
            assert await cache.get("user:profile:3", lambda: 3) == 3
            assert await seen.tells("NOAUTH"), seen.text()
            assert access.user.password not in seen.text() + repr(cache)


async def _write_behind(cache: CacheManager) -> None:
    """One write reaches its sink, one is set aside, taken up again, and dropped."""

    def sink(items: list[WriteItem]) -> list[str]:
        return [item.id for item in items if item.value == "poison"]

    behind = cache.write_behind("counters", sink, batch=1, max_attempts=1)
    await behind.put("page:views:1", 1, operation_id="first")
    await behind.put("page:views:1", 1, operation_id="first")
    await behind.put("page:views:2", "poison")
    assert await behind.flush(10)
    (letter,) = await behind.dead_letters.list()
    await behind.dead_letters.retry(letter.id)
    assert await behind.flush(10)
    assert await behind.dead_letters.drop() == 1
    await behind.close()


async def _tell(cache: CacheManager) -> None:
    """One event is handled, one is set aside and taken up again."""
    handled: list[str] = []

    def handle(name: str) -> str:
        handled.append(name)
        if name == "poison" and handled.count(name) == 1:
            raise ValueError(name)
        return f"user:profile:{name}"

    subscription = cache.on_event("user.updated", handle, max_attempts=1)
    assert await subscription.started()
    await cache.publish_event("user.updated", "poison")
    await cache.publish_event("user.updated", "1")
    letters = cache.event_dead_letters("user.updated")

    async def is_set_aside() -> bool:
        return bool(await letters.list()) and "1" in handled

    async def is_handled_again() -> bool:
        return handled.count("poison") == 2

    assert await eventually(is_set_aside)
    (letter,) = await letters.list()
    await letters.retry(letter.id)
    assert await eventually(is_handled_again)
    await subscription.close()


async def test_everything_that_the_page_allows_is_of_use(certificates: Certificates) -> None:
    """What a busy pair of managers never called stands here with its reason, or not on the page."""
    spared = {
        "auth": "HELLO does it",
        "asking": "only while a slot moves",
        "quit": "in order only",
        "sunsubscribe": "after a while without waits",
        "cluster|info": "in a Cluster",
        "cluster|slots": "in a Cluster",
        "role": "behind Sentinels",
        "hdel": "a fill of an earlier grant",
        "pttl": "a tag that stands",
        "xclaim": "what a process held that died",
    }
    with RedisServer(tls=certificates, access=data_access()) as server:
        with server.client() as client:
            client.config_resetstat()
        async with managers(server, acl.SERVICE, acl.SERVICE, l1="1MB") as (one, other):
            held = Counter(held=True)
            first = asyncio.create_task(one.get("user:profile:1", held, tags=["user:1"]))
            await held.entered.wait()
            second = asyncio.create_task(other.get("user:profile:1", held))
            await asyncio.sleep(1.5)  # a heartbeat
            held.go.set()
            assert [await first, await second] == ["value", "value"]
            await other.get_many(["user:profile:1", "user:profile:2"], lambda missing: dict.fromkeys(missing, 1))
            await one.expire("user:profile:1")
            await one.invalidate("user:profile:2")
            await one.invalidate_tag("user:1")
            await _write_behind(one)
            await _tell(one)
        with server.client() as client:
            called = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    line = next(line for line in data_access().lines if line.startswith(f"user {acl.SERVICE} "))
    allowed = {rule[1:] for rule in line.split() if rule.startswith("+")}
    assert allowed - called <= set(spared), f"never called: {sorted(allowed - called - set(spared))}"


async def test_the_example_of_the_page_connects(certificates: Certificates, tls_server: RedisServer) -> None:
    page = acl.PAGE.read_text()
    block = re.search(r"```python\n(.*?)```", page[page.index("## TLS") :], re.DOTALL)
    assert block
    source = block[1].replace("redis.internal:6379", tls_server.address)
    for name, path in certificates.options().items():
        shown = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}[name]
        assert f"/etc/tidegate/{shown}" in source
        source = source.replace(f"/etc/tidegate/{shown}", path)
    names: dict[str, Any] = {}
    exec(compile(source, Path(acl.PAGE).name, "exec"), names)
    cache = names["cache"]
    assert await eventually(lambda: cache.set("user:profile:1", 1))
    await cache.close()


async def test_the_rights_of_the_page_are_enough_on_a_cluster(certificates: Certificates) -> None:
    with RedisCluster(tls=certificates, access=data_access(), replicas=1) as cluster:
        forget_denials(cluster)
        async with managers(cluster, acl.SERVICE, acl.SERVICE, l1="1MB") as (one, other):
            keys = [f"user:profile:{number}" for number in range(100)]
            await asyncio.gather(*(one.get(key, lambda: 1, tags=["all"]) for key in keys))
            assert await other.get_many(keys, lambda missing: {}) == dict.fromkeys(keys, 1)
            key = f"{acl.SERVICE}:v1:{keys[0]}"
            source = cluster.primary_of(key)
            to = next(node for node in cluster.primaries if node is not source)
            assert cluster.migrate_slot(slot_of(key), to) >= 1
            assert await other.get(keys[0], lambda: 1) == 1
            assert await one.invalidate_tag("all")
        assert denials(cluster) == []
