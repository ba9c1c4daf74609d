"""Row 25: domain events: a service that is down for a while, or past the trim; a handler that is killed; the lag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import redis

from tests.faults.figures import p99
from tests.faults.row import Findings, Length, Result, Row
from tests.interop.member_process import MemberProcess
from tests.support.redis_server import RedisServer

EVENT = "user.updated"
SERVICE = "billing"
KEY = "user:row"
LANGUAGES = ("python", "node")
PATIENT = {"command_timeout": "5s"}
REDELIVERED_AFTER_MS = 1_000
BUSY_MS = 2_000
"""What claiming and a machine of two cores may add to that."""
TRIMMED_TO = 100
CHUNK = 1_000
"""Events that are published by one request: a member is asked for no longer than its parent is patient."""
SECONDS = 60.0


class World:
    """A server, with processes of two services on it."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.client: redis.Redis = server.client()

    @contextmanager
    def members(self, *languages: str, service: str = SERVICE, **options: Any) -> Iterator[list[MemberProcess]]:
        """Processes with a manager each, which are killed in the end."""
        with ExitStack() as stack:
            those = [MemberProcess(language) for language in languages]
            for member in those:
                stack.callback(member.kill)
                member.open(self.url, service=service, **{**PATIENT, **options})
            yield those

    def entries(self, first: int, count: int) -> int:
        """How many of the entries are there."""
        keys = [f"{SERVICE}:v1:{KEY}:{id}" for id in range(first, first + count)]
        return sum(int(self.client.exists(*keys[at : at + 500])) for at in range(0, len(keys), 500))

    def fill(self, count: int) -> None:
        """Entries of the service, as good as its own: what they hold is nobody's matter here."""
        for at in range(0, count, 500):
            self.client.mset({f"{SERVICE}:v1:{KEY}:{id}": "old" for id in range(at, min(at + 500, count))})


def publish(member: MemberProcess, first: int, count: int, **options: Any) -> None:
    """Events that name an entry each."""
    for at in range(first, first + count, CHUNK):
        many = min(CHUNK, first + count - at)
        member.ask("publish_many", event=EVENT, first=at, count=many, key=KEY, **options)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def run(length: Length) -> Result:
    """Each part on a server of its own."""
    findings = Findings(length)
    count = length.of(300, 20_000)
    parts = [
        part(findings, World(server), count)
        for part in (_down_for_a_while, _down_past_the_trim, _killed_inside, _lag)
        for server in _servers()
    ]
    return findings.result(
        measured="; ".join(parts),
        bit=f"beside it invalidations by plain pub/sub: of 500 while their process was down {_naive()} were lost",
        rounds=count,
    )


def _servers() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def _down_for_a_while(findings: Findings, world: World, count: int) -> str:
    with world.members("python", service="crm") as [publisher]:
        with world.members("python", "node", "python", "node") as service:
            for member in service:
                findings.bites(member.ask("on_event", event=EVENT), "the service did not begin")
        # All four are killed: nobody of the service is there.
        world.fill(count)
        publish(publisher, 0, count)
        findings.bites(world.entries(0, count) == count, "somebody invalidated meanwhile")
        began = time.monotonic()
        with world.members("node", "python") as service:
            for member in service:
                member.ask("on_event", event=EVENT)
            findings.must(soon(lambda: world.entries(0, count) == 0), f"{world.entries(0, count):,} entries were left")
            took = time.monotonic() - began
            handled = _handled(service)
            findings.must(handled == count, f"{handled:,} of {count:,} events were handled")
    return f"down while {count:,} events were published: all handled by 2 processes within {took:.1f} s of their start"


def _handled(service: list[MemberProcess]) -> int:
    return len({id for member in service for id in member.ask("told")["handled"]})


def _down_past_the_trim(findings: Findings, world: World, count: int) -> str:
    told = [f"{_missed(findings, world, count, language):,} ({language.title()})" for language in LANGUAGES]
    return f"past the trim: {' and '.join(told)} of {count:,} reported as events_trimmed, on_gap called, L1 dropped"


def _missed(findings: Findings, world: World, count: int, language: str) -> int:
    with world.members("python", service="crm") as [publisher]:
        with world.members(language) as [member]:
            member.ask("on_event", event=EVENT)
        world.fill(count)
        publish(publisher, 0, count, max_len=TRIMMED_TO)
        with world.members(language, l1="16MB") as [member]:
            member.ask("set", key="other:entry:1", value=1)
            findings.bites(soon(lambda: _is_held(member)), f"{language}: L1 held nothing")
            member.ask("observe", events=["cache.error"])
            member.ask("on_event", event=EVENT, gap=["users"])
            findings.must(soon(lambda: bool(member.ask("told")["missed"])), f"{language}: on_gap was not called")
            findings.must(not _is_held(member), f"{language}: L1 was not dropped")
            [missed] = member.ask("told")["missed"]
            all_came = soon(lambda: _handled([member]) + missed >= count)
            handled = _handled([member])
            findings.must(all_came and handled + missed == count, f"{language}: {handled} + {missed} of {count}")
            findings.must(soon(lambda: "events_trimmed" in member.reasons()), f"{language}: it was not reported")
            return int(missed)


def _is_held(member: MemberProcess) -> bool:
    """Whether L1 answers for an entry that no event is about."""
    before = member.ask("stats")["l1_hits"]
    member.ask("get", key="other:entry:1")
    return bool(member.ask("stats")["l1_hits"] > before)


def _killed_inside(findings: Findings, world: World, _: int) -> str:
    took = []
    for language, other in (LANGUAGES, LANGUAGES[::-1]):
        world.client.flushall()
        with world.members(other, service="crm") as [publisher], world.members(language) as [killed]:
            rules = {"event": EVENT, "redeliver_after": f"{REDELIVERED_AFTER_MS}ms"}
            killed.ask("on_event", **rules)
            world.fill(1)
            publisher.ask("publish_event", event=EVENT, data={"id": 0, "holds": True, "keys": [f"{KEY}:0"]})
            killed.enters(EVENT)
            with world.members(other) as [survivor]:
                survivor.ask("on_event", **rules)
                began = time.monotonic()
                killed.kill()
                survivor.enters(EVENT)
                took.append((time.monotonic() - began) * 1000)
                findings.must(survivor.ask("told")["handled"]["0"][1] == 2, f"{other}: it was not a second attempt")
                findings.must(soon(lambda: world.entries(0, 1) == 0), f"{other}: the entry was left")
    findings.within("redelivered after the kill", max(took), REDELIVERED_AFTER_MS + BUSY_MS, "ms", loosely=4)
    return (
        f"killed inside its handler: given to another process {max(took):.0f} ms after the kill at most "
        f"(redeliver_after {REDELIVERED_AFTER_MS} ms)"
    )


def _lag(findings: Findings, world: World, count: int) -> str:
    rounds = min(count, 2_000)
    step = min(count, 200)
    said = []
    for language, other in (LANGUAGES, LANGUAGES[::-1]):
        world.client.flushall()
        with world.members(language) as [publisher], world.members(other) as [handler]:
            handler.ask("on_event", event=EVENT)
            times: list[list[int]] = []
            began: dict[str, list[int]] = {}
            for _ in range(0, rounds, step):
                times_here = publisher.ask("publish_timed", event=EVENT, count=step, key=KEY)
                began = handler.ask("told")["handled"]
                times += [
                    [began[str(id)][0] - published, gone - published] for id, (published, gone) in enumerate(times_here)
                ]
        begins, gone = ([each[at] / 1000 for each in times] for at in (0, 1))
        findings.within(f"{language} to {other}: handler begins, median", median(begins), 2, "ms", loosely=25)
        said.append(
            f"{language.title()} to {other.title()} handler begins {median(begins):.2f} ms (p99 {p99(begins):.1f}), "
            f"invalidated {median(gone):.2f} ms (p99 {p99(gone):.1f})"
        )
    return f"behind the publication: {', '.join(said)}"


def _naive() -> int:
    """How many entries are left of a service that listens to a channel, and was down while it was told."""
    with RedisServer() as server:
        client = server.client()
        client.mset({f"row:{id}": "old" for id in range(500)})
        for id in range(500):
            client.publish(EVENT, f"row:{id}")
        with client.pubsub() as channel:  # type: ignore[no-untyped-call]  # redis-py's
            channel.subscribe(EVENT)
            while message := channel.get_message(timeout=0.5):
                if message["type"] == "message":
                    client.delete(message["data"])
        return sum(int(client.exists(f"row:{id}")) for id in range(500))


ROW = Row(
    number=25,
    fault="events: a service down for a while, and past the stream's trim",
    passes_when="catches up; past the trim drops L1 and says so",
    run=run,
)
