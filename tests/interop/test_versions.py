"""Two versions of a service, each in another language, on one Redis: a rolling deploy that changes the language too."""

from __future__ import annotations

import pytest

from tests.interop.member_process import PATIENCE_SECONDS
from tests.interop.pair import Pair
from tests.interop.wire import to_wire

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


@pytest.mark.parametrize(("codec", "value", "due"), [("json", 1, 101), ("msgpack", 2**53 + 1, 2**53 + 101)])
def test_what_the_other_language_wrote_in_another_codec_is_taken_over(
    pair: Pair, codec: str, value: int, due: int
) -> None:
    old, new = pair.open_versions({"codec": codec}, {"codec": {"json": "msgpack", "msgpack": "json"}[codec]})
    assert old.ask("set", key=KEY, value=value)
    assert new.ask("get", key=KEY, gives=9) == {"value": to_wire(due), "ran": False}
    assert new.ask("refresh", key=KEY, gives=5) == {"value": 5, "ran": True}


def test_what_no_function_can_take_over_is_computed_anew(pair: Pair) -> None:
    """Bytes and a number have no sum in either language."""
    old, new = pair.open_versions({"codec": "raw"}, {})
    new.ask("observe", events=["cache.error"])
    assert old.ask("set", key=KEY, value=b"\xff")
    assert new.ask("get", key=KEY, gives=9) == {"value": 9, "ran": True}
    new.hears(KEY)
    assert set(new.reasons()) == {"upgrade"}


def test_fields_of_one_version_end_when_the_other_sets_or_invalidates_them(pair: Pair) -> None:
    old, new = pair.open_versions()
    assert old.ask("set_fields", key=KEY, values={"a": 1, "b": 1})
    assert new.ask("get_fields", key=KEY, names=["a"]) == {"value": {}}
    new.ask("set_fields", key=KEY, values={"a": 2})
    assert old.ask("get_fields", key=KEY, names=["a"]) == {"value": {}}
    assert old.ask("set_fields", key=KEY, values={"a": 1, "b": 1})
    assert new.ask("invalidate_field", key=KEY, names=["b"])
    assert old.ask("get_fields", key=KEY, names=["a", "b"]) == {"value": {"a": 1}}
