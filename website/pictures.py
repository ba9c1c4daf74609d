"""Draws `docs/pictures/*.mmd` as SVG, beside their sources: `python -m website.pictures`.

By itself and not by mermaid, which needs a browser, draws by the fonts of its machine, and knows one colour scheme:
these pictures are the same bytes everywhere, so that a test can say that they are up to date, and follow their
reader's scheme.
"""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise
from pathlib import Path

from website.sequence import Bar, Diagram, Frame, Item, Message, Note, read

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"

_MARGIN, _HEAD_HEIGHT, _LINE = 24, 36, 17
_LETTER, _WIDE_LETTER = 7.2, 7.7
"""How wide a letter is at most on average, plain and in a command's name, whatever the font."""

_SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif'
_MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_LIGHT = {
    "paper": "#ffffff", "edge": "#d8dee4", "ink": "#1f2933", "soft": "#5b6875", "line": "#a8b3bf", "head": "#e6f4f4",
    "strong": "#0b6e75", "note": "#fdf6dd", "note-edge": "#e4d08a", "bad": "#b42318",
    "break": "#fdeceb", "opt": "#f1f5f9",
}  # fmt: skip
_DARK = {
    "paper": "#161b22", "edge": "#30363d", "ink": "#e2e8f0", "soft": "#a3b1bf", "line": "#5c6975", "head": "#10393c",
    "strong": "#5fd0d6", "note": "#39321a", "note-edge": "#6f6230", "bad": "#ff8f85",
    "break": "#3b1f1f", "opt": "#1f2730",
}  # fmt: skip


def style(colours: dict[str, str], scope: str = "") -> str:
    """The rules that give a picture its colours, below `scope`."""
    c = colours
    rules = {
        ".paper": f"fill:{c['paper']};stroke:{c['edge']}",
        ".head": f"fill:{c['head']};stroke:{c['strong']}",
        ".life": f"stroke:{c['line']}",
        ".busy": f"fill:{c['head']};stroke:{c['strong']}",
        ".note": f"fill:{c['note']};stroke:{c['note-edge']}",
        ".opt": f"fill:{c['opt']};stroke:{c['line']}",
        ".break": f"fill:{c['break']};stroke:{c['bad']}",
        ".arrow": f"stroke:{c['ink']}",
        ".lost": f"stroke:{c['bad']}",
        ".tip": f"fill:{c['ink']}",
        "text": f"fill:{c['ink']}",
        ".halo": f"stroke:{c['paper']}",
        ".break-text .halo": f"stroke:{c['break']}",
        ".opt-text .halo": f"stroke:{c['opt']}",
        ".soft": f"fill:{c['soft']}",
        ".name": f"fill:{c['strong']}",
        ".bad": f"fill:{c['bad']}",
    }
    return "".join(f"{scope}{selector}{{{rule}}}" for selector, rule in rules.items())


_SHAPE = (
    f"text{{font:13px {_SANS}}}.name{{font-family:{_MONO};font-weight:600;font-size:12px}}.bold{{font-weight:600}}"
    ".soft{font-size:12px}.life{stroke-dasharray:3 4}.arrow,.lost{stroke-width:1.4;fill:none}"
    ".answer{stroke-dasharray:6 4}.halo{paint-order:stroke;stroke-width:5px;stroke-linejoin:round}"
)


def _width(text: str) -> float:
    names = sum(len(name) for name in _NAMES.findall(text))
    return names * _WIDE_LETTER + (len(text) - names) * _LETTER


_NAMES = re.compile(r"\b[A-Z][A-Z_]{2,}\b|`[^`]+`")


def _spans(text: str) -> str:
    """The text, with names of commands and what stands in backquotes set as code."""
    parts, end = [], 0
    for name in _NAMES.finditer(text):
        parts += [escape(text[end : name.start()]), f'<tspan class="name">{escape(name[0].strip("`"))}</tspan>']
        end = name.end()
    return "".join([*parts, escape(text[end:])])


class _Drawing:
    def __init__(self, diagram: Diagram) -> None:
        self._diagram = diagram
        self._order = list(diagram.actors)
        self._x = self._columns()
        self._right = self._x[self._order[-1]] + self._half(self._order[-1]) + _MARGIN
        self._y = float(_MARGIN + _HEAD_HEIGHT + 18)
        self._back: list[str] = []
        self._front: list[str] = []
        self._busy: dict[str, float] = {}

    def _half(self, actor: str) -> float:
        reach = _width(self._diagram.actors[actor]) / 2 + 16
        for item in _flat(self._diagram.items):
            if isinstance(item, Note) and item.first == item.last == actor:
                reach = max(reach, max(map(_width, item.lines)) / 2 + 14)
        return max(reach, 56)

    def _columns(self) -> dict[str, float]:
        order, at = self._order, {name: number for number, name in enumerate(self._order)}
        gaps = [max(self._half(left) + self._half(right) + 24, 150) for left, right in pairwise(order)]
        for item in _flat(self._diagram.items):
            if isinstance(item, Message):
                low, high = sorted((at[item.source], at[item.target]))
                if low == high:  # to itself: the text stands on its right
                    if low < len(gaps):
                        gaps[low] = max(gaps[low], _width(item.text) + 60)
                    continue
                lacking = _width(item.text) + 36 - sum(gaps[low:high])
                if lacking > 0:
                    gaps[low:high] = [gap + lacking / (high - low) for gap in gaps[low:high]]
        x, columns = _MARGIN + self._half(order[0]), {}
        for name, gap in zip(order, [*gaps, 0.0], strict=True):
            columns[name] = round(x, 1)
            x += gap
        return columns

    def draw(self) -> str:
        self._items(self._diagram.items)
        bottom = self._y + 8
        for actor in list(self._busy):
            self._end_bar(actor, bottom)
        width, height = round(self._right), round(bottom + 14)
        heads = []
        for actor, label in self._diagram.actors.items():
            x, half = self._x[actor], max(_width(label) / 2 + 16, 56)
            heads += [
                f'<line class="life" x1="{x}" y1="{_MARGIN + _HEAD_HEIGHT}" x2="{x}" y2="{bottom:g}"/>',
                f'<rect class="head" x="{x - half:g}" y="{_MARGIN}" width="{2 * half:g}" height="{_HEAD_HEIGHT}"'
                ' rx="7"/>',
                f'<text class="bold" x="{x}" y="{_MARGIN + 23}" text-anchor="middle">{escape(label)}</text>',
            ]
        title, description = escape(self._diagram.title), escape(self._diagram.description)
        return "\n".join(
            [
                f'<svg class="sequence" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'width="{width}" height="{height}" role="img">',
                f"<title>{title}</title>",
                f"<desc>{description}</desc>",
                f"<style>{_SHAPE}{style(_LIGHT)}@media (prefers-color-scheme:dark){{{style(_DARK)}}}</style>",
                f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>',
                *self._back,
                *heads,
                *self._front,
                "</svg>",
                "",
            ]
        )

    def _items(self, items: list[Item] | tuple[Item, ...], depth: int = 0) -> None:
        for item in items:
            match item:
                case Message():
                    self._message(item)
                case Note():
                    self._note(item)
                case Bar(actor=actor, begins=True):
                    self._busy[actor] = self._y - 2
                case Bar(actor=actor):
                    self._end_bar(actor, self._y)
                case Frame():
                    self._frame(item, depth)

    def _end_bar(self, actor: str, y: float) -> None:
        top = self._busy.pop(actor)
        self._front.insert(
            0, f'<rect class="busy" x="{self._x[actor] - 4:g}" y="{top:g}" width="8" height="{y - top:g}" rx="3"/>'
        )

    def _message(self, message: Message) -> None:
        source, target = self._x[message.source], self._x[message.target]
        kind = "lost" if message.is_lost else "arrow"
        kind += " answer" if message.is_dashed else ""
        if source == target:
            y = self._y + 12
            self._front += [
                f'<path class="{kind}" d="M{source + 5:g} {y:g}h22v16h-19"/>',
                _tip(source + 5, y + 16, -1),
                f'<text class="halo" x="{source + 36:g}" y="{y + 12:g}">{_spans(message.text)}</text>',
            ]
            self._y += 42
            return
        way = 1 if target > source else -1
        y = self._y + 26
        end = target - way * 6 if not message.is_lost else target - way * 26
        self._front += [
            f'<text class="halo" x="{(source + target) / 2:g}" y="{y - 8:g}" text-anchor="middle">'
            f"{_spans(message.text)}</text>",
            f'<line class="{kind}" x1="{source + way * 5:g}" y1="{y:g}" x2="{end:g}" y2="{y:g}"/>',
            f'<path class="lost" d="M{end - 5:g} {y - 5:g}l10 10m0 -10l-10 10"/>'
            if message.is_lost
            else _tip(end, y, way),
        ]
        self._y += 38

    def _note(self, note: Note) -> None:
        left, right = sorted((self._x[note.first], self._x[note.last]))
        width = max(max(map(_width, note.lines)) + 24, right - left + 60)
        middle, height = max((left + right) / 2, width / 2 + 14), len(note.lines) * _LINE + 14
        top = self._y + 8
        self._front.append(
            f'<rect class="note" x="{middle - width / 2:g}" y="{top:g}" width="{width:g}" height="{height}" rx="5"/>'
        )
        self._front += [
            f'<text x="{middle:g}" y="{top + 19 + row * _LINE:g}" text-anchor="middle">{_spans(line)}</text>'
            for row, line in enumerate(note.lines)
        ]
        self._right = max(self._right, middle + width / 2 + _MARGIN)
        self._y = top + height + 6

    def _frame(self, frame: Frame, depth: int) -> None:
        top, inset = self._y + 10, 10 + 8 * depth
        place = len(self._back)
        self._y = top + 24
        start = len(self._front)
        self._items(frame.items, depth + 1)
        self._y += 4
        self._back.insert(
            place,
            f'<rect class="{frame.kind}" x="{inset}" y="{top:g}" width="{self._right - 2 * inset:g}" '
            f'height="{self._y - top + 6:g}" rx="7"/>',
        )
        kind = "bad" if frame.kind == "break" else "soft"
        self._front[start:start] = [
            f'<g class="{frame.kind}-text">',
            f'<text class="{kind} bold halo" x="{inset + 12}" y="{top + 19:g}">{escape(frame.text)}</text>',
        ]
        self._front.append("</g>")
        self._y += 14


def _tip(x: float, y: float, way: int) -> str:
    return f'<path class="tip" d="M{x:g} {y:g}l{-8 * way} -4.5v9z"/>'


def _flat(items: list[Item] | tuple[Item, ...]) -> list[Item]:
    found: list[Item] = []
    for item in items:
        found += _flat(item.items) if isinstance(item, Frame) else [item]
    return found


def draw(source: str) -> str:
    """The SVG of a diagram in mermaid's language."""
    return _Drawing(read(source)).draw()


def main() -> None:
    for path in sorted(PICTURES.glob("*.mmd")):
        path.with_suffix(".svg").write_text(draw(path.read_text()))
        print(path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
