"""The race and the stampede in a short form, in mixed fleets; the scripts beside this file run them at length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.race import race, stampede
from tests.support.fleet import Split, run_fleet
from tests.support.redis_server import RedisServer

SHORT_RACE = race.Settings(seconds=3.0)
SHORT_STAMPEDE = stampede.Settings(rounds=1)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def test_the_oracle_condemns_only_reads_that_began_after_the_invalidation_returned() -> None:
    invalidations = [race.Invalidation("k", 100, 2), race.Invalidation("k", 200, 4), race.Invalidation("k", 300, 3)]
    old_but_begun_before = [race.Read("k", 99, 1), race.Read("k", 100, 1), race.Read("k", 150, 2)]
    fresh = [race.Read("k", 201, 4), race.Read("k", 400, 5), race.Read("other", 400, 1)]
    stale = [race.Read("k", 101, 1), race.Read("k", 201, 3), race.Read("k", 400, 3)]

    assert race.count_stale(old_but_begun_before + fresh, invalidations) == 0
    assert race.count_stale(old_but_begun_before + fresh + stale, invalidations) == 3
    assert race.stale_ages_us(fresh + stale, invalidations) == [1, 1, 200]


@pytest.mark.parametrize("split", [Split(1, 0), Split(0, 1)], ids=str)
def test_a_member_that_fails_is_named(split: Split, server: RedisServer) -> None:
    settings = {"harness": "stampede", "contender": "nobody", "url": server.url}
    with pytest.raises(RuntimeError, match=r"member 0 of the fleet \(\w+\) failed: .*no contender is named 'nobody'"):
        run_fleet(split, settings, seconds=30)


def test_an_invalidation_that_races_a_fill_fools_the_naive_manager_and_never_tidegate(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    naive = race.run("naive", server, SHORT_RACE)
    tidegate = race.run("tidegate", server, SHORT_RACE)
    with capsys.disabled():
        print(f"\n{naive}\n{tidegate}")

    assert naive.stale > 0, "the race did not bite: it proves nothing about tidegate"
    assert tidegate.stale == 0
    assert tidegate.fallbacks < tidegate.reads / 2, "hardly anything came from the cache"
    assert tidegate.unconfirmed < tidegate.invalidations / 2, "hardly any invalidation was confirmed"


def test_a_server_that_stalls_now_and_then_makes_no_read_stale(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    tidegate = race.run("tidegate", server, replace(SHORT_RACE, seconds=5.0, stalls=True))
    with capsys.disabled():
        print(f"\n{tidegate}, with stalls")

    assert tidegate.stale == 0
    assert tidegate.unconfirmed > 0, "the stalls were not noticed"


def test_a_tag_that_is_invalidated_takes_fills_under_way_with_it(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(SHORT_RACE, tags=2)
    naive = race.run("naive", server, settings)
    tidegate = race.run("tidegate", server, settings)
    with capsys.disabled():
        print(f"\n{naive}\n{tidegate}, by tags")

    assert naive.stale > 0, "the race did not bite: it proves nothing about tidegate"
    assert tidegate.stale == 0
    assert tidegate.fallbacks < tidegate.reads / 2, "hardly anything came from the cache"


@pytest.mark.parametrize("tags", [0, 2], ids=["keys", "tags"])
def test_a_tier_in_the_process_is_old_for_no_longer_than_a_push_takes(
    tags: int, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    tidegate = race.run("tidegate", server, replace(SHORT_RACE, seconds=5.0, tags=tags, l1="16MB"))
    with capsys.disabled():
        print(f"\n{tidegate}, with L1")

    assert tidegate.stale_at_home == 0
    assert tidegate.fallbacks < tidegate.reads / 2, "hardly anything came from the cache"
    # 50 and 250 ms where nothing else runs; a machine that is busy with other tests holds threads back.
    assert tidegate.age_ms(0.999) <= 250
    assert tidegate.age_ms(1) <= 1_500


def test_a_stampede_of_1200_callers_in_3_python_and_3_node_processes_runs_the_fallback_once(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    naive = stampede.run("naive", server, SHORT_STAMPEDE)
    tidegate = stampede.run("tidegate", server, SHORT_STAMPEDE)
    with capsys.disabled():
        print(f"\n{naive}\n{tidegate}")

    assert tidegate.fallbacks == [1]
