"""get_many: one fetch for all that is missing, and no waiting with a lease in hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate import CacheManager, ConfigError
from tidegate.sync import CacheManager as Blocking

from .conftest import Make
from .helpers import Counter, eventually

KEYS = [f"user:profile:{number}" for number in range(5)]


class Source:
    """A fetch_missing that remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, keys: list[str]) -> dict[str, Any]:
        self.calls.append(keys)
        return {key: {"key": key} for key in keys}


async def test_only_what_is_missing_is_fetched_and_once(cache: CacheManager) -> None:
    await cache.set(KEYS[1], "there")
    source = Source()
    many = await cache.get_many([*KEYS, KEYS[0]], source)
    assert list(many) == KEYS
    assert many[KEYS[1]] == "there"
    assert many[KEYS[4]] == {"key": KEYS[4]}
    assert [sorted(call) for call in source.calls] == [[KEYS[0], KEYS[2], KEYS[3], KEYS[4]]]
    assert await cache.get_many(KEYS, source) == many
    assert len(source.calls) == 1


async def test_an_async_fetch_and_a_key_that_it_leaves_out(cache: CacheManager) -> None:
    async def fetch(keys: list[str]) -> dict[str, int]:
        await asyncio.sleep(0)
        return {key: 1 for key in keys if key != KEYS[2]}

    many = await cache.get_many(KEYS[:3], fetch)
    assert many == {KEYS[0]: 1, KEYS[1]: 1, KEYS[2]: None}
    assert await cache.exists(KEYS[2])


async def test_no_keys_are_no_work(cache: CacheManager) -> None:
    source = Source()
    assert await cache.get_many([], source) == {}
    assert source.calls == []


async def test_its_failure_is_the_failure_of_all_and_frees_the_keys(cache: CacheManager) -> None:
    boom = LookupError("no")

    def fetch(keys: list[str]) -> dict[str, int]:
        raise boom

    with pytest.raises(LookupError) as seen:
        await cache.get_many(KEYS, fetch)
    assert seen.value is boom
    source = Source()
    await cache.get_many(KEYS, source)
    assert len(source.calls) == 1


async def test_what_others_compute_is_waited_for_after_the_own_keys_are_filled(cache: CacheManager, make: Make) -> None:
    other = make()
    fetch = Counter("theirs", held=True)
    leader = asyncio.create_task(cache.get(KEYS[0], fetch))
    await fetch.entered.wait()
    source = Source()
    many = asyncio.create_task(cache.get_many(KEYS, source))

    async def filled() -> bool:
        return await other.exists(KEYS[4])

    assert await eventually(filled)
    assert not many.done()
    fetch.go.set()
    assert await leader == "theirs"
    assert (await many)[KEYS[0]] == "theirs"
    assert [sorted(call) for call in source.calls] == [KEYS[1:]]


async def test_what_another_holder_failed_to_compute_is_fetched_for_exactly_those_keys(make: Make) -> None:
    cache, other = make(), make(lease="20s")
    go = asyncio.Event()

    async def fails() -> None:
        await go.wait()
        raise LookupError("theirs")

    leader = asyncio.create_task(other.get(KEYS[0], fails))
    here = asyncio.create_task(cache.get(KEYS[1], fails))
    await asyncio.sleep(0.05)
    source = Source()
    many = asyncio.create_task(cache.get_many(KEYS, source))
    await asyncio.sleep(0.05)
    go.set()
    assert (await many)[KEYS[0]] == {"key": KEYS[0]}
    assert (await many)[KEYS[1]] == {"key": KEYS[1]}
    assert sorted(source.calls[0]) == KEYS[2:]
    assert sorted(key for call in source.calls[1:] for key in call) == KEYS[:2]
    assert [type(error) for error in await asyncio.gather(leader, here, return_exceptions=True)] == [LookupError] * 2


async def test_two_batches_in_opposite_order_never_block_each_other(make: Make) -> None:
    one, two = make(), make()
    keys = [f"user:profile:{number}" for number in range(100)]
    source = Source()
    both = await asyncio.gather(one.get_many(keys, source), two.get_many(keys[::-1], source))
    assert both[0] == both[1]
    assert sorted(key for call in source.calls for key in call) == sorted(keys)


async def test_with_the_store_away_a_batch_is_one_fallback_whatever_its_keys(service: str) -> None:
    nowhere: dict[str, Any] = {"service": service, "connect_timeout": "200ms", "max_fallbacks": 1, "wait": "1m"}
    async with CacheManager("redis://127.0.0.1:1/0", **nowhere) as cache:
        fallback = Counter("alone", held=True)
        alone = asyncio.create_task(cache.get("user:name:1", fallback))
        await fallback.entered.wait()
        source = Source()
        many = asyncio.create_task(cache.get_many(KEYS, source))
        await asyncio.sleep(0.5)
        assert not many.done()
        assert source.calls == []
        fallback.go.set()
        assert await asyncio.wait_for(many, 4) == {key: {"key": key} for key in KEYS}
        assert len(source.calls) == 1
        assert await alone == "alone"


async def test_a_fetch_for_one_key_may_wait_for_another_that_was_leased_meanwhile(make: Make) -> None:
    cache, other = make(), make(hard_timeout="5s")
    held = [Counter("theirs", held=True), Counter("theirs", held=True)]
    leaders = [asyncio.create_task(cache.get(key, fetch)) for key, fetch in zip(KEYS, held, strict=False)]
    for fetch in held:
        await fetch.entered.wait()

    async def fetch_missing(keys: list[str]) -> dict[str, str]:
        if keys == [KEYS[0]]:
            leaders[1].cancel()
            return {KEYS[0]: await other.get(KEYS[1], lambda: "its own")}
        return dict.fromkeys(keys, "batch")

    many = asyncio.create_task(other.get_many(KEYS[:2], fetch_missing))
    await asyncio.sleep(0.05)
    leaders[0].cancel()
    found = await asyncio.wait_for(many, 4)
    assert found[KEYS[1]] == found[KEYS[0]]
    assert found[KEYS[1]] in ("batch", "its own")
    await asyncio.gather(*leaders, return_exceptions=True)


async def test_a_cancelled_batch_gives_its_leases_back(cache: CacheManager) -> None:
    entered = asyncio.Event()

    async def never(keys: list[str]) -> dict[str, int]:
        entered.set()
        await asyncio.Event().wait()
        return {}

    task = asyncio.create_task(cache.get_many(KEYS, never))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(cache.get_many(KEYS, Source()), 1.5) == {key: {"key": key} for key in KEYS}


async def test_entries_of_another_shape_are_fetched_anew(cache: CacheManager) -> None:
    await cache.set_many({KEYS[0]: "text", KEYS[1]: 7})
    many = await cache.get_many(KEYS[:3], lambda keys: dict.fromkeys(keys, 1), type=int)
    assert many == {KEYS[0]: 1, KEYS[1]: 7, KEYS[2]: 1}
    assert await cache.get(KEYS[0], default=0) == 1


async def test_a_batch_inside_a_fallback_does_not_wait_for_itself(cache: CacheManager) -> None:
    source = Source()

    async def fetch() -> object:
        return await cache.get_many(KEYS[:2], source)

    many = {key: {"key": key} for key in KEYS[:2]}
    assert await asyncio.wait_for(cache.get(KEYS[0], fetch), 2) == many
    assert source.calls == [KEYS[1::-1]]
    assert await cache.get(KEYS[0], default=None) == many


async def test_what_is_no_dict_is_refused_by_name(cache: CacheManager) -> None:
    with pytest.raises(ConfigError, match="fetch_missing gave a list"):
        await cache.get_many(KEYS, lambda keys: [1])  # type: ignore[arg-type, return-value]
    assert await cache.get(KEYS[0], lambda: "free") == "free"


def test_blocking(blocking: Blocking) -> None:
    blocking.set(KEYS[1], "there")
    source = Source()
    many = blocking.get_many(KEYS, source)
    assert many[KEYS[1]] == "there"
    assert blocking.get_many(KEYS, source) == many
    assert len(source.calls) == 1
