"""The pictures of docs/observability: panels of the dashboard, from what a real Prometheus kept of a bad two minutes.

    python -m tests.observability.pictures record FILE.json     lets it happen: two minutes
    python -m tests.observability.pictures draw FILE.json       draws it, under an interpreter that has matplotlib

They are not pictures of Grafana: matplotlib draws panels of tidegate.json, each with its own queries, unit and limits.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "observability" / "pictures"
PANELS = json.loads((ROOT / "docs" / "observability" / "grafana" / "tidegate.json").read_text())["panels"]
ROWS = {
    "overview": "Overview",
    "latency": "Latency",
    "misses": "Misses and fallbacks",
    "errors": "Errors and breaker",
}
RATE_INTERVAL = "10s"
STEP_SECONDS = 1
COLUMN_INCHES, ROW_INCHES = 0.62, 0.36
COLOURS = {"green": "#2f8f4e", "yellow": "#c58a00", "red": "#c4314b"}
LINES = ["#0b6e99", "#c58a00", "#2c9c69", "#c4314b", "#7a5ea8", "#8a8a8a"]
# What happens, and for how many seconds.
GOOD, FLUSHED, FAILING, AWAY, AFTER = 40, 15, 15, 20, 30


def record(path: Path) -> None:
    """Lets it happen, and keeps what each query of the panels gives."""
    from tests.observability.shop import Shop  # what draws does without it

    with Shop() as shop:
        began = time.time()
        moments: list[tuple[float, str]] = []

        def now(what: str, seconds: float) -> None:
            moments.append((time.time() - began, what))
            time.sleep(seconds)

        shop.tell("api", reads=3)
        shop.tell("web", reads=2, new=0.15)
        now("", GOOD)
        with shop.redis.client() as client:
            client.flushall()
        shop.tell("web", new=0.8)
        now("flushed, and a crawler", FLUSHED)
        shop.tell("web", new=0.15)
        shop.tell("api", failing=0.6, fallback_ms=80)
        now("the database is slow and fails", FAILING)
        shop.tell("api", failing=0, fallback_ms=15)
        shop.redis.kill()
        now("Redis is down", AWAY)
        shop.redis.start()
        now("back", AFTER)
        ended = time.time()
        series = {}
        for query in {target["expr"] for panel in PANELS for target in panel.get("targets", [])}:
            asked = query.replace("$__rate_interval", RATE_INTERVAL).replace("$service", ".*").replace("$role", ".*")
            found = shop.prometheus.get(
                "query_range", query=asked, start=str(began), end=str(ended), step=str(STEP_SECONDS)
            )
            series[query] = [
                (one["metric"], [(at - began, float(value)) for at, value in one["values"]]) for one in found["result"]
            ]
    path.write_text(json.dumps({"moments": moments, "series": series}))


def draw(path: Path) -> None:
    """A picture for each of `ROWS`."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tidegate", "svg.fonttype": "none", "savefig.facecolor": "white"})
    plt: Any = import_module("matplotlib.pyplot")
    kept = json.loads(path.read_text())
    FOLDER.mkdir(exist_ok=True)
    for name, title in ROWS.items():
        panels = _of_row(title)
        left, top = min(panel["gridPos"]["y"] for panel in panels), max(_bottom(panel) for panel in panels)
        height = top - left
        drawing = plt.figure(figsize=(24 * COLUMN_INCHES, height * ROW_INCHES))
        for panel in panels:
            place = panel["gridPos"]
            box = (
                place["x"] / 24 + 0.03,
                1 - (place["y"] - left + place["h"] - (1.9 if panel["type"] == "timeseries" else 0.5)) / height,
                place["w"] / 24 - 0.045,
                (place["h"] - (3.3 if panel["type"] == "timeseries" else 1.8)) / height,
            )
            axis = drawing.add_axes(box)
            axis.set_title(panel["title"], fontsize=9, loc="left")
            {"stat": _stat, "timeseries": _graph}[panel["type"]](axis, panel, kept)
        drawing.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
        plt.close(drawing)


def _of_row(title: str) -> list[dict[str, Any]]:
    begin = next(i for i, panel in enumerate(PANELS) if panel["title"] == title and panel["type"] == "row") + 1
    end = next((i for i, panel in enumerate(PANELS) if i >= begin and panel["type"] == "row"), len(PANELS))
    panels: list[dict[str, Any]] = PANELS[begin:end]
    return panels


def _bottom(panel: dict[str, Any]) -> int:
    place = panel["gridPos"]
    return int(place["y"] + place["h"])


def _lines(panel: dict[str, Any], kept: dict[str, Any]) -> list[tuple[str, list[float], list[float]]]:
    """Legend, times and values of each line."""
    lines = []
    for target in panel["targets"]:
        for labels, points in kept["series"][target["expr"]]:
            legend = target["legendFormat"]
            for label, value in labels.items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            lines.append(
                (re.sub(r"{{\w+}}", "", legend).strip(), [at for at, _ in points], [value for _, value in points])
            )
    return lines


def _broken(times: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """With a NaN wherever a moment is missing, so that no line is drawn there."""
    at, told = times[:1], values[:1]
    for before, time_, value in zip(times, times[1:], values[1:], strict=False):
        if time_ - before > 1.5 * STEP_SECONDS:
            at.append(before)
            told.append(math.nan)
        at.append(time_)
        told.append(value)
    return at, told


def _units(unit: str) -> Callable[[float], str]:
    def words(value: float) -> str:
        if unit == "percentunit":
            return f"{value * 100:.3g} %"
        if unit == "s":
            return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
        return f"{value:.3g}{' /s' if unit in ('reqps', 'ops') else ''}"

    return words


def _stat(axis: Any, panel: dict[str, Any], kept: dict[str, Any]) -> None:
    axis.set_axis_off()
    defaults = panel["fieldConfig"]["defaults"]
    words = _units(defaults["unit"])
    lines = _lines(panel, kept)
    for number, (legend, _, values) in enumerate(lines):
        last = next((value for value in reversed(values) if not math.isnan(value)), None)
        if last is None:
            continue
        colour = [step["color"] for step in defaults["thresholds"]["steps"] if (step["value"] or 0) <= last][-1]
        y = 1 - (number + 0.5) / len(lines)
        axis.text(0, y, words(last), fontsize=15, color=COLOURS[colour], va="center", transform=axis.transAxes)
        axis.text(1, y, legend, fontsize=8, color="#555555", va="center", ha="right", transform=axis.transAxes)


def _graph(axis: Any, panel: dict[str, Any], kept: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    words = _units(defaults["unit"])
    lines = sorted(
        _lines(panel, kept), key=lambda line: -max([value for value in line[2] if value == value], default=0)
    )
    # NaN is nothing; and of many lines those that stay at 0 are left out.
    is_shown: Callable[[float], bool] = bool if len(lines) > len(LINES) else (lambda _: True)
    shown = [line for line in lines if any(value == value and is_shown(value) for value in line[2])]
    if defaults["custom"]["stacking"]["mode"] == "normal" and shown:
        # Each moment of the longest line; what a line does not tell is nothing.
        times = max((line[1] for line in shown), key=len)
        heights = [[dict(zip(line[1], line[2], strict=True)).get(at, 0.0) for at in times] for line in shown]
        axis.stackplot(times, heights, labels=[line[0] for line in shown], colors=LINES, alpha=0.6)
    else:
        for number, (legend, times, values) in enumerate(shown):
            axis.plot(*_broken(times, values), color=LINES[number % len(LINES)], linewidth=1.2, label=legend)
    if defaults["custom"]["thresholdsStyle"]["mode"] == "line":
        for step in defaults["thresholds"]["steps"][1:]:
            axis.axhline(step["value"], color=COLOURS["red"], linewidth=0.8, linestyle="--")
    highest = defaults.get("max")
    axis.set_ylim(0, highest * 1.05 if highest else None)
    axis.set_xlim(0, sum((GOOD, FLUSHED, FAILING, AWAY, AFTER)))
    mapped = {int(at): text["text"] for each in defaults["mappings"] for at, text in each["options"].items()}
    if mapped:
        axis.set_yticks(list(mapped), list(mapped.values()))
    else:
        axis.yaxis.set_major_locator(import_module("matplotlib.ticker").MaxNLocator(4))
        axis.yaxis.set_major_formatter(lambda value, _: words(value))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.3)
    for at, what in kept["moments"]:
        if what:
            axis.axvline(at, color="#999999", linewidth=0.6)
            place = {"xycoords": ("data", "axes fraction"), "xytext": (-2, 0), "textcoords": "offset points"}
            look = {"fontsize": 6, "color": "#777777", "rotation": 90, "va": "top", "ha": "right"}
            axis.annotate(what, (at, 1), **place, **look)
    if shown:
        axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=3, borderaxespad=0)


if __name__ == "__main__":
    {"record": record, "draw": draw}[sys.argv[1]](Path(sys.argv[2]))
