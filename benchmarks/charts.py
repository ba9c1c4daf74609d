"""Draws the charts of `docs/performance/` from raw results, under an interpreter that has matplotlib.

    python -m benchmarks.charts RESULTS.json FOLDER

The same results give the same bytes.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.rounds import Figure, Series, figure, from_json

OURS = "#0b6e99"
THEIRS = "#b8b8b8"
OURS_NODE = "#2c9c69"
LANGUAGES = ("python", "node")
NAMES = {"python": "Python", "node": "Node.js"}
HUNG_SECONDS = 3


def load(path: Path) -> dict[str, list[Series]]:
    """The series of each scenario."""
    kept = json.loads(path.read_text())
    return {name: from_json(scenario["series"]) for name, scenario in kept["scenarios"].items()}


def bars(plt: Any, those: list[Series], metric: str, title: str, unit: str, *, best: str) -> Any:
    """A panel a language: one bar each with its spread, best on top; who ran more than one fallback is told so."""
    panels = [(language, _measured(those, language, metric)) for language in LANGUAGES]
    panels = [(language, found) for language, found in panels if found]
    rows = max((len(found) for _, found in panels), default=1)
    drawing, axes = plt.subplots(1, len(panels) or 1, figsize=(10, 0.8 + 0.34 * rows), squeeze=False)
    for (language, found), axis in zip(panels, axes[0], strict=False):
        found.sort(key=lambda pair: pair[1].median, reverse=best == "low")
        labels = [name for name, _ in found]
        middles = [took.median for _, took in found]
        colours = [OURS if name.startswith("tidegate") else THEIRS for name in labels]
        axis.barh(labels, middles, color=colours, xerr=_spread([took for _, took in found]), ecolor="#555555")
        for at, value in enumerate(middles):
            axis.annotate(f" {value:,.0f}", (max(value, found[at][1].high), at), va="center", fontsize=8)
        axis.set_title(NAMES[language], fontsize=10)
        axis.set_xlabel(unit, fontsize=8)
        axis.margins(x=0.18)
        _plain(axis)
    drawing.suptitle(title, fontsize=11)
    drawing.tight_layout()
    return drawing


def growth(plt: Any, those: list[Series]) -> Any:
    """Two panels of curves: keys held, callers who wait."""
    drawing, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    _curves(axes[0], those, "keys", "ns", "keys held in the process", "ns a hit")
    _curves(axes[1], those, "waiters", "last_ms", "callers who wait for one fallback", "ms until the last goes on")
    drawing.tight_layout()
    return drawing


def _curves(axis: Any, those: list[Series], setting: str, metric: str, xlabel: str, ylabel: str) -> None:
    lines: dict[tuple[str, str], list[tuple[int, Figure]]] = {}
    for each in those:
        took = figure(each, metric)
        if setting in each.setting and took is not None:
            lines.setdefault((each.contender, each.language), []).append((each.setting[setting], took))
    for (contender, language), points in lines.items():
        ours = contender.startswith("tidegate")
        colour = {"python": OURS, "node": OURS_NODE}[language]
        style = "-" if ours else ":"
        xs, ys = [x for x, _ in points], [took.median for _, took in points]
        axis.plot(xs, ys, style, color=colour, marker="o", markersize=3, label=f"{contender}, {NAMES[language]}")
        axis.fill_between(
            xs, [took.low for _, took in points], [took.high for _, took in points], color=colour, alpha=0.12
        )
    axis.set_xscale("log")
    if metric == "ns":
        axis.set_ylim(bottom=0)
    else:
        axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:,.6g}")
    axis.set_xlabel(xlabel, fontsize=8)
    axis.set_ylabel(ylabel, fontsize=8)
    if lines:
        axis.legend(fontsize=7, frameon=False)
    _plain(axis)


def _measured(those: list[Series], language: str, metric: str) -> list[tuple[str, Figure]]:
    found = [(_label(each), figure(each, metric)) for each in those if each.language == language]
    return [(name, took) for name, took in found if took is not None]


def _label(series: Series) -> str:
    fallbacks = figure(series, "fallbacks")
    many = fallbacks is not None and fallbacks.median > 1
    return f"{series.contender}, {fallbacks.median:.0f} fallbacks" if fallbacks and many else series.contender


def _spread(found: list[Figure]) -> list[list[float]]:
    return [[took.median - took.low for took in found], [took.high - took.median for took in found]]


def _plain(axis: Any) -> None:
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_xscale() == "linear":
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.xaxis.set_major_locator(import_module("matplotlib.ticker").MaxNLocator(4))


def main() -> None:
    """Draws what there are results for."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tidegate", "savefig.facecolor": "white", "font.family": "DejaVu Sans"})
    plt: Any = import_module("matplotlib.pyplot")
    scenarios, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
    hits = [each for each in scenarios.get("l2", []) if each.is_at(bytes=1024, callers=64)]
    hung = [each for each in scenarios.get("faults", []) if each.is_at(fault="hung")]
    cold = scenarios.get("stampede", [])
    drawings = {
        "l2": hits and bars(plt, hits, "rate", "Hits on Redis, 1 KB, 64 callers", "hits/s", best="high"),
        "faults": hung
        and bars(plt, hung, "longest_ms", f"The longest call while Redis hangs for {HUNG_SECONDS} s", "ms", best="low"),
        "stampede": cold
        and bars(plt, cold, "p99_ms", "Stampede of 1,000 callers: over the fallback's 200 ms, p99", "ms", best="low"),
        "growth": growth(plt, scenarios["growth"]) if "growth" in scenarios else None,
    }
    for name, drawing in drawings.items():
        if drawing:
            drawing.savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
