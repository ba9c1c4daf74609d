"""The packages as users get them, built once for all of pytest's workers, and empty environments to install into."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Standard output of a command that has to succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "PIP_"))}
    ran = subprocess.run(
        command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, timeout=600, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that one of the workers fills, while the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(folder)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where this run's packages lie, for all workers."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "packages"


@pytest.fixture(scope="session")
def wheels(shared: Path) -> Path:
    """The wheels of tidegate and tidegate-lint, as `make .make/wheels` built them, and what they depend on."""

    def gather(folder: Path) -> None:
        for wheel in (ROOT / "target" / "tested").glob("*.whl"):
            shutil.copy(wheel, folder)
        (msgspec,) = re.findall(r"^msgspec==.*", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
        for version in interpreters():
            tag = ["--only-binary", ":all:", "--python-version", version, "--no-deps", "--dest", str(folder)]
            run(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", *tag, msgspec)

    return once(shared / "wheels", gather)


@pytest.fixture(scope="session")
def wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("tidegate-*.whl")
    return found


@pytest.fixture(scope="session")
def lint_wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("tidegate_lint-*.whl")
    return found


VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
_VERSION = """import sys, sysconfig
print("%d.%d" % sys.version_info[:2] + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))"""


def interpreters(versions: Iterable[str] = VERSIONS) -> dict[str, Path]:
    """The interpreters that this machine has, by version: on PATH, or as pyenv keeps them. `3.14t` has no GIL."""
    found: dict[str, Path] = {}
    for version in versions:
        name = f"python{version}"
        folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
        kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        folders += sorted((folder / "bin" for folder in kept.glob(f"{version}.*")), reverse=True)
        for folder in folders:
            program = folder / name
            # pyenv's own door to the others says so by its exit code.
            asked: list[str | Path] = [program, "-c", _VERSION]
            if not program.is_file():
                continue
            answer = subprocess.run(asked, capture_output=True, text=True, check=False)
            if answer.stdout.strip() == version:
                found[version] = program
                break
    return found


def install(python: Path, *packages: str | Path, wheels: Path) -> None:
    """Installs packages, from `wheels` alone."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    run(*pip, "--no-index", "--find-links", wheels, *packages, cwd=wheels)


def environment(folder: Path, interpreter: Path) -> Path:
    """A new and empty virtual environment: its interpreter."""
    run(interpreter, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    return folder / "bin" / "python"
