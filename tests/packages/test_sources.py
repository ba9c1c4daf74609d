"""What is published as source: the sdist, which builds a wheel, and the crates, with what they need and no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import tomli

import tidegate
from tools import third_party

from .conftest import ROOT, SCRIPTS, environment, install, run

PUBLISHED = ("tidegate", "tidegate-cli", "tidegate-lint")
# What may be linked in without asking anybody; of an "OR" one of them is enough.
FREE = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def _workspace() -> dict[str, Any]:
    found: dict[str, Any] = tomli.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    return found


@pytest.mark.timeout(600)
def test_the_sdist_builds_a_wheel_that_works(wheels: Path, tmp_path: Path) -> None:
    run(SCRIPTS / "maturin", "sdist", "--out", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / f"tidegate-{tidegate.__version__}"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    needed = {"Cargo.lock", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "PKG-INFO", "README.md", "pyproject.toml"}
    assert needed <= files
    tops = {"bindings-guard", "bindings-python", "cli", "core"}
    # It is there where wheels were built before.
    assert {file.split("/")[0] for file in files} - {"THIRD-PARTY-LICENSES"} == needed | tops
    assert not [
        file for file in files if file.endswith((".so", ".pyc")) or re.match(r"\w+/(tests|benches|fuzz)/", file)
    ]

    # By the hook that pip calls where there is no wheel; what is compiled already is shared.
    python = environment(tmp_path / "build", Path(sys.executable))
    maturin = os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])
    host = run("rustc", "--print", "host-tuple").strip()
    shared = {"CARGO_TARGET_DIR": str(ROOT / "target"), "CARGO_BUILD_TARGET": host, "CARGO_NET_OFFLINE": "true"}
    options = {"MATURIN_PEP517_ARGS": "--profile dev --strip true --auditwheel skip", "PATH": maturin, **shared}
    build = "import sys, maturin; print(maturin.build_wheel(sys.argv[1]))"
    run(sys.executable, "-c", build, tmp_path, cwd=folder, **options)
    (wheel,) = tmp_path.glob("*.whl")
    install(python, wheel, wheels=wheels)
    program = (ROOT / "tests" / "packages" / "smoke.py").read_text()
    told = json.loads(run(python, "-c", program, cwd=tmp_path).splitlines()[-1])
    assert told["version"] == tidegate.__version__
    assert Path(told["file"]).is_relative_to(tmp_path / "build")


@pytest.mark.parametrize("crate", PUBLISHED)
def test_what_is_in_a_crate(crate: str) -> None:
    files = run("cargo", "package", "--list", "--offline", "--allow-dirty", "--package", crate).splitlines()
    kinds = {re.sub(r"^src/.+\.(rs|lua)$", r"a \1", file) for file in files}
    of_cargo = {".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"}
    own = {"tidegate": {"DESIGN.md", "a lua"}}.get(crate, set())
    assert kinds - of_cargo == {"LICENSE-APACHE", "LICENSE-MIT", "README.md", "a rs", *own}


def test_which_crates_are_published_and_what_they_say_of_themselves() -> None:
    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"))
    packages = {package["name"]: package for package in metadata["packages"]}
    assert {name for name, package in packages.items() if package["publish"] is None} == {*PUBLISHED}
    for name in PUBLISHED:
        package = packages[name]
        assert package["description"]
        assert package["keywords"]
        assert package["categories"]
        assert (package["license"], package["readme"]) == ("MIT OR Apache-2.0", "README.md")
        assert package["rust_version"] == _workspace()["package"]["rust-version"]
        # One that the registry does not have keeps the crate from being published.
        for dependency in package["dependencies"]:
            assert dependency["source"] is not None or dependency["name"] in PUBLISHED or dependency["kind"] == "dev"
            assert "path" not in dependency or dependency["req"] == f"^{package['version']}"


def test_the_version_is_the_same_everywhere() -> None:
    version = _workspace()["package"]["version"]
    assert tidegate.__version__ == version
    assert json.loads((ROOT / "package.json").read_text())["version"] == version
    assert json.loads((ROOT / "package-lock.json").read_text())["version"] == version
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert project["optional-dependencies"]["lint"] == [f"tidegate-lint=={version}"]
    assert tomli.loads((ROOT / "lint" / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


def test_nothing_that_is_locked_asks_for_a_newer_compiler() -> None:
    def numbers(version: str) -> list[int]:
        return [*map(int, version.split(".")), 0][:3]

    promised = _workspace()["package"]["rust-version"]
    packages = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked"))["packages"]
    asked = {f"{each['name']} {each['version']}": each["rust_version"] for each in packages if each["rust_version"]}
    assert {name: version for name, version in asked.items() if numbers(version) > numbers(promised)} == {}
    # And an older one would not do for them.
    assert max(map(numbers, asked.values())) == numbers(promised)
    assert f"a Rust compiler ({promised} or later)" in (ROOT / "docs" / "packages.md").read_text()


def test_what_is_linked_in_is_free_and_told() -> None:
    for program in ("tidegate-python", "tidegate-node", "tidegate-lint"):
        crates = third_party.linked(program)
        assert {"tokio", "serde"} <= {crate["name"] for crate in crates} or program == "tidegate-lint"
        for crate in crates:
            asked = crate["license"].replace("/", " OR ").replace("(", "").replace(")", "")
            free = all(any(one in FREE for one in each.split(" OR ")) for each in asked.split(" AND "))
            assert free, f"{crate['name']} is under {crate['license']}"
    told = third_party.text("tidegate-python")
    assert "\n  tokio 1." in told
    assert "Permission is hereby granted" in told
    assert "Apache License" in told


@pytest.mark.parametrize("program", ["tidegate-python", "tidegate-node", "tidegate-lint"])
def test_a_text_stands_for_each_that_is_linked_in_and_for_what_it_has_of_others(program: str) -> None:
    told = third_party.text(program)
    listed, *parts = told.split("=" * 100 + "\n")
    covered = {name for part in parts for name in part.partition("\n")[0].split(", ")}
    assert covered == set(re.findall(r"^  (.*): ", listed, re.MULTILINE))
    # Of folders of regex-syntax and tracing-core: not the crates' own.
    for words in ("UNICODE, INC. LICENSE AGREEMENT", "Mathijs van de Nes"):
        assert words in told
    assert "GNU GENERAL PUBLIC LICENSE" not in told


def test_the_command_that_writes_licences(tmp_path: Path) -> None:
    # What a Windows takes for a file's encoding knows few names.
    command = [sys.executable, "-m", "tools.third_party", "tidegate-python"]
    env = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    written = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=env).stdout
    assert written.decode() == third_party.text("tidegate-python")
    wrong = [sys.executable, "-m", "tools.third_party", "tidegate-nothing"]
    assert subprocess.run(wrong, cwd=ROOT, capture_output=True, check=False).returncode != 0
