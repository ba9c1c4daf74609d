"""The pages of moving keep their promise: old code beside new, at the versions that they say, with all their parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "moving"
PEERS = sorted(path for path in FOLDER.glob("*.md") if path.stem not in ("index", "side-by-side"))
# What the old blocks import, by page.
IMPORTED = {
    "aiocache": ["aiocache"],
    "bentocache": ["bentocache"],
    "cache-manager": ["cache-manager", "cacheable"],
    "cashews": ["cashews"],
    "django": ["django_redis"],
    "dogpile": ["dogpile.cache"],
    "hand-written": ["redis.asyncio", "ioredis"],
    "ioredis": ["ioredis"],
    "redis-py": ["redis.asyncio"],
}
HEADINGS = ["What you have, and what you write", "What behaves otherwise", "The order of steps"]


def code(page: Path) -> list[str]:
    return re.findall(r"```(?:python|js)[^\n]*\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PEERS, ids=lambda page: page.stem)
def test_a_page_has_old_code_beside_new_and_every_part(page: Path) -> None:
    text = page.read_text()
    for name in IMPORTED[page.stem]:
        old = [block for block in code(page) if name in block and "from tidegate" not in block]
        assert old, f"there is no old code on {name}"
    assert any(re.search(r"^from tidegate|from 'tidegate'", block, re.MULTILINE) for block in code(page))
    assert text.split("\n\n")[1].startswith("**"), "the answer in one bold sentence comes first"
    assert "What it prevents:" in text
    assert "What it does not have:" in text
    for heading in HEADINGS:
        assert f"\n## {heading}\n\n" in text
    assert "side-by-side.md" in text


def test_the_index_lists_every_page() -> None:
    index = (FOLDER / "index.md").read_text()
    assert sorted(IMPORTED) == [page.stem for page in PEERS]
    for page in [*PEERS, FOLDER / "side-by-side.md"]:
        assert f"({page.name})" in index


def test_the_versions_of_the_index_are_those_that_the_tests_run() -> None:
    pins = dict(
        re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\d.]+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    )
    pins |= json.loads((ROOT / "package.json").read_text())["devDependencies"]
    said = (FOLDER / "index.md").read_text().rpartition("runs in the tests: ")[2]
    named = re.findall(r"([\w.@/-]+) (\d+\.\d+)", said)
    assert len(named) == 11
    for name, version in named:
        pin = pins[{"redis-py": "redis", "Django": "django"}.get(name, name)]
        assert pin.startswith(f"{version}."), (name, pin)
