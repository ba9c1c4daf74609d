"""The site of the documentation, built and opened page by page as its readers open it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.site_links import dead_links, read_all
from tests.docs.site_visit import visit
from website import __main__ as website
from website import nav, pages, pictures, tabs
from website.reference.node import entry_points
from website.reference.python import public_modules

SOURCES_OPENED = 3
"""Of the pages of sources, which are all of one kind, so many are opened."""


@pytest.mark.timeout(600)
async def test_the_site_is_whole(tmp_path: Path) -> None:
    website.build(tmp_path)
    read = read_all(tmp_path)
    assert dead_links(tmp_path, read) == []
    assert _unnamed(tmp_path) == []

    sources = [name for name in read if re.match(r"repo/.*\.(?!md)\w+/index\.html", name)]
    names = [name for name in read if name not in sources[SOURCES_OPENED:]]
    assert len(names) > 50
    seen = await visit(tmp_path, names, asked="stampede")
    assert seen.faults == []
    assert seen.opened == len(names)
    assert any("protocol/" in link for link in seen.found), seen.found


def _unnamed(site: Path) -> list[str]:
    """Public names that the reference does not have."""
    python = "".join(page.read_text() for page in (site / "reference" / "python").rglob("*.html"))
    missing = []
    for module, names in public_modules().items():
        assert set(importlib.import_module(module).__all__) == set(names)
        missing += [f"{module}.{name}" for name in names if f'id="{module}.{name}"' not in python]
    node = (site / "reference" / "node" / "index.html").read_text()
    for page in (site / "reference" / "node").rglob("*.html"):
        assert "\\&lt;" not in page.read_text(), f"{page}: typedoc's escapes are shown as they are"
    for entry, source in entry_points().items():
        exported = re.findall(r"^export (?:type )?\{([^}]*)\}", source.read_text(), re.MULTILINE)
        every = [part.split()[-1] for listed in exported for part in listed.split(",") if part.strip()]
        missing += [f"{entry}: {name}" for name in every if f"<code>{name}</code>" not in node]
    return missing


async def test_what_a_reader_would_trip_over_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<body><div class="md-content" style="width:2000px"><p style="color:#bbb">faint</p><img src="gone.png">'
        '<img src="http://elsewhere.example/x.png"><a href="none.html">x</a><a href="#none">y</a>'
        '<script>console.error("said"); throw new Error("thrown")</script></div>'
        '<input class="md-search__input">'
        '<li class="md-search-result__item"><a class="md-search-result__link" href="z">z</a>'
    )
    faults = "\n".join((await visit(tmp_path, ["index.html"], asked="x")).faults)
    for part in (
        "wider than a phone",
        "faint in",
        "gone.png is 404",
        "asks http://elsewhere",
        "error: said",
        "raised thrown",
    ):
        assert part in faults, (part, faults)
    dead = "\n".join(dead_links(tmp_path, read_all(tmp_path)))
    for part in ("none.html is not there", "#none has no such anchor", "elsewhere.example/x.png is fetched"):
        assert part in dead, (part, dead)


def test_every_picture_is_drawn_of_its_source() -> None:
    sources = sorted(pictures.PICTURES.glob("*.mmd"))
    assert len(sources) >= 8
    by_hand = {"one-cache"}
    assert {path.stem for path in sources} | by_hand == {path.stem for path in pictures.PICTURES.glob("*.svg")}
    for path in sources:
        drawn = path.with_suffix(".svg").read_text()
        assert drawn == pictures.draw(path.read_text()), f"python -m website.pictures draws {path.stem} anew"


def test_every_picture_is_on_a_page_and_names_commands_that_there_are() -> None:
    docs = "".join(page.read_text() for page in pictures.PICTURES.parent.glob("*.md"))
    scripts = list((pages.ROOT / "core" / "src" / "store" / "redis" / "lua").glob("*.lua"))
    answers = re.findall(r"\{'([A-Z_]+)'", "".join(script.read_text() for script in scripts))
    known = {script.stem.upper().removeprefix("EVENT_") for script in scripts} | set(answers) | {"GET", "SSUBSCRIBE"}
    for path in pictures.PICTURES.glob("*.mmd"):
        assert f"(pictures/{path.stem}.svg)" in docs, path.stem
        assert set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", path.read_text())) <= known, path.stem


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("A->>C: hello", "C is no participant"),
        ("A=>B: hello", "line 5: 'A=>B: hello' is not known here"),
        ("opt what is never closed", "has no end"),
    ],
)
def test_a_picture_that_cannot_be_drawn_says_why(line: str, fault: str) -> None:
    source = f"sequenceDiagram\naccTitle: t\naccDescr: d\nparticipant A as a\n{line}\nparticipant B as b"
    with pytest.raises(ValueError, match=re.escape(fault)):
        pictures.draw(source)


def test_code_of_several_languages_is_in_tabs_where_nothing_stands_between() -> None:
    page = "a\n\n```python title=x.py\nx = 1\n```\n\nIn Node.js:\n\n```js\nx();\n```\n\n```sh\nmake\n```\n\n"
    page += "b, and:\n\n```js\ny();\n```\n"
    done = tabs.tabbed(page)
    assert re.findall(r'^=== "(.+)"$', done, re.MULTILINE) == ["Python", "Node.js"]
    assert "    ```python title=x.py\n    x = 1\n    ```\n" in done
    assert done.endswith("\n```sh\nmake\n```\n\nb, and:\n\n```js\ny();\n```\n")
    assert "In Node.js:" not in done


def test_a_folder_stands_in_the_order_of_its_index() -> None:
    texts = {
        "guide/README.md": "[b](second.md) [a](first.md#x)",
        "guide/first.md": "",
        "guide/second.md": "",
        "guide/other.md": "",
        "moving/a.md": "",
        "moving/b.md": "",
        "frameworks/flask.md": "",
        "frameworks/celery.md": "",
        "frameworks/aiohttp.md": "",
        "stray.md": "a page that no section takes",
    }
    assert nav.nav_of(texts) == [
        {"Home": "index.md"},
        {"Start": ["guide/README.md", "guide/second.md", "guide/first.md", "guide/other.md"]},
        {"Frameworks": ["frameworks/flask.md", "frameworks/celery.md", "frameworks/aiohttp.md"]},
        {"Moving": ["moving/a.md", "moving/b.md"]},
    ]


def test_a_link_out_of_the_documents_leads_to_a_page_of_the_site() -> None:
    text = "[why](../core/DESIGN.md#who-keeps-time), [faults](../tests/faults), [protocol.md](protocol.md)\n"
    done, outside = pages.relinked(text, "stale.md")
    assert done == (
        "[why](repo/core/DESIGN.md#who-keeps-time), [faults](repo/tests/faults/index.md), "
        "[The lease protocol](protocol.md)\n"
    )
    assert outside == {"core/DESIGN.md", "tests/faults"}
    with pytest.raises(pages.NoSuchFile):
        pages.relinked("[gone](../gone.py)", "stale.md")
