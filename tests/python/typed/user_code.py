"""What a user's type checker makes of tidegate. Read by mypy and pyright (test_types.py), never run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from typing_extensions import assert_type

from tidegate import (
    L1,
    Breaker,
    CacheEvent,
    CacheManager,
    CallOptions,
    Context,
    DeadEvent,
    DeadLetter,
    Entry,
    EventDetails,
    WriteBehind,
    WriteItem,
    key,
    tag,
)
from tidegate.sync import CacheManager as Blocking
from tidegate.testing import FakeClock, MemoryStore, RecordedEvents, record


@dataclass
class User:
    id: int


cache = CacheManager("redis://localhost", service="billing", ttl="5m", breaker=Breaker(failures=3))
blocking = Blocking(service="billing", ttl=timedelta(minutes=5))
tiered = CacheManager(
    l1=L1(max_bytes=1_000_000, max_age="10s"),
    share_values=True,
    stale_if_error="1h",
    early_refresh=True,
    soft_timeout=None,
)
sealed = CacheManager(
    codec="msgpack", compression="zstd", compress_over=4_096, max_value_bytes=1_000, signing_keys=["0123456789abcdef"]
)
CacheManager(compression=None, signing_keys=None)

assert_type(cache.namespace("shop"), CacheManager)
assert_type(blocking.namespace("shop").namespace("books"), Blocking)


async def fetch() -> User:
    return User(1)


async def fetch_with(ctx: Context) -> User:
    ctx.ttl = 5
    ctx.tags = [*ctx.tags, "user:1"]
    if ctx.stale is not None:
        ctx.not_modified()
    return User(len(ctx.key))


def fetch_plain() -> User:
    return User(1)


@cache.cached("user:profile:{user_id}", ttl=60, tags=["user:{user_id}"], stale_while_revalidate="1h")
async def get_user(user_id: int, deep: bool = False) -> User:
    return User(user_id)


@blocking.cached("user:profile:{user_id}", codec="msgpack")
def get_user_plain(user_id: int) -> User:
    return User(user_id)


@cache.cached("user:profile:{user_id}", ignore=["db"])
async def load(db: object, user_id: int) -> User:
    return User(user_id)


@blocking.cached("user:profile:{user_id}", ignore=["db"])
def load_plain(db: object, user_id: int) -> User:
    return User(user_id)


class Repository:
    @cache.cached("user:profile:{user_id}")
    async def get_user(self, user_id: int) -> User:
        return User(user_id)

    @blocking.cached("user:profile:{user_id}")
    def get_user_plain(self, user_id: int) -> User:
        return User(user_id)


async def reads() -> None:
    assert_type(await cache.get("a:b", fetch), User)
    assert_type(await cache.get("a:b", fetch_with), User)
    assert_type(await cache.get("a:b", fetch_plain), User)
    assert_type(await cache.get("a:b", lambda: 1), int)
    assert_type(await cache.get("a:b", fetch, type=int), int)
    assert_type(await cache.get("a:b", default=None, type=User), User | None)
    assert_type(await cache.refresh("a:b", fetch, ttl="1h"), User)
    assert_type(await cache.get_entry("a:b"), Entry | None)
    assert_type(await cache.exists("a:b"), bool)
    assert_type(await cache.get_many(["a:b"], fetch_many), dict[str, User | None])
    assert_type(await cache.invalidate(key("a", 1), "a:c", required=True), bool)
    cache.on("cache.hit", observe)


async def options(same: CallOptions) -> None:
    assert_type(await cache.get("a:b", fetch, ttl="1m", tags=["a"], stale_if_error=60, early_refresh=1.5), User)
    assert_type(await cache.get("a:b", fetch, type=int, soft_timeout=None, hard_timeout=5, null_ttl=1), int)
    assert_type(await cache.get("a:b", fetch_plain, **same), User)
    assert_type(await cache.refresh("a:b", fetch_with, tags=("a",), error_backoff=0, wait="1s"), User)
    assert_type(await cache.get_many(["a:b"], fetch_many, tags={"a"}, type=User), dict[str, User])
    assert_type(await cache.set("a:b", 1, ttl=5, tags=["a"], stale_while_revalidate="5m"), bool)
    assert_type(await cache.write_through("a:b", User(id=1), save, ttl=5, on_store_down="refuse"), bool)
    assert_type(await cache.write_through("a:b", User(id=1), save_plain, tags=["a"]), bool)
    assert_type(blocking.write_through("a:b", User(id=1), save_plain, on_store_down="persist"), bool)
    assert_type(await cache.set_many({"a:b": 1}, stale_if_error=timedelta(hours=1)), bool)
    assert_type(await cache.invalidate_tag("a", "b", required=True), bool)
    assert_type(await cache.namespace("shop").clear(), bool)
    assert_type(cache.tenant("acme", ttl="1h", max_fallbacks=8), CacheManager)
    assert_type(await cache.tenant(42).get("a:b", fetch), User)
    assert_type(blocking.tenant("acme").namespace("shop").clear(), bool)
    assert_type(blocking.get("a:b", fetch_plain, tags=["a"], soft_timeout="1s"), User)
    assert_type(blocking.set("a:b", 1, tags=["a"]), bool)
    assert_type(blocking.invalidate_tag("a"), bool)
    assert_type(blocking.namespace("shop").clear(required=True), bool)
    assert_type(await cache.get("a:b", fetch, codec="msgpack"), User)
    assert_type(await cache.get("a:b", lambda: b"", codec="raw", type=bytes), bytes)
    assert_type(await cache.set("a:b", b"", codec="raw"), bool)
    assert_type(await cache.write_through("a:b", User(id=1), save, codec="json"), bool)
    assert_type(cache.tenant("acme", codec="msgpack"), CacheManager)


async def save(user: User) -> None: ...


def save_plain(user: User) -> int:
    return 1


async def write_behind() -> None:
    async def save(items: list[WriteItem]) -> None: ...
    def save_some(items: list[WriteItem]) -> list[str]:
        return [item.id for item in items if item.order < (1, 0)]

    behind = cache.write_behind("counters", save, batch=10, max_delay="1s", coalesce=True, type=User)
    assert_type(behind, WriteBehind)
    assert_type(await behind.put("a:b", 1, ttl="1h", operation_id="order-1"), str)
    assert_type(await behind.flush(timeout=5), bool)
    assert_type(behind.pending, int)
    assert_type(await behind.dead_letters.list(limit=5), list[DeadLetter])
    assert_type(await behind.dead_letters.retry("0-1@0"), int)
    assert_type(await behind.close(), bool)
    plain = blocking.namespace("shop").write_behind("counters", save_some, partitions=2)
    assert_type(plain.put("a:b", 1), str)
    assert_type(plain.dead_letters.drop(), int)


async def fetch_many(keys: list[str]) -> dict[str, User]:
    return {}


def observe(event: CacheEvent) -> None:
    assert_type(event.key, str | None)
    assert_type(event.tag, str | None)
    assert_type(event.tenant, str | None)


async def decorated() -> None:
    assert_type(await get_user(1), User)
    assert_type(await get_user(1, deep=True), User)
    assert_type(get_user.key(1), str)
    assert_type(await get_user.invalidate(1), bool)
    assert_type(await get_user.refresh(user_id=1), User)
    assert_type(await get_user.get_cached(1), User | None)
    assert_type(await load.get_cached(user_id=1), User | None)
    assert_type(await load.invalidate(user_id=1), bool)
    assert_type(load.key(None, 1), str)
    assert_type(await load.refresh(None, 1), User)
    assert_type(load_plain.get_cached(user_id=1), User | None)
    assert_type(load_plain.key(user_id=1), str)
    repository = Repository()
    assert_type(await repository.get_user(1), User)
    assert_type(await repository.get_user.refresh(1), User)
    assert_type(repository.get_user.key(1), str)


def plain() -> None:
    assert_type(blocking.get("a:b", fetch_plain), User)
    assert_type(blocking.get("a:b", default=0, type=int), int)
    assert_type(get_user_plain(1), User)
    assert_type(get_user_plain.get_cached(1), User | None)
    assert_type(Repository().get_user_plain(1), User)
    assert_type(Repository().get_user_plain.refresh(1), User)
    with blocking as same:
        assert_type(same, Blocking)


async def events() -> None:
    def handle(user: User, details: EventDetails) -> list[str]:
        return [key("user", "profile", details.id), tag("users")]

    async def handle_async(user: User) -> str | None:
        return None

    subscription = cache.on_event("user.updated", handle, on_gap=lambda missed: tag("users"), type=User)
    assert_type(await subscription.started(), bool)
    assert_type(await subscription.close(), bool)
    cache.on_event("user.removed", handle_async, max_attempts=3, redeliver_after="1m")
    assert_type(await cache.publish_event("user.updated", {"id": 42}, max_len=10, operation_id="7"), str)
    assert_type(blocking.publish_event("user.updated", 42), str)
    assert_type(await cache.event_dead_letters("user.updated").list(), list[DeadEvent])
    assert_type(blocking.event_dead_letters("user.updated").retry(), int)


async def testing() -> None:
    clock = FakeClock(start=0, by_hand=True)
    clock.advance(timedelta(seconds=1))
    store = MemoryStore(clock, seed=1)
    under_test = CacheManager(store=store, service="billing")
    Blocking(store=store)
    with store.failing("slow", delay="50ms", only=under_test):
        recorded = record(under_test)
    assert_type(await recorded.settled(), RecordedEvents)
    assert_type(recorded.one("cache.set", key="a:b"), CacheEvent)
    assert_type(clock.now(), float)
