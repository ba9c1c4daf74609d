/** The words of the signatures. */

import type { EventEmitter } from 'node:events';
import { ConfigError, translated } from './errors.js';
import { shown } from './key.js';
import { type MemoryStore, refuseOption } from './native.js';
import { type AnySchema, checkSchema, type MaybeSchema, type OutputOf } from './schema.js';

/** Milliseconds, or a text such as `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`. */
export type Duration = number | string;

/** Takes a value of the version before, and gives that of its own. */
// biome-ignore lint/suspicious/noExplicitAny: what an older version held is for its own function to know
export type Upgrade = (old: any) => unknown;

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

/** What a TLS connection is checked by. Each is PEM, or the path of a PEM file. */
export interface Tls {
  /** The authorities that the server's certificate is checked by (the system's). */
  ca?: string | null | undefined;
  /** The client's certificate with its chain, where the server asks for one; with `key`. */
  cert?: string | null | undefined;
  /** The private key of `cert`. */
  key?: string | null | undefined;
  /** The name that the server's certificate must be for (the URL's host). */
  serverName?: string | null | undefined;
}

/** How much is held in the process, and how long. */
export interface L1Options {
  /** What keys, values and bookkeeping take together (`'64MB'`). */
  maxBytes?: number | string | undefined;
  /** (1,000,000) */
  maxEntries?: number | undefined;
  /** No entry is held longer, however long it lives (1 day). */
  maxAge?: Duration | undefined;
}

/** What the servers are compared with: `health: { fragmentation: 2 }`. */
export interface HealthLimits {
  /** `mem_fragmentation_ratio` (1.5), where it wastes `fragmentationBytes` at least (100 MB). */
  fragmentation?: number | undefined;
  /** A number of bytes, or a text such as `'100MB'` (100 MB): of a small server the ratio says nothing. */
  fragmentationBytes?: number | string | undefined;
  /** Keys dropped for want of memory (1). */
  evictionsPerS?: number | undefined;
  /** (50 ms) */
  roundTrip?: Duration | undefined;
  /** The share of `maxmemory` in use, where the policy refuses writes beyond it (0.9). */
  memory?: number | undefined;
  /** How long ago a replica was heard of (10 s). */
  replicaLag?: Duration | undefined;
  /** From one look to the next, while somebody listens or reads metrics (30 s); null: only when asked to. */
  interval?: Duration | null | undefined;
}

/** A `MemoryStore` of `tidegate/testing`, as a manager on it sees it. */
export interface TestStore {
  /** What it goes by; undefined is the real time. */
  readonly clock: { now(): number } | undefined;
  /** @internal */
  readonly native: MemoryStore;
}

/** What a manager takes. Durations are milliseconds or a text such as `'5m'`. */
export interface Options {
  /**
   * `memory://` (the default), `memory://NAME` (shared by the managers of this process), `redis://…`, `rediss://…`. Given as
   * undefined, as by a variable of the environment that is not set, it is refused.
   */
  url?: string;
  /** For tests: a `MemoryStore` of `tidegate/testing`, in place of a URL. */
  store?: TestStore | undefined;
  /** The first segment of every key; required but for `memory://` (there `'app'`). */
  service?: string | undefined;
  /** The version of the key space (1). */
  version?: number | undefined;
  /** Takes entries of older versions over: a function for each, by the version whose values it takes. */
  upgrade?: Readonly<Record<number, Upgrade>> | null | undefined;
  /** Names the connections on the server (`'cache'`). */
  role?: string | undefined;
  /** How long an entry lives (5 minutes). */
  ttl?: Duration | undefined;
  /** Up to this share of a ttl is cut off by chance (0.1). */
  ttlJitter?: number | undefined;
  /** How long a cached null lives (30 s). */
  nullTtl?: Duration | undefined;
  /** How long past its ttl an entry is served where the fallback fails, or runs past `softTimeout` (0). */
  staleIfError?: Duration | undefined;
  /** How long past its ttl an entry is served at once, while it is computed behind (0). */
  staleWhileRevalidate?: Duration | undefined;
  /** For so long after a fallback failed a stale entry is served without another try (1 s). */
  errorBackoff?: Duration | undefined;
  /** Compute hot entries anew, behind, a little before their end: true, or how eagerly (1 is true; false). */
  earlyRefresh?: boolean | number | undefined;
  /** For so long after an invalidation nothing is stored (0). */
  settle?: Duration | undefined;
  /** The exclusive time of a lease, renewed while the fallback runs (2 s). */
  lease?: Duration | undefined;
  /** How long a call waits for other processes (5 s). */
  wait?: Duration | undefined;
  /** How long a call waits for a fallback before it is given a stale value, where there is one; it goes on behind. */
  softTimeout?: Duration | null | undefined;
  /** How long a fallback may run (30 s). */
  hardTimeout?: Duration | undefined;
  /** How many fallbacks run at once while the store is away; the others wait for their turn, up to `wait` (256). */
  maxFallbacks?: number | undefined;
  /** How long a command to the store may take (100 ms). */
  commandTimeout?: Duration | undefined;
  /** How long a connection to the store may take (1 s). */
  connectTimeout?: Duration | undefined;
  /** When the store is left alone. */
  breaker?: Breaker | undefined;
  /** What TLS is checked by, for `rediss` URLs (the system's authorities). */
  tls?: Tls | null | undefined;
  /** How many unconfirmed invalidations are remembered (100,000). */
  journal?: number | undefined;
  /** Hold entries in this process: how many bytes, as a number or `'64MB'`, or more than that to say (null: none). */
  l1?: number | string | L1Options | null | undefined;
  /**
   * Whether the callers whom the process serves share one object (false). Else objects and arrays are made anew for each,
   * so that none can harm another's.
   */
  shareValues?: boolean | undefined;
  /** What values are written with (`'json'`). What stands in the store is read whatever it was written with. */
  codec?: Codec | undefined;
  /** What long payloads are compressed with in the store, where that saves a tenth (`'lz4'`); null for nothing. */
  compression?: 'lz4' | 'zstd' | 'zlib' | null | undefined;
  /** Payloads of more bytes are compressed (1,024). */
  compressOver?: number | undefined;
  /** The longest encoded value that is stored or read, before it is compressed (1 MiB). */
  maxValueBytes?: number | undefined;
  /**
   * Secrets of 16 bytes at least: entries are signed with the first, and only those that one of them signed are read. A new
   * secret goes to every process as the last, then as the first; then the old one is taken out.
   */
  signingKeys?: readonly string[] | null | undefined;
  /** Throw what cannot be encoded instead of returning it uncached (false). */
  strict?: boolean | undefined;
  /** What `health()` and `cache.health` compare the servers with. */
  health?: HealthLimits | undefined;
  /** How often this process writes its figures into the store, for `tidegate top` and `tidegate stats` (5 s); null: never. */
  fleetReport?: Duration | null | undefined;
  /** Is emitted every event, under its name (`cache.hit`, …). */
  metricsEmitter?: EventEmitter | undefined;
}

/** What values are written with: text for all languages, more kinds of values, or bytes as they are. */
export type Codec = 'json' | 'msgpack' | 'raw';

/** What one read may say of its own; what it does not say, the manager says. Callers who share a flight share the first's. */
export interface GetOptions<S extends MaybeSchema = undefined> {
  /** How long the value lives. */
  ttl?: Duration | undefined;
  /** Tags of the entry, 32 at most with its namespaces; one that stands there without them all does not count. */
  tags?: readonly string[] | undefined;
  /** What the value is written with, where this call computes it. */
  codec?: Codec | undefined;
  /** How long a null lives. */
  nullTtl?: Duration | undefined;
  /** How long past its ttl an entry is served where the fallback fails, or runs past `softTimeout`. */
  staleIfError?: Duration | undefined;
  /** How long past its ttl an entry is served at once, while it is computed behind. */
  staleWhileRevalidate?: Duration | undefined;
  /** For so long after a failure a stale entry is served without another try. */
  errorBackoff?: Duration | undefined;
  /** Compute it anew, behind, a little before its end. */
  earlyRefresh?: boolean | number | undefined;
  /** How long to wait for other processes. */
  wait?: Duration | undefined;
  /** How long to wait for the fallback before a stale value is given. */
  softTimeout?: Duration | null | undefined;
  /** How long the fallback may run. */
  hardTimeout?: Duration | undefined;
  /**
   * A Standard Schema (zod, valibot, arktype, …): the caller is given what it makes of what is stored. An entry that does
   * not fit counts as a miss. A null is given as null.
   */
  schema?: S | undefined;
  /** Cancels this call; others who wait for the value are not harmed, nor is what runs behind once it was served. */
  signal?: AbortSignal | undefined;
}

/**
 * What one read of fields may say of its own. `schema` is of every field, or an object has the schema of each by its name.
 */
export type FieldsOptions<S = undefined> = Omit<GetOptions, 'earlyRefresh' | 'schema'> & { schema?: S | undefined };

/** What a tenant's calls go by that say nothing of their own, and its limits. */
export interface TenantOptions extends Omit<GetOptions, 'schema' | 'signal'> {
  /** How many of its fallbacks run at once while the store is away, within the manager's; for all its views. */
  maxFallbacks?: number | undefined;
}

/** What `getEntry` takes. */
export interface EntryOptions<S extends MaybeSchema = undefined> {
  /** A Standard Schema, which makes the value of what is stored; an entry that does not fit is none. */
  schema?: S | undefined;
}

/** What `get` takes in place of a fallback. */
export interface DefaultOptions<D, S extends MaybeSchema = undefined> extends EntryOptions<S> {
  /** Given where there is no entry. */
  default: D;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/** What `set` and `setMany` take for one call; what they do not say, the manager says. */
export interface SetOptions {
  /** How long the value lives (the manager's `ttl`). */
  ttl?: Duration | undefined;
  /** Tags of the entry. */
  tags?: readonly string[] | undefined;
  /** What the value is written with (the manager's `codec`). */
  codec?: Codec | undefined;
  /** How long past its ttl it may be served where a fallback fails. */
  staleIfError?: Duration | undefined;
  /** How long past its ttl it may be served while it is computed behind. */
  staleWhileRevalidate?: Duration | undefined;
}

/** What `writeThrough` takes for one call. */
export interface WriteThroughOptions extends SetOptions {
  /**
   * Where the store does not confirm the beginning: `'persist'` all the same and journal an invalidation (the default), or
   * `'refuse'` with `StoreUnavailable`.
   */
  onStoreDown?: 'persist' | 'refuse' | undefined;
  /** Cancels this call. `persist` is given it too; until that has ended nobody stores what stood there before. */
  signal?: AbortSignal | undefined;
}

/** What `invalidate`, `expire`, `invalidateTag` and `clear` take. */
export interface InvalidateOptions {
  /** Reject with `StoreUnavailable` where the store does not confirm, instead of giving false (false). */
  required?: boolean | undefined;
}

/** What a queue of write-behind takes. `partitions` must be the same in every process. */
export interface BehindOptions<S extends MaybeSchema = undefined> {
  /** How many writes the sink is given at once, at most (100). */
  batch?: number | undefined;
  /** How long the first write of a batch waits for more (500 ms). */
  maxDelay?: Duration | undefined;
  /** How many writes may be pending; then `put` rejects with `QueueFull`. Each partition takes its share (10,000). */
  maxPending?: number | undefined;
  /** A write that failed so often, the last times alone, is set aside (10). */
  maxAttempts?: number | undefined;
  /** How many streams the queue has, so that as many processes work on it; a key's writes are all in one (1). */
  partitions?: number | undefined;
  /** Of several writes of a key in one batch give the sink only the newest (false). */
  coalesce?: boolean | undefined;
  /**
   * A Standard Schema, which makes the sink's values of what is stored. A write that does not fit is not given to the sink,
   * and is set aside like one that fails.
   */
  schema?: S | undefined;
}

/** What `put` of a queue takes. */
export interface PutOptions {
  /** How long the value lives for readers (the manager's `ttl`). */
  ttl?: Duration | undefined;
  /** A name for what is put: a second put of it and the key, within five minutes, does nothing. */
  operationId?: string | undefined;
}

/** What `flush` takes. */
export interface FlushOptions {
  /** How long to wait (30 s). */
  timeout?: Duration | undefined;
}

/** What `list` of dead letters takes. */
export interface LettersOptions {
  /** How many, at most (100). */
  limit?: number | undefined;
}

/** What `close` takes. */
export interface CloseOptions {
  /** How long to wait for what is under way (30 s). */
  timeout?: Duration | undefined;
}

/** What `started` of a subscription takes. */
export interface StartedOptions {
  /** How long to wait for the store; without it, for as long as that is away. */
  timeout?: Duration | undefined;
}

/** What is known of an entry. Times are milliseconds since the epoch, by the server's clock. */
export interface Entry<T> {
  /** Null where that is what is cached. */
  value: T | null;
  /** Grows with every fill of the key. */
  version: number;
  /** When it was computed. */
  createdAt: number;
  /** The end of its ttl. */
  freshUntil: number;
  /** From then on it is gone. */
  staleUntil: number;
  /** What it carries. */
  tags: string[];
  /** Where it is. */
  source: 'memory' | 'redis';
}

/** An event that was set aside: its handler failed, or its process died, `maxAttempts` times. */
export interface DeadEvent<T = unknown> {
  /** What `retry` and `drop` take. */
  readonly id: string;
  /** Null where it cannot be read. */
  readonly data: T | null;
  /** The id that `publishEvent` gave. */
  readonly eventId: string;
  /** How often it was handed out. */
  readonly attempts: number;
  /** Why it failed the last time. */
  readonly error: string;
  /** By the server's clock, in ms since the epoch. */
  readonly publishedAt: number;
  /** By the same clock. */
  readonly setAsideAt: number;
  /** Whose manager published it. */
  readonly service: string;
}

/** A write that was set aside. */
export interface DeadLetter<T = unknown> {
  /** What `retry` and `drop` take. */
  readonly id: string;
  /** What it was put under. */
  readonly key: string;
  /** What was put. */
  readonly value: T;
  /** The id that the sink knows. */
  readonly writeId: string;
  /** How often it was handed out. */
  readonly attempts: number;
  /** `sink` (it failed), `died` (so did each process that had it) or `unreadable`. */
  readonly reason: 'sink' | 'died' | 'unreadable';
  /** Milliseconds since the epoch, by the server's clock. */
  readonly setAsideAt: number;
}

/** The figures since a manager was made; times in milliseconds. The names are the same in every language. */
export interface Stats {
  /** Callers who were served without running their fallback. */
  hits: number;
  /** How often the store said that there is no entry that counts. */
  misses: number;
  /** The share of hits, 0 to 1. */
  hit_rate: number;
  /** The share of misses, 0 to 1. */
  miss_rate: number;
  /** Reads that the store could not be asked for: the fallback ran, or the default was given. No hits, no misses. */
  unavailable: number;
  /** Of reads, from call to answer: the mean. */
  avg_latency_ms: number;
  /** The median. */
  p50_ms: number;
  /** What 99 of 100 do not exceed. */
  p99_ms: number;
  /** Entries stored. */
  sets: number;
  /** Keys, tags and namespaces invalidated. */
  invalidation_count: number;
  /** Waits for other processes. */
  waits: number;
  /** Their mean. */
  avg_wait_ms: number;
  /** Callers who were served a value that is not fresh. */
  stale_served: number;
  /** Those a user asked for, and those behind a value that was served. */
  refreshes: number;
  /** Of those behind, the ones before the end of a ttl. */
  early_refreshes: number;
  /** Hits of the tier in the process. */
  l1_hits: number;
  /** What it holds. */
  l1_entries: number;
  /** What that takes. */
  l1_bytes: number;
  /** Fallbacks that ran. */
  fallbacks: number;
  /** Those that failed, or ran too long. */
  fallback_errors: number;
  /** Faults of the cache that no caller saw. */
  errors: number;
  /** Events that observers were too slow for. */
  events_dropped: number;
  /** That of the store. */
  breaker: 'closed' | 'open' | 'half_open';
}

/** What a value is when it comes from the cache: no codec knows `undefined`. */
export type Stored<T> = T extends void ? null : T;

/** Null, where what a fallback gives may come to that; it is given whatever the schema. */
export type NullOf<T> = unknown extends T ? null : Extract<Stored<T>, null>;

/** What a call with a fallback is given, with a schema or without. */
export type Given<T, S extends MaybeSchema> = [S] extends [AnySchema] ? OutputOf<S> | NullOf<T> : Stored<T>;

export type AnyGetOptions = GetOptions<MaybeSchema>;
export type AnyDefaultOptions = DefaultOptions<unknown, MaybeSchema>;

/** Refuses what is none of the known options, and a signal that is none. */
export function checkOptions(given: object | undefined, known: readonly string[]): void {
  if (given === undefined) return;
  checkObject(given, `{ ${known[0]}: … }`);
  for (const name in given) {
    if (!known.includes(name)) translated(() => refuseOption(name, [...known]));
  }
  if ('signal' in given) checkSignal(given.signal);
  if ('schema' in given && given.schema !== undefined) checkSchema(given.schema);
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
