"""The blocks of the deploying pages that are files: server settings, manifests, Dockerfiles."""

from __future__ import annotations

import re

from tests.support.fleet import ROOT

PAGES = ROOT / "docs" / "deploying"


def blocks(page: str, language: str) -> list[str]:
    """What stands in the page's blocks of that language."""
    found = re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    assert found, f"{page} has no {language}"
    return found


def files(page: str, language: str, name: str) -> list[str]:
    """Those of the page's blocks of that language whose first line is the comment `# name`."""
    found = [block for block in blocks(page, language) if block.startswith(f"# {name}\n")]
    assert found, f"{page} has no {name}"
    return found
