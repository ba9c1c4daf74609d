"""What the panels of tidegate.json are made of: queries in PromQL, and the JSON of a panel."""

from __future__ import annotations

from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WHOSE = "{{service}} {{role}}"
GREEN, RED = "green", "red"

Panel = dict[str, Any]


def of(metric: str, *labels: str) -> str:
    """The series of the services and roles that are chosen above the dashboard."""
    chosen = ",".join(('service=~"$service"', 'role=~"$role"', *labels))
    return f"{metric}{{{chosen}}}"


def rate(metric: str, *labels: str, by: str = "service, role") -> str:
    """Of a counter, by the second."""
    return f"sum by ({by}) (rate({of(metric, *labels)}[$__rate_interval]))"


def worst(metric: str) -> str:
    """Of a gauge that several processes tell about the same thing."""
    return f"max by (service, role) ({of(metric)})"


def total(metric: str) -> str:
    """Of a gauge that each process tells about itself."""
    return f"sum by (service, role) ({of(metric)})"


def quantile(q: float, metric: str, *labels: str) -> str:
    """Of a histogram, over all processes."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', *labels, by='service, role, le')})"


def p50_p99(metric: str, *labels: str) -> list[tuple[str, str]]:
    """Both, with their legends."""
    return [(quantile(q, metric, *labels), f"p{q * 100:.0f} {WHOSE}") for q in (0.5, 0.99)]


def share(part: str, whole: str) -> str:
    """Absent where there is nothing to be a share of."""
    return f"{part} / ({whole} > 0)"


def steps(*, start: str, **limits: float) -> list[dict[str, Any]]:
    """Thresholds: the colour from the start on, and from each limit on another."""
    return [{"color": start, "value": None}, *({"color": color, "value": value} for color, value in limits.items())]


def panel(
    kind: str,
    title: str,
    description: str,
    queries: list[tuple[str, str]],
    *,
    unit: str = "short",
    thresholds: list[dict[str, Any]] | None = None,
    stacked: bool = False,
    mappings: dict[str, str] | None = None,
    top: float | None = None,
) -> Panel:
    """One panel without its place."""
    defaults: dict[str, Any] = {
        "unit": unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": thresholds or steps(start=GREEN)},
        "mappings": [{"type": "value", "options": {value: {"text": text} for value, text in mappings.items()}}]
        if mappings
        else [],
    }
    if top is not None:
        defaults["max"] = top
    options: dict[str, Any]
    if kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value_and_name",
        }
    else:
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if stacked else 5,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if thresholds else "off"},
            "showPoints": "never",
        }
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend, "range": True}
            for i, (expr, legend) in enumerate(queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def stat(*arguments: Any, **options: Any) -> Panel:
    return panel("stat", *arguments, **options)


def graph(*arguments: Any, **options: Any) -> Panel:
    return panel("timeseries", *arguments, **options)
