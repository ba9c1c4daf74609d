"""The table of values: what is written and what either language reads, per codec. `docs/values.md` has it in words."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

LANGUAGES = ("python", "node")
SAME = object()


@dataclass(frozen=True)
class Refused:
    """Nothing is stored; what is said of it."""

    says: str


@dataclass(frozen=True)
class Split:
    """The languages have different types for it."""

    python: Any
    node: Any


@dataclass(frozen=True)
class Row:
    value: Any
    json: Any = SAME
    msgpack: Any = SAME
    by: tuple[str, ...] = LANGUAGES
    """Who can write it."""
    is_whole: bool = False
    """Not to be put into a list with others: it is about a value's top, its depth or its length."""

    def read(self, codec: str, language: str) -> Any:
        """What that language reads."""
        due = getattr(self, codec)
        if isinstance(due, Split):
            return getattr(due, language)
        return self.value if due is SAME else due


def made(name: str, of: Any = None) -> dict[str, Any]:
    """A value that only the members can make."""
    return {"$make": name, "of": of}


def nested(levels: int, kind: str = "[]") -> Any:
    """Lists or objects within one another."""
    start, end = ("[", "]") if kind == "[]" else ('{"a":', "}")
    return json.loads(start * (levels - 1) + kind + end * (levels - 1))


PYTHON, NODE = ("python",), ("node",)
TOO_DEEP, SURROGATE = Refused("deeper than 64"), Refused("surrogate")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EVENING = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone.utc)


def _time(moment: datetime, text: str, in_node: datetime | None = None, **more: Any) -> Row:
    """A moment is its text in JSON, and itself in msgpack, to the millisecond in Node."""
    return Row(moment, json=text, msgpack=Split(moment, in_node or moment), **more)


# Where the width of an integer changes, in one codec or the other.
INTEGERS = sorted(
    {sign * 2**bits + offset for bits in (0, 5, 7, 8, 15, 16, 31, 32, 52) for sign in (1, -1) for offset in (-1, 0, 1)}
    | {2**53 - 1, 2**53, -(2**53) + 1, -(2**53)}
)
WIDE = [2**53 + 1, -(2**53) - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
TOO_WIDE = [2**64, -(2**63) - 1, 2**70, -(10**40)]
BEYOND = Refused("64")

ROWS: dict[str, Row] = {
    **{f"the integer {value}": Row(value) for value in INTEGERS},
    **{f"the integer {value}, of 64 bits": Row(value) for value in WIDE},
    **{f"the integer {value}, of more than 64 bits": Row(value, msgpack=BEYOND) for value in TOO_WIDE},
    "a small bigint": Row(made("BigInt", "5"), json=5, msgpack=5, by=NODE),
    "a bigint of 2^53": Row(made("BigInt", str(2**53)), json=2**53, msgpack=2**53, by=NODE),
    "a large integer beside small ones": Row({"id": [1, 2**60, 1.5, {"deep": 2**53 + 1, "small": 2}]}),
    # --- floats
    "a float": Row([0.1, 1.5, -2.75, 5e-324, 1.7976931348623157e308, 1e-7]),
    "a whole float": Row([1.0, -3.0, 2.0**53, 0.0], by=PYTHON),
    "a float beyond 2^53": Row([2.0**53 + 2, -1e17, 2.0**63, 1e20, 1e21, 1e300]),
    "-0 of Python": Row(-0.0, by=PYTHON),
    "-0 of Node": Row(-0.0, json=0, by=NODE),
    "NaN": Row(math.nan, json=None),
    "infinity": Row(math.inf, json=None),
    "-infinity": Row(-math.inf, json=None),
    # --- texts
    "an empty text": Row(""),
    "a text": Row("Grüße, 日本語, 🎈, é, \u202e, \u2028\u2029, \ufeffBOM, \ufffd"),
    "a text beyond the BMP": Row("🎈" * 20 + "\U0010ffff"),
    "a text of control characters": Row('"\\/\b\f\n\r\t\x00\x1f\x7f'),
    "texts of many lengths": Row(["x" * length for length in (31, 32, 255, 256, 65_535, 65_536)], is_whole=True),
    "a lone surrogate": Row("a\ud800b", json=SURROGATE, msgpack=SURROGATE),
    "a lone surrogate within": Row({"a": ["b", "\udc00"]}, json=SURROGATE, msgpack=SURROGATE),
    "a lone surrogate in a name": Row({"\ud83c": 1}, json=SURROGATE, msgpack=SURROGATE),
    "digits": Row(["9007199254740993", '"9007199254740993', "NaN", "null"]),
    # --- bytes
    "bytes of Python": Row(b"\x00\xff\x80", json="AP+A", by=PYTHON),
    "bytes of Node": Row(b"\x00\xff\x80", json=Refused("Buffer"), by=NODE),
    "no bytes": Row(b"", json=Split("", ""), by=PYTHON),
    "many bytes": Row({"a": [b"\x01" * 256, b"\x02" * 65_536]}, json=Refused("Buffer"), by=NODE, is_whole=True),
    "a bytearray": Row(made("bytearray", b"ab"), json="YWI=", msgpack=b"ab", by=PYTHON),
    "a memoryview": Row(made("memoryview", b"ab"), json="YWI=", msgpack=b"ab", by=PYTHON),
    "a Uint8Array": Row(made("Uint8Array", b"ab"), json=Refused("Uint8Array"), msgpack=b"ab", by=NODE),
    "an ArrayBuffer": Row(made("ArrayBuffer", b"ab"), json=Refused("ArrayBuffer"), msgpack=b"ab", by=NODE),
    "another typed array": Row(
        made("Float64Array", [1]), json=Refused("Float64Array"), msgpack=Refused("Float64Array"), by=NODE
    ),
    # --- lists and objects
    "null": Row(None, is_whole=True),
    "null within": Row([None, {"a": None}]),
    "booleans": Row([True, False, 1, 0]),
    "empty containers": Row([[], {}, [[]], {"": {}}, [{}]]),
    "an empty list": Row([], is_whole=True),
    "an empty object": Row({}, is_whole=True),
    "lists of many lengths": Row([[1] * length for length in (15, 16, 65_536)], is_whole=True),
    "objects of many lengths": Row(
        [{f"{at}": at for at in range(length)} for length in (15, 16, 65_536)], is_whole=True
    ),
    "64 lists": Row(nested(64), is_whole=True),
    "64 objects": Row(nested(64, "{}"), is_whole=True),
    "65 lists": Row(nested(65), json=TOO_DEEP, msgpack=TOO_DEEP, is_whole=True),
    "65 objects": Row(nested(65, "{}"), json=TOO_DEEP, msgpack=TOO_DEEP, is_whole=True),
    "64 levels with a text at the end": Row([*nested(64), "x"], is_whole=True),
    "names of JavaScript's": Row({"__proto__": {"admin": True}, "constructor": 1, "toString": None, "length": 0}),
    "names of JavaScript's beside a large integer": Row({"__proto__": {"admin": 2**60}, "constructor": 1}),
    "__proto__ alone": Row({"__proto__": 1}),
    "names that are digits": Row({"9007199254740993": 1, "1": {"2": 3}}),
    "a tuple and a set": Row(
        [made("tuple", [1, 2]), made("set", [3])], json=[[1, 2], [3]], msgpack=[[1, 2], [3]], by=PYTHON
    ),
    "a name that is a number": Row(
        made("dict", [[1, "a"], [2.5, "b"]]),
        json={"1": "a", "2.5": "b"},
        msgpack=Refused("keys that are no texts"),
        by=PYTHON,
    ),
    "a name that is null": Row(
        made("dict", [[None, "a"]]), json=Refused("NoneType"), msgpack=Refused("keys that are no texts"), by=PYTHON
    ),
    "undefined": Row(made("undefined"), json=None, msgpack=None, by=NODE, is_whole=True),
    "undefined within": Row(
        {"a": made("undefined"), "b": [made("undefined")]}, json={"b": [None]}, msgpack={"b": [None]}, by=NODE
    ),
    "holes": Row(made("holes", 2), json=[None, None], msgpack=[None, None], by=NODE),
    # --- times
    "a moment in Python": _time(EVENING, "2026-01-02T03:04:05.678000Z", by=PYTHON),
    "a moment in Node": _time(EVENING, "2026-01-02T03:04:05.678Z", by=NODE),
    "microseconds": _time(EVENING.replace(microsecond=678_901), "2026-01-02T03:04:05.678901Z", EVENING, by=PYTHON),
    "the epoch in Python": _time(EPOCH, "1970-01-01T00:00:00Z", by=PYTHON),
    "the epoch in Node": _time(EPOCH, "1970-01-01T00:00:00.000Z", by=NODE),
    "a microsecond before 1970": _time(
        EPOCH - timedelta(microseconds=1), "1969-12-31T23:59:59.999999Z", EPOCH - timedelta(milliseconds=1), by=PYTHON
    ),
    "a millisecond before 1970": _time(EPOCH - timedelta(milliseconds=1), "1969-12-31T23:59:59.999Z", by=NODE),
    "long before 1970": _time(datetime(1, 1, 1, tzinfo=timezone.utc), "0001-01-01T00:00:00Z", by=PYTHON),
    "long before 1970 in Node": _time(datetime(1, 1, 1, tzinfo=timezone.utc), "0001-01-01T00:00:00.000Z", by=NODE),
    "the year 2600": _time(datetime(2600, 1, 1, tzinfo=timezone.utc), "2600-01-01T00:00:00Z", by=PYTHON),
    "the last year": _time(
        datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=timezone.utc), "9999-12-31T23:59:59.999Z", by=NODE
    ),
    "another zone": Row(
        made("offset", [EVENING, 2]), json="2026-01-02T05:04:05.678000+02:00", msgpack=EVENING, by=PYTHON
    ),
    "a moment without a zone": Row(
        made("naive", "2026-01-02T03:04:05.678"),
        json="2026-01-02T03:04:05.678000",
        msgpack="2026-01-02T03:04:05.678000",
        by=PYTHON,
    ),
    "no moment": Row(made("Date", "x"), json=None, msgpack=None, by=NODE),
    # --- what other types come to
    "a UUID": Row(
        made("UUID", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        json="6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        msgpack="6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        by=PYTHON,
    ),
    "a big decimal": Row(
        made("Decimal", "12345678901234567890.12345678901234567890"),
        json="12345678901234567890.12345678901234567890",
        msgpack="12345678901234567890.12345678901234567890",
        by=PYTHON,
    ),
    "enums": Row([made("Colour", "red"), made("Level", 1)], json=["red", 1], msgpack=["red", 1], by=PYTHON),
    "a date, a time, a span": Row(
        [made("date", "2026-01-02"), made("time", "03:04:05"), made("timedelta", 3_600)],
        json=["2026-01-02", "03:04:05", "PT3600S"],
        msgpack=["2026-01-02", "03:04:05", "PT3600S"],
        by=PYTHON,
    ),
    "a dataclass": Row(
        made("User", {"name": "Ada", "born": EVENING}),
        json={"name": "Ada", "born": "2026-01-02T03:04:05.678000Z"},
        msgpack={"name": "Ada", "born": EVENING},
        by=PYTHON,
    ),
    "a Struct": Row(made("Point", 1), json={"x": 1}, msgpack={"x": 1}, by=PYTHON),
    "an instance": Row(made("Point", 1), json={"x": 1}, msgpack={"x": 1}, by=NODE),
    "toJSON": Row(made("toJSON", {"x": [1]}), json={"x": [1]}, msgpack={"x": [1]}, by=NODE),
    "toJSON that gives null": Row(made("toJSON"), json=None, msgpack=None, by=NODE),
    "a boxed number": Row(made("Number", 7), json=7, msgpack=7, by=NODE),
    "an object that nobody can write": Row(
        made("object"), json=Refused("object"), msgpack=Refused("object"), by=PYTHON
    ),
    "an extension": Row(made("Ext", b"x"), json=Refused("Ext"), msgpack=Refused("extension"), by=PYTHON),
    **{
        name: Row([1, made(name, of)], json=Refused(f"$[1] is a {name}"), msgpack=Refused(f"$[1] is a {name}"), by=NODE)
        for name, of in {"Map": {"a": 1}, "Set": [1], "RegExp": "x", "symbol": "x", "function": None}.items()
    },
}

NO_BYTES = Refused("the codec raw")
RAW: dict[str, Any] = {
    "bytes": b"\x00\xff\x80",
    "no bytes": b"",
    "many bytes": b"\x00\x01\xff" * 100_000,
    "what looks like JSON": b"null",
    "what looks like msgpack": b"\xc0",
    "null": None,
}
"""Read as they are in both languages."""
RAW_REFUSED: dict[str, Any] = {"a text": "x", "a number": 1, "a list": [b"x"], "an object": {"a": b"x"}}
RAW_MADE = {
    "python": [made("bytearray", b"ab"), made("memoryview", b"ab")],
    "node": [made("Uint8Array", b"ab"), made("ArrayBuffer", b"ab")],
}
"""Read as the bytes `ab`."""
