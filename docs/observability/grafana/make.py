"""Writes tidegate.json, the Grafana dashboard, beside this file: `python -m docs.observability.grafana.make`.

Each panel is a few lines below: its title, what it is for, its queries with their legends, its unit. The queries read
the metrics themselves, so that the dashboard needs no recording rules and fits every zoom.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs.observability.grafana.shapes import (
    GREEN,
    RED,
    SOURCE,
    WHOSE,
    Panel,
    graph,
    of,
    p50_p99,
    quantile,
    rate,
    share,
    stat,
    steps,
    total,
    worst,
)

PAGE = Path(__file__).with_name("tidegate.json")
WIDTH = 24  # columns of Grafana's grid

REQUESTS = "tidegate_requests_total"
LOOKUPS = rate(REQUESTS, 'outcome!="away"')
# Not while most reads pass the store by: what is left then are callers who share a fallback, all of them hits.
HITS = rate(REQUESTS, 'outcome=~"l1|hit|stale"')
HIT_RATE = f"{HITS} / ({LOOKUPS} > 0.5 * {rate(REQUESTS)})"
AWAY = share(rate(REQUESTS, 'outcome="away"'), rate(REQUESTS))

ROWS: dict[str, tuple[int, list[Panel]]] = {
    # title: (height, panels); they share the width.
    "Overview": (
        5,
        [
            stat(
                "Hit rate",
                "Reads that the cache answered, stale or not, of those it was asked for. Under 60 % it hardly pays.",
                [(HIT_RATE, WHOSE)],
                unit="percentunit",
                thresholds=steps(start=RED, yellow=0.6, green=0.8),
                top=1,
            ),
            stat("Reads", "A second, all outcomes.", [(rate(REQUESTS), WHOSE)], unit="reqps"),
            stat(
                "Miss latency, median",
                "From the call to the answer, the fallback included: what a cold key costs its caller.",
                [(quantile(0.5, "tidegate_request_duration_seconds", 'outcome="miss"'), WHOSE)],
                unit="s",
                thresholds=steps(start=GREEN, yellow=0.1, red=0.2),
            ),
            stat(
                "Reads without the store",
                "Reads that ran their fallback because the store could not be asked: an outage, or its beginning.",
                [(AWAY, WHOSE)],
                unit="percentunit",
                thresholds=steps(start=GREEN, yellow=0.001, red=0.05),
            ),
            stat(
                "Processes with an open breaker",
                "Half open counts: the breaker is not closed.",
                [(f"sum by (service, role) ({of('tidegate_breaker_state')} >= bool 1)", WHOSE)],
                thresholds=steps(start=GREEN, red=1),
            ),
            stat(
                "Dead letters",
                "Acknowledged writes that the sink could not bring to the database. They wait for a person.",
                [(worst("tidegate_queue_dead_letters"), WHOSE)],
                thresholds=steps(start=GREEN, red=1),
            ),
        ],
    ),
    "": (
        8,
        [
            graph(
                "Hit rate",
                "The line is the alert's limit. A dip after a deploy or a flush mends itself; a slope does not.",
                [(HIT_RATE, WHOSE)],
                unit="percentunit",
                thresholds=steps(start=RED, green=0.6),
                top=1,
            ),
            graph(
                "Reads by outcome",
                "l1 and hit are cheap, stale is served while it is computed anew, miss and away run a fallback.",
                [(rate(REQUESTS, by="outcome"), "{{outcome}}")],
                unit="reqps",
                stacked=True,
            ),
        ],
    ),
    "Latency": (
        8,
        [
            graph(
                "Hits",
                "A round trip; or, for those who share a computation, its fallback. Hits of L1 are not timed.",
                p50_p99("tidegate_request_duration_seconds", 'outcome="hit"'),
                unit="s",
            ),
            graph(
                "Misses",
                "Lookup, wait and fallback. The line is the alert's limit for the median.",
                p50_p99("tidegate_request_duration_seconds", 'outcome="miss"'),
                unit="s",
                thresholds=steps(start=GREEN, red=0.2),
            ),
            graph("Fallbacks", "What is behind the cache.", p50_p99("tidegate_fallback_duration_seconds"), unit="s"),
            graph(
                "Waits",
                "For another process that computed the same key: about as long as a fallback. `wait` bounds them.",
                p50_p99("tidegate_wait_duration_seconds"),
                unit="s",
            ),
        ],
    ),
    "Misses and fallbacks": (
        8,
        [
            graph(
                "Misses, fallbacks, waits",
                "A miss is a computation: callers who share it are hits. Waits: processes that ask for the same keys.",
                [
                    (rate(REQUESTS, 'outcome="miss"'), f"misses {WHOSE}"),
                    (rate("tidegate_fallback_duration_seconds_count"), f"fallbacks {WHOSE}"),
                    (rate("tidegate_wait_duration_seconds_count"), f"waits {WHOSE}"),
                ],
                unit="ops",
            ),
            graph(
                "Fallbacks by outcome",
                "error: it raised. hard_timeout: it was given up.",
                [(rate("tidegate_fallback_duration_seconds_count", by="outcome"), "{{outcome}}")],
                unit="ops",
                stacked=True,
            ),
            graph(
                "Stale values served",
                "revalidating is as planned; else the fallback failed, was slow, or had no place to run.",
                [(rate("tidegate_stale_served_total", by="reason"), "{{reason}}")],
                unit="ops",
            ),
            graph(
                "Refreshes",
                "Computed though an entry stands: behind a stale value, early by chance, or because somebody asked.",
                [(rate("tidegate_refreshes_total", by="reason"), "{{reason}}")],
                unit="ops",
            ),
            graph(
                "Callers waiting",
                "At this moment, in all processes. Whoever works on a queue waits for work, and counts as one.",
                [(total("tidegate_waiting_callers"), WHOSE)],
            ),
        ],
    ),
    "Writes and invalidations": (
        8,
        [
            graph("Stored", "Fills, set, put and write_through.", [(rate("tidegate_sets_total"), WHOSE)], unit="ops"),
            graph(
                "Invalidations by operation",
                "One tag or namespace may take thousands of entries: look here when the hit rate falls.",
                [(rate("tidegate_invalidations_total", by="operation"), "{{operation}}")],
                unit="ops",
            ),
            graph(
                "Journalled invalidations",
                "Not confirmed when they ended: the store was away, and they are sent again.",
                [(rate("tidegate_invalidations_total", 'outcome="journalled"'), WHOSE)],
                unit="ops",
            ),
            graph(
                "Journal",
                "Invalidations that wait for the store. While there are any, other processes may read old values.",
                [(total("tidegate_journal_entries"), WHOSE)],
                thresholds=steps(start=GREEN, red=1),
            ),
        ],
    ),
    "Errors and breaker": (
        8,
        [
            graph(
                "Errors by reason",
                "Faults of the cache that no caller saw: docs/events.md lists them. No data is good news.",
                [(f"{rate('tidegate_errors_total', by='reason')} > 0", "{{reason}}")],
                unit="ops",
            ),
            graph(
                "Breaker",
                "The worst node of the worst process. 2 open: nothing is asked; 1 half open: a probe is under way.",
                [(worst("tidegate_breaker_state"), WHOSE)],
                mappings={"0": "closed", "1": "half open", "2": "open"},
                top=2,
            ),
            graph(
                "Breaker opened",
                "Often and short: an overloaded server, or a command_timeout near the round trip.",
                [(rate("tidegate_breaker_opened_total"), WHOSE)],
                unit="ops",
            ),
            graph(
                "Connection changes",
                "new_primary is a failover, or a slot that moved.",
                [(rate("tidegate_connection_changes_total", by="outcome"), "{{outcome}}")],
                unit="ops",
            ),
            graph(
                "Events dropped",
                "Observers are too slow. Metrics are not made of events, and stay right.",
                [(rate("tidegate_events_dropped_total"), WHOSE)],
                unit="ops",
            ),
        ],
    ),
    "L1": (
        8,
        [
            graph(
                "Hits of L1",
                "Of all lookups.",
                [(share(rate(REQUESTS, 'outcome="l1"'), LOOKUPS), WHOSE)],
                unit="percentunit",
                top=1,
            ),
            graph("Entries in L1", "In all processes.", [(total("tidegate_l1_entries"), WHOSE)]),
            graph("Bytes in L1", "In all processes.", [(total("tidegate_l1_bytes"), WHOSE)], unit="bytes"),
            graph(
                "Evictions of L1",
                "Dropped for want of room. One for every two hits or more: it is too small to be of use.",
                [(rate("tidegate_l1_evictions_total"), WHOSE)],
                unit="ops",
            ),
        ],
    ),
    "Write-behind": (
        8,
        [
            graph(
                "Pending writes",
                "Acknowledged, not yet in the database. All processes of a queue tell its length: the largest counts.",
                [(worst("tidegate_queue_pending"), WHOSE)],
            ),
            graph(
                "Dead letters",
                "Set aside after max_attempts.",
                [(worst("tidegate_queue_dead_letters"), WHOSE)],
                thresholds=steps(start=GREEN, red=1),
            ),
        ],
    ),
    "Server": (
        8,
        [
            graph(
                "Reachable",
                "1 where every process reached every node at its last health check.",
                [(f"min by (service, role) ({of('tidegate_server_up')})", WHOSE)],
                thresholds=steps(start=RED, green=1),
                top=1,
            ),
            graph(
                "Round trip", "Of the health check.", [(worst("tidegate_server_round_trip_seconds"), WHOSE)], unit="s"
            ),
            graph(
                "Fragmentation",
                "Memory taken from the machine, for each byte used. A server that stores little is always fragmented.",
                [(worst("tidegate_server_fragmentation_ratio"), WHOSE)],
                thresholds=steps(start=GREEN, red=1.5),
            ),
            graph(
                "Memory",
                "Used, and maxmemory where there is one.",
                [
                    (worst("tidegate_server_memory_bytes"), f"used {WHOSE}"),
                    (f"{worst('tidegate_server_memory_max_bytes')} > 0", f"maxmemory {WHOSE}"),
                ],
                unit="bytes",
            ),
            graph(
                "Evictions of the server",
                "Keys that went before their ttl.",
                [
                    (
                        f"max by (service, role) (rate({of('tidegate_server_evictions_total')}[$__rate_interval]))",
                        WHOSE,
                    )
                ],
                unit="ops",
            ),
            graph(
                "Replicas connected",
                "Of the primaries.",
                [(f"min by (service, role) ({of('tidegate_server_connected_replicas')})", WHOSE)],
            ),
        ],
    ),
}


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice above the dashboard: some values of a label, or all."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def placed() -> list[Panel]:
    """The panels in rows of the grid; a row without a title goes on with the one above."""
    panels: list[Panel] = []
    y = 0
    for title, (height, row) in ROWS.items():
        if title:
            place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
            panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
            y += 1
        at_once = len(row) if len(row) in (1, 2, 3, 4) or height < 8 else 3
        for i, one in enumerate(row):
            width = WIDTH // min(at_once, len(row) - i // at_once * at_once)
            place = {"x": i % at_once * width, "y": y + i // at_once * height, "w": width, "h": height}
            panels.append({**one, "gridPos": place})
        y += -(-len(row) // at_once) * height
    return [{"id": number, **one} for number, one in enumerate(panels, 1)]


def dashboard() -> dict[str, Any]:
    """The whole, as Grafana imports it."""
    return {
        "uid": "tidegate",
        "title": "tidegate",
        "description": "Hits, latency, misses, invalidations, faults, L1, write-behind, servers.",
        "tags": ["tidegate", "cache"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                variable("service", "Service", f"label_values({REQUESTS}, service)"),
                variable("role", "Role", f'label_values({REQUESTS}{{service=~"$service"}}, role)'),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": 'ALERTS{alertname=~"Tidegate.*",alertstate="firing",service=~"$service",role=~"$role"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": WHOSE,
                    "step": "60s",
                }
            ]
        },
        "panels": placed(),
    }


def text() -> str:
    """What stands in the file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
