"""What `get_entry` gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A value, and what is known of its entry. Times are milliseconds since the epoch, by the server's clock."""

    value: Any
    """None where that is what is cached."""
    version: int
    """Grows with every fill of the key."""
    created_at: int
    """When it was computed."""
    fresh_until: int
    """The end of its ttl."""
    stale_until: int
    """Until then it may be served stale; then it is gone."""
    tags: tuple[str, ...]
    """Those that end it when they are invalidated."""
    source: str
    """`redis` or `memory`."""
