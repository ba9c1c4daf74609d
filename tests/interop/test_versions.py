"""Two versions of a service, each in another language, on one Redis: a rolling deploy that changes the language too."""

from __future__ import annotations

from tests.interop.member_process import PATIENCE_SECONDS
from tests.interop.pair import Pair

KEY = "user:profile:1"


def test_what_one_version_holds_the_other_takes_over_and_what_either_invalidates_both_have_lost(pair: Pair) -> None:
    old, new = pair.open_versions()
    assert old.ask("set", key=KEY, value=1)
    assert new.ask("get", key=KEY, gives=9) == {"value": 101, "ran": False}
    assert new.ask("invalidate", key=KEY)
    assert old.ask("get", key=KEY) == {"absent": True}
    assert old.ask("get", key=KEY, gives=2) == {"value": 2, "ran": True}
    assert new.ask("get", key=KEY, gives=9) == {"value": 102, "ran": False}
    assert old.ask("invalidate", key=KEY)
    assert new.ask("get", key=KEY, gives=3) == {"value": 3, "ran": True}


def test_a_fill_under_way_in_one_version_is_revoked_by_an_invalidation_in_the_other(pair: Pair) -> None:
    old, new = pair.open_versions()
    filling = old.begin("get", key=KEY, fallback="f")
    old.enters("f")
    assert new.ask("invalidate", key=KEY)
    old.ask("finish", fallback="f", gives="read before")
    assert filling.result(PATIENCE_SECONDS)["value"] == "read before"
    assert old.ask("get", key=KEY) == {"absent": True}
    assert new.ask("get", key=KEY) == {"absent": True}
