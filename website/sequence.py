"""Reads a sequence diagram: the part of mermaid's language that `docs/pictures/*.mmd` use.

Any tool that knows mermaid draws these files too. What is not known here is refused, with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """An arrow. Dashed: an answer. Lost: it never arrives."""

    source: str
    target: str
    text: str
    is_dashed: bool
    is_lost: bool


@dataclass(frozen=True)
class Note:
    """A box over one lifeline, or from one to another."""

    first: str
    last: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """An actor begins, or ends, to be busy."""

    actor: str
    begins: bool


@dataclass(frozen=True)
class Frame:
    """What stands between `opt` (calm) or `break` (a fault) and `end`."""

    kind: str
    text: str
    items: tuple[Item, ...]


Item = Message | Note | Bar | Frame


@dataclass
class Diagram:
    title: str = ""
    description: str = ""
    actors: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)


_ARROW = re.compile(r"(\w+)\s*(-->>|->>|--x|-x)\s*(\w+)\s*:\s*(.+)")
_NOTE = re.compile(r"Note over (\w+)(?:\s*,\s*(\w+))?\s*:\s*(.+)")
_PARTICIPANT = re.compile(r"participant (\w+) as (.+)")


def read(text: str) -> Diagram:
    """The diagram that the text says. `ValueError` names a line that is none of this language."""
    diagram = Diagram()
    stack: list[tuple[str, str, list[Item]]] = [("", "", diagram.items)]
    lines = enumerate(text.splitlines(), 1)
    number, first = next(lines, (0, ""))
    if first.strip() != "sequenceDiagram":
        raise ValueError(f"line {number}: a diagram begins with `sequenceDiagram`")
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("%%"):
            continue
        word, _, rest = line.partition(" ")
        items = stack[-1][2]
        if found := _PARTICIPANT.fullmatch(line):
            diagram.actors[found[1]] = found[2]
        elif line.startswith("accTitle:"):
            diagram.title = line.partition(":")[2].strip()
        elif line.startswith("accDescr:"):
            diagram.description = line.partition(":")[2].strip()
        elif found := _NOTE.fullmatch(line):
            items.append(Note(found[1], found[2] or found[1], tuple(re.split(r"\s*<br/?>\s*", found[3]))))
        elif found := _ARROW.fullmatch(line):
            items.append(Message(found[1], found[3], found[4], found[2].startswith("--"), found[2].endswith("x")))
        elif word in ("activate", "deactivate"):
            items.append(Bar(rest, word == "activate"))
        elif word in ("opt", "break"):
            stack.append((word, rest, []))
        elif line == "end" and len(stack) > 1:
            kind, label, inner = stack.pop()
            stack[-1][2].append(Frame(kind, label, tuple(inner)))
        else:
            raise ValueError(f"line {number}: {line!r} is not known here")
    if len(stack) > 1:
        raise ValueError(f"`{stack[-1][0]} {stack[-1][1]}` has no end")
    _check(diagram, diagram.items)
    if not (diagram.title and diagram.description):
        raise ValueError("a diagram says `accTitle:` and `accDescr:`, for those who cannot see it")
    return diagram


def _check(diagram: Diagram, items: list[Item] | tuple[Item, ...]) -> None:
    for item in items:
        match item:
            case Message(source=source, target=target):
                named = [source, target]
            case Note(first=first, last=last):
                named = [first, last]
            case Bar(actor=actor):
                named = [actor]
            case Frame(items=inner):
                named = []
                _check(diagram, inner)
        for name in named:
            if name not in diagram.actors:
                raise ValueError(f"{name} is no participant")
