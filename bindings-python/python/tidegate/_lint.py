"""`tidegate lint`: a program of a package of its own, `tidegate-lint`: its parsers weigh as much as all the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

NAME = "tidegate-lint.exe" if sys.platform == "win32" else "tidegate-lint"


def find() -> Path | None:
    """The program: where pip puts the scripts of this interpreter, else on PATH; None where there is none."""
    import shutil

    for folder in _script_folders():
        if (program := folder / NAME).is_file():
            return program
    found = shutil.which(NAME)
    return None if found is None else Path(found)


def _script_folders() -> Iterator[Path]:
    import sysconfig

    yield Path(sysconfig.get_path("scripts"))
    # `pip install --user`, and `pip install --target`, which puts them beside the package.
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    yield Path(__file__).parents[1] / "bin"


def lint(args: Sequence[str]) -> int:
    """Run the linter with these arguments, in place of this process where the system can; its exit code."""
    program = find()
    if program is None:
        print(
            'error: tidegate lint is a package of its own, and not installed here\nhint: pip install "tidegate[lint]"',
            file=sys.stderr,
        )
        return 2
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.execv(program, [str(program), *args])
    return subprocess.call([program, *args])
