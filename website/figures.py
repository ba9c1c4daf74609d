"""What becomes of a page's pictures, and of files of `docs/` that it names without a link."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from website.pages import ROOT
from website.pictures import _DARK, _LIGHT, _SHAPE, PICTURES, style

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_IMAGE = re.compile(r'<img alt="([^"]*)" src="([^"]+)"\s*/?>')
_NAMED = re.compile(r"<code>(docs/[\w./-]+\.md|core/DESIGN\.md)</code>(?!</a>)")


def css() -> str:
    """The colours of the sequence diagrams, by the scheme that the reader has chosen on the page."""
    light, dark = "[data-md-color-scheme=default] .sequence ", "[data-md-color-scheme=slate] .sequence "
    shape = re.sub(r"(?<=\})(?=[.a-z])|^", ".sequence ", _SHAPE)
    return f"{shape}\n{style(_LIGHT, light)}\n{style(_DARK, dark)}\n"


def inlined(html: str, url: str) -> str:
    """The page with its sequence diagrams in it: they follow the page's colours, and their text can be copied."""

    def picture(found: re.Match[str]) -> str:
        alt, source = found.groups()
        path = ROOT / "docs" / posixpath.normpath(posixpath.join(url, source))
        if path.parent != PICTURES or path.suffix != ".svg":
            return found[0]
        svg = re.sub(r"<style>.*?</style>|<title>.*?</title>|<desc>.*?</desc>", "", path.read_text(), flags=re.DOTALL)
        svg = svg.replace('role="img"', f'role="img" aria-label="{alt}"')
        return f'<span class="picture" tabindex="0">{svg.strip()}</span>'

    return _IMAGE.sub(picture, html)


def linked(html: str, page: Page, files: Files) -> str:
    """The page with links on the documents that docstrings name."""

    def link(found: re.Match[str]) -> str:
        name = found[1]
        uri = name.removeprefix("docs/") if name.startswith("docs/") else f"repo/{name}"
        file = files.get_file_from_path(uri)
        if file is None or file.page is None or uri == page.file.src_uri:
            return found[0]
        return f'<a href="{file.url_relative_to(page.file)}">{found[0]}</a>'

    return _NAMED.sub(link, html)
