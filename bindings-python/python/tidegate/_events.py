"""What observers are given: an event of each kind, its fields as `docs/events.md` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

EventType: TypeAlias = Literal[
    "cache.hit",
    "cache.miss",
    "cache.set",
    "cache.invalidate",
    "cache.stale",
    "cache.wait",
    "cache.refresh",
    "cache.error",
    "cache.fallback_error",
    "cache.breaker",
    "cache.connection",
    "cache.health",
]
"""What an observer asks for by name; `"*"` is all of them."""
Store: TypeAlias = Literal["memory", "redis"]
"""Where an entry is."""
FaultReason: TypeAlias = Literal[
    "timeout",
    "disconnected",
    "backpressure",
    "refused",
    "protocol",
    "nested",
    "upgrade",
    "options",
    "push_lost",
    "journal_full",
    "panic",
    "unfinished",
    "sink",
    "dead_letter",
    "queue_not_durable",
    "event_handler",
    "events_trimmed",
    "encode",
    "too_large",
    "schema",
    "decode",
    "nesting",
    "ratio",
    "decompress",
    "signature",
    "not_an_entry",
    "foreign_format",
    "unknown_flag",
    "unknown_codec",
    "unknown_compression",
    "length",
    "negative_with_payload",
    "checksum",
    "wrong_key",
    "tail",
]
"""Why a `cache.error`: what became of it is in `docs/events.md`."""
HealthReason: TypeAlias = Literal[
    "unreachable", "round_trip", "fragmentation", "memory", "evictions", "policy", "replication", "push"
]
"""What is found of a server: `docs/health.md`."""


@dataclass(frozen=True, init=False)
class CacheEvent:
    """One event. Fields that do not apply are None; each kind's own class says which do."""

    type: str
    """`cache.hit`, `cache.miss`, `cache.stale` (a value that is not fresh was served), `cache.refresh` (an entry is
    computed anew), `cache.set`, `cache.invalidate`, `cache.wait`, `cache.error`, …"""
    timestamp: int
    """Milliseconds since the epoch."""
    service: str
    """Whose manager it is."""
    key: str | None
    """The key as the user wrote it."""
    source: str | None
    """`l1`, `redis`, `memory` or `flight` (another caller's fallback in this process)."""
    duration_ms: float | None
    """How long it took."""
    reason: str | None
    """A stable name: why."""
    message: str | None
    """For people."""
    version: int | None
    """The entry's version."""
    state: str | None
    """`confirmed`, `journalled`; `connected`, `disconnected`, `new_primary`; `open`, `closed`; `ok`, `warning`."""
    tag: str | None
    """The tag, or the namespace, that was invalidated; `key` is None then."""
    node: str | None
    """The address of the server that it is about."""
    tenant: str | None
    """The tenant whose `key` or `tag` it is, as `tenant(name)` was given it."""

    # There is one for every hit that is observed: the constructor of a frozen dataclass takes five times as long.
    def __init__(
        self,
        type: str,
        timestamp: int,
        service: str,
        key: str | None = None,
        source: str | None = None,
        duration_ms: float | None = None,
        reason: str | None = None,
        message: str | None = None,
        version: int | None = None,
        state: str | None = None,
        tag: str | None = None,
        node: str | None = None,
        tenant: str | None = None,
    ) -> None:
        fields = self.__dict__
        fields["type"] = type
        fields["timestamp"] = timestamp
        fields["service"] = service
        fields["key"] = key
        fields["source"] = source
        fields["duration_ms"] = duration_ms
        fields["reason"] = reason
        fields["message"] = message
        fields["version"] = version
        fields["state"] = state
        fields["tag"] = tag
        fields["node"] = node
        fields["tenant"] = tenant


@dataclass(frozen=True, init=False)
class HitEvent(CacheEvent):
    """A caller was served without running its fallback."""

    type: Literal["cache.hit"]
    key: str
    source: Literal["l1", "memory", "redis", "flight"]
    duration_ms: float
    reason: None
    message: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class MissEvent(CacheEvent):
    """The store said that there is no entry that counts."""

    type: Literal["cache.miss"]
    key: str
    source: Store
    duration_ms: float
    reason: None
    message: None
    version: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class SetEvent(CacheEvent):
    """An entry was stored."""

    type: Literal["cache.set"]
    key: str
    source: Store
    duration_ms: float
    reason: None
    message: None
    version: int
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class InvalidateEvent(CacheEvent):
    """An invalidation ended: of a `key`, or (`tag`, `namespace`) of a `tag`."""

    type: Literal["cache.invalidate"]
    source: None
    duration_ms: float
    reason: Literal["key", "fields", "expire", "tag", "namespace", "write_through"]
    message: None
    version: None
    state: Literal["confirmed", "journalled"]
    node: None


@dataclass(frozen=True, init=False)
class StaleEvent(CacheEvent):
    """A caller was served a value that is not fresh, instead of a `cache.hit`."""

    type: Literal["cache.stale"]
    key: str
    source: Literal["memory", "redis", "flight"]
    duration_ms: float
    reason: Literal["revalidating", "error", "soft_timeout", "error_backoff", "max_fallbacks"]
    message: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class WaitEvent(CacheEvent):
    """A wait for another process ended."""

    type: Literal["cache.wait"]
    key: str
    source: None
    duration_ms: float
    reason: None
    message: None
    version: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class RefreshEvent(CacheEvent):
    """A key is computed anew though an entry stands."""

    type: Literal["cache.refresh"]
    key: str
    source: None
    duration_ms: float
    reason: Literal["stale", "early", "explicit"]
    message: None
    version: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class ErrorEvent(CacheEvent):
    """A fault of the cache that no caller saw."""

    type: Literal["cache.error"]
    source: None
    duration_ms: None
    reason: FaultReason
    message: str
    version: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class FallbackErrorEvent(CacheEvent):
    """A fallback failed, or ran too long."""

    type: Literal["cache.fallback_error"]
    key: str
    source: None
    duration_ms: float
    reason: Literal["hard_timeout"] | None
    message: None
    version: None
    state: None
    tag: None
    node: None


@dataclass(frozen=True, init=False)
class BreakerEvent(CacheEvent):
    """The breaker of a node opened or closed."""

    type: Literal["cache.breaker"]
    key: None
    source: None
    duration_ms: None
    reason: None
    message: None
    version: None
    state: Literal["open", "closed"]
    tag: None
    tenant: None


@dataclass(frozen=True, init=False)
class ConnectionEvent(CacheEvent):
    """The connection to a node was made or lost, or another server answers."""

    type: Literal["cache.connection"]
    key: None
    source: Store
    duration_ms: None
    version: None
    state: Literal["connected", "disconnected", "new_primary"]
    tag: None
    tenant: None


@dataclass(frozen=True, init=False)
class HealthEvent(CacheEvent):
    """A health check found something wrong (`warning`), or that it is right again (`ok`)."""

    type: Literal["cache.health"]
    key: None
    source: None
    duration_ms: None
    reason: HealthReason
    message: str
    version: None
    state: Literal["ok", "warning"]
    tag: None
    tenant: None
    value: float | None
    """What was measured."""
    limit: float | None
    """What it is held against."""

    def __init__(
        self,
        type: str,
        timestamp: int,
        service: str,
        *fields: object,
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        # `value` and `limit` come last where they come by place.
        known, own = fields[:_FIELDS_MORE], fields[_FIELDS_MORE:]
        super().__init__(type, timestamp, service, *known)  # type: ignore[arg-type]  # as the engine gives them
        self.__dict__["value"], self.__dict__["limit"] = (*own, value, limit)[:2]


# Those of every event, after the first three.
_FIELDS_MORE = 10

KINDS: dict[str, type[CacheEvent]] = {
    "cache.hit": HitEvent,
    "cache.miss": MissEvent,
    "cache.set": SetEvent,
    "cache.invalidate": InvalidateEvent,
    "cache.stale": StaleEvent,
    "cache.wait": WaitEvent,
    "cache.refresh": RefreshEvent,
    "cache.error": ErrorEvent,
    "cache.fallback_error": FallbackErrorEvent,
    "cache.breaker": BreakerEvent,
    "cache.connection": ConnectionEvent,
    "cache.health": HealthEvent,
}
"""By the name of the event."""
