"""The tier in the process, as Python sees it: what is shared among callers, what is decoded anew, and who owns it."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import gc
import threading
import uuid
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.support.redis_server import RedisServer
from tidegate import L1, CacheManager

from .conftest import Make, MakeBlocking
from .helpers import eventually, run_script

KEY = "user:profile:1"
ABSENT = object()


@dataclass(frozen=True)
class Frozen:
    id: int
    names: tuple[str, ...] = ("Ada",)


@dataclass(frozen=True)
class FrozenAround:
    names: list[str]


@dataclass
class Thawed:
    id: int


class FrozenStruct(msgspec.Struct, frozen=True):
    id: int
    inner: Frozen


class Struct(msgspec.Struct):
    id: int


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


async def _held(cache: CacheManager, key: str = KEY, kind: Any = None) -> Any:
    """The value as L1 gives it."""
    seen: list[Any] = []

    async def is_held() -> bool:
        before = cache.stats()["l1_hits"]
        seen.append(await cache.get(key, default=ABSENT, type=kind))
        return bool(cache.stats()["l1_hits"] > before)

    assert await eventually(is_held)
    return seen[-1]


async def _two(cache: CacheManager, value: Any, kind: Any = None) -> tuple[Any, Any]:
    """The value as two callers are given it by L1."""
    assert await cache.set(KEY, value)
    one, two = await _held(cache, kind=kind), await _held(cache, kind=kind)
    assert one == two == value
    return one, two


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text" * 100, None),
        (12345678901234567, None),
        (1.5e100, None),
        (b"bytes" * 10, bytes),
        (decimal.Decimal("1.5000000000000000000001"), decimal.Decimal),
        (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc), datetime.datetime),
        (uuid.uuid4(), uuid.UUID),
        (Colour.RED, Colour),
        (Frozen(1000), Frozen),
        (FrozenStruct(1000, Frozen(2000)), FrozenStruct),
        (Point(1000, 2000), Point),
        ((1000, ("a" * 50,), Frozen(5000)), tuple[int, tuple[str], Frozen]),
        (frozenset({1000, 2000}), frozenset[int]),
    ],
    ids=lambda value: value.__class__.__name__,
)
async def test_what_nobody_can_change_is_one_object(make: Make, value: Any, kind: Any) -> None:
    one, two = await _two(make(l1="16MB"), value, kind)
    assert one is two


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"name": "Ada"}, None),
        ([1], None),
        (Thawed(1), Thawed),
        (Struct(1), Struct),
        (FrozenAround(["b"]), FrozenAround),
        ({"id": 1, "names": ["Ada"]}, None),
        (([1],), tuple[list[int]]),
        ({1000}, set[int]),
    ],
    ids=lambda value: value.__class__.__name__,
)
async def test_what_can_be_changed_is_each_callers_own(make: Make, value: Any, kind: Any) -> None:
    cache = make(l1="16MB")
    one, two = await _two(cache, value, kind)
    assert one is not two


async def test_shared_values_are_one_object_whatever_they_are(make: Make) -> None:
    cache = make(l1="16MB", share_values=True)
    one, two = await _two(cache, {"names": ["Ada"]})
    assert one is two
    assert await cache.get(KEY, lambda: "another") is one
    assert (await cache.get_many([KEY], lambda _: {KEY: "another"}))[KEY] is one


async def test_an_object_is_given_to_those_who_asked_for_its_type_only(make: Make) -> None:
    cache = make(l1="16MB", share_values=True)
    assert await cache.set(KEY, {"id": 7})
    held = await _held(cache, kind=Thawed)
    assert held == Thawed(7)
    plain = await _held(cache)
    assert plain == {"id": 7}
    assert await _held(cache, kind=Struct) == Struct(7)
    assert await _held(cache, kind=Thawed) is held
    # Of two equal decoders too: a view has those of its manager.
    assert await cache.namespace("other").get(KEY, default=ABSENT) is ABSENT


async def test_a_value_that_is_no_longer_of_its_type_is_computed_anew(make: Make) -> None:
    cache = make(l1="16MB")
    assert await cache.set(KEY, "text")
    await _held(cache)
    assert await cache.get(KEY, lambda: 5, type=int) == 5
    assert await cache.get(KEY, default=None) == 5


async def test_a_null_is_held_too(make: Make) -> None:
    cache = make(l1=L1(max_bytes=1_000_000, max_entries=100, max_age="1m"))
    assert await cache.set(KEY, None)
    assert await _held(cache) is None


async def test_a_decorated_function_is_answered_by_l1(make: Make) -> None:
    cache = make(l1="16MB")
    runs: list[int] = []

    @cache.cached("user:profile:{user_id}", tags=["user:{user_id}"])
    async def get_user(user_id: int) -> Frozen:
        runs.append(user_id)
        return Frozen(user_id)

    await get_user(1)
    held = await _held(cache, kind=Frozen)
    assert await get_user(1) is held
    assert cache.stats()["l1_entries"] == 1
    await cache.invalidate_tag("user:1")
    assert await get_user(1) is not held
    assert runs == [1, 1]


async def test_a_read_after_an_invalidation_is_never_l1s(make: Make) -> None:
    cache = make(l1="16MB")
    for number in range(20):
        await cache.set(KEY, number)
        assert await _held(cache) == number
        await cache.invalidate(KEY)
        assert await cache.get(KEY, default=ABSENT) is ABSENT


async def test_an_object_ends_with_its_entry_and_may_do_as_it_likes(make: Make) -> None:
    cache = make(l1="16MB", share_values=True)
    ended: list[int] = []

    @dataclass
    class Noisy:
        id: int

        def __del__(self) -> None:
            # Whatever is locked while an entry is dropped would lock here for ever.
            ended.append(cache.stats()["l1_entries"])

    assert await cache.set(KEY, {"id": 1})
    held = await _held(cache, kind=Noisy)
    reference = weakref.ref(held)
    del held
    assert reference() is not None
    await cache.invalidate(KEY)

    async def has_ended() -> bool:
        await cache.get(KEY, default=None)
        gc.collect()
        return reference() is None

    assert await eventually(has_ended)
    # Others may have been made while a fill's own push dropped them.
    assert ended


def test_threads_share_what_is_held(make_blocking: MakeBlocking) -> None:
    cache = make_blocking(l1="16MB")
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(200):
            key = f"user:profile:{(number + turn) % 5}"
            if cache.get(key, lambda: "x" * 100) != "x" * 100:
                wrong.append(key)
            if turn % 50 == number:
                cache.invalidate(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache.stats()["l1_hits"] > 0


@pytest.mark.parametrize("share_values", ["", "1"])
def test_a_forked_child_starts_with_nothing(redis_server: RedisServer, service: str, share_values: str) -> None:
    for url in (f"memory://{service}", redis_server.url):
        done = run_script(
            """
            import os, sys, time, warnings
            from tidegate.sync import CacheManager

            warnings.simplefilter("ignore")  # threads and forks: that is what is tried
            url, service, share_values = sys.argv[1:]
            options = {"command_timeout": "5s", "lease": "20s", "share_values": bool(share_values)}
            cache = CacheManager(url, service=service, l1="16MB", **options)
            view = cache.namespace("shop")
            cache.set("user:profile:1", {"name": "Ada"})
            deadline = time.monotonic() + 5
            while not cache.stats()["l1_hits"] and time.monotonic() < deadline:
                cache.get("user:profile:1", default=None)
            child = os.fork()
            if child == 0:
                stats = cache.stats()
                empty = stats["l1_entries"] == stats["l1_hits"] == 0
                found = cache.get("user:profile:1", lambda: {"name": "anew"})
                view.set("user:profile:2", "of the view")
                ok = empty and found["name"] in ("Ada", "anew") and view.get("user:profile:2", default=None)
                cache.invalidate("user:profile:1")
                os._exit(0 if ok else 1)
            status = os.waitpid(child, 0)[1]
            print(status, cache.stats()["l1_hits"] > 0, cache.get("user:profile:1", default=None) is not None)
            cache.close()
            """,
            url,
            service,
            share_values,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout.split()[:2] == ["0", "True"]


def test_an_exit_with_objects_held_is_quiet(redis_server: RedisServer, service: str) -> None:
    # Another process invalidates while this one ends: entries, and Python's objects in them, are dropped by a thread
    # that has no interpreter any more.
    done = run_script(
        """
        import subprocess, sys, time
        from dataclasses import dataclass
        from tidegate.sync import CacheManager

        @dataclass
        class Thing:
            id: int
            def __del__(self): pass

        url, service = sys.argv[1:]
        cache = CacheManager(url, service=service, l1="16MB", share_values=True, command_timeout="5s", lease="20s")
        keys = [f"thing:{number}" for number in range(500)]
        cache.set_many({key: {"id": 1} for key in keys})
        deadline = time.monotonic() + 10
        while cache.stats()["l1_entries"] < 500 and time.monotonic() < deadline:
            cache.get_many(keys, dict, type=Thing)
        cache.get_many(keys, dict, type=Thing)
        code = '''
        import redis, sys
        client = redis.Redis.from_url(sys.argv[1])
        print("ready", flush=True)
        for _ in range(20):
            for number in range(500):
                client.set(f"{sys.argv[2]}:v1:thing:{number}", "x")
        '''
        import textwrap
        other = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), url, service], stdout=subprocess.PIPE, text=True
        )
        other.stdout.readline()
        other.stdout.close()
        other.returncode = 0  # it is left to itself
        print(cache.stats()["l1_hits"] > 0)
        """,
        redis_server.url,
        service,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


async def test_many_tasks_on_one_held_key(make: Make) -> None:
    cache = make(l1="16MB")
    await cache.set(KEY, [1, 2])
    await _held(cache)
    lists: list[list[int]] = await asyncio.gather(*[cache.get(KEY, lambda: [0]) for _ in range(100)])
    lists[0].append(3)
    assert lists[1:] == [[1, 2]] * 99
