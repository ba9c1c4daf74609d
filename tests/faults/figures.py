"""Figures of many measurements."""

from __future__ import annotations

from collections.abc import Sequence


def p99(those: Sequence[float]) -> float:
    """What 99 of 100 do not exceed; 0 of none."""
    return share(those, 0.99)


def share(those: Sequence[float], of: float) -> float:
    """What that share does not exceed; 0 of none."""
    return sorted(those)[min(len(those) - 1, int(of * len(those)))] if those else 0.0
