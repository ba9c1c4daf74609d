"""The workflows: two linters have nothing to say, and what they build is what packages and documents promise."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, SCRIPTS
from .test_sources import PUBLISHED

FOLDER = ROOT / ".github" / "workflows"
TRUSTED = {"attest", "crates-io", "npm", "pypi"}


def _workflow(name: str) -> dict[str, Any]:
    # YAML's own reading of `on` is a boolean.
    found: dict[str, Any] = yaml.load((FOLDER / name).read_text(), yaml.BaseLoader)
    return found


def _job(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _workflow("release.yml")["jobs"][name]
    return found


def _targets(job: str) -> set[str]:
    return {each["target"] for each in _job(job)["strategy"]["matrix"]["include"]}


def test_actionlint() -> None:
    checked = subprocess.run(
        [SCRIPTS / "actionlint", *sorted(FOLDER.iterdir())], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_zizmor() -> None:
    command: list[str | Path] = [
        SCRIPTS / "zizmor",
        "--offline",
        "--no-progress",
        "--quiet",
        "--format",
        "json",
        FOLDER.parent,
    ]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (checked.returncode, json.loads(checked.stdout)) == (0, []), checked.stdout + checked.stderr


def test_both_would_say_something_of_a_bad_workflow(tmp_path: Path) -> None:
    bad = tmp_path / ".github" / "workflows" / "bad.yml"
    bad.parent.mkdir(parents=True)
    text = (FOLDER / "ci.yml").read_text().replace("runs-on: ubuntu-24.04", "runs-on: ubuntu-1.04", 1)
    bad.write_text(re.sub(r"actions/checkout@\w+", "somebody/checkout@main", text))
    assert subprocess.run([SCRIPTS / "actionlint", bad], capture_output=True, check=False).returncode == 1
    command: list[str | Path] = [SCRIPTS / "zizmor", "--offline", "--no-progress", "--quiet", bad]
    assert subprocess.run(command, capture_output=True, check=False).returncode > 10


def test_every_platform_is_built_and_tried() -> None:
    targets = _targets("wheels")
    assert len(targets) == 8
    assert _targets("npm-platforms") == _targets("try-npm") == targets
    assert _targets("try-wheels") | _targets("try-wheels-musl") == targets
    page = (ROOT / "docs" / "packages.md").read_text()
    for target in targets:
        assert f"`{target}`" in page, f"docs/packages.md does not name {target}"


def test_it_is_tried_on_what_the_package_promises() -> None:
    tried = _job("try-wheels")["strategy"]["matrix"]["python"]
    promised = re.findall(r"Python :: (3\.\d+)\"", (ROOT / "pyproject.toml").read_text())
    assert tried[0] == promised[0] == "3.10"
    assert tried[-2:] == [promised[-1], f"{promised[-1]}t"]
    assert any("python3.14t" in str(step) for step in _job("wheels")["steps"])


def test_nothing_is_published_that_was_not_tried() -> None:
    jobs = _workflow("release.yml")["jobs"]
    publishing = {name for name, job in jobs.items() if job.get("permissions", {}).get("id-token") == "write"}
    assert publishing == TRUSTED
    assert set(jobs["attest"]["needs"]) == {
        *{name for name in jobs if name.startswith("try-")}, "ci", "crates", "sdist", "version"
    }  # fmt: skip
    for name in publishing - {"attest"}:
        assert jobs[name]["needs"] == ["attest"]
        assert jobs[name]["if"] == "github.ref_type == 'tag'"
        assert jobs[name]["environment"] == name
    assert all(f"-p {crate}" in str(jobs["crates-io"]) for crate in PUBLISHED)


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_no_secret_and_no_more_rights_than_needed(name: str) -> None:
    workflow = _workflow(name)
    assert workflow["permissions"] == {}
    text = (FOLDER / name).read_text()
    assert "secrets." not in text
    assert re.findall(r"uses: (?!\./)\S+@(?![0-9a-f]{40} # v\d)", text) == []
    for job in workflow["jobs"].values():
        rights = job.get("permissions", {})
        assert set(rights) <= {"contents", "id-token", "attestations"}
        assert rights.get("contents", "read") == "read"


def test_it_checks_what_is_checked_here() -> None:
    steps = _workflow("ci.yml")["jobs"]["check"]["steps"]
    assert steps[-1] == {"run": "make check"}
    assert "make check" in (ROOT / ".ci" / "run").read_text()
