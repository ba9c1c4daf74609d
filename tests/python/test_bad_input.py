"""Whatever is wrong is a typed error at once that names the argument, shows what was given and a right example."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import tidegate
import tidegate.sync
from tidegate import CacheManager, ConfigError, KeyFormatError, TidegateError
from tidegate.sync import CacheManager as Blocking

RIGHT = "user:profile:1"


def one() -> int:
    return 1


CALLS: list[tuple[str, Any, type[TidegateError], str]] = [
    ("flat key", lambda c: c.get("user", one), KeyFormatError, 'key "user" is flat'),
    ("empty key", lambda c: c.get("", one), KeyFormatError, 'key "" is empty'),
    ("empty segment", lambda c: c.get("user::1", one), KeyFormatError, "empty segment at byte 5"),
    ("space", lambda c: c.get("user:a b", one), KeyFormatError, "' ' at byte 6"),
    ("glob", lambda c: c.invalidate("user:*"), KeyFormatError, "'*' at byte 5"),
    ("a pattern", lambda c: c.invalidate("user:*"), KeyFormatError, "use a tag: cache.invalidate_tag("),
    ("a list", lambda c: c.invalidate([RIGHT]), KeyFormatError, "one by one: cache.invalidate(*keys)"),
    ("no text", lambda c: c.get(42, one), KeyFormatError, "key=42 is a int"),
    ("bytes", lambda c: c.exists(b"user:1"), KeyFormatError, "key=b'user:1' is a bytes"),
    ("one of many", lambda c: c.get_many([RIGHT, "flat"], dict.fromkeys), KeyFormatError, '"flat" is flat'),
    ("one of many to set", lambda c: c.set_many({RIGHT: 1, "flat": 2}), KeyFormatError, '"flat" is flat'),
    ("one of many to invalidate", lambda c: c.invalidate(RIGHT, None), KeyFormatError, "key=None is a NoneType"),
    ("lone surrogate", lambda c: c.get("user:\udc80", one), KeyFormatError, "user:"),
    ("fallback", lambda c: c.get(RIGHT, 42), ConfigError, "fallback=42 is not callable"),
    (
        "fallback None",
        lambda c: c.get(RIGHT, None),
        ConfigError,
        "callable; for a default say default=None",
    ),
    ("refresh", lambda c: c.refresh(RIGHT, "x"), ConfigError, "fallback='x' is not callable"),
    ("nothing", lambda c: c.get(RIGHT), ConfigError, "neither a fallback nor a default"),
    ("coroutine", lambda c: c.get(RIGHT, _closed_coroutine()), ConfigError, "is not callable"),
    ("call", lambda c: c.get(RIGHT, asyncio.sleep(0)), ConfigError, "not its call: sleep, not sleep()"),
    ("ttl negative", lambda c: c.get(RIGHT, one, ttl=-1), ConfigError, "ttl=-1 is not accepted"),
    ("ttl zero", lambda c: c.set(RIGHT, 1, ttl=0), ConfigError, "ttl=0 is not accepted"),
    ("ttl text", lambda c: c.set(RIGHT, 1, ttl="5 minutes"), ConfigError, 'ttl="5 minutes" is not accepted'),
    ("ttl list", lambda c: c.get_many([RIGHT], dict, ttl=[1]), ConfigError, "ttl=a list is not accepted"),
    ("ttl nan", lambda c: c.refresh(RIGHT, one, ttl=float("nan")), ConfigError, "ttl=NaN is not accepted"),
    ("ttl huge", lambda c: c.set(RIGHT, 1, ttl=10**30), ConfigError, "ttl="),
    ("ttl unused", lambda c: c.get(RIGHT, default=1, ttl=5), ConfigError, "ttl=5 has no use"),
    ("unknown", lambda c: c.get(RIGHT, one, tll=5), ConfigError, 'did you mean "ttl"'),
    ("unknown of set", lambda c: c.set(RIGHT, 1, tt=5), ConfigError, 'did you mean "ttl"'),
    ("unknown, near an argument", lambda c: c.get(RIGHT, one, typo=int), ConfigError, 'did you mean "type"'),
    ("unknown of many", lambda c: c.get_many([RIGHT], dict, stale=1), ConfigError, "no option"),
    ("codec", lambda c: c.get(RIGHT, one, codec="xml"), ConfigError, 'codec="xml" is not accepted'),
    ("not of set", lambda c: c.set(RIGHT, 1, soft_timeout=1), ConfigError, 'there is no option "soft_timeout"'),
    ("tags as text", lambda c: c.get(RIGHT, one, tags="user:1"), ConfigError, 'tags="user:1" is not accepted'),
    ("tags of numbers", lambda c: c.set(RIGHT, 1, tags=[1]), ConfigError, "tags=1 is not accepted"),
    ("a bad tag", lambda c: c.get(RIGHT, one, tags=["a b"]), KeyFormatError, 'tag "a b"'),
    ("an empty tag", lambda c: c.get_many([RIGHT], dict, tags=[""]), KeyFormatError, 'tag ""'),
    ("too many tags", lambda c: c.refresh(RIGHT, one, tags=[f"t{n}" for n in range(33)]), ConfigError, "tags has 33"),
    ("a tag of a namespace", lambda c: c.invalidate_tag("~ns:shop"), KeyFormatError, 'tag "~ns:shop"'),
    ("tag as number", lambda c: c.invalidate_tag(42), KeyFormatError, "tag=42 is a int"),
    ("one of many tags", lambda c: c.invalidate_tag("a", "b c"), KeyFormatError, 'tag "b c"'),
    ("namespace as number", lambda c: c.namespace(5), KeyFormatError, "namespace=5 is a int"),
    ("a bad namespace", lambda c: c.namespace("a b"), KeyFormatError, 'namespace "a b"'),
    ("clear of no namespace", lambda c: c.clear(), ConfigError, "clear() is of a namespace"),
    ("stale_if_error", lambda c: c.get(RIGHT, one, stale_if_error=-1), ConfigError, "stale_if_error=-1"),
    ("stale text", lambda c: c.set(RIGHT, 1, stale_while_revalidate="x"), ConfigError, 'stale_while_revalidate="x"'),
    ("error_backoff", lambda c: c.get(RIGHT, one, error_backoff=None), ConfigError, "error_backoff=None"),
    ("early_refresh", lambda c: c.get(RIGHT, one, early_refresh="x"), ConfigError, 'early_refresh="x"'),
    ("null_ttl", lambda c: c.get(RIGHT, one, null_ttl=0), ConfigError, "null_ttl=0"),
    ("soft_timeout", lambda c: c.get(RIGHT, one, soft_timeout=0), ConfigError, "soft_timeout=0"),
    ("hard_timeout", lambda c: c.refresh(RIGHT, one, hard_timeout=0), ConfigError, "hard_timeout=0"),
    ("wait", lambda c: c.get_many([RIGHT], dict, wait="x"), ConfigError, 'wait="x"'),
    ("tags unused", lambda c: c.get(RIGHT, default=1, tags=["a"]), ConfigError, "tags=['a'] has no use"),
    ("type", lambda c: c.get(RIGHT, one, type=object()), ConfigError, "type="),
    ("type of others", lambda c: c.get(RIGHT, one, type=CacheManager), ConfigError, "cannot build a CacheManager"),
    ("type nested", lambda c: c.get(RIGHT, one, type=list[Blocking]), ConfigError, "cannot build a CacheManager"),
    ("keys as text", lambda c: c.get_many(RIGHT, dict), ConfigError, "keys='user:profile:1' is no list"),
    ("keys as number", lambda c: c.get_many(5, dict), ConfigError, "keys=5 is no list"),
    ("fetch_missing", lambda c: c.get_many([RIGHT], 5), ConfigError, "fetch_missing=5 is not callable"),
    ("values", lambda c: c.set_many([(RIGHT, 1)]), ConfigError, "is no dict"),
    ("timeout", lambda c: c.close(timeout=-1), ConfigError, "timeout=-1 is not accepted"),
]


def _closed_coroutine() -> object:
    async def fetch() -> None: ...

    coroutine = fetch()
    coroutine.close()
    return coroutine


@pytest.mark.parametrize(("call", "error", "says"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS])
async def test_async(call: Any, error: type[TidegateError], says: str) -> None:
    cache = CacheManager()

    async def make() -> None:
        result = call(cache)
        if inspect.isawaitable(result):
            await result

    with pytest.raises(error) as refused:
        await make()
    _tells(refused.value, says)
    assert not await cache.exists(RIGHT)


@pytest.mark.parametrize(("call", "error", "says"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS])
def test_blocking(call: Any, error: type[TidegateError], says: str) -> None:
    cache = Blocking()
    with pytest.raises(error) as refused:
        call(cache)
    _tells(refused.value, says)
    assert not cache.exists(RIGHT)


def _tells(error: TidegateError, says: str) -> None:
    assert says in str(error)
    assert isinstance(error, ValueError)
    if "no option" not in says and "did you mean" not in says and "has no use" not in says:
        assert "a right example" in str(error), error


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("http://localhost", {"service": "x"}, 'scheme "http"'),
        ("localhost:6379", {"service": "x"}, "redis://localhost:6379/0"),
        ("", {"service": "x"}, "redis://localhost:6379/0"),
        (5, {"service": "x"}, "url=5 is not a text"),
        (None, {"service": "x"}, "is the environment variable set?"),
        ("redis://localhost:6379/0", {}, "service is missing"),
        ("memory://", {"service": "a:b"}, 'service="a:b"'),
        ("memory://", {"service": ""}, "service="),
        ("memory://", {"service": 5}, "service=5"),
        ("memory://", {"ttll": 5}, 'did you mean "ttl"'),
        ("memory://", {"tags": ["a"]}, 'there is no option "tags"'),
        ("memory://", {"l1": "much"}, 'l1="much"'),
        ("memory://", {"l1": {"max_byte": 5}}, 'did you mean "max_bytes"'),
        ("memory://", {"share_values": 1}, "share_values=1"),
        ("memory://", {"soft_timeout": 0}, "soft_timeout=0"),
        ("memory://", {"ttl": -1}, "ttl=-1"),
        ("memory://", {"ttl": None}, "ttl="),
        ("memory://", {"ttl_jitter": 2}, "ttl_jitter=2"),
        ("memory://", {"version": 0}, "version=0"),
        ("memory://", {"version": "1"}, 'version="1"'),
        ("memory://", {"strict": "yes"}, 'strict="yes"'),
        ("memory://", {"breaker": 5}, "breaker=5"),
        ("memory://", {"breaker": {"failure": 5}}, 'did you mean "failures"'),
        ("memory://", {"breaker": tidegate.Breaker(ratio=2)}, "breaker.ratio=2"),
        ("memory://", {"max_value_bytes": 10**30}, "max_value_bytes="),
    ],
)
@pytest.mark.parametrize("manager", [CacheManager, Blocking])
def test_options(manager: Any, url: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        manager(url, **options)
    assert says in str(refused.value)


async def test_what_equals_a_right_option_is_not_taken_for_it() -> None:
    cache = CacheManager()
    assert await cache.get(RIGHT, one, ttl=1) == 1
    with pytest.raises(ConfigError, match="ttl=True is not accepted"):
        await cache.get(RIGHT, one, ttl=True)
    for number in range(1, 600):
        assert await cache.get(RIGHT, one, ttl=number, tags=(f"t{number}",)) == 1


@pytest.mark.parametrize("part", [None, 1.5, b"x", "", [1], object()])
def test_parts_of_keys(part: Any) -> None:
    with pytest.raises(KeyFormatError, match="part 2 of the key is"):
        tidegate.key("user", part)


def test_too_few_parts() -> None:
    with pytest.raises(KeyFormatError, match="is flat"):
        tidegate.key("user")
    with pytest.raises(KeyFormatError):
        tidegate.key()


@pytest.mark.parametrize(
    "url",
    [
        "redis://ada:pa%23s@localhost:6379/0",
        "redis://:secret/secret@localhost:6379/0",
        "redis+unix://ada:secret@/run/redis.sock?db=1&password=secret",
    ],
)
def test_passwords_are_never_shown(url: str) -> None:
    for manager in (CacheManager, Blocking):
        try:
            shown = repr(manager(url, service="billing"))
        except ConfigError as error:
            shown = str(error)
        else:
            assert "service='billing'" in shown
        assert "secret" not in shown
        assert "pa%23s" not in shown
