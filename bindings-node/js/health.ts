/** How the servers behind a cache are. The names are the same in every language. */

/** What `health()` gives. */
export interface Health {
  /** `warning`: it serves, and somebody should look at `findings`; `down`: no server answers. */
  status: 'ok' | 'warning' | 'down';
  /** Milliseconds since the epoch. */
  checked_at: number;
  /** Where the entries are. */
  store: 'memory' | 'redis';
  /** Whether the store is left alone. */
  breaker: 'closed' | 'open' | 'half_open';
  /** The connection that brings wakes and changes. */
  push: 'connected' | 'lost' | 'unused';
  /** Invalidations that the store has not confirmed yet. */
  journal: number;
  /** Each server. */
  nodes: NodeHealth[];
  /** What somebody should look at; empty where all is well. */
  findings: HealthFinding[];
}

/** One server. What it does not say, or may not be asked, is null. */
export interface NodeHealth {
  /** Its address; empty for `memory://`. */
  node: string;
  /** Whether it answered. */
  reachable: boolean;
  /** Why it is not, or why it says nothing of itself. */
  error: string | null;
  /** How long its answer took. */
  round_trip_ms: number | null;
  /** What it is. */
  software: 'redis' | 'valkey' | null;
  /** Of the software. */
  version: string | null;
  /** What it is to the others. */
  role: 'master' | 'replica' | null;
  /** Seconds since it began. */
  uptime_s: number | null;
  /** Connections to it. */
  clients: number | null;
  /** Memory in use. */
  memory_bytes: number | null;
  /** Null where there is no limit. */
  memory_max_bytes: number | null;
  /** `mem_fragmentation_ratio`. */
  fragmentation: number | null;
  /** `maxmemory-policy`. */
  policy: string | null;
  /** Keys dropped for want of memory since the server began. */
  evictions: number | null;
  /** Between this look and the one before; null for the first. */
  evictions_per_s: number | null;
  /** Whether writes are kept on disk (`appendonly`). */
  append_only: boolean | null;
  /** How many it has. */
  replicas: number | null;
  /** How many of them are connected and in step. */
  replicas_online: number | null;
  /** How long ago the last of them was heard of, in seconds. */
  replica_lag_s: number | null;
  /** How many count for `min-replicas-to-write`; null where that is not asked for. */
  replicas_good: number | null;
}

/** What somebody should look at. */
export interface HealthFinding {
  /** A stable name: what is wrong. */
  reason: HealthReason;
  /** Which server; empty for what is of no one server. */
  node: string;
  /** What was seen, and what it is compared with; null where these are no numbers. */
  value: number | null;
  /** See `value`. */
  limit: number | null;
  /** What is wrong, and what to do. */
  message: string;
}

/** What is found of a server: `docs/health.md`. */
export type HealthReason =
  | 'unreachable'
  | 'round_trip'
  | 'fragmentation'
  | 'memory'
  | 'evictions'
  | 'policy'
  | 'replication'
  | 'push';

/** The outcome of a look. */
export class Looked {
  constructor(readonly health: Health) {}
}
