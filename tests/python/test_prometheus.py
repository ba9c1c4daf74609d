"""What a scrape is told, by `prometheus_client`, by the core's own text, and by `prom-client`: the same."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

import tidegate
import tidegate.sync
from tests.support.until import until
from tidegate.prometheus import Instrumented, instrument

from .conftest import Make, MakeBlocking

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability" / "metrics.md"
KEY = "user:profile:42"

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

# What the workload below has counted; all else is 0, or a duration, or of the process.
COUNTED = {
    ("requests_total", "l1"): 0,
    ("requests_total", "hit"): 3,
    ("requests_total", "miss"): 2,
    ("requests_total", "away"): 0,
    ("request_duration_seconds_count", "hit"): 3,
    ("request_duration_seconds_count", "miss"): 2,
    ("fallback_duration_seconds_count", "ok"): 1,
    ("invalidations_total", "confirmed"): 1,
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


def series(text: str, parsed: Any = parse) -> Series:
    """By name and labels, as a parser reads them that is not ours; no two of one name and labels."""
    found: Series = {}
    for family in parsed(text):
        for sample in family.samples:
            place = (sample.name, tuple(sorted(sample.labels.items())))
            assert place not in found, place
            found[place] = sample.value
    return found


def scraped(registry: CollectorRegistry) -> Series:
    return series(generate_latest(registry).decode())


def value(found: Series, name: str, **labels: str) -> float:
    """The one sample of `tidegate_name` that has these labels."""
    wanted = labels.items()
    (one,) = [seen for (full, has), seen in found.items() if full == f"tidegate_{name}" and wanted <= dict(has).items()]
    return one


def workload(cache: tidegate.sync.CacheManager) -> None:
    for _ in range(4):
        cache.get(KEY, lambda: "Ada")
    cache.get("user:profile:7", default=None)
    cache.invalidate(KEY)


def check(found: Series) -> None:
    counted = {
        (name, outcome): sum(
            seen
            for (full, labels), seen in found.items()
            if full == f"tidegate_{name}" and ("outcome", outcome) in labels
        )
        for name, outcome in COUNTED
    }
    assert counted == COUNTED
    assert value(found, "sets_total") == 1
    assert value(found, "request_duration_seconds_bucket", outcome="hit", le="+Inf") == 3
    assert value(found, "request_duration_seconds_sum", outcome="hit") > 0


def test_a_blocking_manager_on_a_registry(
    make_blocking: MakeBlocking, registry: CollectorRegistry, service: str
) -> None:
    cache = make_blocking()
    instrument(cache, registry=registry)
    workload(cache)
    # A caller is counted out a moment after it has been answered.
    until(lambda: value(scraped(registry), "waiting_callers") == 0, 5, "a caller waits")
    found = scraped(registry)
    check(found)
    assert found == series(cache.prometheus_text()), "the core's own text, by the same parser"
    openmetrics = series(generate_openmetrics(registry).decode(), parse_openmetrics)  # type: ignore[no-untyped-call]
    assert openmetrics == found
    assert {dict(labels)["service"] for _, labels in found} == {service}
    hits = value(found, "requests_total", outcome="hit") + value(found, "requests_total", outcome="l1")
    assert hits == cache.stats()["hits"]


async def test_an_async_manager_and_its_views_are_one(make: Make, registry: CollectorRegistry) -> None:
    cache = make()
    tenant = cache.tenant("acme")
    for one in (cache, tenant, cache.namespace("catalog"), cache):
        instrument(one, registry=registry)
    await tenant.get(KEY, lambda: "Ada")
    await cache.get(KEY, lambda: "Eve")
    found = scraped(registry)
    assert value(found, "requests_total", outcome="miss") == 2
    assert not any("acme" in text for _, labels in found for pair in labels for text in pair)


async def test_managers_of_one_registry_are_told_of_together(registry: CollectorRegistry) -> None:
    one = tidegate.CacheManager(service="one", l1="1MB")
    two = tidegate.sync.CacheManager(service="two")
    again = tidegate.sync.CacheManager(service="two")
    for cache in (one, two, again):
        instrument(cache, registry=registry)
    for _ in range(3):
        await one.get(KEY, lambda: "Ada")
    two.get(KEY, lambda: "Ada")
    again.get(KEY, lambda: "Ada")
    found = scraped(registry)
    assert value(found, "requests_total", service="one", outcome="l1") == 1
    assert value(found, "l1_entries", service="one") == 1
    # Nothing tells two managers of one service apart: their samples are one, or Prometheus would refuse the scrape.
    assert value(found, "requests_total", service="two", outcome="miss") == 2
    assert value(found, "request_duration_seconds_count", service="two", outcome="miss") == 2
    assert value(found, "breaker_state", service="two") == 0
    await one.close()
    found = scraped(registry)
    assert {dict(labels)["service"] for _, labels in found} == {"two"}, "a manager that is closed has left"
    again.close()
    del again, cache
    gc.collect()
    assert value(scraped(registry), "requests_total", service="two", outcome="miss") == 1
    two.close()


def test_a_registry_keeps_no_manager_alive(registry: CollectorRegistry) -> None:
    cache = tidegate.sync.CacheManager()
    instrumented = instrument(cache, registry=registry)
    assert scraped(registry)
    del cache
    gc.collect()
    assert scraped(registry) == {}
    instrumented.close()


def test_what_is_taken_off_may_be_put_on_again(registry: CollectorRegistry) -> None:
    cache = tidegate.sync.CacheManager()
    with instrument(cache, registry=registry) as instrumented:
        assert isinstance(instrumented, Instrumented)
        assert scraped(registry)
    assert generate_latest(registry) == b""
    instrumented.close()
    with instrument(cache, registry=registry):
        assert scraped(registry)


def test_two_registries_are_two(registry: CollectorRegistry) -> None:
    cache, other = tidegate.sync.CacheManager(), CollectorRegistry()
    with instrument(cache, registry=registry), instrument(cache, registry=other):
        assert scraped(registry).keys() == scraped(other).keys()
    assert scraped(registry) == scraped(other) == {}


def test_a_registry_that_has_the_names_refuses_and_nothing_is_left_behind(registry: CollectorRegistry) -> None:
    taken = Counter("tidegate_sets", "another's", registry=registry)
    cache = tidegate.sync.CacheManager()
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        instrument(cache, registry=registry)
    registry.unregister(taken)
    with instrument(cache, registry=registry):
        assert scraped(registry)


@pytest.mark.parametrize("given", [None, "memory://", object()])
def test_what_is_no_manager_is_refused(given: Any) -> None:
    with pytest.raises(tidegate.ConfigError, match="right example"):
        instrument(given)


def run(program: str, *options: str) -> str:
    ran = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout


def test_without_prometheus_client_the_error_says_what_to_install() -> None:
    told = run(
        """
        import sys
        sys.modules["prometheus_client"] = None
        try:
            import tidegate.prometheus
        except ImportError as error:
            print(error)
        """
    )
    assert 'pip install "tidegate[prometheus]"' in told


def test_the_package_imports_nothing_of_it() -> None:
    assert run("import sys, tidegate, tidegate.sync; print('prometheus_client' in sys.modules)").strip() == "False"


def test_the_default_is_the_registry_that_everybody_scrapes() -> None:
    told = run(
        """
        from prometheus_client import generate_latest
        from tidegate.sync import CacheManager
        from tidegate.prometheus import instrument
        cache = CacheManager()
        instrument(cache)
        print(generate_latest().decode())
        """
    )
    assert value(series(told), "sets_total") == 0


def test_a_multi_process_registry_asks_no_collector_and_each_process_tells_its_own(tmp_path: Path) -> None:
    # As docs/observability/metrics.md says of gunicorn.
    told = run(
        f"""
        import os
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = {str(tmp_path)!r}
        from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector
        from tidegate.sync import CacheManager
        from tidegate.prometheus import instrument
        cache = CacheManager()
        instrument(cache)
        Counter("others", "h").inc()
        together = CollectorRegistry()
        MultiProcessCollector(together)
        names = [line.split()[2] for line in generate_latest(together).decode().splitlines() if "# TYPE" in line]
        print(names, "tidegate_sets_total" in generate_latest(REGISTRY).decode())
        """
    )
    assert told == "['others_total'] True\n"


NODE = """
import { Registry } from 'prom-client';
import { CacheManager } from 'tidegate';
import { instrument } from 'tidegate/prometheus';

const register = new Registry();
const cache = new CacheManager({ service: 'parity' });
instrument(cache, { register });
for (let times = 0; times < 4; times += 1) await cache.get('user:profile:42', () => 'Ada');
await cache.get('user:profile:7', { default: null });
await cache.invalidate('user:profile:42');
const texts = [await register.metrics(), cache.prometheusText()];
await cache.close();
console.log(JSON.stringify(texts));
"""


def test_every_language_tells_the_same_names_labels_and_counts(registry: CollectorRegistry) -> None:
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", NODE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    by_prom_client, by_core = json.loads(ran.stdout)
    cache = tidegate.sync.CacheManager(service="parity")
    instrument(cache, registry=registry)
    workload(cache)
    told = [scraped(registry), series(cache.prometheus_text()), series(by_prom_client), series(by_core)]
    for found in told:
        check(found)
        assert found.keys() == told[0].keys()
    texts = [generate_latest(registry).decode(), by_prom_client, by_core]
    first, *others = [{family.name: (family.documentation, family.type) for family in parse(text)} for text in texts]
    assert all(other == first for other in others)
    cache.close()


def test_the_families_of_the_page_are_the_families_there_are() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `tidegate_")
    ]
    listed = {
        row[0].strip("`"): (row[1], [label.strip(" `") for label in row[2].split(",") if label.strip()]) for row in rows
    }
    assert len(listed) == len(rows)
    known = {
        family.name: (
            family.kind,
            # Those of servers are there once somebody has looked at them.
            [label for sample in family.samples[:1] for label in sample.labels if label not in ("service", "role")],
        )
        for family in tidegate.sync.CacheManager().metrics()
    }
    assert listed == known
