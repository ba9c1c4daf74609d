"""The words of the signatures, and the marker for an argument that was not given."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypeAlias

    from ._context import Context

T = TypeVar("T")

Duration: TypeAlias = "float | timedelta | str"
"""Seconds, a `timedelta`, or a text such as `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`."""

Codec: TypeAlias = Literal["json", "msgpack", "raw"]
"""What values are written with. Each entry says what it is in, and every language reads all three."""

Tags: TypeAlias = "list[str] | tuple[str, ...] | set[str] | frozenset[str]"
"""Names of tags: segments as in a key, one or more."""

AsyncFallback: TypeAlias = "Callable[[], Awaitable[T]] | Callable[[Context], Awaitable[T]]"
PlainFallback: TypeAlias = "Callable[[], T] | Callable[[Context], T]"
AnyFallback: TypeAlias = "Callable[[], Any] | Callable[[Context], Any]"


Upgrade: TypeAlias = "Callable[[Any], Any]"
"""Takes a value of the version before, as its codec gives it, and gives that of its own; plain or async."""


class Missing(enum.Enum):
    """The type of `MISSING`."""

    MISSING = 0

    def __repr__(self) -> str:
        return "…"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


class Breaker(TypedDict, total=False):
    """When the store's breaker opens and how it closes again: `breaker=Breaker(failures=5, probe=0.5)`."""

    failures: int
    """Timeouts or connection errors in a row that open it (5)."""
    ratio: float
    """Or this share of at least 20 commands within `window` (0.5)."""
    window: Duration
    """Seconds (1)."""
    probe: Duration
    """While open, one probe each so many seconds (0.5)."""


class Tls(TypedDict, total=False):
    """What a TLS connection is checked by: `tls=Tls(ca="/etc/ssl/redis-ca.pem")`. PEM, or the path of a PEM file."""

    ca: str | None
    """The authorities that the server's certificate is checked by (the system's)."""
    cert: str | None
    """The client's certificate with its chain, where the server asks for one; with `key`."""
    key: str | None
    """The private key of `cert`."""
    server_name: str | None
    """The name that the server's certificate must be for (the URL's host)."""


class L1(TypedDict, total=False):
    """The tier in this process: `l1=L1(max_bytes=64_000_000, max_age="10s")`, or `l1="64MB"`."""

    max_bytes: int
    """What keys, values and bookkeeping may take together (64 MiB)."""
    max_entries: int
    """How many entries are held at most (1,000,000)."""
    max_age: Duration
    """No entry is held longer, however long it lives (1 day)."""


class HealthLimits(TypedDict, total=False):
    """What the servers are compared with: `health=HealthLimits(fragmentation=2, interval="1m")`."""

    fragmentation: float
    """`mem_fragmentation_ratio` (1.5), where it wastes `fragmentation_bytes` at least."""
    fragmentation_bytes: int | str
    """A number of bytes, or a text such as `"100MB"` (100 MB): of a small server the ratio says nothing."""
    evictions_per_s: float
    """Keys dropped for want of memory (1)."""
    round_trip: Duration
    """(50 ms)"""
    memory: float
    """The share of `maxmemory` in use, where the policy refuses writes beyond it (0.9)."""
    replica_lag: Duration
    """How long ago a replica was heard of (10 s)."""
    interval: Duration | None
    """From one look to the next while somebody listens or reads metrics (30 s); None: only when asked to."""


class WriteOptions(TypedDict, total=False):
    """What `set` and `set_many` take for one call, instead of what the manager says."""

    ttl: Duration | None
    """How long the entry lives; None says nothing."""
    tags: Tags
    """What the entry carries: `invalidate_tag` of one of them ends it. At most 32, those of namespaces included."""
    codec: Codec
    """What the value is written with."""
    stale_if_error: Duration
    """How long past its ttl the entry is served where the fallback fails, or is slow."""
    stale_while_revalidate: Duration
    """How long past its ttl the entry is served at once, while the fallback runs behind."""


class WriteThroughOptions(WriteOptions, total=False):
    """What `write_through` takes for one call, instead of what the manager says."""

    on_store_down: Literal["persist", "refuse"]
    """Where the store does not confirm the beginning: persist and journal an invalidation, or `StoreUnavailable`."""


class BehindOptions(TypedDict, total=False):
    """What `write_behind` takes. What says how the queue is kept must be the same in every process: `partitions`."""

    batch: int
    """How many writes the sink is given at once, at most (100)."""
    max_delay: Duration
    """How long the first write of a batch waits for more (0.5 s)."""
    max_pending: int
    """How many writes may be pending; then `put` raises `QueueFull`. Each partition takes its share (10,000)."""
    max_attempts: int
    """A write that failed so often, the last times alone, is set aside (10)."""
    partitions: int
    """How many streams the queue has, so that as many processes work on it; a key's writes are all in one (1)."""
    coalesce: bool
    """Of several writes of a key in one batch give the sink only the newest (False)."""


class FieldsOptions(WriteOptions, total=False):
    """What `get_fields` takes for one call, instead of what the manager says."""

    null_ttl: Duration
    """How long a cached None lives."""
    error_backoff: Duration
    """For so long after a failure a stale value is served without another try."""
    wait: Duration
    """How long to wait for other processes."""
    soft_timeout: Duration | None
    """How long the fallback may take before a stale value is served, while it goes on behind."""
    hard_timeout: Duration
    """How long the fallback may run."""


class CallOptions(FieldsOptions, total=False):
    """What `get`, `get_many`, `refresh` and `cached` take for one call, instead of what the manager says.

    Callers who share a flight go by the options of the one who began it.
    """

    early_refresh: bool | float
    """Compute anew before the end of the ttl, by chance: the nearer and the slower, the likelier; see `Options`."""


class TenantOptions(CallOptions, total=False):
    """What `tenant` takes: what the calls of the view go by that say nothing of their own, and the tenant's limits."""

    max_fallbacks: int
    """How many of its fallbacks run at once while the store is away, within the manager's; for all its views."""


class Options(TypedDict, total=False):
    """What a manager takes besides its URL. Durations are seconds, a `timedelta` or a text such as `"5m"`."""

    service: str
    """The first segment of every key; required but for `memory://` (there `"app"`)."""
    version: int
    """The version of the key space (1)."""
    upgrade: Mapping[int, Upgrade] | None
    """Takes entries of older versions over: a function for each, by the version whose values it takes (None)."""
    role: str
    """Names the connections on the server (`"cache"`)."""
    ttl: Duration
    """How long an entry lives (300 s)."""
    ttl_jitter: float
    """Up to this share of a ttl is cut off by chance (0.1)."""
    null_ttl: Duration
    """How long a cached None lives (30 s)."""
    stale_if_error: Duration
    """How long past its ttl an entry is served where the fallback fails, or is slow (0)."""
    stale_while_revalidate: Duration
    """How long past its ttl an entry is served at once, while the fallback runs behind (0)."""
    error_backoff: Duration
    """For so long after a failure a stale value is served without another try (1 s)."""
    early_refresh: bool | float
    """Compute anew before the end of the ttl, by chance; True is 1.0, larger is earlier (False)."""
    settle: Duration
    """For so long after an invalidation nothing is stored (0)."""
    lease: Duration
    """The exclusive time of a lease, renewed while the fallback runs (2 s)."""
    wait: Duration
    """How long a call waits for other processes (5 s)."""
    soft_timeout: Duration | None
    """How long a fallback may take before a stale value is served, while it goes on behind (None)."""
    hard_timeout: Duration
    """How long a fallback may run (30 s)."""
    max_fallbacks: int
    """How many fallbacks run at once while the store is away; the others wait for their turn, up to `wait` (256)."""
    command_timeout: Duration
    """How long a command to the store may take (0.1 s)."""
    connect_timeout: Duration
    """How long a connection to the store may take (1 s)."""
    breaker: Breaker
    """When the store is left alone."""
    tls: Tls | None
    """What TLS is checked by, for `rediss` URLs (the system's authorities)."""
    journal: int
    """How many unconfirmed invalidations are remembered (100,000)."""
    l1: str | int | L1 | None
    """The tier in this process: its size as a text or in bytes, or `L1(…)` (None)."""
    share_values: bool
    """Whether callers share the object that L1 holds, whatever it is, or only one that none can change (False)."""
    codec: Codec
    """What values are written with, where a call does not say otherwise (`"json"`)."""
    compression: Literal["lz4", "zstd", "zlib"] | None
    """What is compressed with what is longer than `compress_over`, where that saves a tenth at least (`"lz4"`)."""
    compress_over: int
    """Bytes of an encoded value; what is shorter is left as it is (1,024)."""
    max_value_bytes: int
    """The longest encoded value that is stored or read, before it is compressed (1 MiB)."""
    signing_keys: list[str] | tuple[str, ...] | None
    """Secrets of at least 16 bytes each: the first signs entries, and none counts that none of them signed (None)."""
    strict: bool
    """Raise what cannot be encoded instead of returning it uncached (False)."""
    health: HealthLimits
    """What `health()` and `cache.health` compare the servers with."""
    fleet_report: Duration | None
    """How often this process writes its figures into the store, for `tidegate top` and `stats` (5 s); None: never."""
