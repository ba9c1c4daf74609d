"""The page that a person reads: aligned plain text, with colour only on a terminal that wants it."""

from __future__ import annotations

import os
import sys
from typing import Any

WHO, WHAT, ANSWER, RAN, TIME = 10, 41, 25, 9, 15
WIDTH = WHO + WHAT + ANSWER + RAN + TIME

BOLD, DIM, GREEN, YELLOW = "1", "2", "32", "33"


def say(text: str = "", *, colour: str = "", end: str = "\n") -> None:
    """A line of prose."""
    print(f"  {_paint(text, colour)}" if text else "", end=end, flush=True)


def act(title: str, note: str) -> None:
    """The heading of one half of the demo, and the names of the columns."""
    say()
    say(f"{_paint(title, BOLD)}  {_paint(note, DIM)}")
    say("─" * WIDTH, colour=DIM)
    say(_columns("who", "does what", "nearest city", "function", "answered in"), colour=DIM)


def row(
    who: str, what: str, ms: float, *, each: bool = False, city: dict[str, Any] | None = None, ran: int | None = None
) -> None:
    """One thing that was done: by whom, the answer, how often the function ran, and how long it (or each) took."""
    answer = f"{city['name']}, {city['km']:.0f} km" if city else ""
    runs = "" if ran is None else {0: "not run", 1: "ran once"}.get(ran, f"ran {ran} ×")
    line = _columns(who, what, answer, "\0", duration(ms) + " each" * each)
    print("  " + line.replace("\0".ljust(RAN), _paint(runs.ljust(RAN), YELLOW if ran else GREEN)), flush=True)


def duration(ms: float) -> str:
    """A time that can be compared at a glance: always milliseconds, finer where it is short."""
    return f"{ms:,.0f} ms" if ms >= 10 else f"{ms:.2f} ms" if ms >= 1 else f"{ms:.3f} ms"


def _columns(who: str, what: str, answer: str, ran: str, time: str) -> str:
    return f"{who:<{WHO}}{what:<{WHAT}}{answer:<{ANSWER}}{ran:<{RAN}}{time:>{TIME}}"


def _paint(text: str, colour: str) -> str:
    if not colour or not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
