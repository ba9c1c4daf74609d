"""Every code block of every page runs, or is read by what it is written for. A block of no known language fails."""

from __future__ import annotations

import re

import pytest

from tests.docs import pages, running
from tests.docs.commands import NOT_RUN, left_to_run
from tests.docs.configuration import CHECKS
from tests.docs.pages import Block, of
from tests.support.fleet import ROOT

RUN = ("python", "js", "ts", "sh", "rust")
TEXT = "text"
# What needs more than a Redis, by a piece of it: the test that runs it, and the words by which that finds it.
BY_OTHER_TESTS = {'"rediss://redis.internal:6379"': ("tests/python/test_tls.py", "## TLS")}


@pytest.mark.parametrize("block", of("python"))
def test_the_python_of_a_page_runs(block: Block, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_others = [test for piece, test in BY_OTHER_TESTS.items() if piece in block.text]
    if by_others:
        [(test, words)] = by_others
        assert words in block.page.read_text()
        assert words in (ROOT / test).read_text()
        return None
    if pages.is_run_by_others(block):
        return None
    if running.runs_in_process(block):
        return running.run_in_process(block, redis_url, monkeypatch)
    return running.run_file(block, redis_url)


@pytest.mark.parametrize("block", of("js", "ts"))
def test_the_javascript_of_a_page_runs(block: Block, redis_url: str) -> None:
    if not pages.is_run_by_others(block):
        running.run_file(block, redis_url)


@pytest.mark.parametrize("block", of("sh"))
def test_the_commands_of_a_page_run(block: Block, redis_url: str) -> None:
    if block.text in NOT_RUN:
        return
    script = left_to_run(block.text)
    if script:
        with running.folder_of(block) as folder:
            printed = running.run(["bash", "-euo", "pipefail", "-c", script], folder, redis_url)
            running.check_printed(block, printed)


@pytest.mark.parametrize("block", of("rust"))
def test_the_rust_of_a_page_is_compiled_and_run_by_cargo(block: Block) -> None:
    # cargo has what it needs built when it runs the core's tests: a test there holds each block word for word.
    words = re.sub(r"\s", "", block.text)
    assert words in re.sub(r"\s", "", (ROOT / "core" / "tests" / "pages.rs").read_text())


@pytest.mark.parametrize("block", of(*CHECKS))
def test_the_configuration_of_a_page_is_read(block: Block) -> None:
    CHECKS[block.language](block.text)


def test_every_block_says_what_it_is() -> None:
    known = {*RUN, *CHECKS, TEXT}
    unknown = [block for block in pages.ALL if block.language not in known]
    assert [f"{block.name}: {block.language or 'no language'}" for block in unknown] == []


def test_what_is_not_run_stands_on_a_page() -> None:
    assert set(NOT_RUN) <= {block.text for block in pages.ALL if block.language == "sh"}


def test_there_are_pages_to_run() -> None:
    for language in RUN:
        assert len(of(language)) >= 1, language
    assert len(of("python")) >= 40
    assert len(of("js")) >= 40
