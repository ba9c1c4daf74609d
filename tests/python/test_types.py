"""The public types, as a user's type checker reads them, and the stubs of the native module."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _mypy(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_users_code_has_the_types_that_it_expects() -> None:
    assert "Success" in _mypy("mypy", "--strict", "tests/python/typed/user_code.py")


def test_the_stubs_are_those_of_the_native_module() -> None:
    assert "Success" in _mypy("mypy.stubtest", "tidegate._tidegate")


EVENTS = ROOT / "tests" / "python" / "typed" / "events.py"
WRONG = [line for line in EVENTS.read_text().partition('WRONG = """\n')[2].partition('"""')[0].splitlines() if line]


def _each_is_refused(check: Callable[[Path], list[str]], folder: Path) -> None:
    # The lines of one file, so that a checker starts once; each must have an error of its own.
    right = EVENTS.read_text()
    copy = folder / "wrong_events.py"
    copy.write_text(right.partition("WRONG =")[0] + "\n".join(WRONG) + "\n")
    first = right.partition("WRONG =")[0].count("\n") + 1
    refused = {int(number) for number in check(copy)}
    assert refused == set(range(first, first + len(WRONG))), [
        line for at, line in enumerate(WRONG, first) if at not in refused
    ]


def test_mypy_knows_what_each_observer_is_given(tmp_path: Path) -> None:
    assert "Success" in _mypy("mypy", "--strict", str(EVENTS))

    def check(path: Path) -> list[str]:
        command = [sys.executable, "-m", "mypy", "--strict", "--strict-equality", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        return re.findall(r"wrong_events\.py:(\d+): error", done.stdout)

    _each_is_refused(check, tmp_path)


def test_pyright_knows_what_each_observer_is_given(tmp_path: Path) -> None:
    def run(path: Path) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "pyrightconfig.json"
        settings = {
            "include": [str(path)],
            "extraPaths": [str(ROOT / "bindings-python" / "python")],
            "typeCheckingMode": "strict",
            "pythonVersion": "3.10",
            "venvPath": str(ROOT),
            "venv": ".venv",
            "reportUnknownLambdaType": False,
            "reportUnusedFunction": False,
        }
        config.write_text(json.dumps(settings))
        command = ["npx", "--no-install", "pyright", "--project", str(config)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    done = run(EVENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    _each_is_refused(lambda path: re.findall(r"wrong_events\.py:(\d+):\d+ - error", run(path).stdout), tmp_path)
