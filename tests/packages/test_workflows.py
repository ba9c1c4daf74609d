"""The workflows: two linters have nothing to say, and what they build is what packages and documents promise."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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
    (crates,) = re.findall(r"for crate in (.*); do", jobs["crates-io"]["steps"][-1]["run"])
    assert sorted(crates.split()) == sorted(PUBLISHED)


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


class _Registry(BaseHTTPRequestHandler):
    """npm's own protocol, as far as publishing and asking go. Refuses what is there already, and one name."""

    packages: dict[str, dict[str, Any]]
    order: list[str]
    refused: str | None

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        found = self.packages.get(unquote(self.path.lstrip("/").partition("?")[0]))
        self._answer(404 if found is None else 200, found or {})

    def do_PUT(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name, (version,) = given["name"], given["versions"]
        found = self.packages.get(name, {"name": name, "versions": {}, "dist-tags": {}})
        if name == self.refused or version in found["versions"]:
            self._answer(403, {"error": f"{name} {version} is refused"})
            return
        found["versions"].update(given["versions"])
        found["dist-tags"].update(given["dist-tags"])
        self.packages[name] = found
        self.order.append(name)
        self._answer(201, {"ok": True})

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[tuple[type[_Registry], str]]:
    kind = type("Registry", (_Registry,), {"packages": {}, "order": [], "refused": None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kind, f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _publish(folder: Path, version: str, url: str) -> subprocess.CompletedProcess[str]:
    """Runs the step, of packages that are nothing but names."""
    names = [
        f"@tidegate/{kind}{of}" for kind in ("", "lint-") for of in ("linux-x64-gnu", "darwin-arm64", "win32-x64-msvc")
    ]
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name in (*names, "tidegate", "tidegate-lint"):
        source = folder / "package"
        source.mkdir(exist_ok=True)
        (source / "package.json").write_text(json.dumps({"name": name, "version": version}))
        made = out / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
        subprocess.run(["tar", "-czf", made, "-C", folder, "package"], check=True)
    # Where it comes from can be told in the workflow alone.
    script = _job("npm")["steps"][-1]["run"].replace("--provenance ", "")
    npmrc = folder / "npmrc"
    npmrc.write_text(f"registry={url}\n//{url.partition('//')[2]}:_authToken=of-a-test\nfetch-retries=0\n")
    home = {"HOME": str(folder), "NPM_CONFIG_USERCONFIG": str(npmrc), "NPM_CONFIG_CACHE": str(folder / "cache")}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **home, "GITHUB_REF_NAME": f"v{version}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)
def test_npm_is_published_in_order_and_a_second_run_goes_on(
    tmp_path: Path, registry: tuple[type[_Registry], str]
) -> None:
    kind, url = registry
    kind.refused = "tidegate-lint"
    first = _publish(tmp_path, "0.2.0", url)
    assert first.returncode != 0
    assert "is refused" in first.stderr, first.stderr
    assert [name.partition("/")[0] for name in kind.order] == ["@tidegate"] * 6
    kind.refused = None
    again = _publish(tmp_path, "0.2.0", url)
    assert again.returncode == 0, again.stderr
    assert kind.order[6:] == ["tidegate-lint", "tidegate"]
    assert {each["dist-tags"]["latest"] for each in kind.packages.values()} == {"0.2.0"}
    for version, tag in (("0.3.0-rc.1", "next"), ("0.1.9", "older")):
        # All but the last are there: each call of npm takes a while.
        for name, each in kind.packages.items():
            each["versions"].update({version: {"name": name, "version": version}} if name != "tidegate" else {})
        published = _publish(tmp_path, version, url)
        assert published.returncode == 0, published.stderr
        tags = kind.packages["tidegate"]["dist-tags"]
        assert (tags[tag], tags["latest"]) == (version, "0.2.0")
