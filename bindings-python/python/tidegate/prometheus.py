"""What managers count, on a registry of `prometheus_client`.

>>> from prometheus_client import CollectorRegistry, generate_latest
>>> from tidegate.sync import CacheManager
>>> registry = CollectorRegistry()
>>> cache = CacheManager(service="billing")
>>> instrumented = instrument(cache, registry=registry)
>>> cache.get("user:profile:42", lambda: "Ada")
'Ada'
>>> b'tidegate_sets_total{role="cache",service="billing"} 1.0' in generate_latest(registry)
True
>>> instrumented.close()
>>> generate_latest(registry)
b''
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet, ref

from ._base import ManagerBase
from ._errors import ConfigError
from ._metrics import Buckets, merged

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        f'tidegate.prometheus needs prometheus_client ({error}): pip install "tidegate[prometheus]"', name=error.name
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry
    from typing_extensions import Self

    from ._metrics import MetricFamily

__all__ = ["Instrumented", "instrument"]

_lock = threading.RLock()
_collectors: WeakKeyDictionary[CollectorRegistry, _Managers] = WeakKeyDictionary()
"""One for each registry, however many managers it has: samples of one name are of one family."""


class Instrumented:
    """That a manager is on a registry. `close()` takes it off, and so does the end of a `with` block."""

    __slots__ = ("_manager", "_registry")

    def __init__(self, manager: ManagerBase, registry: CollectorRegistry) -> None:
        self._manager = ref(manager)
        self._registry = registry

    def close(self) -> None:
        """Take the manager off the registry; does nothing when it is not there."""
        with _lock:
            collector, manager = _collectors.get(self._registry), self._manager()
            if collector is not None:
                if manager is not None:
                    collector.managers.discard(manager)
                if not collector.managers:
                    del _collectors[self._registry]
                    self._registry.unregister(collector)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def instrument(cache: ManagerBase, *, registry: CollectorRegistry = REGISTRY) -> Instrumented:
    """Have `registry` tell what `cache`, an async or a blocking manager, counts: `docs/observability/metrics.md`.

    A view (of a namespace, of a tenant) stands for its manager. Once is enough: a second time changes nothing. The
    registry keeps no manager alive: one that is closed, or that nobody holds any more, is told of no longer.
    Nothing is computed before a scrape. `ConfigError` for what is no manager.
    """
    if not isinstance(cache, ManagerBase):
        raise ConfigError(f"cache={cache!r} is no manager; a right example: instrument(CacheManager())")
    manager = cache._root or cache
    with _lock:
        collector = _collectors.get(registry)
        if collector is None:
            collector = _Managers(manager)
            # First: a registry that has families of these names refuses.
            registry.register(collector)
            _collectors[registry] = collector
        collector.managers.add(manager)
    return Instrumented(manager, registry)


class _Managers(Collector):
    """All managers of one registry, as one collector."""

    def __init__(self, first: ManagerBase) -> None:
        self.managers: WeakSet[ManagerBase] = WeakSet()
        self._described = [family._replace(samples=[]) for family in first.metrics()]

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry to look for others of the same."""
        return map(_told, self._described)

    def collect(self) -> Iterator[Metric]:
        """What is told at a scrape."""
        with _lock:
            managers = [manager for manager in self.managers if not manager._native.closed]
        return map(_told, merged([manager.metrics() for manager in managers]))


def _told(of: MetricFamily) -> Metric:
    name, help, kind, _, samples = of
    labels = list(samples[0].labels) if samples else ()
    if kind == "histogram":
        histogram = HistogramMetricFamily(name, help, labels=labels)
        for sample in samples:
            if isinstance(sample.value, Buckets):
                buckets = [(str(bound), float(count)) for bound, count in sample.value.counts]
                buckets.append(("+Inf", sample.value.count))
                histogram.add_metric(list(sample.labels.values()), buckets, sample.value.sum)
        return histogram
    told = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, help, labels=labels)
    for sample in samples:
        if not isinstance(sample.value, Buckets):
            told.add_metric(list(sample.labels.values()), sample.value)
    return told
