"""Clusters, Sentinels, TLS and accounts as users meet them, mistakes in the set-up included.

What holds in every place is in the scenarios (`test_conformance.py`); here is what a place has of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support import acl
from tests.support.acl import data_access
from tests.support.certificates import Certificates
from tests.support.cluster import RedisCluster, slot_of
from tests.support.places import denials, forget_denials
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import RedisSentinel
from tidegate import CacheEvent, CacheManager

from .conftest import PATIENT
from .helpers import Counter, eventually

MANY = 300
"""Keys that lie in so many slots that every node has some."""


def opened(url: str, **options: Any) -> CacheManager:
    """A manager with options that no type checker knows."""
    return CacheManager(url, **options)


@asynccontextmanager
async def managers(place: Any, *services: str, **options: Any) -> AsyncIterator[list[CacheManager]]:
    """A manager of each service, on one place."""
    those = [opened(place.url, **{**PATIENT, **place.options, "service": each, **options}) for each in services]
    yield those
    for manager in those:
        await manager.close(timeout=1)


class Seen:
    """What a manager tells of faults."""

    def __init__(self, cache: CacheManager) -> None:
        self.events: list[CacheEvent] = []
        cache.on("cache.error", self.events.append)
        cache.on("cache.connection", self.events.append)

    def text(self) -> str:
        """All of it."""
        return "\n".join(f"{event.type} {event.reason} {event.state} {event.message}" for event in self.events)

    async def tells(self, pattern: str) -> bool:
        """Whether something like this is told, soon."""

        async def is_told() -> bool:
            return re.search(pattern, self.text(), re.IGNORECASE) is not None

        return await eventually(is_told)


# Cluster --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(node_timeout_ms=30_000) as those:
        yield those


async def test_reads_and_writes_reach_every_node_of_a_cluster(cluster: RedisCluster, service: str) -> None:
    keys = [f"user:profile:{number}" for number in range(MANY)]
    async with managers(cluster, service, service) as (one, other):
        assert await one.set_many({key: key for key in keys[:100]})
        calls: list[list[str]] = []

        def fetch_missing(missing: list[str]) -> dict[str, str]:
            calls.append(missing)
            return {key: key for key in missing}

        assert await other.get_many(keys, fetch_missing) == {key: key for key in keys}
        assert [sorted(call) for call in calls] == [sorted(keys[100:])]
        assert await one.get_many(keys, lambda missing: pytest.fail(f"asked for {missing}")) == {
            key: key for key in keys
        }
        assert await asyncio.gather(*(one.get(key, lambda: "other") for key in keys)) == keys
        with cluster.clients() as clients:
            assert all(client.dbsize() > 0 for client in clients), "a node has nothing to do"
        assert await one.invalidate(*keys)
        assert not any(await asyncio.gather(*(other.exists(key) for key in keys)))


async def test_a_tag_ends_what_carries_it_on_every_node(cluster: RedisCluster, service: str) -> None:
    async with managers(cluster, service, service) as (one, other):
        keys = [f"order:view:{number}" for number in range(MANY)]
        await asyncio.gather(*(one.get(key, lambda: 1, tags=["customer:7", f"order:{key[-1]}"]) for key in keys))
        assert await other.get_many(keys, lambda missing: pytest.fail(f"asked for {missing}")) == dict.fromkeys(keys, 1)
        assert await other.invalidate_tag("order:3")
        there = await asyncio.gather(*(one.exists(key) for key in keys))
        assert there == [not key.endswith("3") for key in keys]
        assert await one.invalidate_tag("customer:7")
        assert not any(await asyncio.gather(*(other.exists(key) for key in keys)))


async def test_a_namespace_is_cleared_on_every_node(cluster: RedisCluster, service: str) -> None:
    async with managers(cluster, service, service) as (one, other):
        keys = [f"item:view:{number}" for number in range(MANY)]
        shop = one.namespace("shop")
        await shop.set_many(dict.fromkeys(keys, 1))
        await one.set_many(dict.fromkeys(keys, 2))
        assert await other.namespace("shop").clear()
        assert not any(await asyncio.gather(*(shop.exists(key) for key in keys)))
        assert all(await asyncio.gather(*(other.exists(key) for key in keys)))


async def test_a_waiter_in_a_cluster_is_woken_on_its_keys_node(cluster: RedisCluster, service: str) -> None:
    """Polling would find the value up to 500 ms late by then."""
    async with managers(cluster, service, service) as (one, other):
        late_ms = []
        for number in range(6):
            key = f"report:day:{number}"
            held = Counter(held=True)
            leader = asyncio.create_task(one.get(key, held))
            await held.entered.wait()
            follower = asyncio.create_task(other.get(key, Counter("another")))
            channel = f"{{{service}:v1:{key}}}:wake"

            async def listens(channel: str = channel) -> bool:
                with cluster.client_of(channel) as client:
                    return dict(client.pubsub_shardnumsub(channel)) == {channel.encode(): 1}

            assert await eventually(listens), f"nobody listens on {channel}, on the node that has its slot"
            await asyncio.sleep(1.2)  # polling has slowed down meanwhile
            assert not follower.done()
            held.go.set()
            assert await leader == "value"
            ended = time.monotonic()
            assert await follower == "value"
            late_ms.append((time.monotonic() - ended) * 1000)
        assert median(late_ms) < 50, late_ms


async def test_l1_follows_changes_on_every_node_of_a_cluster(cluster: RedisCluster, service: str) -> None:
    async with managers(cluster, service, service, l1="16MB") as (one, other):
        keys = [f"user:profile:{number}" for number in range(60)]
        assert {cluster.primary_of(f"{service}:v1:{key}") for key in keys} == set(cluster.primaries)
        assert await one.set_many(dict.fromkeys(keys, 1), tags=["all"])

        async def are_held() -> bool:
            before = other.stats()["l1_hits"]
            await asyncio.gather(*(other.get(key, default=None) for key in keys))
            return bool(other.stats()["l1_hits"] == before + len(keys))

        assert await eventually(are_held), f"L1 does not hold all: {other.stats()}"
        for key in keys[:30]:
            assert await one.set(key, 2, tags=["all"])
        await asyncio.sleep(0.25)
        assert await asyncio.gather(*(other.get(key, default=None) for key in keys)) == [2] * 30 + [1] * 30
        assert await eventually(are_held)
        assert await one.invalidate_tag("all")
        await asyncio.sleep(0.25)
        assert await asyncio.gather(*(other.get(key, default=None) for key in keys)) == [None] * 60


@pytest.mark.parametrize("place", ["first", "last"])
async def test_a_seed_that_is_down_costs_nothing(cluster: RedisCluster, service: str, place: str) -> None:
    dead = f"127.0.0.1:{free_port()}"
    alive = cluster.nodes[1].address
    seeds = [dead, alive] if place == "first" else [alive, dead]
    async with opened(f"redis-cluster://{','.join(seeds)}", service=service, **PATIENT) as cache:
        assert await cache.set_many({f"user:profile:{number}": number for number in range(50)})
        assert await cache.get_many([f"user:profile:{number}" for number in range(50)], lambda missing: {}) == {
            f"user:profile:{number}": number for number in range(50)
        }


async def test_a_slot_that_moves_is_followed(cluster: RedisCluster, service: str) -> None:
    """What its new node answers at first may count for nothing: a process cannot know what that one has been told."""
    key = "user:profile:1"
    full = f"{service}:v1:{key}"
    async with managers(cluster, service, service) as (one, other):
        assert await one.set(key, 1)
        source = cluster.primary_of(full)
        to = next(node for node in cluster.primaries if node is not source)
        for number, node in enumerate((to, source), 2):
            assert cluster.migrate_slot(slot_of(full), node) >= 1

            async def is_confirmed() -> bool:
                return await one.invalidate(key)

            assert await eventually(is_confirmed)
            runs = Counter(number)

            async def is_cached(runs: Counter = runs) -> bool:
                before = runs.runs
                assert list(await asyncio.gather(one.get(key, runs), other.get(key, runs))) == [runs.value] * 2
                return runs.runs == before

            assert await eventually(is_cached)
            assert cluster.primary_of(full) is node


async def test_a_cluster_url_to_a_server_that_is_none_is_told(redis_server: RedisServer, service: str) -> None:
    async with opened(f"redis-cluster://{redis_server.address}", service=service) as cache:
        seen = Seen(cache)
        assert await cache.get("user:profile:1", lambda: 1) == 1
        assert await seen.tells("no node of a cluster"), seen.text()


# Sentinel -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def group() -> Iterator[RedisSentinel]:
    with RedisSentinel(down_after_ms=30_000) as those:
        yield those


async def test_managers_behind_sentinels_meet_on_the_master(group: RedisSentinel, service: str) -> None:
    async with managers(group, service, service) as (one, other):
        assert await one.get("user:profile:1", lambda: 1) == 1
        assert await other.get("user:profile:1", lambda: 2) == 1
        with group.client_of("") as client:
            assert client.exists(f"{service}:v1:user:profile:1") == 1
            names = {connection["name"] for connection in client.client_list()}
        assert f"tidegate:{service}:cache" in names


async def test_a_database_is_chosen_by_the_url(group: RedisSentinel, service: str) -> None:
    async with opened(f"{group.url}?db=3", service=service, **PATIENT) as cache:
        assert await cache.set("user:profile:1", 1)
        with group.master.client(db=3) as client:
            assert client.exists(f"{service}:v1:user:profile:1") == 1


async def test_a_sentinel_that_is_down_costs_nothing(group: RedisSentinel, service: str) -> None:
    for addresses in ([f"127.0.0.1:{free_port()}", group.sentinels[2].address], [group.sentinels[0].address] * 2):
        async with opened(group.url_of(addresses), service=service, **PATIENT) as cache:
            assert await cache.set("user:profile:1", 1)


async def test_a_masters_name_that_no_sentinel_knows_is_told(group: RedisSentinel, service: str) -> None:
    url = group.url_of([sentinel.address for sentinel in group.sentinels], name="primary")
    async with opened(url, service=service) as cache:
        seen = Seen(cache)
        assert await cache.get("user:profile:1", lambda: 1) == 1
        assert await seen.tells("primary"), seen.text()
        assert re.search("sentinel", seen.text(), re.IGNORECASE), seen.text()


async def test_a_sentinel_url_to_a_server_that_is_none_is_told(redis_server: RedisServer, service: str) -> None:
    async with opened(f"redis-sentinel://{redis_server.address}/main", service=service) as cache:
        seen = Seen(cache)
        assert await cache.get("user:profile:1", lambda: 1) == 1
        assert await seen.tells("sentinel"), seen.text()


async def test_a_planned_failover_is_followed(service: str) -> None:
    with RedisSentinel() as group:
        async with managers(group, service, service) as (one, other):
            seen = Seen(one)
            assert await one.get("user:profile:1", lambda: 1) == 1
            before = group.master
            after = group.failover()
            assert after is not before

            async def is_back() -> bool:
                return await one.set("user:profile:2", 2) and bool(
                    after.client().exists(f"{service}:v1:user:profile:2")
                )

            assert await eventually(is_back, 10), seen.text()
            assert await other.get("user:profile:2", lambda: 9) == 2
            assert await other.get("user:profile:1", lambda: 9) in (1, 9)
            assert await one.invalidate("user:profile:1")
            assert await other.get("user:profile:1", lambda: 3) == 3


# TLS and accounts -----------------------------------------------------------------------------------------------------


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
        "client|id": "fred's own",
        "pttl": "a tag that stands",
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
        with server.client() as client:
            called = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    line = next(line for line in data_access().lines if line.startswith(f"user {acl.SERVICE} "))
    allowed = {rule[1:] for rule in line.split() if rule.startswith("+")}
    assert allowed - called <= set(spared), f"never called: {sorted(allowed - called - set(spared))}"


async def test_the_example_of_the_page_connects(certificates: Certificates, tls_server: RedisServer) -> None:
    page = acl.PAGE.read_text()
    block = re.search(r"```py\n(.*?)```", page[page.index("## TLS") :], re.DOTALL)
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
            keys = [f"user:profile:{number}" for number in range(MANY)]
            await asyncio.gather(*(one.get(key, lambda: 1, tags=["all"]) for key in keys))
            assert await other.get_many(keys, lambda missing: {}) == dict.fromkeys(keys, 1)
            key = f"{acl.SERVICE}:v1:{keys[0]}"
            source = cluster.primary_of(key)
            to = next(node for node in cluster.primaries if node is not source)
            assert cluster.migrate_slot(slot_of(key), to) >= 1
            assert await other.get(keys[0], lambda: 1) == 1
            assert await one.invalidate_tag("all")
        assert denials(cluster) == []
