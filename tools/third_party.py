"""The licences of all that is linked into a program of this workspace.

    python -m tools.third_party tidegate-python > THIRD-PARTY-LICENSES

Cargo says what is linked, its sources bring their licences. Nothing is fetched: a build of the program has fetched it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_NAMES = re.compile(r"(?i)(licen[cs]e|copying|notice|unlicense)([-_.].*)?")
_CODE = (".rs", ".c", ".h", ".py", ".js", ".toml")


def _metadata() -> dict[str, Any]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    return found


def linked(program: str) -> list[dict[str, Any]]:
    """The crates of others that are linked into a program, on any of its platforms, by name."""
    metadata = _metadata()
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    (start,) = (each for each in metadata["workspace_members"] if packages[each]["name"] == program)
    seen, waiting = {start}, [start]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            # Of procedural macros and build scripts nothing is linked.
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            is_macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
            if is_linked and not is_macro and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    own = set(metadata["workspace_members"])
    return sorted((packages[each] for each in seen - own), key=lambda package: (package["name"], package["version"]))


def _texts(crate: dict[str, Any]) -> list[str]:
    """Those that a crate brings, of what it has of others too; else the words of the one that it names."""
    folder = Path(crate["manifest_path"]).parent
    files = [file for file in sorted(folder.rglob("*")) if _NAMES.fullmatch(file.name) and file.suffix not in _CODE]
    every = [file.read_text(encoding="utf-8", errors="replace").strip() for file in files if file.is_file()]
    # zstd is to be had under this one too; we take it under the other, which stands beside.
    found = [text for text in every if not text.startswith("GNU GENERAL PUBLIC LICENSE")]
    if found:
        return found
    if "MIT" not in (crate["license"] or ""):
        raise SystemExit(f"{crate['name']} {crate['version']} brings no text of {crate['license']}")
    # The words are those of ours, of other people.
    _, _, words = (ROOT / "LICENSE-MIT").read_text(encoding="utf-8").partition("Permission is hereby granted")
    authors = ", ".join(crate["authors"]) or f"the authors of {crate['name']}"
    return [f"Copyright (c) {authors}\n\nPermission is hereby granted{words}".strip()]


def text(program: str) -> str:
    """One text for people: who is in it, then each licence once, with those that it is of."""
    crates = linked(program)
    by_licence: dict[str, list[str]] = defaultdict(list)
    written: dict[str, str] = {}
    listed = []
    for crate in crates:
        if not crate["license"] and not crate["license_file"]:
            raise SystemExit(f"{crate['name']} {crate['version']} names no licence")
        name = f"{crate['name']} {crate['version']}"
        listed.append(f"  {name}: {crate['license'] or 'see below'}")
        for licence in _texts(crate):
            # The same words in lines of another length are the same licence.
            same = " ".join(licence.split())
            written.setdefault(same, licence)
            if name not in by_licence[same]:
                by_licence[same].append(name)
    parts = [f"{program} has these crates linked in:\n\n" + "\n".join(listed)]
    for same, names in sorted(by_licence.items(), key=lambda item: (-len(item[1]), item[1])):
        parts.append(f"{'=' * 100}\n{', '.join(names)}\n{'-' * 100}\n{written[same]}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write it to standard output."""
    # By its bytes: a Windows that writes to a file takes another encoding for it.
    sys.stdout.buffer.write(text(sys.argv[1]).encode())


if __name__ == "__main__":
    main()
