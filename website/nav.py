"""The order of the site: sections, and within them pages and whole folders.

A folder's pages stand in the order in which its index links to them, the others behind by name. A page of `docs/` that no
section takes is an error of the build (`validation.nav.omitted_files`).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from website.pages import ROOT

Nav = list[Any]

SECTIONS: dict[str, list[str]] = {
    "Start": ["guide/", "choosing.md", "testing.md"],
    "Ideas": [
        "keys.md", "values.md", "stale.md", "tags.md", "l1.md", "fields.md", "writes.md", "write-behind.md",
        "events-between-services.md", "tenants.md", "versions.md",
    ],
    "Frameworks": ["frameworks/"],
    "Moving": ["moving/"],
    "Deploying": ["production.md", "deploying/", "packages.md", "scale.md", "security.md"],
    "Operating": ["health.md", "events.md", "observability/", "command.md", "lint.md", "troubleshooting.md"],
    "Reference": ["options.md", "errors.md", "reference/"],
    "Why it is right": ["protocol.md", "wire-format.md", "reliability.md", "performance.md", "repo/core/DESIGN.md"],
}  # fmt: skip
"""What ends in a slash is a folder, with all that is in it."""

_LINK = re.compile(r"\]\(([\w./-]+\.md)[)#]")
_INDEXES = ("index.md", "README.md")


def nav_of(texts: dict[str, str]) -> Nav:
    """What mkdocs takes as `nav`, of all pages there are and their Markdown."""
    nav: Nav = ["index.md"]
    for title, places in SECTIONS.items():
        section: Nav = []
        for place in places:
            section += _folder(place, texts) if place.endswith("/") else [place] * (place in texts)
        if section:
            nav.append({title: section})
    return nav


def _folder(folder: str, texts: dict[str, str]) -> Nav:
    inside = sorted(page for page in texts if page.startswith(folder))
    below = sorted({page[len(folder) :].partition("/")[0] for page in inside if "/" in page[len(folder) :]})
    own = [page for page in inside if "/" not in page[len(folder) :]]
    index = next((folder + name for name in _INDEXES if folder + name in own), None)
    if index is not None:
        links = [str(PurePosixPath(folder) / link) for link in _LINK.findall(texts[index])]
        rank = {page: number for number, page in reversed(list(enumerate(links)))}
        own.sort(key=lambda page: (page != index, rank.get(page, len(links)), page))
    parts: Nav = [*own]
    for name in below:
        title = name.replace("-", " ").capitalize()
        parts.append({title: _folder(f"{folder}{name}/", texts)})
    return parts


def markdown_of_docs() -> dict[str, str]:
    """The Markdown of every page that is written by hand."""
    docs = ROOT / "docs"
    return {page.relative_to(docs).as_posix(): page.read_text() for page in sorted(docs.rglob("*.md"))}


__all__ = ["SECTIONS", "Nav", "Path", "markdown_of_docs", "nav_of"]
