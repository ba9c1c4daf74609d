"""current_context(): the context of the fallback that runs here, for functions whose arguments are their callers'."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate import CacheManager, ConfigError, Context, current_context
from tidegate.sync import CacheManager as Blocking

from .conftest import Make, MakeBlocking

KEY = "user:profile:1"


def outside() -> Any:
    return pytest.raises(ConfigError, match=r"current_context\(\) outside of a fallback.*under @cache\.cached")


def say(tag: str, ttl: str = "1h") -> str:
    """A helper, which knows of no `ctx`."""
    current_context().tags = [tag]
    current_context().ttl = ttl
    return current_context().key


async def until_kept(exists: Callable[[str], Awaitable[bool]], call: Callable[[], Awaitable[str]]) -> None:
    """Calls until the value is kept, which it is not under a tag that is new."""
    for _ in range(500):
        assert await call() == KEY
        if await exists(KEY):
            return
        await asyncio.sleep(0.01)
    pytest.fail("never kept")


async def test_a_decorated_function_says_tags_and_ttl_of_its_row(make: Make) -> None:
    cache = make(ttl="5m")

    @cache.cached("user:profile:{user_id}", tags=["users"])
    async def get_user(user_id: int) -> str:
        await asyncio.sleep(0)
        return say(f"team:{user_id + 6}")

    await until_kept(cache.exists, lambda: get_user(1))
    entry = await cache.get_entry(KEY)
    assert entry is not None
    assert set(entry.tags) == {"users", "team:7"}
    assert entry.fresh_until - entry.created_at > 3_000_000
    await cache.invalidate_tag("team:7")
    assert await get_user.get_cached(1) is None
    assert await get_user.refresh(1) == KEY


def test_and_so_does_a_blocking_one_and_a_method(make_blocking: MakeBlocking) -> None:
    cache = make_blocking()

    class Users:
        @cache.cached("user:profile:{user_id}")
        def get(self, user_id: int) -> str:
            return say("team:7")

    users = Users()
    for _ in range(500):
        assert users.get(1) == users.get.refresh(1) == KEY
        if cache.get(KEY, default=None) == KEY:
            break
        time.sleep(0.01)
    entry = cache.get_entry(KEY)
    assert entry is not None
    assert entry.tags == ("team:7",)


async def test_it_is_the_one_that_the_fallback_is_given(cache: CacheManager) -> None:
    def same(ctx: Context) -> bool:
        return current_context() is ctx and current_context() is ctx

    assert await cache.get(KEY, same)

    async def same_later(ctx: Context) -> bool:
        await asyncio.sleep(0)
        return current_context() is ctx

    assert await cache.get("a:b:1", same_later)
    assert await cache.get("a:b:2", lambda: current_context() is current_context())


async def test_skip_and_not_modified_count(make: Make) -> None:
    cache = make(stale_if_error="1h")

    def skips() -> str:
        current_context().skip()
        return "skipped"

    assert await cache.get(KEY, skips) == "skipped"
    assert not await cache.exists(KEY)
    await cache.set(KEY, "old")
    await cache.expire(KEY)
    assert await cache.get(KEY, lambda: current_context().not_modified()) == "old"
    assert await cache.get(KEY, default=None) == "old"


async def test_the_innermost_of_nested_ones(cache: CacheManager) -> None:
    async def inner() -> str:
        current_context().ttl = 7
        return current_context().key

    async def outer() -> list[Any]:
        before = current_context()
        found = await cache.get("inner:key:1", inner)
        return [before.key, found, current_context() is before, before.ttl]

    assert await cache.get("outer:key:1", outer, ttl=60) == ["outer:key:1", "inner:key:1", True, 60]


async def test_beside_one_another_each_has_its_own(cache: CacheManager) -> None:
    async def one() -> str:
        found = current_context()
        await asyncio.sleep(0.01)
        assert current_context() is found
        return found.key

    keys = [f"user:profile:{at}" for at in range(20)]
    assert await asyncio.gather(*[cache.get(key, one) for key in keys]) == keys


async def test_a_task_and_a_thread_of_the_fallback_have_it_until_it_ends(cache: CacheManager) -> None:
    late: list[asyncio.Task[Any]] = []
    go = asyncio.Event()

    async def outlives() -> Context:
        await go.wait()
        return current_context()

    async def fallback() -> list[str]:
        async def within() -> str:
            return current_context().key

        late.append(asyncio.create_task(outlives()))
        return [await asyncio.create_task(within()), await asyncio.to_thread(lambda: current_context().key)]

    assert await cache.get(KEY, fallback) == [KEY, KEY]
    go.set()
    with outside():
        await late[0]

    # Nor is it the outer one's: what it would say is of another row.
    async def outer() -> str:
        late.clear()
        go.clear()
        await cache.get("a:b:1", fallback)
        go.set()
        with outside():
            await late[0]
        return current_context().key

    assert await cache.get("c:d:1", outer) == "c:d:1"


def test_a_thread_of_a_blocking_fallback(make_blocking: MakeBlocking) -> None:
    cache = make_blocking()
    seen: list[Any] = []

    def ask() -> None:
        try:
            seen.append(current_context().key)
        except ConfigError:
            seen.append("outside")

    def run(context: contextvars.Context | None) -> None:
        thread = threading.Thread(target=ask if context is None else lambda: context.run(ask))
        thread.start()
        thread.join()

    kept: list[contextvars.Context] = []

    def fallback() -> int:
        kept.append(contextvars.copy_context())
        run(kept[0])
        return 1

    cache.get(KEY, fallback)
    run(kept[0])
    assert seen == [KEY, "outside"]


def test_in_a_thread_of_its_own_behind_a_soft_timeout(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(stale_if_error="1h", soft_timeout=5, ttl=60)
    cache.set(KEY, "old")
    cache.expire(KEY)
    threads: list[threading.Thread] = []

    def fallback() -> str:
        threads.append(threading.current_thread())
        current_context().ttl = "1h"
        return current_context().key

    assert cache.get(KEY, fallback) == KEY
    assert threads != [threading.current_thread()]
    entry = cache.get_entry(KEY)
    assert entry is not None
    assert entry.fresh_until - entry.created_at > 3_000_000


async def test_what_is_computed_behind_a_caller_has_its_own(make: Make) -> None:
    cache = make(stale_while_revalidate="1h", ttl=0.05, ttl_jitter=0)
    await cache.set(KEY, "old")
    await asyncio.sleep(0.06)

    async def fallback() -> str:
        await asyncio.sleep(0)
        current_context().ttl = "1h"
        return current_context().key

    async def outer() -> str:
        served: str = await cache.get(KEY, fallback)
        assert current_context().key == "outer:key:1"
        return served

    assert await cache.get("outer:key:1", outer) == "old"
    for _ in range(500):
        entry = await cache.get_entry(KEY)
        if entry is not None and entry.value == KEY:
            break
        await asyncio.sleep(0.01)
    assert entry is not None
    assert entry.fresh_until - entry.created_at > 3_000_000


async def test_views_of_tenants(cache: CacheManager) -> None:
    view = cache.tenant("acme")

    @view.cached("user:profile:{user_id}")
    async def get_user(user_id: int) -> str:
        return say("team:7")

    await until_kept(view.exists, lambda: get_user(1))
    assert await cache.get(KEY, default=None) is None
    await cache.invalidate_tag("team:7")  # another's
    assert await get_user.get_cached(1) == KEY
    await view.invalidate_tag("team:7")
    assert await get_user.get_cached(1) is None


async def test_without_a_cache_it_is_there_and_says_nothing(cache: CacheManager) -> None:
    with cache.disabled():
        assert await cache.get(KEY, lambda: say("team:7")) == KEY

        async def later() -> str:
            await asyncio.sleep(0)
            return say("team:7")

        assert await cache.get(KEY, later) == KEY
        with outside():
            current_context()

    async def within() -> str:
        with cache.disabled():
            return say("team:8")

    assert await cache.get(KEY, within) == KEY

    # Inside of its own fallback a key is computed for its caller alone: a context of its own.
    async def nested() -> list[str | None]:
        outer = current_context()
        return [await cache.get("a:b:1", lambda: str(current_context() is outer))]

    assert await cache.get("a:b:1", nested) == ["False"]


async def test_fields_have_that_of_their_key(make: Make) -> None:
    cache = make()

    async def name() -> str:
        found = await cache.get_fields(KEY, ["name"], lambda names: {"name": say("team:7")})
        return str(found["name"])

    async def has_name(key: str) -> bool:
        return bool(await cache.get_fields(key, ["name"]))

    await until_kept(has_name, name)
    await cache.invalidate_tag("team:7")
    assert await cache.get_fields(KEY, ["name"]) == {}


async def test_outside_of_a_fallback_it_says_what_to_do(cache: CacheManager) -> None:
    with outside():
        current_context()

    def many(keys: list[str]) -> dict[str, int]:
        with outside():
            current_context()
        return dict.fromkeys(keys, 1)

    assert await cache.get_many([KEY], many) == {KEY: 1}

    def persist(value: int) -> None:
        with outside():
            current_context()

    assert await cache.write_through(KEY, 1, persist)

    # Nor that of the fallback around it.
    async def around() -> int:
        await cache.write_through("a:b:1", 1, persist)
        await cache.get_many(["a:b:2"], many)
        with cache.disabled():
            await cache.get_many(["a:b:3"], many)
        return 1

    await cache.get("c:d:1", around)


def test_outside_of_a_blocking_fallback() -> None:
    cache = Blocking()
    cache.get(KEY, lambda: current_context().key)
    with outside():
        current_context()

    def failing() -> int:
        current_context()
        raise LookupError

    with pytest.raises(LookupError):
        cache.get("a:b:1", failing)
    with outside():
        current_context()
