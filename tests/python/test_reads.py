"""get, refresh, get_entry and exists, one caller at a time, on memory and on Redis."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pytest

from tidegate import CacheEvent, CacheManager, ConfigError, Context, EncodeError

from .conftest import Make
from .helpers import Counter


@dataclass
class User:
    id: int
    born: dt.date


class Point(msgspec.Struct):
    x: float


class Row(TypedDict):
    name: str


async def test_a_miss_runs_the_fallback_and_a_hit_does_not(cache: CacheManager) -> None:
    fetch = Counter({"name": "Ada"})
    assert await cache.get("user:profile:1", fetch) == {"name": "Ada"}
    assert await cache.get("user:profile:1", fetch) == {"name": "Ada"}
    assert fetch.runs == 1


async def test_a_plain_fallback_is_as_good_as_an_async_one(cache: CacheManager) -> None:
    assert await cache.get("user:profile:1", lambda: [1, 2]) == [1, 2]
    assert await cache.get("user:profile:1", lambda: [9]) == [1, 2]


async def test_none_is_a_value(cache: CacheManager) -> None:
    fetch = Counter(None)
    assert await cache.get("user:profile:1", fetch) is None
    assert await cache.get("user:profile:1", fetch, type=User) is None
    assert fetch.runs == 1
    assert await cache.exists("user:profile:1")
    entry = await cache.get_entry("user:profile:1")
    assert entry is not None
    assert entry.value is None


async def test_without_a_fallback_the_default_stands_in(cache: CacheManager) -> None:
    assert await cache.get("user:profile:1", default="nobody") == "nobody"
    assert not await cache.exists("user:profile:1")
    await cache.set("user:profile:1", "Ada")
    assert await cache.get("user:profile:1", default="nobody") == "Ada"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (User(1, dt.date(1815, 12, 10)), User),
        (Point(1.5), Point),
        ({"name": "Ada"}, Row),
        ([1, 2], list[int]),
        ({1, 2}, set[int]),
        (uuid.UUID(int=7), uuid.UUID),
        (dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.datetime),
        ("text", str | None),
        (2**60, int),
        (b"bytes", bytes),
    ],
    ids=str,
)
async def test_type_is_what_hit_and_miss_give_alike(cache: CacheManager, value: object, kind: Any) -> None:
    for _ in range(2):
        seen = await cache.get("user:profile:1", lambda: value, type=kind)
        assert seen == value
        assert type(seen) is type(value)


@pytest.mark.filterwarnings("ignore::tidegate.TidegateWarning")
async def test_a_miss_gives_what_a_later_hit_gives(cache: CacheManager) -> None:
    value: object = {"at": dt.date(2024, 1, 1), "pair": (1, 2), 3: "three"}
    miss: object = await cache.get("user:profile:1", lambda: value)
    assert miss == {"at": "2024-01-01", "pair": [1, 2], "3": "three"}
    again: object = await cache.get("user:profile:1", lambda: value)
    assert again == miss


async def test_a_fallback_may_look_at_its_context(cache: CacheManager) -> None:
    def fetch(ctx: Context) -> str:
        assert ctx.ttl is None
        ctx.ttl = "1h"
        return ctx.key

    assert await cache.get("user:profile:1", fetch) == "user:profile:1"
    entry = await cache.get_entry("user:profile:1")
    assert entry is not None
    assert 3_200_000 < entry.fresh_until - entry.created_at <= 3_600_000


async def test_a_fallback_may_say_that_its_value_is_not_to_be_stored(cache: CacheManager) -> None:
    async def fetch(ctx: Context) -> str:
        ctx.skip()
        return "for now"

    assert await cache.get("user:profile:1", fetch) == "for now"
    assert not await cache.exists("user:profile:1")


async def test_ttl_of_a_call_counts_for_its_entry(make: Make) -> None:
    cache = make(ttl_jitter=0)
    await cache.get("user:profile:1", lambda: 1, ttl=60)
    await cache.get("user:profile:2", lambda: 1, ttl="2m")
    await cache.get("user:profile:3", lambda: 1, ttl=dt.timedelta(hours=1))
    lives = []
    for number in (1, 2, 3):
        entry = await cache.get_entry(f"user:profile:{number}")
        assert entry is not None
        lives.append(entry.fresh_until - entry.created_at)
    assert lives == [60_000, 120_000, 3_600_000]


async def test_refresh_computes_anew_and_stores(cache: CacheManager) -> None:
    await cache.get("user:profile:1", lambda: "old")
    before = await cache.get_entry("user:profile:1")
    assert await cache.refresh("user:profile:1", lambda: "new") == "new"
    after = await cache.get_entry("user:profile:1")
    assert before is not None
    assert after is not None
    assert (after.value, after.version > before.version) == ("new", True)


async def test_what_cannot_be_encoded_is_returned_uncached_and_told(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)
    value = {"user": [{"photo": object()}]}
    assert await cache.get("user:profile:1", lambda: value) is value
    assert not await cache.exists("user:profile:1")
    await cache.close()
    assert [event.reason for event in events] == ["encode"]
    assert "$['user'][0]['photo'] is a object" in str(events[0].message)


async def test_what_is_not_of_the_type_is_returned_uncached_and_told(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)
    seen: object = await cache.get("user:profile:1", lambda: {"id": "x"}, type=User)
    assert seen == {"id": "x"}
    assert not await cache.exists("user:profile:1")
    await cache.close()
    assert [event.reason for event in events] == ["schema"]


async def test_strict_raises_what_cannot_be_encoded(make: Make) -> None:
    cache = make(strict=True)
    with pytest.raises(EncodeError, match=r"\$\[1\] is a object"):
        await cache.get("user:profile:1", lambda: [1, object()])
    assert not await cache.exists("user:profile:1")


async def test_an_entry_of_another_shape_is_computed_anew(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    await cache.set("user:profile:1", {"name": "of an older release"})
    cache.on("cache.error", events.append)
    user = User(1, dt.date(1815, 12, 10))
    fetch = Counter(user)
    assert await cache.get("user:profile:1", fetch, type=User) == user
    assert await cache.get("user:profile:1", fetch, type=User) == user
    assert fetch.runs == 1
    await cache.close()
    assert [event.reason for event in events] == ["schema"]


async def test_an_entry_of_another_shape_is_no_entry_without_a_fallback(cache: CacheManager) -> None:
    await cache.set("user:profile:1", "Ada")
    assert await cache.get("user:profile:1", default=0, type=int) == 0
    assert await cache.get_entry("user:profile:1", type=int) is None


async def test_a_get_inside_its_own_fallback_runs_at_once(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)

    async def outer() -> list[str]:
        return ["outer", await cache.get("user:profile:1", lambda: "inner")]

    assert await cache.get("user:profile:1", outer) == ["outer", "inner"]
    assert await cache.get("user:profile:1", default=None) == ["outer", "inner"]
    await cache.close()
    assert [event.reason for event in events] == ["nested"]


async def test_what_a_fallback_started_and_left_running_is_not_inside_of_it(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.error", events.append)
    go = asyncio.Event()
    started: list[asyncio.Task[str]] = []

    async def later() -> str:
        await go.wait()
        return await cache.get("user:profile:1", lambda: "not run")

    async def fetch() -> str:
        started.append(asyncio.create_task(later()))
        return "Ada"

    assert await cache.get("user:profile:1", fetch) == "Ada"
    go.set()
    assert await started[0] == "Ada"
    await cache.close()
    assert events == []


async def test_a_fallback_may_get_other_keys(cache: CacheManager) -> None:
    async def outer() -> list[int]:
        return [await cache.get("user:profile:2", lambda: 2), 1]

    assert await cache.get("user:profile:1", outer) == [2, 1]


async def test_disabled_runs_every_fallback_and_stores_nothing(cache: CacheManager) -> None:
    await cache.set("user:profile:1", "stored")
    with cache.disabled():
        seen: object = await cache.get("user:profile:1", lambda: ("fresh",))
        assert seen == ["fresh"]
        assert await cache.get("user:profile:1", default="none") == "none"
        assert await cache.refresh("user:profile:1", lambda: "fresh") == "fresh"
        assert await cache.get_many(["user:profile:1"], lambda keys: dict.fromkeys(keys, 1)) == {"user:profile:1": 1}
        assert not await cache.set("user:profile:2", "no")
        assert not await cache.exists("user:profile:1")
    assert await cache.get("user:profile:1", default="none") == "stored"
    assert not await cache.exists("user:profile:2")


async def test_disabled_is_of_one_manager(cache: CacheManager, make: Make) -> None:
    other = make()
    await cache.set("user:profile:1", "stored")
    with cache.disabled():
        assert await other.get("user:profile:1", lambda: "fresh") == "stored"


async def test_disabled_is_of_one_task(cache: CacheManager) -> None:
    import asyncio

    await cache.set("user:profile:1", "stored")
    inside, outside = asyncio.Event(), asyncio.Event()

    async def one() -> str:
        with cache.disabled():
            inside.set()
            await outside.wait()
            return await cache.get("user:profile:1", lambda: "fresh")

    task = asyncio.create_task(one())
    await inside.wait()
    assert await cache.get("user:profile:1", lambda: "fresh") == "stored"
    outside.set()
    assert await task == "fresh"


async def test_default_and_fallback_do_not_go_together(cache: CacheManager) -> None:
    with pytest.raises(ConfigError, match="do not go together"):
        await cache.get("user:profile:1", lambda: 1, default=2)  # type: ignore[call-overload]
