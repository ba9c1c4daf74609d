"""The code blocks of every page: what stands in them, where, and what a page says that they print."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import ROOT

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_TITLE = re.compile(r'title="([^"]+)"')
GUIDE = ROOT / "docs" / "guide"
PRINTS = "prints"
"""The title of a text block that says what the programs above it print; `…` there is anything."""


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    """Of its opening fence, from 1."""
    language: str
    title: str | None
    text: str
    prints: str | None = None

    @property
    def name(self) -> str:
        """`docs/guide/02-first-cache.md:17`, as editors open it."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def is_file(self) -> bool:
        """Whether the reader is to save it under its title."""
        return self.title is not None and self.title != PRINTS


def pages() -> list[Path]:
    """All that people read with code in it."""
    found = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "core" / "DESIGN.md"]
    found += sorted((ROOT / "docs").rglob("*.md"))
    found += sorted(path for path in (ROOT / "examples").rglob("README.md") if "node_modules" not in path.parts)
    return [path for path in found if path.exists()]


def blocks(page: Path) -> list[Block]:
    """Those of a page, in their order."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    since: list[int] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if line.startswith("#"):
                since = []
            if fence is not None:
                opened, first, lines = fence, number, list[str]()
            continue
        is_end = fence is not None and fence["fence"].startswith(opened["fence"]) and not fence["info"].strip()
        if not is_end:
            lines.append(line)
            continue
        block = _block(page, first, opened, lines)
        opened = None
        if block.title == PRINTS:
            assert since, f"{block.name}: no program stands above what it prints"
            for at in since:
                found[at] = replace(found[at], prints=block.text)
            since = []
        elif block.language in ("python", "js", "ts", "sh"):
            since.append(len(found))
        found.append(block)
    assert opened is None, f"{page}: a block has no end"
    return [replace(block, prints=None) if is_imported(block, found) else block for block in found]


def _block(page: Path, line: int, opened: re.Match[str], lines: Iterable[str]) -> Block:
    info = opened["info"].strip()
    title = _TITLE.search(info)
    text = textwrap.dedent("".join(f"{one}\n" for one in lines))
    return Block(page, line, info.partition(" ")[0], title[1] if title else None, text)


def is_imported(block: Block, others: Iterable[Block]) -> bool:
    """Whether one of the others imports this file: it is no program then."""
    if not block.is_file or block.title is None:
        return False
    module = re.escape(block.title.rpartition(".")[0])
    pattern = rf"^(?:import|from) {module}\b|from '\./{re.escape(block.title)}'"
    return any(re.search(pattern, other.text, re.MULTILINE) for other in others)


ALL = [block for page in pages() for block in blocks(page)]
FILES = {page: [block for block in ALL if block.page == page and block.is_file] for page in pages()}


def files(page: Path) -> list[Block]:
    """What a reader of this page has saved: its files, and in the guide those of the pages before it."""
    folder = [page]
    if page.parent == GUIDE:
        folder = [other for other in FILES if other.parent == page.parent and other.name <= page.name]
    return [block for other in folder for block in FILES[other]]


def is_run_by_others(block: Block) -> bool:
    """Whether a command of the page names this file, or another program of it imports it."""
    of_page = [other for other in ALL if other.page == block.page]
    named = (re.split(r"[\s;&|]+", other.text) for other in of_page if other.language == "sh")
    return block.is_file and (is_imported(block, of_page) or any(block.title in words for words in named))


def of(*languages: str) -> list[Any]:
    """The blocks in these languages, as parameters of a test."""
    return [pytest.param(block, id=block.name) for block in ALL if block.language in languages]
