"""The peers that tidegate is set beside, installed outside the repository from the pins in `peers/`.

    python -m benchmarks.peers      # prints where they are

Each set of pins has a folder of its own, named by their hash, under `$XDG_CACHE_HOME/tidegate-benchmarks` (without that
variable `~/.cache`): it is made once, and a change of a pin makes another. Raw results are kept beside them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent / "peers"
MADE = ".made"  # stands in a folder whose installation came to its end


def cache_folder() -> Path:
    """Where peers and raw results are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tidegate-benchmarks"


def python_peers() -> Path:
    """The interpreter of a virtual environment that holds the Python peers; the first call installs them."""
    pins = PINS / "requirements.txt"
    folder = _folder("python", pins, platform.python_version())
    interpreter = folder / "bin" / "python"
    if not (folder / MADE).exists():
        _say(f"installing the Python peers into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", folder)
        _run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", pins)
        (folder / MADE).touch()
    return interpreter


def node_peers() -> Path:
    """The folder whose `node_modules` holds the Node peers; the first call installs them."""
    pins = PINS / "package.json"
    folder = _folder("node", pins, _node_version())
    if not (folder / MADE).exists():
        _say(f"installing the Node peers into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(pins, folder)
        _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", cwd=folder)
        (folder / MADE).touch()
    return folder


def _folder(language: str, pins: Path, version: str) -> Path:
    """Named by the pins and by what they are installed for: compiled peers fit one version of the language."""
    told = hashlib.sha256(pins.read_bytes() + version.encode()).hexdigest()
    return cache_folder() / f"{language}-{told[:12]}"


def _node_version() -> str:
    return subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, stdout=sys.stderr)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(python_peers())
    print(node_peers())
