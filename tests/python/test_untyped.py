"""The warning of a value that comes back as something else, since nobody named its type."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import uuid
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from tidegate import CacheManager, TidegateWarning
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking

KEY = "user:profile:1"


@dataclass
class User:
    id: int


class Struct(msgspec.Struct):
    id: int


class Model(pydantic.BaseModel):
    id: int


@attrs.define
class Attrs:
    id: int


class Point(NamedTuple):
    x: int


class Colour(enum.Enum):
    RED = "red"


DAY = datetime.date(2026, 1, 2)
OTHERS: list[tuple[Any, str, str, str]] = [
    (User(1), "User", "a dict", "type=User, or a return annotation where a function is decorated, or type=dict"),
    (Struct(1), "Struct", "a dict", "type=Struct, "),
    (Model(id=1), "Model", "a dict", "type=Model, "),
    (Attrs(1), "Attrs", "a dict", "type=Attrs, "),
    (Point(1), "Point", "a list", "type=Point, "),
    (Colour.RED, "Colour", "a str", "type=Colour, "),
    (DAY, "date", "a str", "type=date, "),
    (uuid.UUID(int=1), "UUID", "a str", "type=UUID, "),
    (decimal.Decimal("1.5"), "Decimal", "a str", "type=Decimal, "),
    ({1}, "set", "a list", "type=set, "),
    (b"bytes", "bytes", "a str", "type=bytes, "),
    # Nothing reads it, so that is not what to write.
    (Counter("a"), "Counter", "a dict", "write type=dict where a dict is wanted"),
    ([User(1), User(2)], "list of User", "one of dict", "type=list[User], "),
    ((User(1),), "tuple of User", "one of dict", "type=tuple[User, ...], "),
    ({"a": User(1)}, "dict of User", "one of dict", "type=dict[str, User], "),
    ({1: "a"}, "dict with keys of int", "one with keys of str", "type=dict[int, Any], "),
]
PLAIN: list[Any] = [
    None,
    1,
    1.5,
    True,
    "text",
    [],
    {},
    (),
    (1, 2),
    [1, "a", [User(1)]],
    [{"id": 1}],
    {"id": 1, "at": DAY},
    float("nan"),
]


def told(key: str = KEY) -> Any:
    return pytest.warns(TidegateWarning, match=f"'{key}' names no type")


@pytest.mark.parametrize(("value", "given", "comes", "write"), OTHERS, ids=[given for _, given, _, _ in OTHERS])
async def test_what_comes_back_as_something_else_is_told(
    cache: CacheManager, value: Any, given: str, comes: str, write: str
) -> None:
    with pytest.warns(TidegateWarning) as caught:
        await cache.get(KEY, lambda: value)
    [one] = caught
    assert f"'{KEY}' names no type, so its {given} comes back as {comes}, on hits and misses alike" in str(one.message)
    assert write in str(one.message)
    assert one.filename == __file__


@pytest.mark.parametrize("value", PLAIN, ids=repr)
async def test_what_codecs_hold_is_not(cache: CacheManager, value: Any) -> None:
    await cache.get(KEY, lambda: value)  # warnings are errors here


async def test_nor_is_what_the_codec_of_the_call_holds(cache: CacheManager) -> None:
    await cache.get("a:b:1", lambda: b"bytes", codec="raw")
    await cache.get("a:b:2", lambda: bytearray(b"bytes"), codec="raw")
    await cache.get("a:b:3", lambda: b"bytes", codec="msgpack")
    await cache.get("a:b:4", lambda: datetime.datetime.now(datetime.timezone.utc), codec="msgpack")


async def test_nor_is_what_was_given_a_type(cache: CacheManager) -> None:
    for at, kind in enumerate([User, dict, Any, object, dict[str, int]]):
        await cache.get(f"a:b:{at}", lambda: User(1), type=kind)

    @cache.cached("user:{user_id}")
    async def get_user(user_id: int) -> User:
        return User(user_id)

    @cache.cached("user:any:{user_id}")
    async def get_any(user_id: int) -> Any:
        return User(user_id)

    assert [await get_user(1), await get_any(1)] == [User(1), {"id": 1}]


async def test_a_decorated_function_without_an_annotation_is_told_of(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}")
    async def get_user(user_id: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        return User(user_id)

    with told() as caught:
        assert await get_user(1) == {"id": 1}
    assert caught[0].filename == __file__


async def test_a_write_is_not_told_of_since_its_readers_name_the_type(cache: CacheManager) -> None:
    await cache.set(KEY, User(1))
    await cache.write_through(KEY, User(1), lambda user: None)
    await cache.set_fields("user:parts:1", {"user": User(1)})
    assert await cache.get(KEY, default=None, type=User) == User(1)


async def test_it_is_told_once_for_each_kind_of_key_and_type(make: Make) -> None:
    cache = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for at in range(3):
            await cache.get(f"user:profile:{at}", lambda: User(1))
            await cache.get(f"user:other:{at}", lambda: User(1))
            await cache.tenant("acme").get(f"user:profile:{at}", lambda: User(1))
            await cache.get(f"user:profile:{at}:more", lambda: Struct(1))
    assert sorted(str(one.message).partition(",")[0] for one in caught) == [
        "'user:other:0' names no type",
        "'user:profile:0' names no type",
        "'user:profile:0:more' names no type",
    ]
    # Of each manager: a test with a fresh one is told again.
    with told():
        await make(service="another").get(KEY, lambda: User(1))


async def test_what_has_been_told_is_bounded(cache: CacheManager, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate import _untyped

    monkeypatch.setattr(_untyped, "_TOLD_MAX", 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for at in range(5):
            await cache.get(f"user:of{at}:1", lambda: User(1))
    assert len(caught) == 2


async def test_wherever_a_fallback_gives_a_value(make: Make) -> None:
    cache = make()
    with told("a:b:1"):
        await cache.refresh("a:b:1", lambda: User(1))
    with told("c:d:1"):
        await cache.get_many(["c:d:1"], lambda keys: {key: User(1) for key in keys})
    with pytest.warns(TidegateWarning, match="field 'user' of 'e:f:1' names no type, so its User"):
        await cache.get_fields(
            "e:f:1", ["user", "name"], lambda names: {"user": User(1), "name": User(1)}, type={"name": User}
        )
    with cache.disabled():
        with told("g:h:1"):
            found: Any = await cache.get("g:h:1", lambda: User(1))
            assert found == {"id": 1}
        with told("i:j:1"):
            await cache.get_many(["i:j:1"], lambda keys: {key: User(1) for key in keys})
    queue = cache.write_behind("users", lambda items: None)
    with told("k:l:1"):
        await queue.put("k:l:1", User(1))
    typed = cache.write_behind("typed", lambda items: None, type=User)
    await typed.put("m:n:1", User(1))
    await cache.write_behind("elsewhere").put("o:p:1", User(1))


def test_blocking_too(make_blocking: MakeBlocking) -> None:
    cache = make_blocking()
    with told() as caught:
        found: Any = cache.get(KEY, lambda: User(1))
        assert found == {"id": 1}
    assert caught[0].filename == __file__
    with told("a:b:1"):
        cache.write_behind("users", lambda items: None).put("a:b:1", User(1))
    with cache.disabled(), told("c:d:1"):
        cache.get("c:d:1", lambda: User(1))


async def test_as_an_error_it_reaches_the_caller_every_time_and_frees_the_lease(make: Make) -> None:
    cache, other = make(), make()
    for _ in range(2):
        with pytest.raises(TidegateWarning, match="names no type"):
            await cache.get(KEY, lambda: User(1))
    # Nothing is stored, and nobody waits for the lease; nor is it a fault of the fallback's.
    assert not await cache.exists(KEY)
    assert await asyncio.wait_for(other.get(KEY, lambda: {"id": 2}), 2) == {"id": 2}
    assert cache.stats()["fallback_errors"] == 0
    keys = ["a:b:1", "a:c:1"]
    with pytest.raises(TidegateWarning):
        await cache.get_many(keys, lambda keys: {key: User(1) for key in keys})
    found = await asyncio.wait_for(other.get_many(keys, lambda keys: dict.fromkeys(keys, 7)), 2)
    assert set(found.values()) == {7}
    with pytest.raises(TidegateWarning):
        await cache.write_behind("users", lambda items: None).put("p:q:1", User(1))
    assert await cache.get("p:q:1", default="nothing") == "nothing"


async def test_as_an_error_it_reaches_each_of_those_who_wait(cache: CacheManager) -> None:
    async def slow() -> User:
        await asyncio.sleep(0.05)
        return User(1)

    found = await asyncio.wait_for(asyncio.gather(*[cache.get(KEY, slow) for _ in range(3)], return_exceptions=True), 5)
    assert [type(one) for one in found] == [TidegateWarning] * 3


def test_as_an_error_it_frees_the_lease_of_a_thread(make_blocking: MakeBlocking) -> None:
    cache, other = make_blocking(), make_blocking(wait="1s")
    with pytest.raises(TidegateWarning):
        cache.get(KEY, lambda: User(1))
    assert other.get(KEY, lambda: "right") == "right"
    assert other.get(KEY, default=None) == "right"


def test_the_place_is_the_users_line(tmp_path: Any) -> None:
    cache = Blocking()

    @cache.cached("user:profile:{user_id}")
    def get_user(user_id: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        return User(user_id)

    def helper() -> Any:
        return get_user(1)

    with pytest.warns(TidegateWarning) as caught:
        helper()
    assert (caught[0].filename, caught[0].lineno) == (__file__, helper.__code__.co_firstlineno + 1)
