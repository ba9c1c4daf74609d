"""Fields of a key: what one language stores, fetches or invalidates of them, the other meets."""

from __future__ import annotations

from typing import Any

from tests.interop.member_process import PATIENCE_SECONDS
from tests.interop.pair import Pair
from tests.interop.values import nested
from tests.interop.wire import to_wire

KEY = "user:profile:1"
LONG = "60s"
EMPTY: dict[str, Any] = {"value": {}}


def test_fields_that_one_language_sets_the_other_reads_fills_up_and_invalidates(pair: Pair) -> None:
    first, other = pair.open()
    assert first.ask("set_fields", key=KEY, values={"name": "Ada", "none": None})
    found = other.ask("get_fields", key=KEY, names=["age", "name", "none", "gone"], gives={"age": 36})
    assert found == {"value": {"age": 36, "name": "Ada", "none": None, "gone": None}, "asked": ["age", "gone"]}
    assert list(found["value"]) == ["age", "name", "none", "gone"], "in the order asked for"
    again = first.ask("get_fields", key=KEY, names=["name", "age", "gone"], gives={})
    assert again == {"value": {"name": "Ada", "age": 36, "gone": None}, "asked": []}
    assert other.ask("invalidate_field", key=KEY, names=["name", "none"])
    assert first.ask("get_fields", key=KEY, names=["name", "age", "none"]) == {"value": {"age": 36}}
    assert first.ask("invalidate", key=KEY)
    assert other.ask("get_fields", key=KEY, names=["name", "age"]) == EMPTY


def test_the_whole_value_and_the_fields_of_a_key_end_one_another(pair: Pair) -> None:
    first, other = pair.open()
    assert first.ask("set_fields", key=KEY, values={"a": 1})
    assert other.ask("set", key=KEY, value="whole")
    assert first.ask("get_fields", key=KEY, names=["a"]) == EMPTY
    assert first.ask("set_fields", key=KEY, values={"a": 1})
    assert other.ask("get", key=KEY) == {"absent": True}


def test_a_fetch_in_one_language_is_waited_for_by_the_other(pair: Pair) -> None:
    leader, waiter = pair.open_with({"wait": LONG, "codec": "msgpack"}, {"wait": LONG})
    leading = leader.begin("get_fields", key=KEY, names=["a", "b"], fallback="f")
    leader.enters("f")
    same = waiter.begin("get_fields", key=KEY, names=["b", "a"], fallback="g")
    others = waiter.begin("get_fields", key=KEY, names=["b", "c"], fallback="h")
    pair.until_others_wait(KEY)
    assert not same.done()
    assert not others.done()

    leader.ask("finish", fallback="f", gives={"a": b"\xff", "b": 2**60})
    found = {"a": {"$bytes": "ff"}, "b": {"$int": str(2**60)}}
    assert leading.result(PATIENCE_SECONDS) == {"value": found, "asked": ["a", "b"]}
    assert same.result(PATIENCE_SECONDS) == {"value": found, "asked": []}
    waiter.enters("h")
    waiter.ask("finish", fallback="h", gives={"c": 3})
    assert others.result(PATIENCE_SECONDS) == {"value": {"b": found["b"], "c": 3}, "asked": ["c"]}
    assert waiter.entered("g") == 0
    assert leader.ask("get_fields", key=KEY, names=["a", "b", "c"]) == {"value": {**found, "c": 3}}


def test_a_fetch_under_way_is_revoked_by_an_invalidation_of_a_field_in_the_other_language(pair: Pair) -> None:
    filler, writer = pair.open()
    filling = filler.begin("get_fields", key=KEY, names=["a"], fallback="f")
    filler.enters("f")
    assert writer.ask("invalidate_field", key=KEY, names=["a"])
    filler.ask("finish", fallback="f", gives={"a": "old"})
    assert filling.result(PATIENCE_SECONDS) == {"value": {"a": "old"}, "asked": ["a"]}
    assert writer.ask("get_fields", key=KEY, names=["a"]) == EMPTY
    assert writer.ask("get_fields", key=KEY, names=["a"], gives={"a": "new"})["value"] == {"a": "new"}
    assert filler.ask("get_fields", key=KEY, names=["a"]) == {"value": {"a": "new"}}


def test_fields_end_with_their_tags(pair: Pair) -> None:
    first, other = pair.open()
    assert first.ask("set_fields", key=KEY, values={"a": 1}, tags=["user:1"])
    assert first.ask("set_fields", key=KEY, values={"b": 2}, tags=["team:3"])
    assert other.ask("get_fields", key=KEY, names=["a", "b"], gives={}, tags=["user:1"]) == {
        "value": {"a": 1, "b": None},
        "asked": ["b"],
    }
    assert other.ask("invalidate_tag", tag="user:1")
    assert first.ask("get_fields", key=KEY, names=["a", "b"]) == EMPTY


def test_fields_of_each_codec_stand_side_by_side(pair: Pair) -> None:
    first, other = pair.open()
    values = {"json": {"mean": 0.5, "__proto__": 1}, "msgpack": [b"\x00\xff", 2**63], "raw": b"\x80"}
    for at, (codec, value) in enumerate(values.items()):
        writer = (first, other)[at % 2]
        assert writer.ask("set_fields", key=KEY, values={codec: value}, codec=codec)
    found = {"value": to_wire(values)}
    for member in (first, other):
        assert member.ask("get_fields", key=KEY, names=list(values)) == found
        # A fetch leaves those that stand as they are.
        name = member.language
        filled = member.ask("get_fields", key=KEY, names=[*values, name], gives={name: 1}, codec="msgpack")
        assert filled["asked"] == [name]
        assert {name: filled["value"][name] for name in values} == found["value"]
    assert other.ask("get_fields", key=KEY, names=list(values)) == found


def test_what_a_codec_cannot_write_is_said_with_the_field_by_both(pair: Pair) -> None:
    said = []
    for member in pair.open():
        try:
            member.ask("set_fields", key=KEY, values={"good": 1, "deep": nested(65)})
        except Exception as error:  # noqa: BLE001 - compared
            said.append((getattr(error, "code", None), "deep" in str(error)))
        found = member.ask("get_fields", key=KEY, names=["good", "deep"], gives={"good": 1, "deep": nested(65)})
        assert found["value"] == {"good": 1, "deep": nested(65)}
        assert member.ask("get_fields", key=KEY, names=["good", "deep"]) == EMPTY
    assert said == [("ERR_TIDEGATE_ENCODE", True)] * 2


def test_fields_that_another_secret_has_signed_are_fetched_anew(pair: Pair) -> None:
    first, other = pair.open_with({"signing_keys": ["ours of many, many bytes"]}, {})
    assert first.ask("set_fields", key=KEY, values={"a": 1})
    other.ask("observe", events=["cache.error"])
    assert other.ask("get_fields", key=KEY, names=["a"], gives={"a": 2}) == {"value": {"a": 2}, "asked": ["a"]}
    other.hears(KEY)
    assert set(other.reasons()) == {"signature"}
    assert first.ask("get_fields", key=KEY, names=["a"]) == EMPTY
