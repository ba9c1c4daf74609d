"""Python's reference: a page for each group of public names, which mkdocstrings fills with their docstrings.

The public names are `__all__` of each public module. They are read, not imported.
"""

from __future__ import annotations

import functools
from pathlib import Path

import griffe

from website.pages import ROOT

SOURCES = ROOT / "bindings-python" / "python"

_GROUPS = {
    "_manager": ("manager", "CacheManager", "The manager of asyncio programs."),
    "_types": ("options", "Options", "What the manager and its calls take, as types."),
    "_errors": ("errors", "Errors", "What tidegate raises of its own."),
    "_events": ("events", "Events", "What observers are given."),
}
_OTHERS = ("names", "Keys, entries, queues", "Everything else that `tidegate` has.")


@functools.cache
def public_modules() -> dict[str, tuple[str, ...]]:
    """The public names of each public module of the package: what has an `__all__`, and no underscore on its way."""
    package = SOURCES / "tidegate"
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = ("tidegate", *path.relative_to(package).with_suffix("").parts)
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            exports = _package()[".".join(parts[1:])].exports if parts[1:] else _package().exports
            if exports:
                names[".".join(parts)] = tuple(str(name) for name in exports)
    return names


@functools.cache
def _package() -> griffe.Module:
    package = griffe.load("tidegate", search_paths=[SOURCES], allow_inspection=False)
    assert isinstance(package, griffe.Module)
    return package


def _home(name: str) -> str:
    """The module in which a public name of `tidegate` is defined."""
    found = _package()[name]
    return found.target_path.split(".")[1] if found.is_alias else ""


def pages() -> dict[str, str]:
    """The Markdown of Python's pages, by their names."""
    made: dict[str, list[str]] = {}
    index = ["# Python\n", "**Every public name, by its module.** `pip install tidegate`.\n"]
    for module, names in public_modules().items():
        index.append(f"## {module}\n\n| name | |\n|---|---|")
        for name in names:
            index.append(f"| [`{name}`][{module}.{name}] | {_first_sentence(module, name)} |")
            if module != "tidegate":
                page, title, text = module.removeprefix("tidegate.").replace(".", "-"), module, ""
                text = f"::: {module}\n    options:\n      members: false\n      show_root_heading: false\n      show_root_toc_entry: false\n"
            else:
                page, title, text = _GROUPS.get(_home(name), _OTHERS)
            made.setdefault(f"{page}.md", [f"# {title}\n", f"{text}\n"]).append(f"::: {module}.{name}\n")
        index.append("")
    return {"index.md": "\n".join(index)} | {page: "\n".join(parts) for page, parts in made.items()}


def _first_sentence(module: str, name: str) -> str:
    found = _package()[f"{module}.{name}".removeprefix("tidegate.")]
    docstring = found.docstring
    if docstring is None:
        return ""
    paragraph = " ".join(docstring.value.split("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".").replace("|", "\\|") + "."


__all__ = ["SOURCES", "Path", "pages", "public_modules"]
