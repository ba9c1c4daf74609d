"""Node.js's reference: what typedoc wrote, in pages of the names that Python's have.

`make docs` runs typedoc (`website/typedoc`); this takes its Markdown apart and drops what says nothing to a reader:
which private class a member is from, constructors that nobody calls.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from website.pages import ROOT, lines
from website.reference import groups

WRITTEN = ROOT / ".make" / "reference" / "node"

_EVENTS = {"CacheEvent", "CacheEvents", "EventName", "FaultReason", "Observer"}
_OPTIONS = {"Breaker", "Codec", "Duration", "HealthLimits", "Tls"}
_UNSAID = ("Inherited from", "Overrides", "Implementation of", "Extended by")
_LABEL = re.compile(r"^#+ ((?:Type )?Parameters|Returns|\w+ [Ss]ignature)$", re.MULTILINE)
"""Headings that say what comes next, and name nothing that one would look for."""
_KINDS = ("Constructors", "Properties", "Methods", "Accessors", "Events", "Indexable")


@dataclass(frozen=True)
class Entry:
    """What typedoc wrote of one name."""

    name: str
    anchor: str
    text: str


def entry_points() -> dict[str, Path]:
    """The TypeScript of each entry point of the package, by its name: `index`, `otel`, ..."""
    exports = json.loads((ROOT / "package.json").read_text())["exports"]
    names = [key.removeprefix("./") for key in exports if key != "./package.json"]
    return {
        ("index" if name == "." else name): ROOT / "bindings-node" / "js" / f"{'index' if name == '.' else name}.ts"
        for name in names
    }


def pages() -> dict[str, str]:
    """The Markdown of Node.js's pages, by their names."""
    entries = _entries((WRITTEN / "index.md").read_text())
    errors = {one.name for one in entries if "](#abstract-tidegateerror)\n" in one.text} | {"TidegateError"}
    home = {
        anchor: f"{_page_of(entry.name, errors)}.md"
        for entry in entries
        for anchor in re.findall(r'<a id="([^"]+)"></a>', entry.text)
    }
    parts: dict[str, list[str]] = {}
    index = ["# Node.js\n", "**Every public name, by its entry point.** `npm install tidegate`.\n", groups.LIST]
    index.append(f"## tidegate\n\n{groups.TABLE}")
    for entry in entries:
        page = home[entry.anchor]
        text = _linked(_trimmed(_ordered(entry.text), is_error=entry.name in errors), page, home)
        parts.setdefault(page, [groups.heading(page.removesuffix(".md"))]).append(text)
        index.append(f"| [`{entry.name}`]({page}#{entry.anchor}) | {_first_sentence(entry.text)} |")
    made = {page: "\n".join(texts) for page, texts in parts.items()}
    for name in entry_points():
        if name == "index":
            continue
        written = (WRITTEN / f"{name}.md").read_text()
        others = _entries(written)
        index.append(f"\n## tidegate/{name}\n\n{groups.TABLE}")
        index += [f"| [`{one.name}`]({name}.md#{one.anchor}) | {_first_sentence(one.text)} |" for one in others]
        lead = written.partition('<a id="')[0].partition("\n")[2].strip()
        body = "\n".join(_linked(_trimmed(_ordered(one.text), is_error=False), f"{name}.md", home) for one in others)
        made[f"{name}.md"] = f"# tidegate/{name}\n\n{lead}\n\n{body}"
    return {"index.md": "\n".join(index) + "\n"} | made


def _page_of(name: str, errors: set[str]) -> str:
    if name == "CacheManager":
        return "manager"
    if name in errors or name == "ErrorCode":
        return "errors"
    if name in _EVENTS:
        return "events"
    return "options" if name in _OPTIONS or name.endswith("Options") else "names"


def _entries(written: str) -> list[Entry]:
    pieces = re.split(r'\n(?=<a id="[^"]+"></a>\n\n## )', written)[1:]
    found = []
    for piece in pieces:
        head = re.match(r'<a id="([^"]+)"></a>\n\n## (.+)\n', piece)
        assert head is not None, piece[:80]
        name = re.sub(r"`abstract` |\(\)|\\", "", head[2])
        found.append(Entry(name, head[1], piece.removesuffix("\n***\n").rstrip() + "\n"))
    return found


def _ordered(text: str) -> str:
    """A class's own methods before those that it has from a base, and without what is for Node.js itself."""
    head, sign, tail = text.partition("\n### Methods\n")
    if not sign:
        return text
    methods = re.split(r'\n(?=<a id="[^"]+"></a>\n\n#### )', tail)
    lead, methods = methods[0], [one for one in methods[1:] if "#### \\[" not in one]
    methods.sort(key=lambda one: "# Inherited from" in one)
    return "\n".join([head + sign.rstrip("\n") + lead, *methods])


def _trimmed(text: str, *, is_error: bool) -> str:
    """Without what says nothing, headings of kinds too; members of a base that is not public stand last."""
    sections = re.split(r"\n(?=#{3,6} )", text)
    kept: list[str] = []
    skipped_below = 0
    for section in sections:
        level, _, title = section.partition(" ")
        title = title.partition("\n")[0]
        if skipped_below and level.count("#") > skipped_below:
            continue
        skipped_below = 0
        if title in _UNSAID or (title == "Constructors" and is_error) or (title == "Extends" and "](" not in section):
            skipped_below = len(level)
            kept.append(_anchor_behind(section))
            continue
        if title in _KINDS:
            section = section.partition("\n")[2].strip("\n")
            if not section:
                continue
        kept.append(section)
    joined = re.sub(r"\n{3,}", "\n\n", "\n\n".join(part for part in kept if part))
    promoted = re.sub(r"^#(#{3,5} )", r"\1", joined, flags=re.MULTILINE)
    labelled = _LABEL.sub(r"##### \1", promoted) + "\n"
    # Python's Markdown knows no `\<`.
    return "".join(line.replace(r"\<", "&lt;") if kind == "text" else line for kind, line in lines(labelled))


def _anchor_behind(section: str) -> str:
    """The anchor of what comes next, which stands at the end of what is dropped."""
    found = re.search(r'\n(<a id="[^"]+"></a>)\s*$', section)
    return f"\n{found[1]}\n" if found else ""


def _linked(text: str, page: str, home: dict[str, str]) -> str:
    def link(found: re.Match[str]) -> str:
        anchor = found[2]
        target = home.get(anchor)
        if found[1] == "" and target is not None and target != page and f'<a id="{anchor}">' not in text:
            return f"]({target}#{anchor})"
        if found[1] == "index.md":
            return f"]({home.get(anchor, 'names.md')}#{anchor})"
        return found[0]

    return re.sub(r"\]\(([\w.-]*)#([\w-]+)\)", link, text)


def _first_sentence(text: str) -> str:
    said = [line for line in text.splitlines()[3:] if line.strip()]
    if not said or said[0].startswith(("#", "```", "|", "<", ">")):
        following = text.partition("```\n\n")[2].rpartition("\n\n")[0] if said and said[0].startswith("```") else ""
        said = following.splitlines() if following and not following.startswith("#") else []
    return groups.first_sentence(" ".join(said[:3]))
