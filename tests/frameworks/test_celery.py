"""`examples/celery` as a real worker with a prefork pool, and a web process beside it, on one Redis."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

import tidegate
from tests.support.fleet import ROOT
from tests.support.redis_server import RedisServer
from tests.support.until import until
from tests.support.web import once_of
from tidegate import ConfigError
from tidegate.contrib.celery import close_with_worker, once
from tidegate.sync import CacheManager
from tidegate.testing import FakeClock, MemoryStore

WORKER = ["-m", "celery", "--app", "examples.celery.app", "worker", "--concurrency", "2", "--loglevel", "WARNING"]
POOL = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--pool"]
ASK = "from examples.celery.app import *; import json; print(json.dumps({}))"


@pytest.fixture
def env(redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """What every process is given."""
    return {
        "REDIS_URL": redis_server.url,
        "REPORTS_DATABASE": str(tmp_path / "reports.db"),
        "REPORTS_COMMAND_TIMEOUT": "2s",
        "REPORTS_DELAY": "1",
    }


@contextmanager
def worker(env: dict[str, str], pool: str) -> Iterator[subprocess.Popen[str]]:
    """A worker, gone when the block is left."""
    command = [sys.executable, *WORKER, *POOL, pool]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(expression: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """A process like a web server's, which evaluates something."""
    command = [sys.executable, "-c", ASK.format(expression)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.strip()


def logged(env: dict[str, str], what: str) -> list[int]:
    """The processes that did it."""
    if not Path(env["REPORTS_DATABASE"]).exists():
        return []
    with closing(sqlite3.connect(env["REPORTS_DATABASE"], timeout=30)) as connection:
        try:
            return [pid for (pid,) in connection.execute("SELECT pid FROM log WHERE what = ?", (what,))]
        except sqlite3.OperationalError:  # no table yet
            return []


def test_web_and_workers_share_one_lease_and_a_worker_ends_well(env: dict[str, str], redis_server: RedisServer) -> None:
    with worker(env, "prefork") as process, redis_server.client() as redis:
        # A crowd at a cold total: tasks in two children, and a web process. One query.
        def crowd(day: str) -> int:
            before = len(logged(env, "query"))
            reports = ask(f"[one.get(timeout=50) for one in [report.delay('{day}') for _ in range(8)]]", env)
            web = ask(f"total('{day}')", env)
            assert answer(web) == "0"
            assert answer(reports).count('"total": 0') == 8
            return len(logged(env, "query")) - before

        once_of((partial(crowd, day) for day in ("tuesday", "wednesday", "thursday")), "a total")

        # A task writes: the web process is given the new total; a task that is delivered twice runs once.
        story = ask("[total('monday'), sell.delay('monday', 500).get(timeout=50), total('monday')]", env)
        assert answer(story) == "[0, true, 500]"

        def delivered(day: str) -> int:
            before = len(logged(env, "mail"))
            mails = ask(f"[one.get(timeout=50) for one in [mail.delay('{day}') for _ in range(4)]]", env)
            assert answer(mails).count(f"sent for {day}") == 4
            return len(logged(env, "mail")) - before

        once_of((partial(delivered, day) for day in ("monday", "tuesday", "wednesday")), "a mail")
        assert process.pid not in logged(env, "mail"), "a child runs tasks"

        # SIGTERM while a task is under way: it is done, and what it stored is there.
        before = len(logged(env, "query"))
        asked = ask("report.delay('friday').get(timeout=50)['total']", env)
        until(lambda: len(logged(env, "query")) > before, 30, "the query does not begin")
        # Who is there says so in Redis, and takes it back when it is closed.
        children = set(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())

        def there() -> set[str]:
            return children & {field.decode().partition(":")[0] for field in redis.hgetall("reports:~fleet")}

        until(lambda: bool(there()), 30, "no child has reported")
        process.send_signal(signal.SIGTERM)
        assert answer(asked) == "0"
        assert process.wait(30) == 0
        assert there() == set(), "a child was not closed"
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert answer(ask("total.get_cached('friday')", env)) == "0"


def test_eager_mode_and_a_pool_of_threads(env: dict[str, str]) -> None:
    eager = {**env, "REPORTS_EAGER": "yes", "REPORTS_DELAY": "0"}
    assert answer(ask("[report.delay('monday').get()['total'] for _ in range(3)]", eager)) == "[0, 0, 0]"
    assert len(logged(env, "query")) == 1, "one process, one query"
    with worker({**env, "REPORTS_DELAY": "0"}, "threads") as process:
        assert answer(ask("report.delay('monday').get(timeout=50)['total']", env)) == "0"
        assert len(logged(env, "query")) == 1, "what eager mode stored is there for a worker"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_task_that_gives_nothing_is_run_once_too() -> None:
    clock = FakeClock()
    cache = CacheManager(store=MemoryStore(clock), ttl_jitter=0, stale_while_revalidate="1d")
    runs: list[int] = []

    @once(cache, "mail:welcome:{user_id}", ttl="1h")
    def mail(user_id: int) -> None:
        runs.append(user_id)
        if user_id < 0:
            raise ValueError(user_id)

    for _ in range(3):
        mail(7)
        clock.advance("15m")
    assert runs == [7]
    clock.advance("15m")
    mail(7)
    assert runs == [7, 7]
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            mail(-1)
    assert runs == [7, 7, -1, -1], "one that failed is run again"
    with pytest.raises(ConfigError, match="hard_timeout"):
        once(cache, "mail:welcome:{user_id}", ttl="1h", limit="soon")(mail)
    with pytest.raises(ConfigError, match=r"tidegate\.sync\.CacheManager"):
        close_with_worker(tidegate.CacheManager())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stands neither in the template"):
        once(cache, "mail:welcome:all", ttl=1)(mail)
