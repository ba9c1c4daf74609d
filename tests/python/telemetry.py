"""OpenTelemetry's SDKs for tests, with all that they were given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from tidegate import CacheManager
from tidegate.otel import Instrumentation, instrument
from tidegate.sync import CacheManager as Blocking


class Telemetry:
    """The SDKs, with all that they were given."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self._reader])

    @property
    def tracer(self) -> Tracer:
        """The user's own."""
        return self.tracers.get_tracer("user")

    def instrument(self, cache: CacheManager | Blocking, **options: Any) -> Instrumentation:
        return instrument(cache, self.tracers, self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """What each instrument gives: attributes and value, or count."""
        data = self._reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {
            metric.name: [
                (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", None)))
                for point in metric.data.data_points
            ]
            for metric in metrics
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def said(span: ReadableSpan, *names: str) -> tuple[Any, ...]:
    return tuple((span.attributes or {}).get(f"tidegate.{name}") for name in names)


def links_of(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]
