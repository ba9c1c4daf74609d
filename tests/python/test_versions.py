"""Entries of an older version, taken over: what the functions are given, may be, and what becomes of their faults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate import CacheEvent, CacheManager, ConfigError
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking

KEY = "user:profile:1"
OTHER = "user:profile:2"
OLD = {"name": "Ada Lovelace"}


def split(old: dict[str, str]) -> dict[str, str]:
    """Version 2 has two names."""
    first, last = old["name"].split(" ")
    return {"first": first, "last": last}


async def order(old: dict[str, str]) -> list[str]:
    """Version 3 has a list."""
    await asyncio.sleep(0)
    return [old["last"], old["first"]]


def never(*_: Any) -> Any:
    raise AssertionError("the fallback must not run")


def faults_of(cache: CacheManager | Blocking) -> list[CacheEvent]:
    faults: list[CacheEvent] = []
    cache.on("cache.error", faults.append)
    return faults


async def test_a_value_goes_through_the_functions_of_all_versions_from_its_own_on(make: Make) -> None:
    await make(version=1).set(KEY, OLD)
    await make(version=2).invalidate(OTHER)
    newest = make(version=3, upgrade={2: order, 1: split})
    assert await newest.get(KEY, never) == ["Lovelace", "Ada"]
    assert await newest.namespace("users").get(OTHER, lambda: 5) == 5


async def test_the_value_of_the_youngest_version_that_has_one_is_taken(make: Make) -> None:
    # Whichever comes first counts at once; the others store nothing for some seconds.
    await make(version=2).set(KEY, {"first": "Grace", "last": "Hopper"})
    newest = make(version=3, upgrade={1: never, 2: order})
    assert await newest.get(KEY, never) == ["Hopper", "Grace"]


async def test_a_function_that_fails_is_told_and_the_fallback_serves(make: Make) -> None:
    await make(version=1).set_many({KEY: "no object", OTHER: OLD})

    async def fails(old: Any) -> Any:
        await asyncio.sleep(0)
        raise ValueError(old)

    for step in (split, fails):
        newer = make(version=2, upgrade={1: step})
        faults = faults_of(newer)
        assert await newer.get(KEY, lambda: "computed") == "computed"
        await newer.close()
        assert [(fault.reason, fault.key) for fault in faults] == [("upgrade", KEY)]
        assert "version 1" in str(faults[0].message)


async def test_a_fallback_that_fails_behind_a_function_that_failed_is_its_callers(make: Make) -> None:
    await make(version=1).set(KEY, "no object")
    newer = make(version=2, upgrade={1: split})

    async def boom() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await newer.get(KEY, boom)


async def test_a_batch_takes_over_what_it_can_and_fetches_the_rest(make: Make) -> None:
    await make(version=1).set_many({KEY: OLD, OTHER: "no object"})
    for step in (split, order_of_names):
        newer = make(version=2, upgrade={1: step})
        asked: list[list[str]] = []

        async def fetch(keys: list[str], asked: list[list[str]] = asked) -> dict[str, str]:
            asked.append(keys)
            return dict.fromkeys(keys, "fetched")

        def plain(keys: list[str], asked: list[list[str]] = asked) -> dict[str, str]:
            asked.append(keys)
            return dict.fromkeys(keys, "fetched")

        for missing in (fetch, plain):
            found = await newer.get_many([KEY, OTHER, "user:profile:3"], missing)
            assert found == {KEY: split(OLD), OTHER: "fetched", "user:profile:3": "fetched"}
        assert asked == [[OTHER, "user:profile:3"]] * 2
        assert await newer.get_many([KEY], never) == {KEY: split(OLD)}


async def order_of_names(old: dict[str, str]) -> dict[str, str]:
    await asyncio.sleep(0)
    return split(old)


async def test_what_was_taken_over_is_decoded_to_the_type_that_is_asked_for(make: Make) -> None:
    await make(version=1).set(KEY, OLD)
    newer = make(version=2, upgrade={1: lambda old: {"names": old["name"].split()}})
    assert await newer.get(KEY, never, type=dict[str, tuple[str, ...]]) == {"names": ("Ada", "Lovelace")}


def test_blocking_managers_take_over_by_plain_functions(make_blocking: MakeBlocking) -> None:
    make_blocking(version=1).set_many({KEY: OLD, OTHER: "no object"})
    newer = make_blocking(version=2, upgrade={1: split})
    assert newer.get(KEY, never) == split(OLD)
    assert newer.get(OTHER, lambda: "computed") == "computed"
    assert newer.get_many([KEY, OTHER], lambda keys: dict.fromkeys(keys, 0)) == {KEY: split(OLD), OTHER: 0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upgrade": [split]}, "is no dict of functions"),
        ({"upgrade": {"1": split}}, "has the key '1', which is no version"),
        ({"upgrade": {True: split}}, "has the key True, which is no version"),
        ({"upgrade": {1: "split"}}, "upgrade[1]='split' is not callable"),
        ({"upgrade": {0: split}}, "upgrade"),
        ({"upgrade": {1: split}}, "upgrade has functions for 1, and version is 1"),
        ({"version": 3, "upgrade": {1: split}}, "upgrade has functions for 1, and version is 3"),
        ({"version": 3, "upgrade": {2: split, 3: split}}, "upgrade has functions for 2, 3, and version is 3"),
    ],
)
def test_what_cannot_take_over_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CacheManager(**options)
    assert said in str(refused.value)
    assert "right example" in str(refused.value)
