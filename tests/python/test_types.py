"""The public types, as a user's type checker reads them, and the stubs of the native module."""

from __future__ import annotations

import subprocess
import sys
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
