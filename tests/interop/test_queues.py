"""Write-behind between languages: one puts, the other works, in both directions."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.interop.pair import Pair
from tests.interop.wire import to_wire

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)

VALUES = [
    to_wire(value) for value in (1, "text", {"name": "Ada", "tags": ["ä", "🎈"]}, [1.5, None, True], None, 2**53 + 1)
]


def test_what_one_language_puts_the_others_sink_is_given(pair: Pair) -> None:
    putter, worker = pair.open()
    putter.ask("queue", name="counters", partitions=2)
    ids = [putter.ask("put", key="page:views:7", value=value) for value in VALUES]
    assert worker.ask("get", key="page:views:7") == {"value": VALUES[-1]}
    worker.ask("queue", name="counters", works=True, partitions=2, max_delay="10ms")
    assert putter.ask("flush") is True
    given = worker.ask("sunk")
    assert [(item["key"], item["value"], item["id"], item["attempt"]) for item in given] == [
        ("page:views:7", value, write_id, 1) for value, write_id in zip(VALUES, ids, strict=True)
    ]


def test_a_key_is_in_the_same_partition_in_both(pair: Pair) -> None:
    first, second = pair.open()
    keys = [f"page:views:{number}" for number in range(12)] + ["länder:日本語:🎈", "page:" + "x" * 300]
    for member in (first, second):
        member.ask("queue", name="counters", partitions=5)
    for key in keys:
        first.ask("put", key=key, value=1)
        second.ask("put", key=key, value=2)
    second.ask("queue", name="counters", works=True, partitions=5, max_delay="10ms")
    assert first.ask("flush") is True
    given = second.ask("sunk")
    assert sorted((item["key"], item["value"]) for item in given) == sorted((key, n) for key in keys for n in (1, 2))
    # In the order of their puts, as only one partition gives it.
    for key in keys:
        assert [item["value"] for item in given if item["key"] == key] == [1, 2]


def test_an_operation_is_put_once_whoever_puts_it(pair: Pair) -> None:
    first, second = pair.open()
    for member in (first, second):
        member.ask("queue", name="counters")
    put = first.ask("put", key="page:views:7", value=1, operation="order-1234")
    assert second.ask("put", key="page:views:7", value=2, operation="order-1234") == put
    assert second.ask("put", key="page:views:8", value=2, operation="order-1234") != put


def test_what_one_sets_aside_the_other_sees(pair: Pair) -> None:
    putter, worker = pair.open()
    worker.ask("queue", name="counters", works=True, fails=[13], max_attempts=1, max_delay="10ms")
    putter.ask("queue", name="counters")
    poison = putter.ask("put", key="page:views:7", value=13)
    assert putter.ask("flush") is True
    assert putter.ask("letters") == [
        {"key": "page:views:7", "value": 13, "reason": "sink", "attempts": 1, "write_id": poison}
    ]
    assert worker.ask("sunk") == []


def test_the_next_takes_over_from_one_who_closes(pair: Pair) -> None:
    first, second = pair.open()
    first.ask("queue", name="counters", works=True, max_delay="10ms")
    first.ask("put", key="page:views:7", value=1)
    assert first.ask("flush") is True
    second.ask("queue", name="counters", works=True, max_delay="10ms")
    second.ask("put", key="page:views:7", value=2)
    assert second.ask("flush") is True
    assert first.ask("close") is True
    second.ask("put", key="page:views:7", value=3)
    assert second.ask("flush") is True
    assert [item["value"] for item in first.ask("sunk")] == [1, 2]
    assert [item["value"] for item in second.ask("sunk")] == [3]


@pytest.mark.parametrize(
    ("codec", "values"),
    [
        ("json", [1.5, 2**60, [None], {"a": "🎈"}, None]),
        ("msgpack", [b"\x00\xff", {"seen": MOMENT, "of": [2**63, -(2**60)]}, math.inf, None, 2.5]),
        ("raw", [b"\x00\xff", b"", b"null" * 1_000]),
    ],
)
def test_what_is_put_in_one_codec_the_others_sink_is_given_whatever_its_own(
    pair: Pair, codec: str, values: list[Any]
) -> None:
    putter, worker = pair.open_with({"codec": codec}, {"codec": {"json": "msgpack"}.get(codec, "json")})
    putter.ask("queue", name="counters")
    for at, value in enumerate(values):
        putter.ask("put", key=f"page:views:{at}", value=value)
    for at, value in enumerate(values):
        assert worker.ask("get", key=f"page:views:{at}") == {"value": to_wire(value)}
    worker.ask("queue", name="counters", works=True, max_delay="10ms")
    assert putter.ask("flush") is True
    given = {item["key"]: item["value"] for item in worker.ask("sunk")}
    assert given == {f"page:views:{at}": to_wire(value) for at, value in enumerate(values)}


def test_a_dead_letter_of_another_codec_is_read(pair: Pair) -> None:
    putter, worker = pair.open_with({"codec": "msgpack"}, {"codec": "json"})
    worker.ask("queue", name="counters", works=True, fails=[2**60], max_attempts=1, max_delay="10ms")
    putter.ask("queue", name="counters")
    putter.ask("put", key="page:views:7", value=2**60)
    assert putter.ask("flush") is True
    for member in (putter, worker):
        assert [letter["value"] for letter in member.ask("letters")] == [{"$int": str(2**60)}]
