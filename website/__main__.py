"""Builds the documentation site: `python -m website` (that is `make docs`), or serves it while it is written."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from website.pages import ROOT
from website.reference import node

TYPEDOC = ROOT / "website" / "typedoc"


def write_node_reference() -> None:
    """Has typedoc read the sources, unless nothing has changed since it last did."""
    made = node.WRITTEN / "index.md"
    sources = [*(ROOT / "bindings-node" / "js").rglob("*.ts"), TYPEDOC / "typedoc.json", ROOT / "package.json"]
    if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    typedoc = TYPEDOC / "node_modules" / "typedoc" / "bin" / "typedoc"
    entries = [part for path in node.entry_points().values() for part in ("--entryPoints", str(path))]
    _run("node", str(typedoc), "--options", str(TYPEDOC / "typedoc.json"), "--out", str(node.WRITTEN), *entries)


def build(into: Path) -> None:
    """The site, whole but for Rust's reference. A warning is an error."""
    write_node_reference()
    _run(sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into))


def add_rust_reference(into: Path) -> None:
    """rustdoc's own pages, as they are."""
    # A link to what is private is text: its reader has the source.
    flags = "-D warnings -A rustdoc::private_intra_doc_links"
    _run("cargo", "doc", "--package", "tidegate", "--no-deps", "--locked", RUSTDOCFLAGS=flags)
    host = subprocess.run(["rustc", "--print", "host-tuple"], capture_output=True, text=True, check=True)
    made = ROOT / "target" / host.stdout.strip() / "doc"
    shutil.copytree(made, into / "reference" / "rust", dirs_exist_ok=True)


def _run(*command: str, **more: str) -> None:
    # Material advises against a mkdocs that is not there yet; the one used here is pinned.
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)} | more
    ran = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if ran.returncode:
        raise SystemExit(f"{command[0]} failed: {ran.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "target" / "site")
    parser.add_argument("--no-rust", action="store_true", help="leave rustdoc out")
    parser.add_argument("--serve", action="store_true", help="show it on loopback, built anew with each change")
    given = parser.parse_args()
    if given.serve:
        write_node_reference()
        _run(sys.executable, "-m", "mkdocs", "serve")
        return
    build(given.into)
    if not given.no_rust:
        add_rust_reference(given.into)
    print(given.into / "index.html")


if __name__ == "__main__":
    main()
