"""Tags and namespaces: one call that ends many entries; templates of tags in decorators; views of a manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidegate import CacheEvent, CacheManager, ConfigError, Context, KeyFormatError
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking
from .helpers import eventually

KEY = "user:profile:1"


async def test_a_tag_ends_what_carries_it_and_nothing_else(cache: CacheManager) -> None:
    await cache.get("user:profile:1", lambda: 1, tags=["user:1", "team:a"])
    await cache.set("user:posts:1", 2, tags=("user:1",))
    await cache.get_many(["user:profile:2"], lambda keys: dict.fromkeys(keys, 3), tags={"team:a"})
    await cache.set("user:profile:3", 4)
    assert await cache.invalidate_tag("user:1")
    keys = ["user:profile:1", "user:posts:1", "user:profile:2", "user:profile:3"]
    assert [await cache.exists(key) for key in keys] == [False, False, True, True]
    assert await cache.invalidate_tag("team:a", "team:b", required=True)
    assert [await cache.exists(key) for key in keys] == [False, False, False, True]


async def test_an_invalidation_of_a_tag_is_an_event_with_the_tag(cache: CacheManager) -> None:
    events: list[CacheEvent] = []
    cache.on("cache.invalidate", events.append)
    await cache.invalidate_tag("user:1")
    await cache.namespace("shop").namespace("books").clear()
    await cache.close()
    assert [(event.tag, event.reason, event.key, event.state) for event in events] == [
        ("user:1", "tag", None, "confirmed"),
        ("shop:books", "namespace", None, "confirmed"),
    ]


async def test_the_entry_tells_its_tags(cache: CacheManager) -> None:
    view = cache.namespace("shop")
    await view.set(KEY, 1, tags=["a", "b:c"])
    entry = await view.get_entry(KEY)
    assert entry is not None
    assert sorted(entry.tags) == ["a", "b:c"]


async def test_a_fallback_names_tags_and_reads_them_back(make: Make) -> None:
    cache = make()
    seen: list[Any] = []

    def fetch(ctx: Context) -> int:
        seen.append(ctx.tags)
        ctx.tags = ["owner:7"]
        ctx.tags = [*ctx.tags, "team:a"]
        seen.append(ctx.tags)
        return 1

    # A tag that nobody knew before leaves the value uncached once.
    async def is_kept() -> bool:
        await cache.get(KEY, fetch, tags=["user:1"])
        return await cache.exists(KEY)

    assert await eventually(is_kept)
    assert seen[:2] == [(), ("owner:7", "team:a")]
    entry = await cache.get_entry(KEY)
    assert entry is not None
    assert sorted(entry.tags) == ["owner:7", "team:a", "user:1"]
    assert await cache.invalidate_tag("owner:7")
    assert not await cache.exists(KEY)


@pytest.mark.parametrize(
    ("tags", "error", "says"),
    [
        ("user:1", ConfigError, 'ctx.tags="user:1" is not accepted'),
        ([1], ConfigError, "ctx.tags=1 is not accepted"),
        (None, ConfigError, "ctx.tags=None is not accepted"),
        (["a b"], KeyFormatError, 'tag "a b"'),
        ([f"t{number}" for number in range(32)], ConfigError, "tags has 33"),
    ],
)
async def test_tags_of_a_fallback_are_checked_at_once(cache: CacheManager, tags: Any, error: Any, says: str) -> None:
    def fetch(ctx: Context) -> int:
        with pytest.raises(error) as refused:
            ctx.tags = tags
        assert says in str(refused.value)
        assert ctx.tags == ()
        return 1

    assert await cache.get(KEY, fetch, tags=["user:1"]) == 1
    assert await cache.exists(KEY)
    with cache.disabled():
        assert await cache.get("user:other:1", fetch, tags=["user:1"]) == 1


async def test_nothing_stands_there_that_could_be_not_modified(cache: CacheManager) -> None:
    def fetch(ctx: Context) -> Any:
        assert ctx.stale is None
        return ctx.not_modified()

    with pytest.raises(ConfigError, match="nothing stands there"):
        await cache.get(KEY, fetch)


async def test_not_modified_gives_the_old_value_a_new_life(make: Make) -> None:
    cache = make(stale_if_error="1m", ttl_jitter=0.0)
    await cache.set(KEY, {"name": "Ada"}, ttl="20ms")

    async def is_old() -> bool:
        return not await cache.exists(KEY)

    assert await eventually(is_old)

    def fetch(ctx: Context) -> Any:
        ctx.stale["name"] = "changed by hand"
        ctx.ttl = "1h"
        assert ctx.ttl == 3_600
        return ctx.not_modified()

    await cache.get(KEY, fetch)
    entry = await cache.get_entry(KEY)
    assert entry is not None
    assert entry.value == {"name": "Ada"}
    assert entry.fresh_until - entry.created_at == 3_600_000


def _nothing(keys: list[str]) -> dict[str, int]:
    return {}


async def test_views_nest_and_share_all_but_their_tag(cache: CacheManager) -> None:
    shop = cache.namespace("shop")
    books = shop.namespace("books")
    assert type(books) is CacheManager
    assert repr(books) == f"{cache!r}.namespace('shop:books')"
    await shop.set("a:1", 1)
    await books.set("a:2", 2)
    await cache.set("a:3", 3)
    # The keys are the same; what a view reads carries its tag.
    assert await cache.get_many(["a:1", "a:2", "a:3"], _nothing) == {"a:1": 1, "a:2": 2, "a:3": 3}
    assert await shop.get("a:2", default=None) == 2
    assert await books.get("a:1", default=None) is None
    assert await books.clear()
    assert [await cache.exists(f"a:{number}") for number in (1, 2, 3)] == [True, False, True]
    assert await shop.clear(required=True)
    assert [await cache.exists(f"a:{number}") for number in (1, 2, 3)] == [False, False, True]
    assert books.stats()["invalidation_count"] == cache.stats()["invalidation_count"] == 2


async def test_a_view_of_a_class_of_ones_own_is_of_that_class(url: str, service: str) -> None:
    class Billing(CacheManager):
        def __init__(self) -> None:
            super().__init__(url, service=service, command_timeout="5s")
            self.prefix = "billing"

    async with Billing() as cache:
        view = cache.namespace("shop")
        assert (type(view), view.prefix) == (Billing, "billing")
        assert await view.get(KEY, lambda: 1) == 1


async def test_a_view_outlives_the_name_of_its_manager(make: Make) -> None:
    view = make().namespace("shop")
    events: list[CacheEvent] = []
    view.on("cache.miss", events.append)
    assert await view.get("a:1", lambda: 1) == 1
    with view.disabled():
        assert await view.get("a:1", lambda: 2) == 2
    assert await view.close()
    assert [event.key for event in events] == ["a:1"]


async def test_disabled_is_for_the_manager_and_all_its_views(cache: CacheManager) -> None:
    one = cache.namespace("one")
    with one.disabled():
        two = cache.namespace("two")
        assert await two.get(KEY, lambda: 1) == 1
        assert await cache.get(KEY, lambda: 2) == 2
    assert await two.get(KEY, lambda: 3) == 3


async def test_a_view_inside_its_managers_fallback_waits_for_nobody(cache: CacheManager) -> None:
    view = cache.namespace("shop")

    async def fetch() -> Any:
        return await view.get(KEY, lambda: "inner")

    assert await cache.get(KEY, fetch) == "inner"


async def test_a_decorated_function_tags_its_entries(cache: CacheManager) -> None:
    runs: list[int] = []

    @cache.cached("user:profile:{user_id}", tags=["user:{user_id}", "users"], ttl="1m")
    async def get_user(user_id: int) -> dict[str, int]:
        runs.append(user_id)
        return {"id": user_id}

    assert [await get_user(1), await get_user(user_id=2), await get_user(1)] == [{"id": 1}, {"id": 2}, {"id": 1}]
    assert await cache.invalidate_tag("user:1")
    assert [await get_user.get_cached(1), await get_user.get_cached(2)] == [None, {"id": 2}]
    await get_user(1)
    await get_user.refresh(2)
    assert runs == [1, 2, 1, 2]
    assert await cache.invalidate_tag("users")
    assert [await get_user.get_cached(1), await get_user.get_cached(2)] == [None, None]


async def test_places_of_tags_are_escaped_as_those_of_keys(cache: CacheManager) -> None:
    @cache.cached("file:meta:{path}", tags=["file:{path}"])
    async def meta(path: str) -> str:
        return path

    await meta("a:b/c d")
    assert await cache.invalidate_tag("file:a%3Ab/c%20d")
    assert await meta.get_cached("a:b/c d") is None


async def test_a_method_tags_its_entries(cache: CacheManager) -> None:
    class Users:
        @cache.cached("user:profile:{user.id}", tags=["user:{user.id}"])
        async def get(self, user: Any) -> int:
            return int(user.id)

    class Ada:
        id = 7

    users = Users()
    assert await users.get(Ada()) == 7
    assert await users.get.get_cached(Ada()) == 7
    assert await cache.invalidate_tag("user:7")
    assert await users.get.get_cached(Ada()) is None
    assert await users.get.refresh(Ada()) == 7


def test_a_blocking_function_tags_its_entries(make_blocking: MakeBlocking) -> None:
    cache = make_blocking()
    view = cache.namespace("shop")

    @view.cached("user:profile:{user_id}", tags=["user:{user_id}"], stale_if_error="1m", soft_timeout="1s")
    def get_user(user_id: int) -> dict[str, int]:
        return {"id": user_id}

    assert get_user(1) == get_user(1) == get_user.refresh(1) == {"id": 1}
    assert cache.invalidate_tag("user:1")
    assert get_user.get_cached(1) is None
    get_user(2)
    assert view.clear()
    assert get_user.get_cached(2) is None
    assert cache.stats()["invalidation_count"] == 2


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"tags": ["user:{user}"]}, ConfigError, "has the place {user}, but"),
        ({"tags": ["user:{user_id"]}, KeyFormatError, "has a { without its }"),
        ({"tags": ["user:{user id}"]}, KeyFormatError, "no name of a parameter"),
        ({"tags": ["a b:{user_id}"]}, KeyFormatError, 'tag "a b:x"'),
        ({"tags": ["a b"]}, KeyFormatError, 'tag "a b"'),
        ({"tags": "user:{user_id}"}, ConfigError, 'tags="user:{user_id}" is not accepted'),
        ({"tags": [f"t{number}:{{user_id}}" for number in range(33)]}, ConfigError, "tags has 33"),
        ({"tags": [5]}, ConfigError, "tags=5 is not accepted"),
        ({"soft_timeout": 0}, ConfigError, "soft_timeout=0"),
        ({"ignored": ("a",)}, ConfigError, 'did you mean "ignore"'),
    ],
)
@pytest.mark.parametrize("manager", [CacheManager, Blocking])
def test_bad_options_are_refused_when_decorating(
    manager: Callable[[], Any], options: dict[str, Any], error: Any, says: str
) -> None:
    with pytest.raises(error) as refused:

        @manager().cached("user:profile:{user_id}", **options)  # type: ignore[untyped-decorator]
        async def get_user(user_id: int) -> int:
            return user_id

    assert says in str(refused.value)
