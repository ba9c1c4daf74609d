"""`docs/performance.md` and its charts, made from raw results."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks import peers, targets
from benchmarks.results import Results
from benchmarks.scenarios import ALL
from benchmarks.scenarios.common import Scenario, markdown
from benchmarks.workers import ROOT

PAGE = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "performance"
CAPTIONS = {
    "faults": "How long the longest call took with Redis hung for 3 s",
    "stampede": "How much longer than the fallback the callers of a stampede waited",
    "l2": "Hits per second on Redis, 1 KB, 64 callers",
    "growth": "What a hit takes by the number of keys, and a wake by the number of waiters",
}

QUICK = "**These are of a quick run: they show that it works, no more.**"
INTRODUCTION = """\
# Performance

**Figures of tidegate beside what else one would use, every one measured by the command beside it.** They were made by

```sh
make bench
```

which installs its peers outside the repository, starts redis-servers of its own and takes about {minutes} minutes;
`make bench BENCH="--only l2"` measures one table again. [How it is measured, and how to add a
peer](../benchmarks/README.md).

{machine}

Contenders take turns, round by round, each in a process of its own; figures are medians of the rounds in which the
machine was quiet, by a canary before and after each; `~` marks where fewer than three were. The machine is shared, and
Redis runs on it too: ratios travel, absolute figures do not.
"""


def scenario_text(scenario: Scenario, results: Results) -> str:
    """What one scenario found."""
    kept = results.scenarios[scenario.name]
    run = f"{kept['date']}, `{kept['command']}`"
    return f"## {scenario.title}\n\n{scenario.about.strip()}\n\n{results_tables(scenario, results)}\n\n*{run}*"


def results_tables(scenario: Scenario, results: Results) -> str:
    """Its tables alone."""
    return scenario.tables(results.found(scenario.name)).replace("\n#### ", "\n### ").removeprefix("#")


def write(results: Results) -> None:
    """The page and its charts."""
    draw(results)
    parts = [_introduction(results), f"## Targets\n\n{targets.__doc__}\n{targets.table(results)}"]
    for name, scenario in ALL.items():
        if name in results.scenarios:
            parts.append(scenario_text(scenario, results) + _chart(name))
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def draw(results: Results) -> None:
    """Let `charts.py` draw, under the interpreter that has matplotlib."""
    CHARTS.mkdir(parents=True, exist_ok=True)
    command = [str(peers.python_peers()), "-m", "benchmarks.charts", str(results.path), str(CHARTS)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def _introduction(results: Results) -> str:
    minutes = round(sum(kept.get("took_seconds", 0) for kept in results.scenarios.values()) / 60)
    machine = markdown(["", ""], [[name, value] for name, value in results.machine.items()])
    text = INTRODUCTION.format(minutes=minutes, machine=machine)
    return text if not results.is_quick else f"{text}\n{QUICK}\n"


def _chart(name: str) -> str:
    path = Path("performance") / f"{name}.svg"
    return f"\n\n![{CAPTIONS[name]}]({path})" if (CHARTS / path.name).exists() and name in CAPTIONS else ""
