"""What `health()` gives. The names are the same in every language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from ._events import HealthReason


@dataclass(frozen=True)
class NodeHealth:
    """One server. What it does not say, or may not be asked, is None."""

    node: str
    """Its address; empty for `memory://`."""
    reachable: bool
    """Whether it answered."""
    error: str | None
    """Why it is not, or why it says nothing of itself."""
    round_trip_ms: float | None
    """How long its answer took."""
    software: str | None
    """`redis` or `valkey`."""
    version: str | None
    """Of the software."""
    role: str | None
    """`master` or `replica`."""
    uptime_s: int | None
    """Seconds since it began."""
    clients: int | None
    """Connections to it."""
    memory_bytes: int | None
    """Memory in use."""
    memory_max_bytes: int | None
    """None where there is no limit."""
    fragmentation: float | None
    """`mem_fragmentation_ratio`: what the system has given for each byte in use."""
    policy: str | None
    """`maxmemory-policy`."""
    evictions: int | None
    """Keys dropped for want of memory since the server began."""
    evictions_per_s: float | None
    """Between this look and the one before; None for the first."""
    append_only: bool | None
    """Whether writes are kept on disk (`appendonly`)."""
    replicas: int | None
    """How many it has."""
    replicas_online: int | None
    """How many of them are connected and in step."""
    replica_lag_s: int | None
    """How long ago the last of them was heard of, in seconds."""
    replicas_good: int | None
    """How many count for `min-replicas-to-write`; None where that is not asked for."""


@dataclass(frozen=True)
class HealthFinding:
    """What somebody should look at."""

    reason: HealthReason
    """A stable name: what is wrong."""
    node: str
    """Which server; empty for what is of no one server."""
    value: float | None
    """What was seen, and what it is compared with (`limit`); None where these are no numbers."""
    limit: float | None
    """See `value`."""
    message: str
    """What is wrong, and what to do."""


@dataclass(frozen=True)
class Health:
    """How the servers behind a cache are."""

    status: Literal["ok", "warning", "down"]
    """`warning`: it serves, and somebody should look at `findings`; `down`: no server answers."""
    checked_at: int
    """Milliseconds since the epoch."""
    store: str
    """`memory` or `redis`."""
    breaker: str
    """`closed`, `open` or `half_open`."""
    push: Literal["connected", "lost", "unused"]
    """The connection that brings wakes and changes."""
    journal: int
    """Invalidations that the store has not confirmed yet."""
    nodes: tuple[NodeHealth, ...]
    """Each server."""
    findings: tuple[HealthFinding, ...]
    """What somebody should look at; empty where all is well."""


_decoder = msgspec.json.Decoder(Health)


def health_of(text: str) -> Health:
    """The health that the engine tells as JSON."""
    return _decoder.decode(text)
