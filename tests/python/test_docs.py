"""The examples of the docstrings run. (Those of the guides: tests/docs.)"""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tidegate

MODULES = [module.name for module in pkgutil.walk_packages(tidegate.__path__, "tidegate.")]


@pytest.mark.parametrize("name", ["tidegate", *MODULES])
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(len(test.examples) > 0 for module in modules for test in finder.find(module)) >= 15
