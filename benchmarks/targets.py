"""The targets of the design, each computed from results: what is asked, what was measured, and how much is missing.

Ratios are of medians in one run. The machines are noisy: up to 20 % below is said to be within the slack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import Results
from benchmarks.rounds import Figure
from benchmarks.scenarios.common import KB, language_name, markdown, whole

SLACK = 0.2
LANGUAGES = ("python", "node")

Measured = Callable[[Results], "float | None"]


@dataclass(frozen=True)
class Target:
    """A row: at least, or at most, so much."""

    what: str
    beside: str
    limit: float
    measure: Measured
    unit: str = "×"
    at_most: bool = False

    def row(self, results: Results) -> list[str]:
        """As the table has it."""
        asked = f"{'at most ' if self.at_most else ''}{_number(self.limit)} {self.unit}"
        measured = self.measure(results)
        if measured is None:
            return [self.what, self.beside, asked, "–", "not measured"]
        return [self.what, self.beside, asked, f"{_number(measured)} {self.unit}", self._verdict(measured)]

    def _verdict(self, measured: float) -> str:
        if measured <= self.limit if self.at_most else measured >= self.limit:
            return "met"
        if not self.limit or not measured:
            return "**missed**"
        short = measured / self.limit - 1 if self.at_most else 1 - measured / self.limit
        if short <= SLACK:
            return f"within the slack: {short:.0%} {'over' if self.at_most else 'short'}"
        return f"**missed by {short:.0%}**"


def _number(number: float) -> str:
    return f"{number:.2f}" if number < 10 and number != int(number) else whole(number)


def _middle(found: Figure | None) -> float | None:
    return None if found is None else found.median


def _ratio(scenario: str, metric: str, language: str, ours: str, peer: str, **setting: object) -> Measured:
    """How many times the peer's rate; for times, how many times as fast."""

    def measured(results: Results) -> float | None:
        found = results.found(scenario)
        one = _middle(found.figure(metric, language, ours, **setting))
        other = _middle(found.figure(metric, language, peer, **setting))
        if not one or not other:
            return None
        return other / one if metric == "ns" else one / other

    return measured


def _value(scenario: str, metric: str, language: str, contender: str, **setting: object) -> Measured:
    return lambda results: _middle(results.found(scenario).figure(metric, language, contender, **setting))


def _cpu_aside_from_decoding(language: str) -> Measured:
    """CPU of an L2 hit less what decoding takes: an L1 hit with a copy of one's own less one without."""

    def measured(results: Results) -> float | None:
        cpu_us = _middle(results.found("l2").figure("cpu_us", language, "tidegate", bytes=KB, callers=64))
        own = _middle(results.found("l1").figure("ns", language, "tidegate-l1-own"))
        shared = _middle(results.found("l1").figure("ns", language, "tidegate-l1-shared"))
        if cpu_us is None or own is None or shared is None:
            return None
        return cpu_us - (own - shared) / 1000

    return measured


def _observed(language: str, tier: str) -> Measured:
    return _ratio("events", "rate", language, "observer", "none", tier=tier)


def _both(make: Callable[[str, str], list[Target]]) -> list[Target]:
    return [target for language in LANGUAGES for target in make(language, language_name(language))]


def _of_a_stampede(language: str, name: str) -> list[Target]:
    what = f"{name} stampede, 4 processes × 250 callers"
    return [
        Target(what, "", 1, _value("stampede", "fallbacks", language, "tidegate"), "fallbacks", at_most=True),
        Target(
            what, "", 15, _value("stampede", "p99_ms", language, "tidegate"), "ms over the fallback, p99", at_most=True
        ),
    ]


def _of_what_it_takes(language: str, name: str) -> list[Target]:
    memory = _value("memory", "bytes_each", language, "tidegate-l1-own")
    return [
        Target(
            f"{name} CPU per L2 hit, 64 callers",
            "decode aside",
            8,
            _cpu_aside_from_decoding(language),
            "µs",
            at_most=True,
        ),
        Target(f"{name}, one observer, L2", "events off", 0.9, _observed(language, "L2, 64 callers")),
        Target(f"{name} L1 memory over the value", "", 200, memory, "bytes an entry", at_most=True),
        Target(f"{name} import", "", 30, _value("startup", "import_ms", language, "tidegate"), "ms", at_most=True),
        Target(f"{name} import", "", 0, _value("startup", "threads", language, "tidegate"), "threads", at_most=True),
    ]


def _l2(language: str, peer: str, callers: int) -> Measured:
    return _ratio("l2", "rate", language, "tidegate", peer, bytes=KB, callers=callers)


TARGETS: list[Target] = [
    Target(
        "Python L1 hit, shared values",
        "`async def` over a dict",
        0.6,
        _ratio("l1", "ns", "python", "tidegate-l1-shared", "dict"),
    ),
    Target(
        "Python L1 hit, own copy, 1 KB JSON",
        "orjson in an `async def`",
        0.9,
        _ratio("l1", "ns", "python", "tidegate-l1-own", "dict-json"),
    ),
    Target(
        "Python decorated hit, one argument",
        "async-lru",
        3,
        _ratio("l1", "ns", "python", "tidegate-cached", "async-lru"),
    ),
    Target(
        "Node.js L1 hit, shared values",
        "`async` over a Map",
        0.5,
        _ratio("l1", "ns", "node", "tidegate-l1-shared", "map"),
    ),
    Target(
        "Node.js L1 hit, own copy, 1 KB",
        "`async` over a Map of JSON text",
        0.9,
        _ratio("l1", "ns", "node", "tidegate-l1-own", "map-json"),
    ),
    Target("Python L2, 1 KB JSON, 64 callers", "naive manager on redis-py", 8, _l2("python", "naive", 64)),
    Target("Python L2, 1 KB JSON, 64 callers", "valkey-glide with JSON", 2, _l2("python", "valkey-glide", 64)),
    Target("Python L2, 1 caller", "naive manager", 1, _l2("python", "naive", 1)),
    Target(
        "Python blocking L2, 16 threads",
        "redis-py blocking with JSON",
        2,
        _ratio("blocking", "rate", "python", "tidegate-sync", "redis-py-sync"),
    ),
    Target("Node.js L2, 1 KB JSON, 64 callers", "naive manager on ioredis", 1.5, _l2("node", "naive", 64)),
    Target("Node.js L2, 1 KB JSON, 64 callers", "ioredis auto-pipelined", 1.2, _l2("node", "ioredis-auto", 64)),
    Target("Node.js L2, 1 caller", "naive manager", 0.8, _l2("node", "naive", 1)),
    Target("Node.js L2, 16 callers", "naive manager", 0.8, _l2("node", "naive", 16)),
    Target(
        "Python miss, 64 callers", "naive manager", 5, _ratio("miss", "rate", "python", "tidegate", "naive", callers=64)
    ),
    Target(
        "Node.js miss, 64 callers",
        "naive manager",
        1.3,
        _ratio("miss", "rate", "node", "tidegate", "naive", callers=64),
    ),
    *_both(_of_a_stampede),
    *_both(_of_what_it_takes),
]


def table(results: Results) -> str:
    """All targets as Markdown."""
    header = ["what", "beside", ">asked", ">measured", "verdict"]
    return markdown(header, [target.row(results) for target in TARGETS])
