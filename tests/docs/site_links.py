"""Reads a built site as a browser's links see it: pages, what they link to, and what can be linked to in them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Read:
    """One page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    """What a browser fetches by itself."""
    anchors: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.read = Read()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("href", "src"):
            if value := given.get(name):
                (self.read.links if tag == "a" else self.read.loaded).append(value)
        self.read.anchors |= {value for name in ("id", "name") if (value := given.get(name))}


def read_all(site: Path) -> dict[str, Read]:
    """Every page of the site, by its path in it. rustdoc's own are rustdoc's."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if not name.startswith("reference/rust/") or name == "reference/rust/index.html":
            reader = _Reader()
            reader.feed(path.read_text())
            pages[name] = reader.read
    return pages


def dead_links(site: Path, pages: dict[str, Read]) -> list[str]:
    """What leads nowhere, and what is fetched from elsewhere."""
    dead = []
    for name, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded:
                    dead.append(f"{name}: {link} is fetched from elsewhere")
                continue
            path = unquote(parts.path)
            target = name if not path else posixpath.normpath(posixpath.join("/", posixpath.dirname(name), path))[1:]
            if (site / target).is_dir():
                target = posixpath.join(target, "index.html").removeprefix("./")
            if target.startswith("reference/rust/tidegate/"):
                continue  # rustdoc's pages, which `make docs` adds
            if not (site / target).is_file():
                dead.append(f"{name}: {link} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                dead.append(f"{name}: {link} has no such anchor")
    return dead
