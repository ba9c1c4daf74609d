"""A holder, seen from its parent: a process of either language that holds leases, to be stopped or killed meanwhile."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

from tests.support.child import Child, child, commands

LANGUAGES = commands("tests/race", "holder")


def holder(language: str, url: str, *, contender: str = "tidegate", **options: str) -> AbstractContextManager[Child]:
    """A new process, gone when the block is left; `options` are the contender's."""
    return child(*LANGUAGES[language], contender, url, json.dumps(options))
