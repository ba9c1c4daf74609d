"""Many threads over one manager: with a GIL, and in the wheel for an interpreter that has none, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, SCRIPTS, interpreters, once, run

PROGRAMS = ROOT / "tests" / "packages"


def test_a_value_never_goes_back(redis_url: str) -> None:
    told = json.loads(run(sys.executable, PROGRAMS / "threads.py", "--seconds", "1", REDIS_URL=redis_url))
    assert {each["url"] for each in told["done"]} == {"memory://", redis_url}


@pytest.mark.timeout(1_800)
def test_nothing_of_it_needs_a_gil(shared: Path, tmp_path: Path, redis_url: str) -> None:
    interpreter = interpreters(["3.14t"]).get("3.14t")
    if interpreter is None:
        pytest.skip("this machine has no Python 3.14t")

    def build(folder: Path) -> None:
        maturin: list[str | Path] = [
            SCRIPTS / "maturin",
            "build",
            "--locked",
            "--strip",
            "true",
            "--auditwheel",
            "skip",
        ]
        target = ROOT / "target" / "free-threaded"
        run(*maturin, "--interpreter", interpreter, "--out", folder, CARGO_TARGET_DIR=str(target))

    (wheel,) = once(shared / "without-gil", build).glob("*.whl")
    assert "-cp314-cp314t-" in wheel.name
    # With a pip of its own, which tells such interpreters apart.
    run(interpreter, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    (msgspec,) = re.findall(r"^msgspec==.*", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel, msgspec)
    for name, more in (("smoke.py", []), ("threads.py", ["--seconds", "3"])):
        # Where nothing of the repository is in reach. An import that switches the GIL on would warn.
        program = Path(shutil.copy(PROGRAMS / name, tmp_path / name))
        command: list[str | Path] = [python, "-W", "error", program, "--without-gil", *more]
        told: dict[str, Any] = json.loads(run(*command, cwd=tmp_path, REDIS_URL=redis_url).splitlines()[-1])
        assert told["gil"] is False
