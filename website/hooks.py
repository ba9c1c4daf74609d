"""What mkdocs asks of this site: the order of its pages, pages from outside `docs/`, the reference, tabs and pictures.

Each hook only hands over; what is done is in the modules beside this one, which know nothing of mkdocs.
"""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website import figures, nav, pages, reference, tabs


def _made() -> dict[str, str]:
    """The pages that are not in `docs/`."""
    reference_pages = reference.pages()
    written = nav.markdown_of_docs() | reference_pages | {"": pages.DESIGN_LINK}
    return reference_pages | pages.outside(written)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config["nav"] = nav.nav_of(nav.markdown_of_docs() | _made())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for uri, text in _made().items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, "assets/pictures.css", content=figures.css()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    uri = page.file.src_uri
    if uri == "index.md":
        page.meta["hide"] = ["navigation", "toc"]  # the front page has its own way onward
    if uri.startswith("reference/"):
        return markdown
    return tabs.tabbed(pages.relinked(markdown, uri)[0])


def on_page_content(html: str, page: Page, files: Files, **_: Any) -> str:
    return figures.inlined(figures.linked(html, page, files), page.url)
