"""Django's tests of caches, which its source distribution has and its wheel has not: fetched once, by `make`.

python -m tests.frameworks.django_source
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

FOLDER = Path(__file__).parents[2] / ".make" / "django" / str(django.__version__)


def fetch() -> Path:
    """The folder that holds `cache`, of the version that is installed."""
    if not (FOLDER / "cache" / "tests.py").exists():
        with tempfile.TemporaryDirectory() as folder:
            what = ["--no-deps", "--no-binary", "django", "--dest", folder, f"django=={django.__version__}"]
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *what], check=True)
            (archive,) = Path(folder).glob("*.tar.gz")
            _unpack(archive)
    return FOLDER


def _unpack(archive: Path) -> None:
    (FOLDER / "cache").mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            name = member.name.partition("/tests/cache/")[2]
            if member.isfile() and name.endswith(".py") and "/" not in name:
                content = opened.extractfile(member)
                assert content is not None
                (FOLDER / "cache" / f"{name}.new").write_bytes(content.read())
    # The tests last: who sees them sees all.
    for file in sorted((FOLDER / "cache").glob("*.new")):
        file.rename(file.with_suffix(""))


if __name__ == "__main__":
    print(fetch())
