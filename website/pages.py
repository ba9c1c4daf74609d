"""Pages of the repository that stand outside `docs/`, and what a page's links come to in the site.

A page of `docs/` may link to any file of the repository, as it stands on a code host: `../core/DESIGN.md`,
`../examples/choosing/strong.py`, `../tests/faults`. In the site such a file is a page below `repo/`: Markdown as it is,
a source with its colours, a folder as a list.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
OUTSIDE = "repo"

Kind = Literal["text", "open", "code", "close"]

_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_LINK = re.compile(r"(\[[^\]\[]*\])?(?<=\])\(([^)\s]+)\)")
_LANGUAGES = {
    ".py": "python",
    ".mjs": "js",
    ".ts": "ts",
    ".rs": "rust",
    ".toml": "toml",
    ".json": "json",
    ".yml": "yaml",
}


class NoSuchFile(Exception):
    """A link to a file that the repository does not have."""


def home_of(uri: str) -> str:
    """Where in the repository the page of the site is from."""
    return uri.removeprefix(f"{OUTSIDE}/") if uri.startswith(f"{OUTSIDE}/") else f"docs/{uri}"


def uri_of(path: str) -> str:
    """Which page of the site shows a file or folder of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    place = ROOT / path
    if place.is_dir():
        readme = f"{path}/README.md"
        return f"{OUTSIDE}/{readme}" if (ROOT / readme).is_file() else f"{OUTSIDE}/{path}/index.md"
    if not place.is_file():
        raise NoSuchFile(path)
    return f"{OUTSIDE}/{path}" if path.endswith(".md") else f"{OUTSIDE}/{path}.md"


def lines(markdown: str) -> Iterator[tuple[Kind, str]]:
    """Each line, and what it is: text, or the beginning, inside or end of a block of code."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        found = _FENCE.match(line)
        if not fence:
            fence = found[1] if found else ""
            yield ("open" if found else "text"), line
        elif found and found[1].startswith(fence) and not line.strip(" `~\n"):
            fence = ""
            yield "close", line
        else:
            yield "code", line


def relinked(markdown: str, uri: str) -> tuple[str, set[str]]:
    """The page with its links as the site has them, and the pages outside `docs/` that they lead to."""
    wanted: set[str] = set()
    home = posixpath.dirname(home_of(uri))

    def link(found: re.Match[str]) -> str:
        href, hash_, anchor = found[2].partition("#")
        if not href or re.match(r"[a-z]+:|/", href):
            return found[0]
        path = posixpath.normpath(posixpath.join(home, href))
        target = uri_of(path)
        if target.startswith(f"{OUTSIDE}/"):
            wanted.add(path)
        text = found[1] or ""
        if text.strip("[]`") in (href, posixpath.basename(href)) and href.endswith(".md"):
            text = f"[{_title(path)}]"  # on a code host a file's name says where it leads, in the site its title does
        return f"{text}({posixpath.relpath(target, posixpath.dirname(uri) or '.')}{hash_}{anchor})"

    done = [_LINK.sub(link, line) if kind == "text" else line for kind, line in lines(markdown)]
    return "".join(done), wanted


def _title(path: str) -> str:
    place = ROOT / path
    found = re.search(r"^# (.+)$", place.read_text(), re.MULTILINE) if place.is_file() else None
    return found[1] if found else path


def page_of(path: str) -> str:
    """The Markdown of the page that shows a file or folder of the repository."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(
            child.name for child in place.iterdir() if child.suffix in _LANGUAGES and child.name[0] not in "._"
        )
        return _hidden(f"# {path}/\n\n" + "".join(f"- [{name}]({name})\n" for name in names))
    if path.endswith(".md"):
        return place.read_text()
    language = _LANGUAGES.get(place.suffix, "text")
    return _hidden(f"# {path}\n\n````` {language}\n{place.read_text()}`````\n")


def _hidden(markdown: str) -> str:
    # A source is not what a search is for.
    return f"---\nsearch:\n  exclude: true\n---\n\n{markdown}"


def outside(texts: dict[str, str]) -> dict[str, str]:
    """Every page outside `docs/` that these pages lead to, by its uri; with those that they in turn lead to."""
    found: dict[str, str] = {}
    todo = [path for uri, text in texts.items() for path in relinked(text, uri)[1]]
    while todo:
        path = todo.pop()
        uri = uri_of(path)
        if uri not in found:
            found[uri] = page_of(path)
            todo += relinked(found[uri], uri)[1]
    return found


DESIGN_LINK = "[why](../core/DESIGN.md)"
"""The one page that the site has whether or not another leads to it."""
