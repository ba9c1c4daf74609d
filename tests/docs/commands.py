"""Commands of pages that are not run, each kind with its reason, and what is checked of them instead."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from functools import cache

import tomli

from tests.support.fleet import ROOT

# Text of whole blocks that are not run, by why. Nothing here may be gone from the pages: a test looks.
NOT_RUN: dict[str, str] = {}

# Commands that need what a test has not, or change the machine.
ELSEWHERE = {
    "apt-get": "changes the machine",
    "docker": "needs its daemon",
    "docker-compose": "needs its daemon",
    "git": "fetches from elsewhere",
    "helm": "needs a cluster",
    "kubectl": "needs a cluster",
    "redis-server": "runs until it is ended",
    "sudo": "changes the machine",
    "systemctl": "changes the machine",
}


def _names(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


@cache
def _extras() -> set[str]:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def _check_pip(words: list[str]) -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    pinned = {re.split(r"[\[=<>;]", line)[0].strip().lower() for line in lines}
    for name in _names(words):
        package, _, rest = name.partition("[")
        if package in ("tidegate", "tidegate-lint"):
            named = {extra.strip() for extra in rest.rstrip("]").split(",") if rest}
            assert named <= _extras(), f"{name}: the extras are {sorted(_extras())}"
        else:
            assert re.split(r"[=<>~]", package)[0].lower() in pinned, f"{name} is not what the tests run with"


def _check_npm(words: list[str]) -> None:
    package = json.loads((ROOT / "package.json").read_text())
    known = {"tidegate", "tidegate-lint", *package["devDependencies"], *package["dependencies"]}
    for name in _names(words):
        assert name.startswith("@tidegate/") or name in known, f"{name} is not what the tests run with"


def _check_cargo(words: list[str]) -> None:
    lock = (ROOT / "Cargo.lock").read_text()
    for name in _names(words):
        if not name.isupper() and "," not in name:
            assert f'name = "{name}"' in lock, f"{name} is not what the tests run with"


def _check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in words:
        assert "=" in target or re.search(rf"^{re.escape(target)}:.*##", makefile, re.MULTILINE), f"make {target}"


INSTALLS: list[tuple[str, Callable[[list[str]], None]]] = [
    (r"(?:python3? -m )?pip install", _check_pip),
    (r"npm (?:install|i|add)", _check_npm),
    (r"cargo add", _check_cargo),
    (r"make", _check_make),
]


def left_to_run(script: str) -> str:
    """What is run of a script: all but what only installs, or is not for this machine. That must name what there is."""
    kept: list[str] = []
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] in ELSEWHERE:
            continue
        command = " ".join(words)
        for start, check in INSTALLS:
            begin = re.match(rf"{start}(?: |$)", command)
            if begin is not None:
                check(command[begin.end() :].split())
                break
        else:
            kept.append(line)
    return "\n".join(kept)
