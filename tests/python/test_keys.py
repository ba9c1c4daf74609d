"""Keys: the vectors that every language reads, and templates."""

from __future__ import annotations

import enum
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import CacheManager, KeyFormatError, key
from tidegate.sync import CacheManager as Blocking

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
    built = key("user", one, two)
    assert built.count(":") == 2
    assert CacheManager().cached("user:{one}:{two}")(_template).key(one, two) == built


async def _template(one: str, two: str) -> None: ...


def _part(part: dict[str, Any]) -> Any:
    match part:
        case {"text": text}:
            return text
        case {"int": digits}:
            return int(digits)
        case {"bool": value}:
            return value
        case {"uuid": text}:
            return uuid.UUID(text)
        case _:
            raise NotImplementedError(f"no part like {part}")


@pytest.mark.parametrize("vector", VECTORS["build"], ids=lambda vector: vector["key"])
def test_keys_are_built_as_the_vectors_say(vector: dict[str, Any]) -> None:
    assert key(*[_part(part) for part in vector["parts"]]) == vector["key"]


@pytest.mark.parametrize("raw", VECTORS["refused"], ids=repr)
def test_raw_keys_are_refused_as_the_vectors_say(raw: str) -> None:
    with pytest.raises(KeyFormatError):
        Blocking().exists(raw)
