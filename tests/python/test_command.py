"""The `tidegate` command as pip installs it: on what Python has stored, in every place, on a terminal.

What it finds and changes on one server is in `cli/tests/command.rs`.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tidegate
from tests.support.cluster import RedisCluster, slot_of
from tests.support.places import SERVICES, Place, open_place
from tests.support.redis_server import RedisServer
from tests.support.sentinel import RedisSentinel
from tests.support.until import until

from .conftest import PATIENT

INSTALLED = [str(Path(sys.executable).parent / "tidegate")]
MODULE = [sys.executable, "-m", "tidegate"]
SECONDS = 60
SLOW: dict[str, Any] = {**PATIENT}


def clean_environment() -> dict[str, str]:
    away = {"TIDEGATE_URL", "TIDEGATE_SERVICE", "NO_COLOR", "FORCE_COLOR"}
    return {**{name: value for name, value in os.environ.items() if name not in away}, "TERM": "xterm"}


def run(*arguments: str, program: list[str] = INSTALLED) -> subprocess.CompletedProcess[str]:
    command = [*program, *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
    )


def told(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ran.returncode in (0, 1), ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def on_terminal(*arguments: str, typed: bytes = b"") -> tuple[int, bytes]:
    """What the command writes to a terminal, where somebody types."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*INSTALLED, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=clean_environment()
    )
    os.close(theirs)
    os.write(ours, typed)
    written = b""
    try:
        while chunk := os.read(ours, 65_536):
            written += chunk
    except OSError:
        pass  # so a terminal says that nobody writes to it any more
    os.close(ours)
    return process.wait(SECONDS), written


@pytest.mark.parametrize("program", [INSTALLED, MODULE], ids=["script", "module"])
def test_it_is_installed_and_answers(program: list[str]) -> None:
    ran = run("--version", program=program)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"tidegate {tidegate.__version__}\n", "")
    assert "Usage: tidegate inspect" in run("inspect", "--help", program=program).stdout


async def test_it_shows_what_python_has_stored(redis_server: RedisServer, service: str) -> None:
    async with tidegate.CacheManager(redis_server.url, service=service, codec="msgpack", **SLOW) as cache:
        await cache.set("user:profile:42", {"name": "Ada", "big": 2**60}, tags=["user:42"])
        await cache.set_fields("user:card:42", {"name": "Ada", "bio": "x"})
        await cache.tenant("acme").set("user:profile:42", "theirs")
        await cache.set("order:view:1", "y" * 5_000)
    where = ["--url", redis_server.url, "--service", service, "--json"]
    entry = told(run("inspect", "user:profile:42", *where))["entry"]
    assert (entry["counts"], entry["codec"], entry["value"]) == ("fresh", "msgpack", {"name": "Ada", "big": 2**60})
    fields = told(run("inspect", "user:card:42", *where))["fields"]
    assert {field["name"]: (field["entry"]["counts"], field["entry"]["value"]) for field in fields} == {
        "name": ("fresh", "Ada"),
        "bio": ("fresh", "x"),
    }
    theirs = told(run("inspect", "user:profile:42", "--tenant", "acme", *where))
    assert (theirs["tenant"], theirs["entry"]["value"]) == ("acme", "theirs")
    long = told(run("inspect", "order:view:1", *where))["entry"]
    assert (long["compression"], long["value_bytes"], long["value"]) == ("lz4", 5_003, "y" * 5_000)
    assert "more bytes: --full shows them" in run("inspect", "order:view:1", *where[:-1]).stdout
    assert "y" * 5_000 in run("inspect", "order:view:1", "--full", *where[:-1]).stdout


@pytest.fixture(scope="module", params=["cluster-tls-acl", "sentinel", "unix", "valkey"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, Place]]:
    with open_place(request.param) as opened:
        yield request.param, opened


async def test_it_works_in_every_place(place: tuple[str, Place], service: str) -> None:
    kind, where = place
    service = SERVICES.get(kind, service)
    files = where.options.get("tls", {})
    arguments = ["--url", where.url, "--service", service, "--timeout", "20", "--json"]
    for name in ("ca", "cert", "key"):
        arguments += [f"--{name}", files[name]] if name in files else []
    keys = [f"user:profile:{number}" for number in range(12)]
    async with tidegate.CacheManager(where.url, service=service, **SLOW, **where.options) as cache:
        for key in keys:
            assert await cache.set(key, key, tags=["user:all"])
        servers = set()
        for key in keys[:6]:
            report = told(run("inspect", key, *arguments))
            servers.add(report["server"])
            assert (report["entry"]["counts"], report["entry"]["value"]) == ("fresh", key)
        assert kind != "cluster-tls-acl" or len(servers) > 1, "the keys lie on several nodes"
        assert told(run("invalidate", *keys[:3], *arguments))["confirmed"] is True
        assert [await cache.exists(key) for key in keys[:5]] == [False] * 3 + [True] * 2
        assert told(run("invalidate", "--tag", "user:all", *arguments))["confirmed"] is True
        assert not any([await cache.exists(key) for key in keys])
    report = told(run("doctor", *arguments))
    checks = {finding["check"]: finding["severity"] for finding in report["findings"]}
    assert "error" not in checks.values(), report
    if kind == "cluster-tls-acl":
        assert (checks["cluster"], checks["rights"]) == ("ok", "ok"), report
    if kind == "sentinel":
        assert (checks["quorum"], checks["replicas"]) == ("ok", "warning"), report
    if kind == "valkey":
        assert any(finding["what"].startswith("Valkey ") for finding in report["findings"])


async def test_a_key_that_is_on_its_way_to_another_node_is_found_there(service: str) -> None:
    with RedisCluster(node_timeout_ms=30_000) as cluster:
        # Of the primary that a Cluster lists first.
        keys = (f"user:profile:{number}" for number in range(1_000))
        key = next(key for key in keys if slot_of(f"{service}:v1:{key}") < 5_000)
        full = f"{service}:v1:{key}"
        async with tidegate.CacheManager(cluster.url, service=service, **SLOW) as cache:
            assert await cache.set(key, "here")
        source = cluster.primary_of(full)
        to = next(node for node in cluster.primaries if node is not source)
        to.ask("CLUSTER", "SETSLOT", slot_of(full), "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot_of(full), "MIGRATING", to.id)
        assert source.ask("MIGRATE", to.host, to.port, full, 0, 5_000) in (b"OK", "OK", True)
        where = ["--url", cluster.url, "--service", service, "--timeout", "20", "--json"]
        assert told(run("inspect", key, *where))["entry"]["value"] == "here"
        # A primary that is gone is an error of the doctor's, and the others are looked at all the same.
        source.kill()
        ran = run("doctor", *where)
        report = told(ran)
        reach = [finding for finding in report["findings"] if finding["check"] == "reach"]
        assert (ran.returncode, [finding["severity"] for finding in reach]) == (1, ["error"]), report
        assert sum(finding["check"] == "version" for finding in report["findings"]) == 2


def test_sentinels_without_a_quorum_are_an_error_of_the_doctors() -> None:
    with RedisSentinel(down_after_ms=500) as those:
        for lost in those.sentinels[1:]:
            lost.kill()
        where = ["--url", those.url, "--timeout", "3", "--json"]

        def severities() -> set[str]:
            findings = told(run("doctor", *where))["findings"]
            return {finding["severity"] for finding in findings if finding["check"] == "quorum"}

        until(lambda: severities() == {"error", "warning"}, SECONDS, "the quorum is missed", pause=0.2)


def test_on_a_terminal_there_is_colour_and_a_bar_and_elsewhere_neither(redis_server: RedisServer) -> None:
    where = ["--url", redis_server.url, "--timeout", "20"]
    code, shown = on_terminal("doctor", *where)
    assert (code, b"\x1b[" in shown) == (1, True)
    code, shown = on_terminal("doctor", *where, "--color", "never")
    assert (code, b"\x1b[" in shown) == (1, False)
    code, shown = on_terminal("bench", "--seconds", "1.4", *where)
    assert code == 0
    assert b"/1000" in shown, "a bar"
    ran = run("bench", "--seconds", "1.4", *where)
    assert (ran.returncode, ran.stderr, "\x1b" in ran.stdout) == (0, "", False)


async def test_what_is_dropped_for_good_is_asked_for_at_a_terminal(redis_server: RedisServer, service: str) -> None:
    def fail(_: list[tidegate.WriteItem]) -> None:
        raise ValueError("no database")

    async with tidegate.CacheManager(redis_server.url, service=service, **SLOW) as cache:
        queue = cache.write_behind("views", fail, max_attempts=1, max_delay=0.01)
        await queue.put("page:views:7", 41)
        assert await queue.flush(SECONDS)
    where = ["--url", redis_server.url, "--service", service, "--timeout", "20"]
    drop = ["queue", "dead", "views", "--drop", "all", *where]
    code, shown = on_terminal(*drop, typed=b"n\n")
    assert (code, b"Drop 1 dead letter of views for good? [y/N]" in shown, b"nothing was dropped" in shown) == (
        1,
        True,
        True,
    )
    assert len(told(run("queue", "dead", "views", *where, "--json"))["dead"]) == 1
    code, shown = on_terminal(*drop, typed=b"y\n")
    assert (code, b"1 dead letter dropped" in shown) == (0, True)


def test_ctrl_c_ends_it_at_once(redis_server: RedisServer) -> None:
    process = subprocess.Popen(
        [*INSTALLED, "bench", "--seconds", "50", "--url", redis_server.url, "--timeout", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    with redis_server.client() as client:
        until(lambda: client.exists("tidegate-bench:~versions") == 1, SECONDS, "it has begun")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    # A shell makes 130 of it.
    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")


def test_a_reader_that_has_gone_ends_it_without_a_word() -> None:
    process = subprocess.Popen(
        [*INSTALLED, "completions", "zsh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(SECONDS)) == (b"", 0)
    process.stderr.close()
