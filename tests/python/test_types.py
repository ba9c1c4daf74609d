"""The public types, as a user's type checker reads them, and the stubs of the native module.

`typed/*.py`, the guide and the examples must pass; of `typed/wrong/*.py` each marked line must not, and no other.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.python.typed import checkers
from tests.support.fleet import ROOT


def test_the_stubs_are_those_of_the_native_module() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "tidegate._tidegate"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [checkers.mypy, checkers.pyright], ids=["mypy", "pyright"])
def test_a_checker_refuses_each_wrong_line_and_nothing_else(
    checker: Callable[[Path], dict[checkers.Place, str]], tmp_path: Path
) -> None:
    refused = checker(tmp_path)
    wrong = checkers.wrong_places()
    assert {place: said for place, said in refused.items() if place not in wrong} == {}
    assert wrong - set(refused) == set()


def test_there_are_wrong_programs_and_reasons_for_what_is_not_refused() -> None:
    assert len(checkers.wrong_places()) >= 100
    assert all(len(line.split("# not refused: ")[1]) > 20 for line in checkers.not_refused())
    assert len(checkers.not_refused()) >= 5
