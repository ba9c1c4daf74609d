"""What a monitoring system scrapes, as Python sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ._tidegate import metric_families

if TYPE_CHECKING:
    from ._tidegate import Cache


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram. Those beyond the last bound are in `count` alone."""

    counts: list[tuple[float, int]]
    """Upper bounds in seconds, each with how many took no longer."""
    count: int
    sum: float
    """Seconds."""


class MetricSample(NamedTuple):
    """One figure of a family."""

    labels: dict[str, str]
    value: float | Buckets


class MetricFamily(NamedTuple):
    """All figures of one name."""

    name: str
    help: str
    kind: str
    """`counter`, `gauge` or `histogram`."""
    merge: str
    """What becomes of samples of the same labels, of two managers or processes: `sum`, `max` or `min`."""
    samples: list[MetricSample]


def families(native: Cache) -> list[MetricFamily]:
    """Those of one engine."""
    found = []
    for name, help, kind, merge, samples in metric_families(native):
        seen = [
            MetricSample(dict(labels), Buckets(*value) if isinstance(value, tuple) else value)
            for labels, value in samples
        ]
        found.append(MetricFamily(name, help, kind, merge, seen))
    return found


def merged(all_families: list[list[MetricFamily]]) -> list[MetricFamily]:
    """Those of several engines as one: what has the same labels becomes one sample."""
    by_name: dict[str, tuple[MetricFamily, dict[tuple[str, ...], MetricSample]]] = {}
    for families in all_families:
        for family in families:
            _, samples = by_name.setdefault(family.name, (family, {}))
            for sample in family.samples:
                place = tuple(sample.labels.values())
                before = samples.get(place)
                samples[place] = sample if before is None else _joined(before, sample, family.merge)
    return [family._replace(samples=list(samples.values())) for family, samples in by_name.values()]


def _joined(one: MetricSample, other: MetricSample, merge: str) -> MetricSample:
    if isinstance(one.value, Buckets) and isinstance(other.value, Buckets):
        pairs = zip(one.value.counts, other.value.counts, strict=True)
        counts = [(bound, count + more) for (bound, count), (_, more) in pairs]
        value = Buckets(counts, one.value.count + other.value.count, one.value.sum + other.value.sum)
        return one._replace(value=value)
    assert not isinstance(one.value, Buckets)
    assert not isinstance(other.value, Buckets)
    join = {"max": max, "min": min}.get(merge, _sum)
    return one._replace(value=join(one.value, other.value))


def _sum(one: float, other: float) -> float:
    return one + other
