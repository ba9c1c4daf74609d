"""The package as a guest in a process: import, loops, threads, forks, and the end."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest
import uvloop

from tests.support.redis_server import RedisServer
from tests.support.until import until
from tidegate import CacheManager

from .helpers import run_script


def _ends_well(source: str, *arguments: str) -> str:
    done = run_script(source, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()


def test_importing_starts_no_thread_and_opens_nothing() -> None:
    assert (
        _ends_well(
            """
            import os
            before = set(os.listdir("/proc/self/fd"))
            import tidegate, tidegate.sync
            tidegate.CacheManager("redis://127.0.0.1:1/0", service="x")
            tidegate.sync.CacheManager("redis://127.0.0.1:1/0", service="x")
            print(len(os.listdir("/proc/self/task")), set(os.listdir("/proc/self/fd")) - before)
            """
        )
        == "1 set()"
    )


def test_importing_brings_none_of_the_slow_modules() -> None:
    # How long it takes is for a benchmark to say (benchmarks/import_time.py): here is what decides it.
    slow = {"asyncio", "dataclasses", "inspect", "json", "logging", "msgspec", "typing_extensions"}
    # Of our own: classes of typed dicts and of named tuples, which take long to make.
    slow |= {"tidegate._options", "tidegate._parsing"}
    # What only an optional part of this package, or a user's own types, have need of.
    others = {"celery", "django", "fastapi", "flask", "opentelemetry", "prometheus_client", "pydantic", "starlette"}
    code = """
        import importlib.util, sys
        unwanted = set(sys.argv[1:])
        before = set(sys.modules)
        import tidegate, tidegate.sync
        print(sorted(unwanted & (set(sys.modules) - before)))
        known = ("msgspec", "pydantic", "tidegate._options", "tidegate._parsing")
        print([name for name in known if not importlib.util.find_spec(name)])
    """
    assert _ends_well(code, *slow, *others).splitlines() == ["[]", "[]"]


def test_a_script_that_forgets_close_ends_quickly_and_quietly(redis_server: RedisServer, service: str) -> None:
    for url in ("memory://", redis_server.url):
        begun = time.monotonic()
        out = _ends_well(
            """
            import asyncio, sys
            from tidegate import CacheManager
            cache = CacheManager(sys.argv[1], service=sys.argv[2])
            cache.on("cache.miss", lambda event: None)

            async def main():
                print(await cache.get("user:profile:1", lambda: "value"))

            asyncio.run(main())
            """,
            url,
            service,
        )
        assert out == "value"
        assert time.monotonic() - begun < 5


def test_a_blocking_script_with_waiting_daemons_ends_quickly_and_quietly(
    redis_server: RedisServer, service: str
) -> None:
    for url in ("memory://", redis_server.url):
        begun = time.monotonic()
        out = _ends_well(
            """
            import sys, threading, time
            from tidegate.sync import CacheManager
            cache = CacheManager(sys.argv[1], service=sys.argv[2])
            cache.on("cache.miss", lambda event: None)
            entered = threading.Event()

            def fetch():
                entered.set()
                time.sleep(60)

            def get():
                cache.get("user:profile:2", fetch)

            for _ in range(20):
                threading.Thread(target=get, daemon=True).start()
            entered.wait()
            time.sleep(0.1)
            print("done")
            """,
            url,
            service,
        )
        assert out == "done"
        assert time.monotonic() - begun < 5


def test_one_manager_through_many_loops(url: str, service: str) -> None:
    cache = CacheManager(url, service=service)
    seen = [asyncio.run(cache.get("user:profile:1", lambda n=n: n)) for n in range(5)]
    assert seen == [0] * 5
    asyncio.run(cache.close())


def test_a_loop_that_watches_no_descriptor(url: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    cache = CacheManager(url, service=service)

    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "tidegate-doorbell"]

    async def main(expected: int) -> None:
        async def fetch() -> int:
            await asyncio.sleep(0.01)
            return expected

        for number in range(3):
            seen = await asyncio.gather(*[cache.get(f"user:profile:{number}", fetch) for _ in range(50)])
            assert seen == [expected] * 50
        assert await cache.invalidate("user:profile:0", "user:profile:1", "user:profile:2")
        assert len(watchers()) == 1

    for turn in range(2):
        # As Windows' own loop.
        loop = asyncio.SelectorEventLoop()
        monkeypatch.setattr(loop, "add_reader", refuse)
        monkeypatch.setattr(loop, "remove_reader", refuse)
        try:
            loop.run_until_complete(main(turn))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
        until(lambda: not watchers(), 10, "the thread that watches has not ended with its loop")
    asyncio.run(cache.close())


def test_uvloop(url: str, service: str) -> None:
    cache = CacheManager(url, service=service)

    async def main() -> list[int]:
        async def fetch() -> int:
            await asyncio.sleep(0.01)
            return 7

        seen = await asyncio.gather(*[cache.get("user:profile:1", fetch) for _ in range(100)])
        await cache.close()
        return seen

    loop = uvloop.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == [7] * 100
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert cache.stats()["fallbacks"] == 1


def test_loops_in_several_threads_share_one_fallback(url: str, service: str) -> None:
    cache = CacheManager(url, service=service)
    runs: list[int] = []
    results: list[Any] = []
    begin = threading.Barrier(4)

    async def fetch() -> str:
        runs.append(threading.get_ident())
        await asyncio.sleep(0.1)
        return "value"

    async def main() -> list[str]:
        return await asyncio.gather(*[cache.get("user:profile:1", fetch) for _ in range(50)])

    def thread() -> None:
        begin.wait()
        results.extend(asyncio.run(main()))

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == ["value"] * 200
    assert len(runs) == 1
    asyncio.run(cache.close())


def test_a_loop_that_is_thrown_away_takes_its_leases_back(url: str, service: str) -> None:
    cache = CacheManager(url, service=service, lease="20s")
    loop = asyncio.new_event_loop()
    entered = asyncio.Event()

    async def never() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(cache.get("user:profile:1", never))
        await entered.wait()
        return task

    task = loop.run_until_complete(start())
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()  # without shutdown_asyncgens, as a careless program would
    assert asyncio.run(asyncio.wait_for(cache.get("user:profile:1", lambda: "next"), 2)) == "next"
    asyncio.run(cache.close())


def test_answers_for_a_loop_that_was_closed_are_swallowed(redis_server: RedisServer, service: str) -> None:
    cache = CacheManager(redis_server.url, service=service)
    for _ in range(20):
        loop = asyncio.new_event_loop()

        async def start() -> asyncio.Task[int]:
            task = asyncio.create_task(cache.get("user:profile:1", lambda: 1))
            await asyncio.sleep(0)
            return task

        task = loop.run_until_complete(start())
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
    assert asyncio.run(cache.get("user:profile:1", lambda: 2)) in (1, 2)
    asyncio.run(cache.close())


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_after_a_fork_both_go_on(redis_server: RedisServer, service: str, kind: str) -> None:
    source = """
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from tidegate import CacheManager
        from tidegate.sync import CacheManager as Blocking
        kind, url, service = sys.argv[1:]
        cache = CacheManager(url, service=service) if kind == "async" else Blocking(url, service=service)
        memory = CacheManager() if kind == "async" else Blocking()

        def get(manager, key, value):
            call = manager.get(key, lambda: value)
            return asyncio.run(call) if kind == "async" else call

        print(get(cache, "user:profile:1", 1), get(memory, "user:profile:1", 1), flush=True)
        children = []
        for number in range(3):
            if (child := os.fork()) == 0:
                got = [get(cache, "user:profile:1", 9), get(cache, f"user:profile:{number + 2}", number)]
                got += [get(memory, "user:profile:1", 9), get(memory, "user:profile:2", 2)]
                assert got == [1, number, 9, 2], got  # what is in memory is the parent's
                assert cache.stats()["errors"] == 0, cache.stats()
                os._exit(0)
            children.append(child)
        print(get(cache, "user:profile:1", 9), [os.waitpid(child, 0)[1] for child in children])
    """
    assert _ends_well(source, kind, redis_server.url, service) == "1 1\n1 [0, 0, 0]"


def test_a_child_does_not_wait_for_what_its_parent_was_doing(redis_server: RedisServer, service: str) -> None:
    source = """
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from tidegate import CacheManager
        cache = CacheManager(sys.argv[1], service=sys.argv[2], lease="300ms")

        async def parent():
            entered, go = asyncio.Event(), asyncio.Event()

            async def fetch():
                entered.set()
                await go.wait()
                return "parent"

            calls = [asyncio.create_task(cache.get("user:profile:1", fetch)) for _ in range(10)]
            await entered.wait()
            read, write = os.pipe()
            if (child := os.fork()) == 0:
                asyncio._set_running_loop(None)
                del calls
                other = asyncio.run(cache.get("user:profile:2", lambda: "child"))
                same = asyncio.run(cache.get("user:profile:1", lambda: "never"))
                os.write(write, f"{other} {same}".encode())
                os._exit(0)
            await asyncio.sleep(0.2)
            go.set()
            print(set(await asyncio.gather(*calls)), os.waitpid(child, 0)[1], os.read(read, 100))

        asyncio.run(parent())
    """
    assert _ends_well(source, redis_server.url, service) == "{'parent'} 0 b'child parent'"


def test_a_fork_server_with_threads_running_works(redis_server: RedisServer, service: str) -> None:
    source = """
        import multiprocessing, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from tidegate.sync import CacheManager
        cache = CacheManager(sys.argv[1], service=sys.argv[2])
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                cache.get("user:profile:1", lambda: 1)

        def work(number):
            return cache.get(f"user:profile:{number}", lambda: number)

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        with multiprocessing.get_context("fork").Pool(4) as pool:
            print(pool.map(work, range(2, 10)))
        stop.set()
        for thread in threads:
            thread.join()
    """
    assert _ends_well(source, redis_server.url, service) == "[2, 3, 4, 5, 6, 7, 8, 9]"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before Python 3.13 the module has another name")
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_an_interpreter_of_either_kind_is_refused(kind: str) -> None:
    interpreters = pytest.importorskip("_interpreters")
    other = interpreters.create(kind)
    try:
        told = interpreters.run_string(other, f"import sys; sys.path = {sys.path!r}; import tidegate._tidegate")
        assert told.type.__name__ == "ImportError"
    finally:
        interpreters.destroy(other)


def test_a_second_interpreter_is_refused() -> None:
    interpreters = pytest.importorskip("_xxsubinterpreters")
    other = interpreters.create()
    try:
        with pytest.raises(Exception, match="ImportError"):
            interpreters.run_string(other, f"import sys; sys.path = {sys.path!r}; import tidegate._tidegate")
    finally:
        interpreters.destroy(other)
