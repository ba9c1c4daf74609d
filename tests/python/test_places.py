"""Clusters, Sentinels, TLS and accounts as users meet them, mistakes in the set-up included.

What holds in every place is in the scenarios (`test_conformance.py`); here is what a place has of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from statistics import median

import pytest

from tests.support.cluster import RedisCluster, slot_of
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import RedisSentinel

from .conftest import PATIENT
from .helpers import Counter, Seen, eventually, managers, opened

MANY = 300
"""Keys that lie in so many slots that every node has some."""


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
