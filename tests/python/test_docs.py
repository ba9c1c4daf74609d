"""Every example that a user may copy runs: docstrings, README and the guides."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tidegate

from .helpers import run_script

ROOT = Path(__file__).parents[2]
MODULES = [module.name for module in pkgutil.walk_packages(tidegate.__path__, "tidegate.")]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _blocks() -> list[object]:
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        pytest.param(block, id=f"{path.name}-{number}")
        for path in files
        if path.exists()
        for number, block in enumerate(PYTHON_BLOCK.findall(path.read_text()), 1)
    ]


@pytest.mark.parametrize("name", ["tidegate", *MODULES])
def test_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0


def test_there_are_docstring_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(len(test.examples) > 0 for module in modules for test in finder.find(module)) >= 15


@pytest.mark.parametrize("block", _blocks())
def test_guides(block: str) -> None:
    done = run_script(block)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
