"""The pages that the names of `tidegate` are on, in each language."""

from __future__ import annotations

GROUPS = {
    "manager": ("CacheManager", "The manager: everything begins with one."),
    "options": ("Options", "What the manager and its calls take, as types."),
    "names": ("Keys, entries, queues", "Everything else that `tidegate` has."),
    "errors": ("Errors", "What tidegate raises of its own; a fallback's error is never among them."),
    "events": ("Events", "What observers are given."),
}

LIST = " · ".join(f"[{title}]({page}.md)" for page, (title, _) in GROUPS.items()) + "\n"
TABLE = "| name | |\n|---|---|"


def heading(group: str) -> str:
    """What the page of a group begins with."""
    title, text = GROUPS[group]
    return f"# {title}\n\n{text}\n"


def first_sentence(text: str) -> str:
    """Of a paragraph, for a cell of a table."""
    sentence = " ".join(text.split()).partition(". ")[0].rstrip(".").replace("|", "\\|")
    return f"{sentence}." if sentence else ""
