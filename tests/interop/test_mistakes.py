"""The same mistake is the same error in Python and in Node: its name, its code, and its words where they can be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.interop.member_process import PATIENCE_SECONDS, Refused
from tests.interop.pair import Members
from tests.support.redis_server import RedisServer

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
KEY = "user:profile:1"
NOWHERE = "redis://127.0.0.1:1/0"

CONFIG, KEY_FORMAT, TOO_LARGE, CLOSED, HARD_TIMEOUT, STORE_UNAVAILABLE = (
    (name, f"ERR_TIDEGATE_{code}")
    for name, code in (
        ("ConfigError", "CONFIG"),
        ("KeyFormatError", "KEY_FORMAT"),
        ("ValueTooLarge", "VALUE_TOO_LARGE"),
        ("ClosedError", "CLOSED"),
        ("HardTimeout", "HARD_TIMEOUT"),
        ("StoreUnavailable", "STORE_UNAVAILABLE"),
    )
)


@pytest.mark.parametrize("raw", VECTORS["refused"], ids=repr)
def test_a_bad_key_is_refused_in_the_same_words(members: Members, raw: str) -> None:
    python, node = _refusals(members, "exists", key=raw)
    assert (python.name, python.code) == KEY_FORMAT
    assert _words(node) == _words_in_node(python)


@pytest.mark.parametrize(
    "parts", [[], ["user"], ["user", ""], ["user", None], ["user", 1.5], ["user", ["a"]], ["user", {}]], ids=repr
)
def test_bad_parts_of_a_key_are_refused_alike(members: Members, parts: list[Any]) -> None:
    python, node = _refusals(members, "key", parts=parts)
    assert (python.name, python.code) == KEY_FORMAT
    assert (node.name, node.code) == KEY_FORMAT


# As Python writes it, and as Node does.
SPELLINGS = {
    ": seconds, or a text": ": milliseconds, or a text",
    'key("user", "profile", user_id)': "key`user:profile:${id}`",
    "=None is": "=null is",
    "True or False": "true or false",
    "ttl_jitter": "ttlJitter",
    "null_ttl": "nullTtl",
    "stale_if_error": "staleIfError",
    "stale_while_revalidate": "staleWhileRevalidate",
    "error_backoff": "errorBackoff",
    "early_refresh": "earlyRefresh",
    "soft_timeout": "softTimeout",
    "share_values": "shareValues",
    "hard_timeout": "hardTimeout",
    "max_fallbacks": "maxFallbacks",
    "command_timeout": "commandTimeout",
    "connect_timeout": "connectTimeout",
    "max_value_bytes": "maxValueBytes",
    "compress_over": "compressOver",
    "signing_keys": "signingKeys",
    "=True": "=true",
    # Node takes them in the same object.
    "health, fleet_report": "health, fleetReport, url, metricsEmitter, store",
}

# An example's `ttl="5m"` is `ttl: '5m'` in Node, and its `Breaker(ratio=0.1)` an object.
EXAMPLE = re.compile(r"(?<=a right example: )(\w+)=(.*)$")
GROUP = re.compile(r"Breaker\((\w+)=(\S+)\)")

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "another scheme": ("http://localhost", {"service": "x"}),
    "no scheme": ("localhost:6379", {"service": "x"}),
    "no url": ("", {"service": "x"}),
    "service with a colon": ("memory://", {"service": "a:b"}),
    "an empty service": ("memory://", {"service": ""}),
    "a number for a service": ("memory://", {"service": 5}),
    "a misspelt option": ("memory://", {"tll": "5m"}),
    "a misspelt option of the breaker": ("memory://", {"breaker": {"failure": 5}}),
    "a ttl without a unit that is known": ("memory://", {"ttl": "5 minutes"}),
    "version 0": ("memory://", {"version": 0}),
    "a text for a version": ("memory://", {"version": "1"}),
    "a text for a switch": ("memory://", {"strict": "yes"}),
    "a ratio over 1": ("memory://", {"breaker": {"ratio": 2}}),
    "no service": (NOWHERE, {}),
    "an unknown option": ("memory://", {"colour": 1}),
    "a negative ttl": ("memory://", {"ttl": -1}),
    "ttl null": ("memory://", {"ttl": None}),
    "jitter over 1": ("memory://", {"ttl_jitter": 2}),
    "a hard timeout of zero": ("memory://", {"hard_timeout": 0}),
    "no place for a fallback": ("memory://", {"max_fallbacks": 0}),
    "a number for a breaker": ("memory://", {"breaker": 5}),
    "a size of zero": ("memory://", {"max_value_bytes": 0}),
    "another codec": ("memory://", {"codec": "xml"}),
    "another compression": ("memory://", {"compression": "gzip"}),
    "a negative size": ("memory://", {"compress_over": -1}),
    "a secret that is none": ("memory://", {"signing_keys": ["short"]}),
    "no secrets": ("memory://", {"signing_keys": []}),
    "a secret that is not in a list": ("memory://", {"signing_keys": "one of sixteen bytes"}),
}


@pytest.mark.parametrize(("url", "options"), OPTIONS.values(), ids=OPTIONS)
def test_bad_options_are_refused_in_the_same_words(members: Members, url: str, options: dict[str, Any]) -> None:
    python, node = _refusals(members, "open", url=url, options=options)
    assert (python.name, python.code) == CONFIG
    assert _words(node) == _words_in_node(python)


@pytest.mark.parametrize("ttl", ["5 minutes", "", "-1s", "0s", "100y", "1e3s", "\uff15m"])
@pytest.mark.parametrize("do", ["get", "refresh", "set"])
def test_a_bad_ttl_is_refused_in_the_same_words_where_it_is_given(opened: Members, do: str, ttl: str) -> None:
    how = {"value": 1} if do == "set" else {"gives": 1}
    python, node = _refusals(opened, do, key=KEY, ttl=ttl, **how)
    assert (python.name, python.code) == CONFIG
    assert _words(node) == _words_in_node(python)
    assert opened["python"].ask("exists", key=KEY) is False


CALLS: dict[str, dict[str, Any]] = {
    "get": {"gives": 1},
    "refresh": {"gives": 1},
    "set": {"value": 1},
    "get_entry": {},
    "exists": {},
    "invalidate": {},
    "expire": {},
}


@pytest.mark.parametrize("do", CALLS)
def test_a_closed_manager_says_so_in_the_same_words(opened: Members, do: str) -> None:
    for language in ("python", "node"):
        assert opened[language].ask("close") is True
    python, node = _refusals(opened, do, key=KEY, **CALLS[do])
    assert (python.name, python.code) == CLOSED
    assert _words(node) == _words(python)


def test_a_value_over_the_limit_is_refused_in_the_same_words(members: Members, redis_server: RedisServer) -> None:
    _open(members, redis_server.url, max_value_bytes=10)
    python, node = _refusals(members, "set", key=KEY, value="x" * 11)
    assert (python.name, python.code) == TOO_LARGE
    assert _words(node) == _words_in_node(python)


def test_a_fallback_past_the_hard_timeout_fails_in_the_same_words(members: Members, redis_server: RedisServer) -> None:
    for language in ("python", "node"):
        members[language].open(redis_server.url, service=f"mistakes_{language}", hard_timeout="100ms")
    python, node = _refusals(members, "get", key=KEY, fallback="f")
    assert (python.name, python.code) == HARD_TIMEOUT
    assert _words(node) == _words_in_node(python)


@pytest.mark.parametrize(
    ("do", "how"),
    [("exists", {}), ("get_entry", {}), ("invalidate", {"required": True}), ("expire", {"required": True})],
)
def test_a_store_that_is_away_is_told_alike(members: Members, do: str, how: dict[str, Any]) -> None:
    _open(members, NOWHERE)
    python, node = _refusals(members, do, key=KEY, **how)
    assert (python.name, python.code) == STORE_UNAVAILABLE
    assert _words(node) == _words(python)


@pytest.fixture
def opened(members: Members, redis_server: RedisServer) -> Members:
    _open(members, redis_server.url)
    return members


def _open(members: Members, url: str, **options: Any) -> None:
    for language in ("python", "node"):
        members[language].open(url, service="mistakes", command_timeout="5s", **options)


def _refusals(members: Members, do: str, **fields: Any) -> tuple[Refused, Refused]:
    """What Python and what Node says to one mistake."""
    calls = [members[language].begin(do, **fields) for language in ("python", "node")]
    refusals = []
    for call in calls:
        with pytest.raises(Refused) as refused:
            call.result(PATIENCE_SECONDS)
        refusals.append(refused.value)
    return refusals[0], refusals[1]


def _words(refused: Refused) -> tuple[str, str | None, str]:
    return refused.name, refused.code, refused.message


def _words_in_node(python: Refused) -> tuple[str, str | None, str]:
    """What Python says, in Node's spelling of options and of durations without a unit."""
    message = python.message
    for in_python, in_node in SPELLINGS.items():
        message = message.replace(in_python, in_node)
    message = GROUP.sub(r"{ \1: \2 }", message)
    message = EXAMPLE.sub(lambda found: f"{found[1]}: " + found[2].replace('"', "'"), message)
    return python.name, python.code, message
