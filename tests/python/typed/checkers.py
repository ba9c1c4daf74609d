"""What type checkers say of programs: one run of each, for what must pass and for what must not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.docs.pages import ALL, GUIDE
from tests.support.fleet import ROOT

TYPED = ROOT / "tests" / "python" / "typed"
WRONG = sorted((TYPED / "wrong").glob("*.py"))
"""Each line that is marked `# wrong: why` must be refused, and no other."""
RIGHT = sorted(TYPED.glob("*.py"))
EXAMPLES = ROOT / "examples"
UNTYPED = ["django"]
"""Examples on what has no types without a plugin of its own: models and their managers."""
PACKAGE = ROOT / "bindings-python" / "python"

Place = tuple[str, int]
"""The name of a file, and a line in it."""


def write_guide(folder: Path) -> list[Path]:
    """The Python of the guide, as a reader who has saved all of it has it."""
    written: list[Path] = []
    for block in ALL:
        if block.page.parent == GUIDE and block.language == "python":
            name = block.title or f"page_{block.line}.py"
            (folder / name).write_text(block.text)
            written.append(folder / name)
    return written


@cache
def wrong_places() -> set[Place]:
    """The lines that are marked."""
    return {(path.name, number) for path in WRONG for number, line in _lines(path) if "# wrong: " in line}


def not_refused() -> list[str]:
    """The mistakes that no type can tell, each with its reason."""
    return [line for path in WRONG for _, line in _lines(path) if "# not refused: " in line]


def mypy(folder: Path) -> dict[Place, str]:
    """What mypy refuses, in its strictest setting, and its words."""
    guide = write_guide(folder)
    command = [sys.executable, "-m", "mypy", "--strict", "--strict-equality", *map(str, (*RIGHT, *WRONG, *guide))]
    environment = {**os.environ, "MYPYPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert "error" in done.stdout, done.stdout + done.stderr
    return _refused(r"([^\s/]+\.py):(\d+): error: (.*)", done.stdout)


def pyright(folder: Path) -> dict[Place, str]:
    """What pyright refuses, in its strict setting, and its words."""
    programs = folder / "guide"
    programs.mkdir()
    guide = write_guide(programs)
    settings = {
        "include": [os.path.relpath(path, folder) for path in (*RIGHT, *WRONG, *guide, EXAMPLES)],
        "exclude": [os.path.relpath(EXAMPLES / name, folder) for name in UNTYPED],
        "extraPaths": [str(PACKAGE), str(programs), str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.10",
        "venvPath": str(ROOT),
        "venv": ".venv",
        "reportUnknownLambdaType": False,
        "reportUnusedFunction": False,
        # A mistake must be one of types, not of a line that comes to nothing.
        "reportUnusedExpression": False,
        # Packages that say nothing of their types are not ours.
        "reportMissingTypeStubs": False,
        "reportUnknownMemberType": False,
        "reportUnknownVariableType": False,
        "reportUnknownArgumentType": False,
        "reportUnknownParameterType": False,
        "reportUntypedFunctionDecorator": False,
        "reportDeprecated": False,
    }
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    command = ["npx", "--no-install", "pyright", "--project", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert " - error: " in done.stdout, done.stdout + done.stderr
    return _refused(r"([^\s/]+\.py):(\d+):\d+ - error: (.*)", done.stdout)


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    return enumerate(path.read_text().splitlines(), 1)


def _refused(pattern: str, out: str) -> dict[Place, str]:
    return {(name, int(line)): said for name, line, said in re.findall(pattern, out)}
