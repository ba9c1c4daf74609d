"""The order of the site: sections, and within them pages and whole folders.

A folder's pages stand in the order in which its index links to them, the others behind by name. A page of `docs/` that
no section takes is an error of the build (`validation.nav.omitted_files`).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from website.pages import ROOT

Nav = list[Any]

SECTIONS: dict[str, list[str]] = {
    "Start": ["guide/", "calls.md", "choosing.md", "testing.md"],
    "Ideas": [
        "keys.md", "values.md", "stale.md", "tags.md", "l1.md", "fields.md", "writes.md", "write-behind.md",
        "events-between-services.md", "tenants.md", "versions.md",
    ],
    "Frameworks": [
        *(f"frameworks/{name}.md" for name in ("index", "fastapi", "django", "flask", "celery")),
        *(f"frameworks/{name}.md" for name in ("express", "fastify", "nestjs", "keyv")),
        "frameworks/",
    ],
    "Moving": ["moving/"],
    "Deploying": ["production.md", "deploying/", "packages.md", "scale.md", "security.md"],
    "Operating": ["health.md", "events.md", "observability/", "command.md", "lint.md", "troubleshooting.md"],
    "Reference": ["reference/", "options.md", "errors.md"],
    "Why it is right": [
        "protocol.md", "wire-format.md", "reliability.md", "performance.md", "repo/core/DESIGN.md", "releasing.md",
    ],
}  # fmt: skip
"""What ends in a slash is a folder, with all of it that does not stand before."""

_LINK = re.compile(r"\]\(([\w./-]+\.md)[)#]")
_TITLES = {"node": "Node.js"}
_INDEXES = ("index.md", "README.md")


def nav_of(texts: dict[str, str]) -> Nav:
    """What mkdocs takes as `nav`, of all pages there are and their Markdown."""
    nav: Nav = [{"Home": "index.md"}]
    for title, places in SECTIONS.items():
        section: Nav = []
        for place in places:
            found = _folder(place, texts) if place.endswith("/") else [place] * (place in texts)
            section += [page for page in found if page not in section]
        if section:
            nav.append({title: section})
    return nav


def _folder(folder: str, texts: dict[str, str]) -> Nav:
    inside = sorted(page for page in texts if page.startswith(folder))
    below = {page[len(folder) :].partition("/")[0] for page in inside if "/" in page[len(folder) :]}
    own = [page for page in inside if "/" not in page[len(folder) :]]
    index = next((folder + name for name in _INDEXES if folder + name in own), None)
    links = [str(PurePosixPath(folder) / link) for link in _LINK.findall(texts[index])] if index else []

    def rank(start: str) -> tuple[int, str]:
        return next((number for number, link in enumerate(links) if link.startswith(start)), len(links)), start

    parts: Nav = [index] if index else []
    for place in sorted([*own, *(f"{folder}{name}/" for name in below)], key=rank):
        if place.endswith("/"):
            name = place.rstrip("/").rpartition("/")[2]
            parts.append({_TITLES.get(name, name.replace("-", " ").capitalize()): _folder(place, texts)})
        elif place != index:
            parts.append(place)
    return parts


def markdown_of_docs() -> dict[str, str]:
    """The Markdown of every page that is written by hand."""
    docs = ROOT / "docs"
    return {page.relative_to(docs).as_posix(): page.read_text() for page in sorted(docs.rglob("*.md"))}
