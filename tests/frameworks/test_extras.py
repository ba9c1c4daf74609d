"""A framework that is not installed: what is said, and what is imported without one."""

from __future__ import annotations

import subprocess
import sys

import pytest

MISSING = """
import sys
sys.modules[sys.argv[1]] = None
try:
    __import__(f"tidegate.contrib.{sys.argv[2]}")
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["celery", "django", "fastapi", "flask"])
def test_a_framework_that_is_missing_is_named_with_what_to_install(name: str) -> None:
    ran = subprocess.run([sys.executable, "-c", MISSING, name, name], capture_output=True, text=True, check=True)
    assert f"tidegate.contrib.{name} needs " in ran.stdout
    assert ran.stdout.strip().endswith(f'pip install "tidegate[{name}]"')


def test_tidegate_by_itself_imports_none_of_them() -> None:
    code = "import sys, tidegate, tidegate.sync, tidegate.contrib; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"celery", "django", "fastapi", "flask", "starlette", "tidegate.contrib._http"} & set(ran.stdout.split())
