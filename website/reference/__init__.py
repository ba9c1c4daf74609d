"""The reference of each language, made of its sources: pages of the same names for Python and Node.js, rustdoc for
Rust."""

from __future__ import annotations

from pathlib import Path

from website.reference import node, python

_HERE = Path(__file__).parent


def pages() -> dict[str, str]:
    """The Markdown of every page of the reference, by its uri."""
    made = {f"reference/{name}": (_HERE / name).read_text() for name in ("index.md", "rust.md")}
    made |= {f"reference/python/{name}": text for name, text in python.pages().items()}
    made |= {f"reference/node/{name}": text for name, text in node.pages().items()}
    return made
