"""The wheels: what is in them, and that they work alone, in an empty environment, on each interpreter that there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata

import tidegate

from .conftest import ROOT, VERSIONS, environment, install, interpreters, run

PROGRAM = ROOT / "tests" / "packages" / "smoke.py"

TYPED = """
import asyncio
from dataclasses import dataclass

from tidegate import CacheManager, Options, key
from tidegate.sync import CacheManager as BlockingManager

@dataclass
class User:
    name: str

options: Options = {"service": "billing", "ttl": "5m"}
cache = CacheManager("memory://", **options)

@cache.cached("user:profile:{user_id}", ttl=60)
async def get_user(user_id: int) -> User:
    return User("Ada")

async def main() -> str:
    user = await get_user(42)
    again = await cache.get(key("user", 42), lambda: "Ada")
    return user.name + again

def length() -> int:
    with BlockingManager() as blocking:
        return blocking.get("user:name", lambda: "Ada", type=str).__len__()

print(asyncio.run(main()), length())
"""
WRONG = {
    "await get_user(42)": "await get_user('42')",
    "return user.name + again": "return user.age",
    '"ttl": "5m"': '"tll": "5m"',
    "def length() -> int": "def length() -> bytes",
}


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        # Refuses what the index would refuse.
        return Metadata.from_email(archive.read(name), validate=True)


def test_what_is_in_the_wheel(wheel: Path) -> None:
    assert re.fullmatch(rf"tidegate-{tidegate.__version__}-cp310-abi3-\w+\.whl", wheel.name)
    names = _names(wheel)
    sources = {
        str(path.relative_to(ROOT / "bindings-python" / "python"))
        for package in ("tidegate", "tidegate_pytest")
        for path in (ROOT / "bindings-python" / "python" / package).rglob("*")
        if path.suffix in (".py", ".pyi") or path.name == "py.typed"
    }
    dist_info = f"tidegate-{tidegate.__version__}.dist-info"
    assert {name for name in names if not name.startswith(dist_info)} == sources | {"tidegate/_tidegate.abi3.so"}
    for licence in ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-LICENSES"):
        assert f"{dist_info}/licenses/{licence}" in names
    assert any(name.startswith(f"{dist_info}/sboms/") for name in names), "what is linked in is listed"


def test_what_is_in_the_linters_wheel(lint_wheel: Path) -> None:
    assert re.fullmatch(rf"tidegate_lint-{tidegate.__version__}-py3-none-\w+\.whl", lint_wheel.name)
    program = f"tidegate_lint-{tidegate.__version__}.data/scripts/tidegate-lint"
    assert [name for name in _names(lint_wheel) if ".dist-info/" not in name] == [program]


def test_the_metadata_is_what_the_index_takes(wheel: Path, lint_wheel: Path) -> None:
    for built in (wheel, lint_wheel):
        told = _metadata(built)
        assert told.license_expression == "MIT OR Apache-2.0"
        assert told.description_content_type is not None
        assert told.description_content_type.startswith("text/markdown")
        assert str(told.requires_python) == ">=3.10"
        assert told.license_files
    extras = {*(_metadata(wheel).provides_extra or [])}
    assert {"lint", "otel", "prometheus"} <= extras
    assert [str(each) for each in _metadata(wheel).requires_dist or [] if "extra" not in str(each)] == ["msgspec>=0.19"]
    assert f'tidegate-lint=={tidegate.__version__} ; extra == "lint"' in [
        str(each).replace("; ", " ; ") for each in _metadata(wheel).requires_dist or []
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_works_alone(version: str, wheels: Path, tmp_path: Path, redis_url: str) -> None:
    interpreter = interpreters().get(version)
    if interpreter is None:
        pytest.skip(f"this machine has no Python {version}")
    python = environment(tmp_path / "env", interpreter)
    install(python, "tidegate", wheels=wheels)
    # Where nothing of the repository is in reach.
    program = Path(shutil.copy(PROGRAM, tmp_path / "smoke.py"))
    told: dict[str, Any] = json.loads(run(python, program, cwd=tmp_path, REDIS_URL=redis_url).splitlines()[-1])
    assert Path(told["file"]).is_relative_to(tmp_path / "env")
    assert told["version"] == told["command"] == tidegate.__version__
    assert told["python"].startswith(f"{version}.")
    assert told["urls"] == ["memory://", redis_url]
    # The linter is not part of it, and says of what it is.
    assert told["lint"] == [
        2,
        'error: tidegate lint is a package of its own, and not installed here\nhint: pip install "tidegate[lint]"',
    ]


def test_the_linter_is_an_extra(wheels: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env", Path(sys.executable))
    install(python, "tidegate[lint]", wheels=wheels)
    (tmp_path / "app.py").write_text("import tidegate\ntidegate.key('user')\n")
    command: list[str | Path] = [python.parent / "tidegate", "lint", "app.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("app.py:2:1: TG002 ")


def test_its_types_reach_a_strict_user(wheels: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env", Path(sys.executable))
    install(python, "tidegate", wheels=wheels)
    wrong = {f"wrong_{number}.py": change for number, change in enumerate(WRONG.items())}
    (tmp_path / "right.py").write_text(TYPED)
    for name, (before, after) in wrong.items():
        assert before in TYPED
        (tmp_path / name).write_text(TYPED.replace(before, after))
    assert run(python, "right.py", cwd=tmp_path) == "AdaAda 3\n"
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    mypy += ["--python-executable", str(python), "right.py", *wrong]
    checked = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    faulty = {line.partition(":")[0] for line in checked.stdout.splitlines() if ": error: " in line}
    assert faulty == {*wrong}, checked.stdout + checked.stderr
