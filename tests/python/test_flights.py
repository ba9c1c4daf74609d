"""Many callers of one key: one fallback, its failure, its cancellation, its limits."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from tidegate import CacheManager, HardTimeout

from .conftest import Make
from .helpers import Counter, eventually


async def _settle() -> None:
    """Lets every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _lead(cache: CacheManager, fetch: Counter, key: str = "user:profile:1") -> asyncio.Task[Any]:
    """A task that is inside its fallback."""
    task = asyncio.create_task(cache.get(key, fetch))
    await fetch.entered.wait()
    return task


async def test_a_thousand_callers_are_one_fallback(cache: CacheManager) -> None:
    fetch = Counter({"name": "Ada"}, held=True)
    calls = [asyncio.create_task(cache.get("user:profile:1", fetch)) for _ in range(1_000)]
    await fetch.entered.wait()
    fetch.go.set()
    assert await asyncio.gather(*calls) == [{"name": "Ada"}] * 1_000
    assert fetch.runs == 1
    assert cache.stats()["fallbacks"] == 1


async def test_each_caller_has_a_value_of_its_own(cache: CacheManager) -> None:
    fetch = Counter({"list": []}, held=True)
    calls = [asyncio.create_task(cache.get("user:profile:1", fetch)) for _ in range(2)]
    await fetch.entered.wait()
    fetch.go.set()
    one, two = await asyncio.gather(*calls)
    one["list"].append(1)
    assert two == {"list": []}
    assert await cache.get("user:profile:1", fetch) == {"list": []}


async def test_a_failure_reaches_all_who_waited_as_the_same_object(cache: CacheManager) -> None:
    boom = LookupError("no such user")

    async def fetch() -> None:
        await asyncio.sleep(0.05)
        raise boom

    seen = await asyncio.gather(*[cache.get("user:profile:1", fetch) for _ in range(100)], return_exceptions=True)
    assert all(error is boom for error in seen)
    # Each raise brings its own frames, not those of everybody who raised it before.
    depth, trace = 0, boom.__traceback__
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    assert depth < 20
    assert await cache.get("user:profile:1", lambda: "next") == "next"


async def test_a_plain_fallback_fails_unchanged(cache: CacheManager) -> None:
    def fetch() -> int:
        raise ZeroDivisionError("by hand")

    with pytest.raises(ZeroDivisionError, match="by hand"):
        await cache.get("user:profile:1", fetch)


async def test_a_cancelled_leader_hands_over(cache: CacheManager) -> None:
    first, second = Counter("first", held=True), Counter("second")
    leader = await _lead(cache, first)
    follower = asyncio.create_task(cache.get("user:profile:1", second))
    await _settle()
    leader.cancel()
    assert await follower == "second"
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (first.runs, second.runs) == (1, 1)


async def test_a_fallback_that_cancels_itself_hands_over(cache: CacheManager) -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    async def gives_up() -> None:
        entered.set()
        await go.wait()
        raise asyncio.CancelledError

    leader = asyncio.create_task(cache.get("user:profile:1", gives_up))
    await entered.wait()
    follower = asyncio.create_task(cache.get("user:profile:1", lambda: "second"))
    await _settle()
    go.set()
    assert await follower == "second"
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_a_cancelled_caller_waits_for_its_fallback_to_end(cache: CacheManager) -> None:
    ended = []
    entered = asyncio.Event()

    async def fetch() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    task = asyncio.create_task(cache.get("user:profile:1", fetch))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_a_cancelled_follower_takes_nobody_with_it(cache: CacheManager) -> None:
    fetch = Counter("value", held=True)
    leader = await _lead(cache, fetch)
    followers = [asyncio.create_task(cache.get("user:profile:1", fetch)) for _ in range(10)]
    await _settle()
    for follower in followers[::2]:
        follower.cancel()
    await _settle()
    fetch.go.set()
    assert await leader == "value"
    assert await asyncio.gather(*followers[1::2]) == ["value"] * 5


@pytest.mark.parametrize("held", [True, False])
async def test_a_caller_may_be_cancelled_anywhere_on_its_way(cache: CacheManager, held: bool) -> None:
    # A lease that reaches it gives itself back: whoever comes next never waits for it.
    for number in range(40):
        key = f"user:profile:{number}"
        doomed = asyncio.create_task(cache.get(key, Counter("next", held)))
        for _ in range(number % 8):
            await asyncio.sleep(0)
        if number >= 20:
            await asyncio.sleep(0.001)
        doomed.cancel()
        async with _limit(1.5):
            assert await cache.get(key, lambda: "next") == "next"
        await asyncio.gather(doomed, return_exceptions=True)


async def test_the_hard_timeout_frees_the_callers_and_cancels_the_fallback(make: Make) -> None:
    cache = make(hard_timeout="150ms")
    cancelled = asyncio.Event()

    async def fetch() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    seen = await asyncio.gather(*[cache.get("user:profile:1", fetch) for _ in range(3)], return_exceptions=True)
    assert [type(error) for error in seen] == [HardTimeout] * 3
    assert all("user:profile:1" in str(error) and isinstance(error, TimeoutError) for error in seen)
    await cancelled.wait()
    assert await cache.get("user:profile:1", lambda: "free") == "free"


async def test_a_fill_after_an_invalidation_is_refused(cache: CacheManager) -> None:
    fetch = Counter("old", held=True)
    leader = await _lead(cache, fetch)
    assert await cache.invalidate("user:profile:1")
    fetch.go.set()
    assert await leader == "old"
    assert await cache.get("user:profile:1", lambda: "new") == "new"


async def test_an_unstorable_value_is_given_to_all_as_it_is(cache: CacheManager) -> None:
    value = object()
    fetch = Counter(value, held=True)
    calls = [asyncio.create_task(cache.get("user:profile:1", fetch)) for _ in range(20)]
    await fetch.entered.wait()
    fetch.go.set()
    assert all(seen is value for seen in await asyncio.gather(*calls))
    assert not await cache.exists("user:profile:1")


async def test_the_fallback_sees_its_callers_context(cache: CacheManager) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    name.set("Ada")

    async def fetch() -> str:
        await asyncio.sleep(0)
        return name.get()

    assert await cache.get("user:profile:1", fetch) == "Ada"


async def test_any_awaitable_will_do(cache: CacheManager) -> None:
    loop = asyncio.get_running_loop()

    def fetch() -> asyncio.Future[str]:
        future: asyncio.Future[str] = loop.create_future()
        loop.call_soon(future.set_result, "from a future")
        return future

    assert await cache.get("user:profile:1", fetch) == "from a future"


async def test_a_timeout_of_the_callers_own_works(cache: CacheManager) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(cache.get("user:profile:1", Counter("never", held=True)), 0.05)
    assert await cache.get("user:profile:1", lambda: "next") == "next"


async def test_another_process_is_waited_for_and_not_repeated(make: Make) -> None:
    one, two = make(), make()
    fetch = Counter("value", held=True)
    leader = await _lead(one, fetch)
    other = asyncio.create_task(two.get("user:profile:1", Counter("other")))

    async def waits() -> bool:
        return bool(two.stats()["waits"])

    assert await eventually(waits)
    fetch.go.set()
    assert [await leader, await other] == ["value", "value"]
    assert two.stats()["fallbacks"] == 0


class _limit:
    """`asyncio.timeout`, which 3.10 does not have."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handle = asyncio.get_running_loop().call_later(self._seconds, task.cancel)

    async def __aexit__(self, *_: object) -> None:
        self._handle.cancel()


async def test_errors_that_were_raised_are_let_go(make: Make) -> None:
    cache = make(hard_timeout="30ms")
    references: list[weakref.ref[BaseException]] = []

    class Boom(Exception):
        pass

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise Boom

    async def fails(fetch: Any) -> None:
        seen = await asyncio.gather(*[cache.get("user:profile:1", fetch) for _ in range(3)], return_exceptions=True)
        references.extend(weakref.ref(error) for error in seen if isinstance(error, BaseException))

    await fails(fail)
    await fails(Counter(held=True))
    assert len(references) == 6

    async def are_gone() -> bool:
        gc.collect()
        return all(reference() is None for reference in references)

    assert await eventually(are_gone)
