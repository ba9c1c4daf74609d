"""Code of several languages that stands one behind the other becomes tabs, of which the reader chooses one.

Pages are plain Markdown, which reads well on a code host: what is joined is what has nothing between it, or only a line
that says which language comes.
"""

from __future__ import annotations

import re

from website.pages import lines

_LABELS = {"python": "Python", "py": "Python", "js": "Node.js", "ts": "Node.js", "rust": "Rust"}
_SAYS_ONLY_WHICH = re.compile(r"(?:(?:The same|And) in|In) (?:Python|Node\.js|Rust):")


def tabbed(markdown: str) -> str:
    """The page with such code in tabs, as `pymdownx.tabbed` has them."""
    parts = _parts(markdown)
    done: list[str] = []
    at = 0
    while at < len(parts):
        group, end = _group(parts, at)
        if len(group) > 1:
            done += [f'=== "{label}"\n\n{_indented(code)}\n' for label, code in group]
        else:
            done += [text for _, text in parts[at:end]]
        at = end
    return "".join(done)


def _parts(markdown: str) -> list[tuple[str, str]]:
    """The page in pieces: code with its language, and text with none."""
    parts: list[tuple[str, str]] = []
    for kind, line in lines(markdown):
        if kind == "open":
            parts.append((f"{line.strip(' `~')} text".split()[0], line))
        elif kind == "text" and (not parts or parts[-1][0]):
            parts.append(("", line))
        else:
            parts[-1] = (parts[-1][0], parts[-1][1] + line)
    return parts


def _group(parts: list[tuple[str, str]], at: int) -> tuple[list[tuple[str, str]], int]:
    language, code = parts[at]
    if language not in _LABELS:
        return [], at + 1
    group = [(_LABELS[language], code)]
    end = at + 1
    while end < len(parts):
        skipped = end + 1 if not parts[end][0] and _joins(parts[end][1]) else end
        if skipped >= len(parts):
            break
        label = _LABELS.get(parts[skipped][0])
        if label is None or label in [seen for seen, _ in group]:
            break
        group.append((label, parts[skipped][1]))
        end = skipped + 1
    return group, end


def _joins(text: str) -> bool:
    said = text.strip()
    return not said or _SAYS_ONLY_WHICH.fullmatch(said) is not None


def _indented(code: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in code.splitlines(keepends=True))
