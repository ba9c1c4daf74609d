/** The words of the signatures. */

import type { EventEmitter } from 'node:events';
import type { Context } from './context.js';
import { ConfigError, translated } from './errors.js';
import { shown } from './key.js';
import { positiveMs, refuseOption } from './native.js';

/** Milliseconds, or a text such as `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`. */
export type Duration = number | string;

export type Awaitable<T> = T | PromiseLike<T>;

/** The function that fetches a value. What it throws is thrown to its callers unchanged; `undefined` is null. */
export type Fallback<T> = (context: Context) => Awaitable<T>;

/** When the store is left alone, and how it is tried again. */
export interface Breaker {
  /** Timeouts or connection errors in a row that open it (5). */
  failures?: number | undefined;
  /** Or this share of at least 20 commands within `window` (0.5). */
  ratio?: number | undefined;
  /** (1 s) */
  window?: Duration | undefined;
  /** While open, one probe each so long (500 ms). */
  probe?: Duration | undefined;
}

/** What a manager takes. Durations are milliseconds or a text such as `'5m'`. */
export interface Options {
  /** `memory://` (the default), `memory://NAME` (shared by the managers of this process), `redis://…`, `rediss://…`. */
  url?: string | undefined;
  /** The first segment of every key; required but for `memory://` (there `'app'`). */
  service?: string | undefined;
  /** The version of the key space (1). */
  version?: number | undefined;
  /** Names the connections on the server (`'cache'`). */
  role?: string | undefined;
  /** How long an entry lives (5 minutes). */
  ttl?: Duration | undefined;
  /** Up to this share of a ttl is cut off by chance (0.1). */
  ttlJitter?: number | undefined;
  /** How long a cached null lives (30 s). */
  nullTtl?: Duration | undefined;
  /** For so long after an invalidation nothing is stored (0). */
  settle?: Duration | undefined;
  /** The exclusive time of a lease, renewed while the fallback runs (2 s). */
  lease?: Duration | undefined;
  /** How long a call waits for other processes (5 s). */
  wait?: Duration | undefined;
  /** How long a fallback may run (30 s). */
  hardTimeout?: Duration | undefined;
  /** How long a command to the store may take (100 ms). */
  commandTimeout?: Duration | undefined;
  /** How long a connection to the store may take (1 s). */
  connectTimeout?: Duration | undefined;
  /** When the store is left alone. */
  breaker?: Breaker | undefined;
  /** How many unconfirmed invalidations are remembered (100,000). */
  journal?: number | undefined;
  /** The longest encoded value that is stored or read (1 MiB). */
  maxValueBytes?: number | undefined;
  /** Throw what cannot be encoded instead of returning it uncached (false). */
  strict?: boolean | undefined;
  /** Is emitted every event, under its name (`cache.hit`, …). */
  metricsEmitter?: EventEmitter | undefined;
}

export interface GetOptions {
  /** How long the value lives (the manager's `ttl`). */
  ttl?: Duration | undefined;
  /** Cancels this call; others who wait for the value are not harmed. */
  signal?: AbortSignal | undefined;
}

export interface DefaultOptions<D> {
  /** Given where there is no entry. */
  default: D;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

export interface SetOptions {
  /** How long the value lives (the manager's `ttl`). */
  ttl?: Duration | undefined;
}

export interface InvalidateOptions {
  /** Reject with `StoreUnavailable` where the store does not confirm, instead of giving false (false). */
  required?: boolean | undefined;
}

export interface CloseOptions {
  /** How long to wait for what is under way (30 s). */
  timeout?: Duration | undefined;
}

/** What is known of an entry. Times are milliseconds since the epoch, by the server's clock. */
export interface Entry<T> {
  value: T | null;
  /** Grows with every fill of the key. */
  version: number;
  createdAt: number;
  freshUntil: number;
  staleUntil: number;
  tags: string[];
  source: 'memory' | 'redis';
}

/** The figures since a manager was made; times in milliseconds. The names are the same in every language. */
export interface Stats {
  hits: number;
  misses: number;
  hit_rate: number;
  miss_rate: number;
  avg_latency_ms: number;
  p50_ms: number;
  p99_ms: number;
  sets: number;
  invalidation_count: number;
  waits: number;
  avg_wait_ms: number;
  refreshes: number;
  fallbacks: number;
  fallback_errors: number;
  errors: number;
  events_dropped: number;
  breaker: 'closed' | 'open' | 'half_open';
}

/** What a value is when it comes from the cache: JSON knows no `undefined`. */
export type Stored<T> = T extends void ? null : T;

/** Refuses what is none of the known options, and a signal that is none. */
export function checkOptions(given: object | undefined, known: readonly string[]): void {
  if (given === undefined) return;
  checkObject(given, `{ ${known[0]}: … }`);
  for (const name in given) {
    if (!known.includes(name)) translated(() => refuseOption(name, [...known]));
  }
  if ('signal' in given) checkSignal(given.signal);
}

/** Refuses what has no names, such as a ttl where options are due. */
export function checkObject(given: unknown, example: string): void {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return;
  throw new ConfigError(`options=${shown(given)} is not an object; a right example: ${example}`);
}

function checkSignal(given: unknown): void {
  if (given === undefined) return;
  const { aborted, addEventListener } = (given ?? {}) as Partial<AbortSignal>;
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return;
  throw new ConfigError(
    `signal=${shown(given)} is not an AbortSignal; a right example: { signal: AbortSignal.timeout(500) }`,
  );
}

/** A call's ttl in milliseconds; null for the manager's. */
export function ttlMs(ttl: Duration | undefined): number | null {
  return ttl === undefined ? null : translated(() => positiveMs('ttl', ttl));
}
