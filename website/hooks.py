"""What mkdocs asks of this site: the order of its pages, pages from outside `docs/`, the reference, tabs and pictures.

Each hook only hands over; what is done is in the modules beside this one, which know nothing of mkdocs.
"""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website import figures, nav, pages, reference, tabs


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    texts = nav.markdown_of_docs()
    made = reference.pages()
    config["nav"] = nav.nav_of(texts | made | pages.outside(texts | made | {"": pages.DESIGN_LINK}))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    texts = nav.markdown_of_docs()
    made = reference.pages()
    for uri, text in (made | pages.outside(texts | made | {"": pages.DESIGN_LINK})).items():
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
