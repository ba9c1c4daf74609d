"""Row 23: rows of a real database are written through the cache by a fleet that reads them at the same time.

A round is one key: one to three writers and a few readers, of both languages, which begin within a few milliseconds of
each other. Some `persist`s fail before or after the row has changed, some writers are killed between the database and
the cache, some answers of Redis are lost. When all of a round's calls have ended, the cache and the database must
agree: whoever reads the key, in any process, is given what the row holds. Many rounds go on at once.

A killed writer's mark stands for 10 s more. The readers are not made to wait for it: what stood in the cache is gone
since the writer began, and while the mark stands nobody stores anything, so that reads agree at once; and once more, at
the very end, when all marks have run out and what was read has been stored. A write that Redis did not confirm is
journalled by its process: its key is given JOURNAL_SECONDS, in which that process tells it again. Members whose answers
are lost are not killed: a journal dies with its process (docs/reliability.md says so).
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.row import Findings, Length, Result, Row
from tests.faults.writer import CONNECTIONS
from tests.support.child import Child, child, commands
from tests.support.database import Database, database
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

LANGUAGES = commands("tests/faults", "writer")
DIRECT, THROUGH_THE_PROXY = 2, 1
"""Members of each language."""
AT_ONCE = 50
"""Rounds."""
LOST_SHARE = 0.01
MARK_SECONDS = 10.0
JOURNAL_SECONDS = 5.0
OPTIONS = {"lease": "300ms", "wait": "2s", "command_timeout": "1s"}
"""A busy machine is no outage; and what is read beside a mark is not to wait for long."""


@dataclass
class Member:
    """A process of the fleet."""

    language: str
    url: str
    may_die: bool
    process: Child
    ending: ExitStack


@dataclass
class Fleet:
    """Its members, on one database."""

    contender: str
    rows: Path
    members: list[Member] = field(default_factory=list)

    def add(self, language: str, url: str, *, may_die: bool) -> Member:
        """One more."""
        ending = ExitStack()
        options = json.dumps(OPTIONS if self.contender == "tidegate" else {})
        process = ending.enter_context(child(*LANGUAGES[language], self.contender, url, str(self.rows), options))
        member = Member(language, url, may_die, process, ending)
        # It has opened its connections to the database when it answers.
        process.ask(check=[])
        self.members.append(member)
        return member

    def bury(self, member: Member) -> None:
        """It has been killed; another takes its place."""
        self.members.remove(member)
        member.process.process.wait()
        member.ending.close()
        self.add(member.language, member.url, may_die=True)

    def end(self) -> None:
        """All of them."""
        for member in self.members:
            member.ending.close()


@dataclass
class Seen:
    """What a fleet came to."""

    rounds: int = 0
    apart: int = 0
    """Rounds whose key was read as something else than its row."""
    apart_late: int = 0
    """The same at the very end."""
    came: Counter[str] = field(default_factory=Counter)
    killed: int = 0


def run(length: Length) -> Result:
    """The naive manager first, for a while; then as many rounds as are asked for."""
    findings = Findings(length)
    naive = _race("naive", rounds=length.of(100, 500))
    seen = _race("tidegate", rounds=length.of(300, 10_000))
    findings.bites(naive.apart > 0, f"the naive manager's database and cache agree: {naive}")
    findings.bites(seen.killed > 0, "nobody was killed")
    findings.bites(seen.came["failed"] > 0 and seen.came["unstored"] > 0, f"nothing went wrong: {seen.came}")
    findings.bites(seen.came["stored"] > 0, f"nothing was stored: {seen.came}")
    findings.must(seen.apart == 0, f"{seen.apart:,} of {seen.rounds:,} rounds ended with database and cache apart")
    findings.must(seen.apart_late == 0, f"{seen.apart_late:,} keys were apart when all marks had run out")
    writes = sum(seen.came[kind] for kind in ("stored", "unstored", "failed"))
    members = f"{DIRECT + THROUGH_THE_PROXY} Python + {DIRECT + THROUGH_THE_PROXY} Node processes"
    return findings.result(
        measured=f"{members}: {seen.rounds:,} rounds with {writes:,} writes and {seen.came['read']:,} reads at the "
        f"same time: {seen.apart} apart, and {seen.apart_late} once the marks of killed writers had run out; "
        f"{seen.came['stored']:,} writes left their value in the cache",
        bit=f"naive: {naive.apart:,} of {naive.rounds:,} rounds ended with database and cache apart; "
        f"{seen.came['failed']:,} persists failed, {seen.killed:,} writers were killed between database and cache, "
        f"{seen.came['lost']:,} answers were lost",
        rounds=seen.rounds,
    )


def _race(contender: str, *, rounds: int) -> Seen:
    seen, chance = Seen(), random.Random(23)
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer() as server,
        Proxy(server.url) as proxy,
        database(Path(folder)) as rows,
        _fleet(contender, rows, server.url, proxy.url) as fleet,
    ):
        ours = Database(rows)
        for first in range(0, rounds, AT_ONCE):
            keys = [f"row:number:{number}" for number in range(first, min(first + AT_ONCE, rounds))]
            proxy.lose_answers(LOST_SHARE)
            unsure = _together(fleet, keys, seen, chance)
            proxy.heal()
            ours.ask(settled=len(fleet.members) * CONNECTIONS)
            seen.rounds += len(keys)
            # The naive manager tells nothing again: there is nothing to wait for.
            waits = unsure if contender == "tidegate" else set()
            seen.apart += len(_apart(fleet, ours, keys, waits, chance))
        seen.came["lost"] = proxy.seen["lost"]
        if contender == "tidegate":
            time.sleep(MARK_SECONDS + 1)
            every = [f"row:number:{number}" for number in range(rounds)]
            for _ in range(2):  # what the first stores, the second is given
                seen.apart_late += len(_apart(fleet, ours, every, set(), chance))
        ours.close()
    return seen


@contextmanager
def _fleet(contender: str, rows: Path, url: str, proxied: str) -> Iterator[Fleet]:
    fleet = Fleet(contender, rows)
    try:
        for language in LANGUAGES:
            for _ in range(DIRECT):
                fleet.add(language, url, may_die=True)
            for _ in range(THROUGH_THE_PROXY):
                fleet.add(language, proxied, may_die=False)
        yield fleet
    finally:
        fleet.end()


def _together(fleet: Fleet, keys: list[str], seen: Seen, chance: random.Random) -> set[str]:
    """All the rounds of these keys at once; gives those of which a write was not confirmed to hold."""
    calls: list[list[dict[str, Any]]] = [[] for _ in fleet.members]
    # One process a time dies, in the middle of all that it does.
    victim = chance.choice([at for at, member in enumerate(fleet.members) if member.may_die])
    deadly = chance.choice(keys)
    for key in keys:
        for _ in range(chance.randint(1, 3)):
            ends = chance.choices(["", "before", "after"], weights=[8, 1, 1])[0]
            calls[chance.randrange(len(calls))].append(_write(key, ends, chance))
        for _ in range(chance.randint(2, 4)):
            calls[chance.randrange(len(calls))].append({"key": key, "at_ms": chance.randint(0, 30)})
    calls[victim].append(_write(deadly, "dies", chance))
    for member, these in zip(fleet.members, calls, strict=True):
        member.process.tell(json.dumps({"do": these}))
    unsure = set()
    for at, (member, these) in enumerate(zip(list(fleet.members), calls, strict=True)):
        try:
            came = member.process.hear()["came"]
        except ValueError:
            assert at == victim, "nobody else was to die"
            seen.killed += 1
            fleet.bury(member)
            continue
        seen.came.update(came)
        if not member.may_die:
            unsure |= {call["key"] for call, end in zip(these, came, strict=True) if end in ("unstored", "failed")}
    return unsure


def _write(key: str, ends: str, chance: random.Random) -> dict[str, Any]:
    times = {name: chance.randint(0, 10) for name in ("at_ms", "before_ms", "after_ms")}
    return {"key": key, **times, "value": chance.getrandbits(40), "ends": ends}


def _apart(fleet: Fleet, ours: Database, keys: list[str], unsure: set[str], chance: random.Random) -> set[str]:
    """The keys that a process of one or the other language reads as something else than the database."""
    began = time.monotonic()
    apart: set[str] = set()
    for language in LANGUAGES:
        reader = chance.choice([member for member in fleet.members if member.language == language])
        wrong = _wrong(reader, ours, keys)
        while (owed := wrong & unsure) and time.monotonic() - began < JOURNAL_SECONDS:
            time.sleep(0.05)
            wrong = (wrong - owed) | _wrong(reader, ours, sorted(owed))
        apart |= wrong
    return apart


def _wrong(reader: Member, ours: Database, keys: list[str]) -> set[str]:
    came = reader.process.ask(check=keys)["came"]
    rows = ours.ask(all=True)
    return {key for key, value in zip(keys, came, strict=True) if value != rows.get(key)}


ROW = Row(
    number=23,
    fault="write-through with concurrent readers and writers, 10,000 rounds",
    passes_when="database and cache agree at the end of each",
    run=run,
)
