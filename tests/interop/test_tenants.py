"""A tenant is one in both languages, whatever it is called, and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.pair import Pair

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
KEY = "user:profile:1"


def _name(tenant: dict[str, Any]) -> Any:
    """As both languages have it: a UUID as its text."""
    match tenant:
        case {"int": digits}:
            return int(digits)
        case {"uuid": text}:
            return text.lower()
        case _:
            return tenant["text"]


@pytest.mark.parametrize("name", [_name(vector["tenant"]) for vector in VECTORS["tenants"]], ids=repr)
def test_a_tenants_entry_is_the_same_in_both_languages(pair: Pair, name: Any) -> None:
    one, other = pair.open()
    assert one.ask("set", key=KEY, value="the manager's own")
    one.ask("tenant", name=name)
    assert other.ask("get", key=KEY) == {"value": "the manager's own"}
    other.ask("tenant", name=name)
    assert one.ask("set", key=KEY, value={"name": "Ada"}, tags=["user:1"])
    assert other.ask("get", key=KEY, gives="unused") == {"value": {"name": "Ada"}, "ran": False}
    assert other.ask("get_entry", key=KEY)["tags"] == ["user:1"]
    assert other.ask("invalidate_tag", tag="user:1")
    assert one.ask("get", key=KEY) == {"absent": True}
    assert one.ask("refresh", key=KEY, gives=2) == {"value": 2, "ran": True}
    assert other.ask("invalidate", key=KEY)
    assert one.ask("get", key=KEY) == {"absent": True}
    assert {name: one.ask("stats")[name] for name in ("hits", "misses", "sets")} == {"hits": 0, "misses": 2, "sets": 2}


def test_a_fill_of_one_tenant_is_not_revoked_by_anothers_invalidation(pair: Pair) -> None:
    one, other = pair.open()
    one.ask("tenant", name="acme")
    other.ask("tenant", name="acme:user")
    filling = one.begin("get", key=KEY, fallback="f")
    one.enters("f")
    assert other.ask("get", key=KEY, gives=2) == {"value": 2, "ran": True}
    assert other.ask("invalidate", key=KEY)
    one.ask("finish", fallback="f", gives=1)
    assert filling.result(10) == {"value": 1, "ran": True}
    assert one.ask("get", key=KEY) == {"value": 1}


def test_an_event_names_the_tenant_in_the_same_words(pair: Pair) -> None:
    told = []
    for member in pair.open():
        member.ask("tenant", name="a b:%41@ä")
        member.ask("observe", events=["cache.set", "cache.invalidate"])
        member.ask("set", key=KEY, value=1, tags=["user:1"])
        member.ask("invalidate_tag", tag="user:1")
        member.ask("invalidate", key="the:end")
        told.append([(event["type"], event["tenant"], event.get("tag")) for event in member.hears("the:end")])
    assert told[0] == told[1]
    assert told[0][:2] == [("cache.set", "a b:%41@ä", None), ("cache.invalidate", "a b:%41@ä", "user:1")]
