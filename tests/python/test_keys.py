"""Keys: the vectors that every language reads, and templates."""

from __future__ import annotations

import enum
import json
import uuid
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tidegate import CacheManager, key

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())


class Color(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):
    ONE = "one"


def test_parts() -> None:
    number = uuid.UUID("6BA7B810-9DAD-11D1-80B4-00C04FD430C8")
    assert key("a", 1, True, number, "x:y") == "a:1:true:6ba7b810-9dad-11d1-80b4-00c04fd430c8:x%3Ay"
    assert key("color", Color.RED) == "color:1"
    assert key("word", Word.ONE) == "word:one"
    assert key("big", 2**100) == f"big:{2**100}"
    assert key("below", -1) == "below:-1"


@given(st.text(min_size=1), st.text(min_size=1))
def test_data_never_makes_a_segment_of_its_own(one: str, two: str) -> None:
    try:
        built = key("user", one, two)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    assert built.count(":") == 2
    assert CacheManager().cached("user:{one}:{two}")(_template).key(one, two) == built


async def _template(one: str, two: str) -> None: ...
