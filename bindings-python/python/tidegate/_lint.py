"""`tidegate lint`: a program of its own beside this module, because its parsers are as large as the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path(__file__).parent / "_bin" / ("tidegate-lint.exe" if sys.platform == "win32" else "tidegate-lint")


def lint(args: Sequence[str]) -> int:
    """Run the linter with these arguments, in place of this process where the system can; its exit code."""
    if not PROGRAM.is_file():
        print(
            f"error: tidegate lint is not part of this installation: {PROGRAM} is missing\n"
            "The wheels of tidegate have it; what is built from the sdist has not. Mend it with: "
            "pip install --force-reinstall --only-binary tidegate tidegate",
            file=sys.stderr,
        )
        return 2
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.execv(PROGRAM, [str(PROGRAM), *args])
    return subprocess.call([PROGRAM, *args])
