"""How a block is run: in a folder of its own with the files of its page, and with a Redis of its own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import Block, files
from tests.support.fleet import ROOT

SECONDS = 60
# What may be imported beside others in one process; whatever else there is gets a process of its own.
_IN_PROCESS = {"tidegate", "pydantic", "prometheus_client", "opentelemetry", "pytest"} | sys.stdlib_module_names


@contextmanager
def folder_of(block: Block) -> Iterator[Path]:
    """What the reader of the page has before him. Inside of the tree, so that Node.js finds the package by its name."""
    folder = ROOT / "tests" / "docs" / f".page-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        for file in files(block.page):
            assert file.title is not None
            path = folder / file.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
        yield folder
    finally:
        shutil.rmtree(folder)


def environment(redis_url: str) -> dict[str, str]:
    """Of a reader's shell with everything installed."""
    paths = [str(ROOT / ".venv" / "bin"), str(ROOT / "node_modules" / ".bin"), os.environ["PATH"]]
    own = {"PATH": os.pathsep.join(paths), "REDIS_URL": redis_url, "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return kept | own


def run(command: list[str], folder: Path, redis_url: str) -> str:
    """What it printed; it must end well, and complain of nothing."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(redis_url),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_printed(block: Block, printed: str) -> None:
    """Holds what a program printed to what the page says."""
    if block.prints is None:
        return
    pattern = re.escape(block.prints.strip()).replace("…", ".*")
    said = f"{block.name} prints\n{printed}\nand the page says\n{block.prints}"
    assert re.fullmatch(pattern, printed.strip(), re.DOTALL), said


def run_file(block: Block, redis_url: str) -> None:
    """A program in Python, JavaScript or TypeScript, in a process of its own."""
    with folder_of(block) as folder:
        name = block.title if block.is_file and block.title else f"page{_suffix(block)}"
        if "from 'vitest'" in block.text:
            (folder / "page.test.ts").write_text(block.text)
            command = ["vitest", "run", "--silent", "--reporter=dot", "--root", str(folder)]
            assert "1 passed" in run(command, folder, redis_url)
            return
        (folder / name).write_text(block.text)
        check_printed(block, run([*_interpreter(block), name], folder, redis_url))


def _is_plain(block: Block) -> bool:
    # Node.js 20 runs JavaScript as it stands on the page: what it does not know (`using`, decorators) belongs in `ts`.
    return block.language == "js"


def _suffix(block: Block) -> str:
    return ".py" if block.language == "python" else ".mjs" if _is_plain(block) else ".mts"


def _interpreter(block: Block) -> list[str]:
    if block.language == "python":
        return [sys.executable]
    return ["node"] if _is_plain(block) else ["node", "--import", "tsx"]


def runs_in_process(block: Block) -> bool:
    """Whether this Python can be run here: a fifth of the time."""
    if block.is_file or block.prints is not None:
        return False
    names: set[str] = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    is_light = all(name.partition(".")[0] in _IN_PROCESS for name in names)
    return is_light and not any(name.startswith("tidegate.contrib") for name in names)


def run_in_process(block: Block, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in Python as a module of its own, here."""
    # Its classes ask for the module that they are of.
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    monkeypatch.setenv("REDIS_URL", redis_url)
    names = vars(page)
    before = len(names)
    # The page is not to have this module's `annotations` from the future: a wrong one would pass.
    exec(compile(block.text, block.name, "exec", dont_inherit=True), names)
    assert len(names) > before
