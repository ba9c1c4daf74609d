"""Every value of the table, written by each language and read by the other, in every codec, packed and signed."""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import Any

import pytest

from tests.interop.member_process import PATIENCE_SECONDS, MemberProcess
from tests.interop.member_process import Refused as Failed
from tests.interop.pair import Members, Pair
from tests.interop.values import RAW, RAW_MADE, RAW_REFUSED, ROWS, Refused, Row, made
from tests.interop.wire import to_wire, typed
from tests.support.redis_server import RedisServer

KEY = "user:profile:1"
ENCODE = ("EncodeError", "ERR_TIDEGATE_ENCODE")
CODES = {"raw": 0, "json": 1, "msgpack": 2}
COMPRESSIONS = {"lz4": 1, "zstd": 2, "zlib": 3}
SIGNED = 4
SECRET = "a secret of sixteen bytes or more"
# What a reader writes with is of no account.
ANOTHER = {"json": "msgpack", "msgpack": "raw", "raw": "json"}
LONG = "60s"
# Of a busy machine, for many large values at once.
MANY = {"command_timeout": "20s", "lease": "30s"}
PADDING = "tidegate " * 200
WAYS: dict[str, dict[str, Any]] = {
    **{name: {"compression": name, "compress_over": 1_000} for name in COMPRESSIONS},
    "signed": {"compression": None, "signing_keys": [SECRET]},
    "signed zstd": {"compression": "zstd", "signing_keys": [SECRET]},
}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_value_is_read_in_both_languages_as_the_table_says(pair: Pair, codec: str) -> None:
    writer, reader = pair.open_with({"codec": codec, "compression": None, **MANY}, {"codec": ANOTHER[codec], **MANY})
    rows = _rows(writer, codec)
    filled = _all(writer, "get", {name: {"gives": row.value} for name, row in rows.items()})
    again = _all(writer, "get", {name: {} for name in rows})
    read = _all(reader, "get", {name: {} for name in rows})
    # What the first caller is given is what a later one is.
    assert filled == {name: {**answer, "ran": True} for name, answer in again.items()}
    for member, answers in ((writer, again), (reader, read)):
        seen = {name: _seen(answer, member) for name, answer in answers.items()}
        assert _wrong(seen, {name: _due(row, codec, member) for name, row in rows.items()}) == {}
    _check_heads(pair, {name: row.read(codec, "python") for name, row in rows.items()}, codec)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_value_may_be_packed_and_signed(pair: Pair, codec: str, way: str) -> None:
    """By the call's codec, with another manager's."""
    options = WAYS[way]
    keys = {"signing_keys": options["signing_keys"]} if "signing_keys" in options else {}
    writer, reader = pair.open_with({"codec": ANOTHER[codec], **options}, {"codec": ANOTHER[codec], **keys})
    rows = {name: row for name, row in _rows(writer, codec).items() if not row.is_whole}
    stored = _all(writer, "set", {name: {"value": [row.value, PADDING], "codec": codec} for name, row in rows.items()})
    assert set(stored.values()) == {True}
    read = _all(reader, "get", {name: {} for name in rows})
    seen = {name: _seen(answer, reader) for name, answer in read.items()}
    assert _wrong(seen, {name: [_due(row, codec, reader), PADDING] for name, row in rows.items()}) == {}
    _check_heads(pair, {name: [] for name in rows}, codec, options["compression"], SIGNED if keys else 0)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_what_one_language_cannot_write_is_refused_by_both_and_given_back_uncached(pair: Pair, codec: str) -> None:
    writer, reader = pair.open(codec=codec)
    refused = {
        name: row
        for name, row in ROWS.items()
        if writer.language in row.by and isinstance(row.read(codec, "python"), Refused)
    }
    assert len(refused) > 5
    writer.ask("observe", events=["cache.error"])
    for name, row in refused.items():
        failed = _failed(writer.begin("set", key=KEY, value=row.value))
        assert (failed.name, failed.code) == ENCODE, name
        assert row.read(codec, "python").says in failed.message, f"{name}: {failed.message}"
        assert "$" in failed.message or "deeper" in failed.message, f"{name} has no place: {failed.message}"
        answer = writer.ask("get", key=f"{KEY}:{writer.language}", gives=row.value)
        assert answer["ran"], name
        assert reader.ask("get", key=f"{KEY}:{writer.language}") == {"absent": True}, name
    assert reader.ask("get", key=KEY) == {"absent": True}
    writer.ask("get", key="the:end", gives=made("object") if writer.language == "python" else made("Set", []))
    writer.hears("the:end")
    assert set(writer.reasons()) == {"encode"}


@pytest.mark.parametrize("way", ["plain", *WAYS])
def test_raw_bytes_are_read_as_they_are(pair: Pair, way: str) -> None:
    options = WAYS.get(way, {"compression": None})
    keys = {"signing_keys": options["signing_keys"]} if "signing_keys" in options else {}
    writer, reader = pair.open_with({"codec": "raw", **options}, keys)
    values = {**RAW, **{f"{at}": value for at, value in enumerate(RAW_MADE[writer.language])}}
    due = {name: value if name in RAW else b"ab" for name, value in values.items()}
    filled = _all(writer, "get", {name: {"gives": value} for name, value in values.items()})
    read = _all(reader, "get", {name: {} for name in values})
    for name, value in due.items():
        assert filled[name] == {"value": to_wire(value), "ran": True}, name
        assert read[name] == {"value": to_wire(value)}, name
    _check_heads(pair, due, "raw", signed=SIGNED if keys else 0)


def test_raw_takes_nothing_but_bytes(pair: Pair) -> None:
    writer, reader = pair.open()
    for name, value in RAW_REFUSED.items():
        failed = _failed(writer.begin("set", key=KEY, value=value, codec="raw"))
        assert (failed.name, failed.code) == ENCODE, name
        assert "$ is a" in failed.message, failed.message
        assert "the codec raw" in failed.message, failed.message
        assert writer.ask("get", key=KEY, gives=value, codec="raw") == {"value": to_wire(value), "ran": True}
        assert reader.ask("get", key=KEY) == {"absent": True}


def test_the_codec_of_a_key_may_change_from_write_to_write(pair: Pair) -> None:
    first, other = pair.open_with({"codec": "json"}, {"codec": "msgpack"})
    for round_, codec in enumerate(["json", "msgpack", "raw", "msgpack", "json", "raw", "json"]):
        writer, reader = (first, other) if round_ % 2 else (other, first)
        value = bytes([round_]) if codec == "raw" else {"round": round_, "half": 0.5}
        assert writer.ask("set", key=KEY, value=value, codec=codec)
        for member in (reader, writer):
            assert member.ask("get", key=KEY, gives=None) == {"value": to_wire(value), "ran": False}
            assert member.ask("get_entry", key=KEY)["value"] == to_wire(value)
        pair.check_head(KEY, codec=CODES[codec])
        refreshed = reader.ask("refresh", key=KEY, gives=value, codec=codec)
        assert refreshed == {"value": to_wire(value), "ran": True}
        assert writer.ask("get", key=KEY) == {"value": to_wire(value)}


@pytest.mark.parametrize("codec", ["json", "msgpack", "raw"])
def test_a_waiter_is_given_what_the_other_language_computes_in_its_codec(pair: Pair, codec: str) -> None:
    leader, waiter = pair.open_with({"wait": LONG, "codec": codec}, {"wait": LONG, "codec": ANOTHER[codec]})
    leading = leader.begin("get", key=KEY, fallback="f")
    leader.enters("f")
    waiting = waiter.begin("get", key=KEY, fallback="g")
    pair.until_others_wait(KEY)
    value = {"json": {"id": 2**60}, "msgpack": {"id": 2**60, "half": math.inf, "raw": b"\xff"}, "raw": b"\xff"}[codec]
    leader.ask("finish", fallback="f", gives=value)
    assert leading.result(PATIENCE_SECONDS) == {"value": to_wire(value), "ran": True}
    assert waiting.result(PATIENCE_SECONDS) == {"value": to_wire(value), "ran": False}
    assert waiter.entered("g") == 0


@pytest.mark.parametrize("ms", [8_640_000_000_000_000, 253_402_300_800_000, -62_135_596_800_001])
def test_a_date_that_python_has_no_datetime_for_is_a_miss_there(
    members: Members, redis_server: RedisServer, ms: int
) -> None:
    """Beyond the year 9999, or before the year 1. In JSON it is a text like any other."""
    pair = Pair(members["node"], members["python"], redis_server.url, "distant_dates")
    node, python = pair.open(codec="msgpack")
    python.ask("observe", events=["cache.error"])
    assert node.ask("set", key=KEY, value=made("Date", ms))
    assert python.ask("get", key=KEY) == {"absent": True}
    assert python.ask("get", key=KEY, gives="far") == {"value": "far", "ran": True}
    python.hears(KEY)
    assert set(python.reasons()) == {"schema"}
    assert node.ask("set", key=KEY, value=made("Date", ms), codec="json")
    assert isinstance(python.ask("get", key=KEY)["value"], str)


# --- types -----------------------------------------------------------------------------------------------------------

MOMENT = ROWS["a moment in Node"].value
# What is written, what it is wanted as, and what each language has then: by its type, and on the line.
TYPED: dict[str, tuple[Any, str, tuple[str, str]]] = {
    "a moment": (MOMENT, "time", ("datetime", "Date")),
    "a moment as its text": ("2026-01-02T03:04:05.678Z", "time", ("datetime", "Date")),
    "a UUID": ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "uuid", ("UUID", "String")),
    "a decimal": ("12345678901234567890.12345678901234567890", "decimal", ("Decimal", "String")),
    "an enum": ("red", "colour", ("Colour", "String")),
    "an object": ({"name": "Ada", "born": MOMENT}, "user", ("User", "Object")),
}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(("value", "kind", "types"), TYPED.values(), ids=TYPED)
def test_a_type_is_read_of_what_the_other_language_wrote(
    pair: Pair, value: Any, kind: str, types: tuple[str, str], codec: str
) -> None:
    writer, reader = pair.open(codec=codec)
    assert writer.ask("set", key=KEY, value=value)
    due = dict(zip(("python", "node"), types, strict=True))
    for member in (reader, writer):
        read = member.ask("get", key=KEY, kind=kind, gives=None)
        assert (read["ran"], read["type"]) == (False, due[member.language])
    if kind == "time":
        assert reader.ask("get", key=KEY, kind=kind)["value"] == to_wire(MOMENT)


def test_bytes_are_read_as_such_of_every_codec_that_has_them(pair: Pair) -> None:
    writer, reader = pair.open()
    for codec in ("msgpack", "raw"):
        assert writer.ask("set", key=KEY, value=b"\x00\xff", codec=codec)
        read = reader.ask("get", key=KEY, kind="bytes")
        assert read == {"value": {"$bytes": "00ff"}, "type": {"python": "bytes", "node": "Buffer"}[reader.language]}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_what_does_not_fit_the_readers_type_is_a_miss_and_is_overwritten(pair: Pair, codec: str) -> None:
    writer, reader = pair.open(codec=codec)
    reader.ask("observe", events=["cache.error"])
    assert writer.ask("set", key=KEY, value="blue")
    assert reader.ask("get", key=KEY, kind="colour") == {"absent": True}
    read = reader.ask("get", key=KEY, kind="colour", gives="green")
    assert read["ran"] is True
    assert writer.ask("get", key=KEY) == {"value": "green"}
    reader.hears(KEY)
    assert set(reader.reasons()) == {"schema"}


# --- what is foreign -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("ours of many, many bytes", "theirs of many bytes"), (SECRET, None), (None, SECRET)])
def test_what_another_secret_has_signed_is_a_miss(pair: Pair, keys: tuple[str | None, str | None]) -> None:
    options = [{"signing_keys": [key]} if key else {} for key in keys]
    writer, reader = pair.open_with(*options)
    assert writer.ask("set", key=KEY, value=1)
    reader.ask("observe", events=["cache.error"])
    assert reader.ask("get", key=KEY) == {"absent": True}
    assert reader.ask("get", key=KEY, gives=2) == {"value": 2, "ran": True}
    reader.hears(KEY)
    assert set(reader.reasons()) == {"signature"}
    # Its own takes the place of the other, which is one that the other does not know.
    assert reader.ask("get", key=KEY) == {"value": 2}
    assert writer.ask("get", key=KEY) == {"absent": True}


def test_a_secret_is_changed_without_a_miss(pair: Pair) -> None:
    old, new = "the old one of many bytes", "the new one of many bytes"
    first, other = pair.open_with({"signing_keys": [old, new]}, {"signing_keys": [new, old]})
    for writer, reader in ((first, other), (other, first)):
        assert writer.ask("set", key=KEY, value=writer.language)
        assert reader.ask("get", key=KEY) == {"value": writer.language}


def test_an_entry_of_a_future_format_is_left_alone_by_both(pair: Pair) -> None:
    writer, reader = pair.open(codec="msgpack")
    assert writer.ask("set", key=KEY, value={"a": 1})
    future = pair.patch(KEY, 2, 2)
    for at, member in enumerate((reader, writer)):
        member.ask("observe", events=["cache.error"])
        assert member.ask("get", key=KEY) == {"absent": True}
        assert member.ask("get", key=KEY, gives=at) == {"value": at, "ran": True}
        member.hears(KEY)
        assert set(member.reasons()) == {"foreign_format"}
        assert pair.bytes_of(KEY) == future
    # Who sets it means it.
    assert reader.ask("set", key=KEY, value=3)
    assert writer.ask("get", key=KEY) == {"value": 3}


# --- helpers ---------------------------------------------------------------------------------------------------------


def _rows(writer: MemberProcess, codec: str) -> dict[str, Row]:
    """What this language can write in this codec."""
    return {
        name: row
        for name, row in ROWS.items()
        if writer.language in row.by and not isinstance(row.read(codec, "python"), Refused)
    }


def _key(name: str) -> str:
    """A key for a row, whatever that is called."""
    return f"value:{name.encode().hex()}"


def _all(member: MemberProcess, do: str, requests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The answers to many requests that are under way at once, each about a key of its own."""
    calls = {name: member.begin(do, key=_key(name), **request) for name, request in requests.items()}
    return {name: call.result(3 * PATIENCE_SECONDS) for name, call in calls.items()}


def _seen(answer: dict[str, Any], member: MemberProcess) -> Any:
    assert "value" in answer, answer
    return typed(answer["value"], member.language)


def _due(row: Row, codec: str, member: MemberProcess) -> Any:
    return typed(to_wire(row.read(codec, member.language)), member.language)


def _wrong(seen: dict[str, Any], due: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where they differ, what was seen and what was due, cut to a length that can be read."""
    return {name: (str(seen[name])[:200], str(due[name])[:200]) for name in due if seen[name] != due[name]}


def _check_heads(
    pair: Pair, values: dict[str, Any], codec: str, compression: str | None = None, signed: int = 0
) -> None:
    """The entries are what the test is about: in this codec, compressed and signed."""
    for name, value in values.items():
        expected = {} if value is None else {"codec": CODES[codec]}
        if compression is not None:
            expected["compression"] = COMPRESSIONS[compression]
        pair.check_head(_key(name), signed=signed, **expected)


def _failed(call: Future[Any]) -> Failed:
    with pytest.raises(Failed) as failed:
        call.result(PATIENCE_SECONDS)
    return failed.value
