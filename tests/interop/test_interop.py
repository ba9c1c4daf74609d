"""Python and Node on one Redis: what one does, the other meets. Each test is played in both directions."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.interop.member_process import PATIENCE_SECONDS, MemberProcess, Refused
from tests.interop.pair import Members, Pair
from tests.interop.wire import to_wire

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
KEY = "user:profile:1"
# Longer than anybody here is patient: whoever gets on earlier was told, and did not give up waiting.
LONG = "60s"


# --- flights ---------------------------------------------------------------------------------------------------------


def test_a_waiter_is_given_the_value_that_the_other_language_computes(pair: Pair) -> None:
    leader, waiter = pair.open(wait=LONG)
    leading = leader.begin("get", key=KEY, fallback="f")
    leader.enters("f")
    waiting = _begin_waiting(pair, waiter, fallback="g")

    leader.ask("finish", fallback="f", gives={"name": "Ada"})
    assert _answer(leading) == {"value": {"name": "Ada"}, "ran": True}
    assert _answer(waiting) == {"value": {"name": "Ada"}, "ran": False}
    assert waiter.entered("g") == 0
    stats = waiter.ask("stats")
    assert {name: stats[name] for name in ("waits", "fallbacks", "misses", "hits")} == {
        "waits": 1,
        "fallbacks": 0,
        "misses": 0,
        "hits": 1,
    }


def test_a_hundred_callers_in_each_language_are_one_fallback(pair: Pair) -> None:
    leader, waiter = pair.open(wait=LONG)
    calls = [leader.begin("get", key=KEY, fallback="f") for _ in range(100)]
    leader.enters("f")
    calls += [waiter.begin("get", key=KEY, fallback="g") for _ in range(99)]
    calls.append(_begin_waiting(pair, waiter, fallback="g"))

    leader.ask("finish", fallback="f", gives=1)
    answers = [_answer(call) for call in calls]
    assert {answer["value"] for answer in answers} == {1}
    assert sum(answer["ran"] for answer in answers) == leader.entered("f") == 1
    assert waiter.entered("g") == 0


def test_a_fill_under_way_is_revoked_by_an_invalidation_in_the_other_language(pair: Pair) -> None:
    filler, writer = pair.open()
    filling = filler.begin("get", key=KEY, fallback="f")
    filler.enters("f")

    assert writer.ask("invalidate", key=KEY) is True
    filler.ask("finish", fallback="f", gives="old")
    assert _answer(filling) == {"value": "old", "ran": True}
    assert writer.ask("get", key=KEY) == {"absent": True}
    assert writer.ask("get", key=KEY, gives="new") == {"value": "new", "ran": True}
    assert filler.ask("get", key=KEY, gives="unused") == {"value": "new", "ran": False}


def test_what_one_language_writes_through_the_other_waits_for_and_is_given(pair: Pair) -> None:
    writer, reader = pair.open(wait=LONG)
    writing = writer.begin("write_through", key=KEY, value={"name": "Ada"}, persist="p")
    writer.enters("p")
    waiting = _begin_waiting(pair, reader, fallback="g")

    writer.ask("finish", fallback="p", gives=None)
    assert _answer(writing) is True
    assert _answer(waiting) == {"value": {"name": "Ada"}, "ran": False}
    assert reader.ask("get", key=KEY) == {"value": {"name": "Ada"}}


def test_writers_of_one_key_in_both_languages_leave_nothing_of_either(pair: Pair) -> None:
    first, second = pair.open(wait="100ms")
    one = first.begin("write_through", key=KEY, value=1, persist="p")
    first.enters("p")
    two = second.begin("write_through", key=KEY, value=2, persist="q")
    second.enters("q")
    assert first.ask("get", key=KEY, gives="beside") == {"value": "beside", "ran": True}

    first.ask("finish", fallback="p", gives=None)
    assert _answer(one) is False
    assert second.ask("get", key=KEY) == {"absent": True}
    second.ask("finish", fallback="q", gives=None)
    assert _answer(two) is False
    assert first.ask("get", key=KEY, gives="read anew") == {"value": "read anew", "ran": True}
    assert second.ask("get", key=KEY, gives="unused") == {"value": "read anew", "ran": False}


def test_a_persist_that_fails_frees_the_key_for_the_other_language(pair: Pair) -> None:
    writer, reader = pair.open(wait=LONG)
    writing = writer.begin("write_through", key=KEY, value=1, persist="p")
    writer.enters("p")
    waiting = _begin_waiting(pair, reader, fallback="g")

    writer.ask("fail", fallback="p", error="the row is locked")
    failed = _refusal(writing)
    assert (failed.name, failed.message) == ("Boom", "the row is locked")
    reader.enters("g")
    reader.ask("finish", fallback="g", gives=2)
    assert _answer(waiting) == {"value": 2, "ran": True}
    assert writer.ask("get", key=KEY) == {"value": 2}


def test_an_invalidation_reaches_callers_who_wait_for_a_fill_in_their_own_process(pair: Pair) -> None:
    filler, writer = pair.open()
    first = filler.begin("get", key=KEY, fallback="f")
    filler.enters("f")
    followers = [filler.begin("get", key=KEY, fallback="g") for _ in range(10)]
    filler.ask("exists", key=KEY)  # requests are begun in order: the followers are inside

    assert writer.ask("invalidate", key=KEY) is True
    filler.ask("finish", fallback="f", gives="old")
    assert _answer(first) == {"value": "old", "ran": True}
    filler.enters("g")
    filler.ask("finish", fallback="g", gives="new")
    assert {_answer(follower)["value"] for follower in followers} == {"new"}
    assert filler.entered("g") == 1
    assert writer.ask("get", key=KEY, gives="unused") == {"value": "new", "ran": False}


def test_a_leader_that_is_killed_is_followed_by_the_other_language(pair: Pair) -> None:
    leader, waiter = pair.open(lease="300ms", wait=LONG)
    leader.begin("get", key=KEY, fallback="f")
    leader.enters("f")
    waiting = _begin_waiting(pair, waiter, fallback="g")
    assert waiter.entered("g") == 0

    leader.kill()
    waiter.enters("g")
    waiter.ask("finish", fallback="g", gives=2)
    assert _answer(waiting) == {"value": 2, "ran": True}
    assert waiter.ask("get", key=KEY) == {"value": 2}, "it had no lease of its own"


def test_a_leader_whose_fallback_fails_frees_the_lease_for_the_other_language(pair: Pair) -> None:
    leader, waiter = pair.open(lease="30s", wait=LONG)
    leading = leader.begin("get", key=KEY, fallback="f")
    leader.enters("f")
    waiting = _begin_waiting(pair, waiter, fallback="g")

    leader.ask("fail", fallback="f", error="the database said no")
    failed = _refusal(leading)
    assert (failed.name, failed.code, failed.message) == ("Boom", None, "the database said no")
    waiter.enters("g")  # well before the lease would have run out
    waiter.ask("finish", fallback="g", gives=2)
    assert _answer(waiting) == {"value": 2, "ran": True}
    assert leader.ask("get", key=KEY, gives="unused") == {"value": 2, "ran": False}


# --- entries ---------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "a float": 0.1,
    "a float with a whole value": 1.0,
    "a tiny float": 5e-324,
    "a huge float": 1.7976931348623157e308,
    "floats beyond 2^53": [1e16, -1e17, 1e21, 2.0**63],
    "2^53 - 1": 2**53 - 1,
    "2^53": 2**53,
    "-2^53": -(2**53),
    "2^53 + 1": 2**53 + 1,
    "-2^53 - 1": -(2**53) - 1,
    "2^63": 2**63,
    "2^64 - 1": 2**64 - 1,
    "-2^60": -(2**60),
    "2^70": 2**70,
    "large beside small": {"id": [1, 2**60, 1.5, {"deep": 2**53 + 1, "small": 2}]},
    "digits in a text": ["9007199254740993", '"9007199254740993'],
    "digits as a name": {"9007199254740993": 1, "1": {"2": 3}},
    "an empty text": "",
    "unicode": "Grüße, 日本語, 🎈, é, \u202e, \u2028\u2029",
    "what JSON escapes": '"\\/\b\f\n\r\t\x00\x1f\x7f',
    "an empty list": [],
    "an empty object": {},
    "empty within": [[], {}, [[]], {"a": {}, "": []}, None],
    "nested": {"users": [{"name": "Ada", "tags": ["a", "b"], "ok": True, "none": None}] * 2},
    "deep": json.loads("[" * 60 + "]" * 60),
    "names of JavaScript's": {"__proto__": {"admin": True}, "constructor": 1, "toString": None, "length": 0},
    "names of JavaScript's beside a large integer": {"__proto__": {"admin": 2**60}, "constructor": 1},
    "__proto__ alone": {"__proto__": 1},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_is_read_in_the_other_language_as_it_was_computed(pair: Pair, value: Any) -> None:
    writer, reader = pair.open()
    due = {"value": _exact(to_wire(value)), "ran": _exact(True)}
    assert _exact(writer.ask("get", key=KEY, gives=value)) == due
    assert _exact(reader.ask("get", key=KEY, gives="unused")) == {**due, "ran": _exact(False)}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_is_read_in_the_other_language_as_it_was_set(pair: Pair, value: Any) -> None:
    writer, reader = pair.open()
    assert writer.ask("set", key=KEY, value=value) is True
    assert _exact(reader.ask("get", key=KEY)) == {"value": _exact(to_wire(value))}


def test_an_entry_shows_the_same_in_both_languages(pair: Pair) -> None:
    writer, reader = pair.open(ttl_jitter=0)
    before_ms = int(time.time() * 1_000)
    assert writer.ask("get_entry", key=KEY) is None
    assert reader.ask("get_entry", key=KEY) is None
    writer.ask("set", key=KEY, value={"id": 2**60}, ttl="1h")
    entry = writer.ask("get_entry", key=KEY)
    assert reader.ask("get_entry", key=KEY) == entry
    assert entry["value"] == to_wire({"id": 2**60})
    assert entry["fresh_until"] - entry["created_at"] == 3_600_000
    assert before_ms <= entry["created_at"] <= time.time() * 1_000
    assert (entry["tags"], entry["source"]) == ([], "redis")

    reader.ask("set", key=KEY, value=2)
    later = writer.ask("get_entry", key=KEY)
    assert later == reader.ask("get_entry", key=KEY)
    assert later["version"] > entry["version"]


def test_an_expired_entry_is_computed_anew_in_the_other_language(pair: Pair) -> None:
    first, other = pair.open()
    assert first.ask("get", key=KEY, gives=1) == {"value": 1, "ran": True}
    assert other.ask("exists", key=KEY) is True
    assert other.ask("expire", key=KEY) is True
    assert first.ask("get", key=KEY, gives=2) == {"value": 2, "ran": True}
    assert other.ask("get", key=KEY, gives=3) == {"value": 2, "ran": False}


def test_a_refresh_is_seen_in_the_other_language_when_it_is_done(pair: Pair) -> None:
    first, other = pair.open()
    assert first.ask("get", key=KEY, gives=1) == {"value": 1, "ran": True}
    refreshing = other.begin("refresh", key=KEY, fallback="f")
    other.enters("f")
    assert first.ask("get", key=KEY, gives=9) == {"value": 1, "ran": False}
    other.ask("finish", fallback="f", gives=2)
    assert _answer(refreshing) == {"value": 2, "ran": True}
    assert first.ask("get", key=KEY, gives=9) == {"value": 2, "ran": False}


def test_a_set_in_the_other_language_is_not_undone_by_a_fill_that_was_under_way(pair: Pair) -> None:
    filler, writer = pair.open()
    filling = filler.begin("get", key=KEY, fallback="f")
    filler.enters("f")
    assert writer.ask("set", key=KEY, value="set") is True
    filler.ask("finish", fallback="f", gives="old")
    assert _answer(filling)["value"] == "old"
    assert filler.ask("get", key=KEY, gives="unused") == {"value": "set", "ran": False}


# --- events ----------------------------------------------------------------------------------------------------------

EVENTS = ["cache.hit", "cache.miss", "cache.set", "cache.fallback_error", "cache.error", "cache.invalidate"]
MEASURED = ("timestamp", "duration_ms", "version")


def test_what_is_done_in_either_language_is_told_to_observers_in_the_same_words(pair: Pair) -> None:
    told = []
    for member in pair.open():
        member.ask("observe", events=EVENTS)
        failing = member.begin("get", key=KEY, fallback="f")
        member.enters("f")
        member.ask("fail", fallback="f", error="boom")
        _refusal(failing)
        member.ask("get", key=KEY, gives=1)
        member.ask("get", key=KEY)
        member.ask("set", key=KEY, value=2)
        member.ask("expire", key=KEY)
        member.ask("invalidate", key=KEY)
        member.ask("invalidate", key="the:end")
        events = member.hears("the:end")
        told.append([{name: event[name] for name in event if name not in MEASURED} for event in events])
        assert {name for event in events for name in event if name in MEASURED} == set(MEASURED)
    assert told[0] == told[1]
    types = [event["type"].removeprefix("cache.") for event in told[0]]
    assert types == ["miss", "fallback_error", "miss", "set", "hit", "set", "invalidate", "invalidate", "invalidate"]


# --- keys ------------------------------------------------------------------------------------------------------------


def _part(part: dict[str, Any]) -> Any:
    """A typed part of a key; a UUID as its text, which both languages have."""
    match part:
        case {"int": digits}:
            return int(digits)
        case {"uuid": text}:
            return text.lower()
        case _:
            (value,) = part.values()
            return value


@pytest.mark.parametrize(
    "parts",
    [
        *([_part(part) for part in vector["parts"]] for vector in VECTORS["build"]),
        ["order", 0, -1, 2**53 - 1, 2**53 + 1, -(2**70)],
        ["user", "ß", "ﬀ", "e\u0301", "\u00e9", "\U0001f468\u200d\U0001f469"],
        ["user", "1", 1, True, "true", "null", "undefined"],
        ["user", "a b\tc\nd", "%20", "100%", "::", "{}*?[]\\@~#"],
    ],
    ids=repr,
)
def test_the_same_parts_are_the_same_key(members: Members, parts: list[Any]) -> None:
    built = members["python"].ask("key", parts=parts)
    assert members["node"].ask("key", parts=parts) == built
    assert built.count(":") == len(parts) - 1


# --- helpers ---------------------------------------------------------------------------------------------------------


def _begin_waiting(pair: Pair, waiter: MemberProcess, **how: Any) -> Future[Any]:
    """A call that waits for the other process; returns once it does."""
    waiting = waiter.begin("get", key=KEY, **how)
    pair.until_others_wait(KEY)
    assert not waiting.done()
    return waiting


def _answer(call: Future[Any]) -> Any:
    return call.result(PATIENCE_SECONDS)


def _refusal(call: Future[Any]) -> Refused:
    with pytest.raises(Refused) as refused:
        call.result(PATIENCE_SECONDS)
    return refused.value


def _exact(value: Any) -> Any:
    """A value in which true is not 1, as `==` has it."""
    match value:
        case bool():
            return f"<{value}>"
        case list():
            return [_exact(item) for item in value]
        case dict():
            return {name: _exact(item) for name, item in value.items()}
        case _:
            return value
