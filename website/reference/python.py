"""Python's reference: a page for each group of public names, which mkdocstrings fills with their docstrings.

The public names are `__all__` of each public module. They are read, not imported.
"""

from __future__ import annotations

import functools

import griffe

from website.pages import ROOT
from website.reference import groups

SOURCES = ROOT / "bindings-python" / "python"

_GROUP_OF = {"_manager": "manager", "_types": "options", "_errors": "errors", "_events": "events"}
"""By the module in which a name of `tidegate` is defined; the others are `names`."""

_NAME_ONLY = """    options:
      inherited_members: false
      members: false
      separate_signature: false
      show_signature: false
"""
_OF_MODULE = """    options:
      members: false
      show_root_heading: false
      show_root_toc_entry: false
"""


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


def _group_of(name: str) -> str:
    """The page of a name of `tidegate`."""
    found = _package()[name]
    return _GROUP_OF.get(found.target_path.split(".")[1], "names") if found.is_alias else "names"


def pages() -> dict[str, str]:
    """The Markdown of Python's pages, by their names."""
    made: dict[str, list[str]] = {}
    index = ["# Python\n", "**Every public name, by its module.** `pip install tidegate`.\n", groups.LIST]
    for module, names in public_modules().items():
        index.append(f"## {module}\n\n{groups.TABLE}")
        for name in names:
            index.append(f"| [`{name}`][{module}.{name}] | {_first_sentence(module, name)} |")
            if module == "tidegate":
                page = _group_of(name)
                head = groups.heading(page)
            else:
                page = module.removeprefix("tidegate.").replace(".", "-")
                head = f"# {module}\n\n::: {module}\n{_OF_MODULE}"
            made.setdefault(f"{page}.md", [head]).append(_directive(module, name))
        index.append("")
    return {"index.md": "\n".join(index)} | {page: "\n".join(parts) for page, parts in made.items()}


def _directive(module: str, name: str) -> str:
    """What mkdocstrings is asked for. A class's own members come before those that it has from a base; one that has
    nothing but attributes is a table."""
    found = _package()[f"{module}.{name}".removeprefix("tidegate.")]
    text = f"::: {module}.{name}\n"
    if not found.is_class:
        return text
    members = {
        member: what
        for member, what in (found.members | found.inherited_members).items()
        if not member.startswith("_") and (what.is_function or what.is_attribute)
    }
    if members and all(what.is_attribute for what in members.values()):
        return f"{text}{_NAME_ONLY}\n{_table(members)}"
    # Whoever has one of these was given it; how it is made is no matter of his.
    is_given = module == "tidegate" and _group_of(name) == "names"
    return f"{text}    options:\n      members: {list(members)}\n      merge_init_into_class: {not is_given}\n"


def _table(members: dict[str, griffe.Object | griffe.Alias]) -> str:
    rows = ["| name | type | |", "|---|---|---|"]
    for name, what in members.items():
        annotation = " ".join(str(getattr(what, "annotation", "")).split())
        if annotation != "None":  # a field of its base's that this kind of event never has
            text = what.docstring.value.partition(">>> ")[0] if what.docstring else ""
            said = " ".join(text.split()).replace("|", "\\|")
            rows.append(f"| `{name}` | `{annotation}` | {said} |")
    return "\n".join(rows) + "\n"


def _first_sentence(module: str, name: str) -> str:
    found = _package()[f"{module}.{name}".removeprefix("tidegate.")]
    return groups.first_sentence(found.docstring.value.split("\n\n")[0]) if found.docstring else ""
