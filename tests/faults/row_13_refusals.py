"""Row 13: a server that answers with errors, each of a real state of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError
from redis.retry import Retry

from tests.faults.meanwhile import meanwhile
from tests.faults.row import Findings, Length, Result, Row
from tests.support.acl import Access, Account
from tests.support.child import Child, child, commands
from tests.support.redis_server import RedisServer
from tests.support.until import until

LANGUAGES = commands("tests/faults", "asker")
OPTIONS = {"service": "race", "ttl": "1h"}
TAG = "refused:tag"
BACK_SECONDS = 10.0
NAMED_SECONDS = 3.0
# Loading, the server looks at its connections each kilobyte (no more often can be set): so each key is that long, or
# they would wait for longer than a command may take.
SLOW_KEYS, SLOW_KEY_US, SLOW_KEY_BYTES = 2_000, 2_500, 1_024
SERVER = (
    *("--enable-protected-configs", "yes"),
    *("--key-load-delay", str(SLOW_KEY_US)),
    *("--loading-process-events-interval-bytes", "1024"),
    *("--rdbcompression", "no"),
)
ACCESS = Access(user=Account("app", "s3cret"), lines=("user app on >s3cret ~* &* +@all",))


@dataclass
class Scene:
    """The server in question, and a client that may do anything."""

    server: RedisServer
    admin: Redis


@contextmanager
def loading(scene: Scene) -> Iterator[None]:
    """It starts from a file that it takes seconds to load."""
    scene.admin.mset({f"filler:{number}": "x" * SLOW_KEY_BYTES for number in range(SLOW_KEYS)})
    scene.admin.save()
    scene.server.kill()
    with meanwhile(lambda _: scene.server.start()):
        until(lambda: _is_loading(scene.admin), BACK_SECONDS, "it does not load")
        yield


@contextmanager
def read_only(scene: Scene) -> Iterator[None]:
    """It is a replica of a server that is not there."""
    _tell(scene.admin, "REPLICAOF", "127.0.0.1", "1")
    yield
    _tell(scene.admin, "REPLICAOF", "NO", "ONE")


@contextmanager
def out_of_memory(scene: Scene) -> Iterator[None]:
    """It is full, and evicts nothing."""
    scene.admin.config_set("maxmemory", "100kb")
    yield
    scene.admin.config_set("maxmemory", "0")


@contextmanager
def no_script(scene: Scene) -> Iterator[None]:
    """It has forgotten every script."""
    scene.admin.script_flush()
    yield


@contextmanager
def wrong_type(scene: Scene) -> Iterator[None]:
    """Lists stand where entries, leases and tags do."""
    entries = [f"race:v1:{key}" for language in LANGUAGES for key in (new_key(language), old_key(language))]
    leases = [f"{{{entry}}}:lease" for entry in entries]
    for name in (*entries, *leases, f"race:~tag:{TAG}"):
        scene.admin.delete(name)
        scene.admin.lpush(name, "x")
    yield
    assert {scene.admin.type(name) for name in entries} == {"string"}, "a list stands for ever"


@contextmanager
def no_permission(scene: Scene) -> Iterator[None]:
    """The account may not run scripts any more."""
    _tell(scene.admin, "ACL", "SETUSER", "app", "-@scripting")
    yield
    _tell(scene.admin, "ACL", "SETUSER", "app", "+@all")


@contextmanager
def full_disk(scene: Scene) -> Iterator[None]:
    """It could not save, and takes no writes until it can."""
    folder = str(scene.admin.config_get("dir")["dir"])
    scene.admin.config_set("dir", "/proc")  # where nobody can make a file
    scene.admin.config_set("save", "3600 1")
    scene.admin.bgsave()
    until(lambda: scene.admin.info("persistence")["rdb_last_bgsave_status"] == "err", BACK_SECONDS, "it could save")
    yield
    scene.admin.config_set("dir", folder)
    scene.admin.config_set("save", "")


STATES: dict[str, Callable[[Scene], AbstractContextManager[None]]] = {
    "LOADING": loading,
    "READONLY": read_only,
    "OOM": out_of_memory,
    "NOSCRIPT": no_script,
    "WRONGTYPE": wrong_type,
    "NOPERM": no_permission,
    "MISCONF": full_disk,
}
MENDED = ("NOSCRIPT", "WRONGTYPE")
"""What the cache mends within the call, and has nothing to say of: the script is sent again, the list is put away."""


def run(length: Length) -> Result:
    """Each state, with an asker of each language."""
    findings = Findings(length)
    back: dict[str, float] = {}
    for state, enter in STATES.items():
        with (
            RedisServer(*SERVER, access=ACCESS) as server,
            server.client(decode_responses=True, retry=Retry(NoBackoff(), 0)) as admin,
            child(*LANGUAGES["Python"], server.url, json.dumps(OPTIONS)) as python,
            child(*LANGUAGES["Node"], server.url, json.dumps(OPTIONS)) as node,
        ):
            askers = {"Python": python, "Node": node}
            back[state] = _survived(findings, state, enter(Scene(server, admin)), askers)
            errors: dict[str, Any] = admin.info("errorstats")
            findings.bites(
                f"errorstat_{state}" in errors or state in ("LOADING", "WRONGTYPE"),
                f"the server never answered {state}: {errors}",
            )
    return findings.result(
        measured="served throughout; stored and hit again after "
        + ", ".join(f"{state} {seconds:.1f} s" for state, seconds in back.items()),
        bit=f"`cache.error` named {', '.join(state for state in STATES if state not in MENDED)}; the server answered "
        "NOSCRIPT, and lists stood where entries, leases and a tag belong: mended in the call",
        rounds=len(STATES) * len(LANGUAGES),
    )


def _survived(
    findings: Findings, state: str, happening: AbstractContextManager[None], askers: dict[str, Child]
) -> float:
    """Callers are served while it lasts, and observers told; how long it took to be a cache again, once it was over."""
    for language, asker in askers.items():
        _await_hit(asker, old_key(language), f"{state}, {language}: it was no cache")
    with happening:
        named: set[str] = set()
        said: list[str] = []
        deadline = time.monotonic() + NAMED_SECONDS
        while len(named) < len(askers) and time.monotonic() < deadline:
            for language, asker in askers.items():
                for key in (new_key(language), old_key(language)) * 3:
                    told = asker.ask(get=key, tags=[TAG])
                    findings.must(told.get("value") == "computed", f"{state}, {language}: {told}")
                faults = asker.ask(faults=True)["faults"]
                said += [f"{language}: {' '.join(fault)}" for fault in faults]
                if state in MENDED or any(state in message for _, message in faults):
                    named.add(language)
        findings.must(len(named) == len(askers), f"{state}: `cache.error` said {dict.fromkeys(said)}")
    began = time.monotonic()
    for language, asker in askers.items():
        _await_hit(asker, new_key(language), f"{state}, {language}: it is no cache again")
    return time.monotonic() - began


def _await_hit(asker: Child, key: str, what: str) -> None:
    until(lambda: asker.ask(get=key, tags=[TAG])["ran"] is False, BACK_SECONDS, what)


def _is_loading(admin: Redis) -> bool:
    try:
        admin.ping()
    except BusyLoadingError:
        return True
    except ConnectionError:
        pass
    return False


def _tell(admin: Redis, *command: str) -> None:
    admin.execute_command(*command)  # type: ignore[no-untyped-call]


def new_key(language: str) -> str:
    """A key that nobody has asked for before it happens."""
    return f"refused:new:{language}".lower()


def old_key(language: str) -> str:
    """A key whose entry stands before it happens."""
    return f"refused:old:{language}".lower()


ROW = Row(
    number=13,
    fault="LOADING, READONLY, OOM, NOSCRIPT, WRONGTYPE, NOPERM, a full disk's MISCONF",
    passes_when="fallback serves, `cache.error` names it, recovers alone",
    run=run,
)
