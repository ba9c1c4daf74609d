"""What the rows that race invalidations against fills share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import count

from tests.faults.row import Findings
from tests.race import race


def naive_is_stale(findings: Findings, naive: race.Result) -> str:
    """The fault bites: a cache without fences is fooled. What to say of it."""
    findings.bites(naive.stale > 0, f"it does not fool even the naive manager: {naive}")
    return f"naive: {naive.stale:,} stale reads of {naive.reads:,}"


def must_be_coherent(findings: Findings, seen: race.Result) -> None:
    """No read is stale, no caller is told of an error, and it was a cache that answered."""
    findings.must(seen.stale == 0, f"{seen.stale:,} stale reads of {seen.reads:,}")
    findings.must(seen.stale_at_home == 0, f"{seen.stale_at_home:,} reads were stale in the process that invalidated")
    findings.must(not seen.errors, f"errors: {dict(seen.errors.most_common(3))}")
    findings.bites(seen.fallbacks < seen.reads, "nothing came from the cache")


def until(reached: Callable[[race.Result], bool], url: str, *kinds: race.Settings) -> race.Result:
    """Races of these kinds in turn, of new seeds, added up, until it is reached."""
    (first, *others) = (race.run("tidegate", url, settings) for settings in kinds)
    total = reduce(added, others, first)
    for seed in count(2):
        if reached(total):
            break
        total = added(total, race.run("tidegate", url, replace(kinds[seed % len(kinds)], seed=seed)))
    return total


def added(one: race.Result, other: race.Result) -> race.Result:
    """Both as one, but for what is known by member."""
    return race.Result(
        name=one.name,
        reads=one.reads + other.reads,
        stale=one.stale + other.stale,
        fallbacks=one.fallbacks + other.fallbacks,
        invalidations=one.invalidations + other.invalidations,
        unconfirmed=one.unconfirmed + other.unconfirmed,
        stale_at_home=one.stale_at_home + other.stale_at_home,
        ages_us=tuple(sorted(one.ages_us + other.ages_us)),
        errors=one.errors + other.errors,
        by_member=(),
        breakers=(),
        weights=(),
    )
