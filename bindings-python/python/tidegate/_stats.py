"""The figures of a manager."""

from __future__ import annotations

from typing import Literal, TypedDict


class Stats(TypedDict):
    """What `stats()` gives: the figures since the manager was made. Those in ms are of reads, from call to answer."""

    hits: int
    """Callers who were served without running their fallback."""
    misses: int
    """How often the store said that there is no entry that counts."""
    hit_rate: float
    """The share of hits, 0 to 1."""
    miss_rate: float
    """The share of misses, 0 to 1."""
    unavailable: int
    """Reads that the store could not be asked for: the fallback, or the default, was given. No hits, no misses."""
    avg_latency_ms: float
    """The mean."""
    p50_ms: float
    """The median."""
    p99_ms: float
    """What 99 of 100 do not exceed."""
    sets: int
    """Entries stored."""
    invalidation_count: int
    """Keys, tags and namespaces invalidated."""
    waits: int
    """Waits for other processes."""
    avg_wait_ms: float
    """Their mean."""
    stale_served: int
    """Callers who were served a value that is not fresh."""
    refreshes: int
    """Those a user asked for, and those behind a value that was served."""
    early_refreshes: int
    """Of those behind, the ones before the end of a ttl."""
    l1_hits: int
    """Hits of the tier in the process."""
    l1_entries: int
    """What it holds."""
    l1_bytes: int
    """What that takes."""
    fallbacks: int
    """Fallbacks that ran."""
    fallback_errors: int
    """Those that failed, or ran too long."""
    errors: int
    """Faults of the cache that no caller saw."""
    events_dropped: int
    """Events that observers were too slow for."""
    breaker: Literal["closed", "open", "half_open"]
    """That of the store."""
