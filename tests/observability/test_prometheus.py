"""A real Prometheus looks at two real services through a good time and a bad one, with the rules of docs/observability.

It happens once, for it takes half a minute: one test, and each of `CHECKS` looks at one thing that Prometheus has kept.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import pytest

import tidegate.sync
from docs.observability.grafana import make
from tests.observability.shop import ROLES, SERVICE, Shop
from tests.observability.test_rules import ALERT_NAMES, RECORD_NAMES
from tests.support.prometheus import promtool
from tests.support.until import until

T = TypeVar("T")

GOOD_SECONDS = 12
HAPPENS_SECONDS = 25.0
RATE_INTERVAL = "10s"

# Panels whose figures are 0 here, and rightly so.
ZERO = {
    "Events dropped": "nobody listens to events here",
    "Evictions of the server": "it has more memory than it needs",
    "Replicas connected": "it has none",
}
# Rules that give nothing here, and rightly so.
TOO_YOUNG = re.compile(r":usual1h$")

FAMILIES = {
    "tidegate_requests_total": "counter",
    "tidegate_request_duration_seconds": "histogram",
    "tidegate_fallback_duration_seconds": "histogram",
    "tidegate_sets_total": "counter",
    "tidegate_invalidations_total": "counter",
    "tidegate_wait_duration_seconds": "histogram",
    "tidegate_stale_served_total": "counter",
    "tidegate_refreshes_total": "counter",
    "tidegate_errors_total": "counter",
    "tidegate_breaker_state": "gauge",
    "tidegate_breaker_opened_total": "counter",
    "tidegate_connection_changes_total": "counter",
    "tidegate_waiting_callers": "gauge",
    "tidegate_l1_entries": "gauge",
    "tidegate_l1_bytes": "gauge",
    "tidegate_l1_evictions_total": "counter",
    "tidegate_queue_pending": "gauge",
    "tidegate_queue_dead_letters": "gauge",
    "tidegate_journal_entries": "gauge",
    "tidegate_events_dropped_total": "counter",
    "tidegate_server_up": "gauge",
    "tidegate_server_round_trip_seconds": "gauge",
    "tidegate_server_fragmentation_ratio": "gauge",
    "tidegate_server_memory_bytes": "gauge",
    "tidegate_server_memory_max_bytes": "gauge",
    "tidegate_server_connected_replicas": "gauge",
    "tidegate_server_evictions_total": "counter",
}


@dataclass
class Day:
    """A shop, and what was seen on the way."""

    shop: Shop
    began: float
    ended: float = 0.0
    corrupted: int = 0
    stats: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The states that each alert was seen in.
    alerts: dict[str, set[str]] = field(default_factory=dict)
    # Those that fired in the good time, with the role.
    good: set[tuple[str, str]] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def look(self) -> set[tuple[str, str]]:
        """Remembers the alerts of this moment; those that fire, with the role."""
        alerts = self.shop.prometheus.get("alerts")["alerts"]
        for alert in alerts:
            self.alerts.setdefault(alert["labels"]["alertname"], set()).add(alert["state"])
            self.words.extend(alert["annotations"].values())
        return {
            (alert["labels"]["alertname"], alert["labels"]["role"]) for alert in alerts if alert["state"] == "firing"
        }

    def fires(self, *names: str) -> bool:
        """Whether all of these have been seen firing by now."""
        self.look()
        return all("firing" in self.alerts.get(name, set()) for name in names)

    def until(self, *names: str, meanwhile: Callable[[], object] = bool) -> None:
        """Waits until all of these have been seen firing."""

        def are_seen() -> bool:
            meanwhile()
            return self.fires(*names)

        try:
            until(are_seen, HAPPENS_SECONDS, f"{names} do not fire", pause=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; seen were {self.alerts}") from error

    def series(self, expression: str) -> list[list[float]]:
        """The values of each of its series over the day, NaN left out."""
        expression = expression.replace("$__rate_interval", RATE_INTERVAL)
        expression = expression.replace("$service", SERVICE).replace("$role", ".*")
        found = self.shop.prometheus.get(
            "query_range", query=expression, start=str(self.began), end=str(self.ended), step="1"
        )
        values = [[float(value) for _, value in one["values"]] for one in found["result"]]
        return [[value for value in one if not math.isnan(value)] for one in values]


@contextmanager
def a_day() -> Iterator[Day]:
    """Lets it happen."""
    with Shop() as shop:
        day = Day(shop, time.time())
        prometheus = shop.prometheus

        # A good time for `api`, whose keys are hot; `web` asks mostly for new ones.
        shop.tell("api", reads=3)
        shop.tell("web", reads=2, new=0.9)
        day.until("TidegateHitRateLow", "TidegateDeadLetters")
        time.sleep(GOOD_SECONDS)
        day.good = day.look()

        # The database fails, and somebody writes under the service's keys.
        shop.tell("api", failing=0.5)
        day.until("TidegateFallbacksFailing")
        shop.tell("api", failing=0.0)

        def corrupt() -> None:
            day.corrupted += shop.corrupt()

        day.until("TidegateEntriesCorrupt", meanwhile=corrupt)

        # Redis dies, and comes back.
        shop.redis.kill()
        day.until("TidegateBreakerOpen", "TidegateReadsWithoutStore")
        shop.redis.start()
        closed = "max(tidegate_breaker_state) + sum(tidegate_journal_entries)"
        until(lambda: prometheus.value(closed) == 0, HAPPENS_SECONDS, "the breaker and the journals", pause=0.3)
        time.sleep(2)
        day.look()

        # All stand still, so that what they count and what Prometheus has of it are the same.
        for role in ROLES:
            shop.tell(role, reads=0)
        time.sleep(2.5)
        day.stats = {role: shop.tell(role) for role in ROLES}
        day.ended = time.time()
        yield day


CHECKS: list[Callable[[Day], None]] = []


def check(look: Callable[[Day], None]) -> Callable[[Day], None]:
    """One of those things."""
    CHECKS.append(look)
    return look


def for_each(things: Iterable[T]) -> Callable[[Callable[[Day, T], None]], Callable[[Day], None]]:
    """The same of several; tells of all that fail."""

    def of_all(look: Callable[[Day, T], None]) -> Callable[[Day], None]:
        @wraps(look)
        def look_at_all(day: Day) -> None:
            failed = []
            for thing in things:
                try:
                    look(day, thing)
                except (AssertionError, ValueError) as error:
                    failed.append(f"{thing}: {error}")
            assert not failed, "\n".join(failed)

        return look_at_all

    return of_all


@check
def both_services_are_scraped(day: Day) -> None:
    targets = day.shop.prometheus.get("targets")["activeTargets"]
    assert {(target["health"], target["lastError"]) for target in targets} == {("up", "")}
    assert len(targets) == len(ROLES)


@check
def prometheus_takes_its_configuration_and_all_rules(day: Day) -> None:
    assert "SUCCESS" in promtool("check", "config", str(day.shop.prometheus.config))
    groups = day.shop.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {*RECORD_NAMES, *ALERT_NAMES}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@check
@for_each(ROLES)
def promtool_finds_no_fault_in_the_metrics(day: Day, role: str) -> None:
    assert promtool("check", "metrics", stdin=day.shop.metrics(role)) == ""


def test_promtool_finds_no_fault_in_the_text_that_rust_writes() -> None:
    with tidegate.sync.CacheManager(service=SERVICE) as cache:
        assert cache.get("item:page:1", lambda: "value") == "value"
        text = cache.prometheus_text()
    assert "tidegate_sets_total" in text
    assert promtool("check", "metrics", stdin=text) == ""


@check
@for_each(ROLES)
def the_metrics_are_those_that_rules_and_dashboard_are_written_for(day: Day, role: str) -> None:
    text = day.shop.metrics(role)
    told = dict(re.findall(r"^# TYPE (tidegate_\w+) (\w+)$", text, re.MULTILINE))
    assert told == FAMILIES
    labels = {
        name
        for line in re.findall(r"^tidegate_\w+{(.*)}", text, re.MULTILINE)
        for name in re.findall(r"(\w+)=\"", line)
    }
    assert labels == {"service", "role", "operation", "outcome", "reason", "le"}


@check
def both_languages_tell_the_same_series(day: Day) -> None:
    def series(role: str) -> set[tuple[str, frozenset[tuple[str, str | float]]]]:
        found = re.findall(r"^(tidegate_\w+){(.*)} ", day.shop.metrics(role), re.MULTILINE)
        return {
            (name, frozenset(label(*pair) for pair in re.findall(r'(\w+)="(.*?)"', labels))) for name, labels in found
        }

    def label(name: str, value: str) -> tuple[str, str | float]:
        # 1.0 in Python is 1 in Node.
        return name, float(value) if name == "le" else "any" if name == "role" else value

    assert series("api") == series("web")


def test_rules_and_dashboard_name_no_other_metric() -> None:
    known = set(FAMILIES)
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "count", "sum")}
    rules = [
        (make.PAGE.parents[1] / "prometheus" / f"tidegate-{name}.yml").read_text() for name in ("recording", "alerts")
    ]
    named = set(re.findall(r"(?<!:)\b(tidegate_\w+)\b(?!:)", "".join([make.text(), *rules])))
    assert named
    assert named - known == set()


@check
@for_each(ROLES)
def the_recorded_hit_rate_is_that_of_stats(day: Day, role: str) -> None:
    stats = day.stats[role]
    recorded = day.shop.prometheus.value(f'service_role:tidegate_hits:ratio5m{{role="{role}"}}')
    assert recorded == pytest.approx(stats["hit_rate"], abs=0.03)
    of_l1 = day.shop.prometheus.value(f'service_role:tidegate_l1_hits:ratio5m{{role="{role}"}}')
    assert of_l1 == pytest.approx(stats["l1_hits"] / (stats["hits"] + stats["misses"]), abs=0.03)


@check
@for_each(ROLES)
def what_prometheus_has_counted_is_what_stats_says(day: Day, role: str) -> None:
    stats = day.stats[role]

    def total(metric: str, labels: str = "") -> float | None:
        return day.shop.prometheus.value(f'sum(tidegate_{metric}{{role="{role}",{labels}}})')

    assert stats["hits"] + stats["misses"] > 500
    assert total("requests_total", 'outcome=~"l1|hit|stale"') == stats["hits"]
    assert total("requests_total", 'outcome="miss"') == stats["misses"]
    assert total("fallback_duration_seconds_count") == stats["fallbacks"]
    assert total("fallback_duration_seconds_count", 'outcome="error"') == stats["fallback_errors"]
    assert total("sets_total") == stats["sets"]
    assert total("invalidations_total") == stats["invalidation_count"]
    assert total("wait_duration_seconds_count") == stats["waits"]
    assert total("stale_served_total") == stats["stale_served"]
    assert total("refreshes_total") == stats["refreshes"]
    assert total("errors_total") == stats["errors"]
    assert total("l1_entries") == stats["l1_entries"]
    assert total("l1_bytes") == stats["l1_bytes"]
    # A process that works on the queue waits there for work.
    waiting = total("waiting_callers")
    assert waiting is not None
    assert waiting <= 1


@check
def what_was_done_is_recorded(day: Day) -> None:
    """Rules whose values the services settle."""
    recorded = day.shop.prometheus.value
    # A fallback takes 15 ms, and a machine of tests its time.
    for what in ("fallback", "miss"):
        median = recorded(f'service_role:tidegate_{what}_duration_seconds:p50_5m{{role="web"}}')
        assert median is not None
        assert 0.01 <= median < 1
    # Poison of both, in a queue that either may work on.
    assert max(max(values) for values in day.series("service_role:tidegate_queue_dead_letters:max")) >= 2
    assert recorded('service_role:tidegate_breakers_open:count{role="api"}') == 0
    assert max(day.series('service_role:tidegate_breakers_open:count{role="api"}')[0]) == 1
    corrupt = recorded('sum(increase(tidegate_errors_total{reason="not_an_entry"}[5m]))')
    assert corrupt is not None
    assert 10 < corrupt < 1.5 * day.corrupted * len(ROLES)


@check
@for_each(RECORD_NAMES)
def a_recording_rule_gives_data(day: Day, name: str) -> None:
    assert any(day.series(name)) != bool(TOO_YOUNG.search(name))


@check
def alerts_fire_for_what_happened_and_for_nothing_else(day: Day) -> None:
    firing = {name for name, states in day.alerts.items() if "firing" in states}
    caused = {
        "TidegateHitRateLow",
        "TidegateDeadLetters",
        "TidegateFallbacksFailing",
        "TidegateEntriesCorrupt",
        "TidegateBreakerOpen",
        "TidegateReadsWithoutStore",
    }
    # With twenty entries L1 is too small, a server that is gone may open a breaker again and again, and on a busy
    # machine of tests a miss takes long.
    maybe = {
        "TidegateL1EvictingHeavily",
        "TidegateBreakerFlapping",
        "TidegateMissLatencyHigh",
        "TidegateStoreUnreachable",
    }
    assert caused <= firing <= caused | maybe
    # `api` asks for hot keys, and nothing was wrong yet but the poison.
    grave = {(name, role) for name, role in day.good if name not in maybe}
    assert {name for name, _ in grave} == {"TidegateHitRateLow", "TidegateDeadLetters"}
    assert ("TidegateHitRateLow", "web") in grave
    assert ("TidegateHitRateLow", "api") not in grave


@check
def an_alert_speaks_in_whole_sentences(day: Day) -> None:
    assert day.words
    assert [text for text in day.words if ("error" in text and "template" in text) or "<no value>" in text] == []
    assert any(re.fullmatch(r"shop \(web\): only \d+(\.\d+)?% of reads are hits", text) for text in day.words)


def _queries() -> list[tuple[str, str]]:
    panels = json.loads(make.PAGE.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


@check
@for_each(_queries())
def a_query_of_the_dashboard_gives_data(day: Day, panel: tuple[str, str]) -> None:
    title, query = panel
    values = [value for one in day.series(query) for value in one]
    if title in ZERO:
        assert set(values) == {0.0}
    else:
        assert any(values), f"{title} has {values[:9]}"


@check
def the_choices_and_the_marks_of_the_dashboard_give_data(day: Day) -> None:
    dashboard = json.loads(make.PAGE.read_text())
    get = day.shop.prometheus.get
    series = {name: {"match[]": f"tidegate_requests_total{labels}"} for name, labels in [("service", ""), ("role", "")]}
    assert {name: get(f"label/{name}/values", **match) for name, match in series.items()} == {
        "service": [SERVICE],
        "role": sorted(ROLES),
    }
    (marks,) = dashboard["annotations"]["list"]
    assert any(day.series(marks["expr"]))


@pytest.mark.timeout(240)
def test_prometheus_sees_a_good_time_and_a_bad_one(subtests: pytest.Subtests) -> None:
    with a_day() as day:
        for look in CHECKS:
            with subtests.test(look.__name__):
                look(day)
    assert len(CHECKS) > 10
