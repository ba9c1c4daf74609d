"""`tidegate lint` as Python ships it: it says of templates and keys what the library says of them at run time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import tidegate
from tidegate import CacheManager, ConfigError, KeyFormatError, _lint, _tidegate

ROOT = Path(__file__).parents[2]


def _run(*args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program = "import sys; from tidegate._lint import lint; sys.exit(lint(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_it_runs_in_place_of_its_process_with_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import tidegate\ntidegate.key('user')\n")
    ran = _run(".", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("a.py:2:1: TG002 ")
    assert _run("--version").stdout == f"tidegate lint {tidegate.__version__}\n"
    assert _run("--formt", "json").returncode == 2


def test_an_installation_without_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert _lint.lint(["."]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[1] == 'hint: pip install "tidegate[lint]"'


def test_it_is_found_beside_the_interpreters_scripts_before_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts, elsewhere = tmp_path / "scripts", tmp_path / "elsewhere"
    for folder in (scripts, elsewhere):
        folder.mkdir()
        (folder / _lint.NAME).touch(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(scripts))
    monkeypatch.setenv("PATH", str(elsewhere))
    assert _lint.find() == scripts / _lint.NAME
    (scripts / _lint.NAME).unlink()
    assert _lint.find() == elsewhere / _lint.NAME


def test_our_own_examples_have_nothing_to_find() -> None:
    ran = _run("examples", "benchmarks", "bindings-python/python", "bindings-node/js", "--report-unused")
    assert (ran.stdout.splitlines()[-1].endswith("every key is right"), ran.returncode) == (True, 0), ran.stdout


def test_it_finds_a_fault_in_a_template_exactly_where_the_library_raises(tmp_path: Path) -> None:
    chance = random.Random(10)
    pieces = ["user", ":", "{a}", "{b}", "{a.x}", "-", " ", "é", "{", "}", "%3A", "%zz", "::", "{c}", "{1}", "x" * 9]
    cases = []
    for number in range(400):
        template = "".join(
            chance.choices(pieces, [4, 8, 6, 6, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1], k=chance.randint(1, 7))
        )
        if number % 2:
            template = "user" + "".join(chance.choices([":{a}", ":{b}", ":x", ":{a.x}"], k=chance.randint(1, 3)))
        parameters = chance.choice(["a, b", "a", "b=1", "", "self, a, b", "a, *b", "a, /, *, b"])
        ignore = chance.choice(["()", "('a',)", "['b']", "('a', 'b')"])
        source = f"@cache.cached({template!r}, ignore={ignore})\nasync def load_{number}({parameters}): ...\n"
        (tmp_path / f"case_{number}.py").write_text(
            f"from tidegate import CacheManager\ncache = CacheManager()\n{source}"
        )
        cases.append(source)
    found = {int(one["path"].split("_")[-1][:-3]) for one in json.loads(_run("--json", tmp_path).stdout)["findings"]}
    cache = CacheManager()
    raised = set()
    for number, source in enumerate(cases):
        scope: dict[str, Any] = {"cache": cache}
        try:
            exec(source, scope)
        except (ConfigError, KeyFormatError):
            raised.add(number)
    assert found == raised, [cases[number] for number in found ^ raised]
    assert 50 < len(found) < 390


def test_it_finds_a_fault_in_a_key_exactly_where_the_library_raises(tmp_path: Path) -> None:
    chance = random.Random(11)
    pieces = ["user", ":", "%41", "%4", "{", "~", "\t", "\\", "é", "\u2003", "@", "😀", "'", '"', "\x7f", "-"]
    keys = ["".join(chance.choices(pieces, [9, 9, *[1] * 14], k=chance.randint(1, 6))) for _ in range(400)]
    lines = [f"cache.get({key!r}, load)" for key in keys]
    (tmp_path / "keys.py").write_text("\n".join(["from tidegate import CacheManager; cache = CacheManager()", *lines]))
    (tmp_path / "keys.ts").write_text(
        "\n".join(
            [
                "import { CacheManager } from 'tidegate'; const cache = new CacheManager();",
                *[f"cache.get({json.dumps(key)}, load);" for key in keys],
            ]
        )
    )

    def is_refused(key: str) -> bool:
        try:
            _tidegate.check_key(key)
        except KeyFormatError:
            return True
        return False

    refused = {number for number, key in enumerate(keys) if is_refused(key)}
    findings = json.loads(_run("--json", tmp_path).stdout)["findings"]
    for end in (".py", ".ts"):
        found = {one["line"] - 2 for one in findings if one["path"].endswith(end)}
        assert found == refused, [keys[number] for number in found ^ refused]
    assert 50 < len(refused) < 390
