/** How the servers behind a cache are. The names are the same in every language. */

/** What `health()` gives. */
export interface Health {
  /** `warning`: it serves, and somebody should look at `findings`; `down`: no server answers. */
  status: 'ok' | 'warning' | 'down';
  /** Milliseconds since the epoch. */
  checked_at: number;
  store: 'memory' | 'redis';
  breaker: 'closed' | 'open' | 'half_open';
  /** The connection that brings wakes and changes. */
  push: 'connected' | 'lost' | 'unused';
  /** Invalidations that the store has not confirmed yet. */
  journal: number;
  nodes: NodeHealth[];
  findings: HealthFinding[];
}

/** One server. What it does not say, or may not be asked, is null. */
export interface NodeHealth {
  /** Its address; empty for `memory://`. */
  node: string;
  reachable: boolean;
  /** Why it is not, or why it says nothing of itself. */
  error: string | null;
  round_trip_ms: number | null;
  software: 'redis' | 'valkey' | null;
  version: string | null;
  role: 'master' | 'replica' | null;
  uptime_s: number | null;
  clients: number | null;
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
  append_only: boolean | null;
  replicas: number | null;
  replicas_online: number | null;
  replica_lag_s: number | null;
  /** How many count for `min-replicas-to-write`; null where that is not asked for. */
  replicas_good: number | null;
}

/** What somebody should look at. */
export interface HealthFinding {
  reason: HealthReason;
  /** Which server; empty for what is of no one server. */
  node: string;
  /** What was seen, and what it is compared with; null where these are no numbers. */
  value: number | null;
  limit: number | null;
  /** What is wrong, and what to do. */
  message: string;
}

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
