"""Raw results: every round of every scenario, kept as JSON beside the peers, so that a report can be made again.

A run replaces what it measured, scenario by scenario and language by language; the rest stays from runs before it.
Quick runs are kept apart.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.peers import cache_folder
from benchmarks.rounds import Series, from_json, to_json
from benchmarks.scenarios.common import Found

FULL = "results.json"
QUICK = "results-quick.json"


@dataclass
class Results:
    """What is known of every scenario, and the machine of the last run."""

    path: Path
    machine: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_quick(self) -> bool:
        """Whether they are of quick runs."""
        return self.path.name == QUICK

    def found(self, scenario: str) -> Found:
        """What a scenario measured, of both languages; empty where it never ran."""
        return Found(from_json(self.scenarios.get(scenario, {}).get("series", [])))

    def keep(self, scenario: str, measured: list[Series], languages: tuple[str, ...], how: dict[str, Any]) -> None:
        """Replace what these languages had."""
        others = [each for each in self.found(scenario).series if each.language and each.language not in languages]
        both = sorted([*others, *measured], key=lambda each: each.language, reverse=True)  # Python first
        self.scenarios[scenario] = {**how, "series": to_json(both)}

    def save(self) -> None:
        """Write them; whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"machine": self.machine, "scenarios": self.scenarios}, indent=1) + "\n")
        beside.replace(self.path)


def load(*, quick: bool) -> Results:
    """The results so far."""
    path = cache_folder() / (QUICK if quick else FULL)
    kept = json.loads(path.read_text()) if path.exists() else {}
    return Results(path, kept.get("machine", {}), kept.get("scenarios", {}))


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    redis = shutil.which("redis-server") or shutil.which("valkey-server") or ""
    return {
        "cores": f"{os.cpu_count()} ({_processor()})",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Node.js": _says("node", "--version").lstrip("v"),
        "Redis": "".join(re.findall(r"v=([\d.]+)", _says(redis, "--version"))[:1]),
        "date": today(),
    }


def today() -> str:
    """The date, in UTC."""
    return datetime.now(timezone.utc).date().isoformat()


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _says(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
