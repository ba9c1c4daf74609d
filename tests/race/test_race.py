"""What the fault suite stands on: the oracle, the fleet, and a race on a server that stalls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.race import race
from tests.support.fleet import Split, run_fleet
from tests.support.redis_server import RedisServer


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


def test_a_server_that_stalls_now_and_then_makes_no_read_stale(
    server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    tidegate = race.run("tidegate", server.url, race.Settings(seconds=5.0), race.stalling(server))
    with capsys.disabled():
        print(f"\n{tidegate}, with stalls")

    assert (tidegate.stale, tidegate.stale_at_home) == (0, 0)
    assert tidegate.unconfirmed > 0, "the stalls were not noticed"
