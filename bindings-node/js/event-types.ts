/** What observers are told. */

import type { HealthReason } from './health.js';

/** The fields that some events have and others have not; the names are the same in every language. */
interface Fields {
  /** The key as the user wrote it. */
  key: string;
  /** Where the value came from, or went to. */
  source: 'l1' | 'memory' | 'redis' | 'flight';
  duration_ms: number;
  /** A stable name: why. */
  reason: string;
  /** For people. */
  message: string;
  /** The entry's version. */
  version: number;
  state: string;
  /** The tag or the namespace that was invalidated. */
  tag: string;
  /** The address of the server that it is about. */
  node: string;
  /** The tenant whose `key` or `tag` it is, as `tenant(name)` was given it. */
  tenant: string;
}

// biome-ignore lint/complexity/noBannedTypes: nothing more
type Nothing = {};

/** An event: the fields that it always has, and those that it may have. The others are absent. */
type Told<Name extends string, Always, Sometimes = Nothing> = Flat<
  Head<Name> &
    Always &
    Partial<Sometimes> &
    Partial<Record<Exclude<keyof Fields, keyof Always | keyof Sometimes>, undefined>>
>;

type Flat<T> = { [F in keyof T]: T[F] };

interface Head<Name extends string> {
  type: Name;
  /** Milliseconds since the epoch. */
  timestamp: number;
  service: string;
}

type Store = 'memory' | 'redis';
type One<F extends keyof Fields> = Pick<Fields, F>;

/** Why a `cache.error`: what became of it is in `docs/events.md`. */
export type FaultReason =
  | 'timeout'
  | 'disconnected'
  | 'backpressure'
  | 'refused'
  | 'protocol'
  | 'nested'
  | 'upgrade'
  | 'options'
  | 'push_lost'
  | 'journal_full'
  | 'panic'
  | 'unfinished'
  | 'sink'
  | 'dead_letter'
  | 'queue_not_durable'
  | 'event_handler'
  | 'events_trimmed'
  | 'encode'
  | 'too_large'
  | 'schema'
  | 'decode'
  | 'nesting'
  | 'ratio'
  | 'decompress'
  | 'signature'
  | 'not_an_entry'
  | 'foreign_format'
  | 'unknown_flag'
  | 'unknown_codec'
  | 'unknown_compression'
  | 'length'
  | 'negative_with_payload'
  | 'checksum'
  | 'wrong_key'
  | 'tail';

/** The events, by name, and what their observers are given. */
export interface CacheEvents {
  /** A caller was served without running its fallback; `source` `flight`: by one that another caller here ran. */
  'cache.hit': Told<'cache.hit', One<'key' | 'source' | 'duration_ms'>, One<'version' | 'tenant'>>;
  /** The store said that there is no entry that counts. */
  'cache.miss': Told<'cache.miss', One<'key' | 'duration_ms'> & { source: Store }, One<'tenant'>>;
  /** An entry was stored, by a fill, a `set`, a `put` or a `writeThrough`. */
  'cache.set': Told<'cache.set', One<'key' | 'duration_ms' | 'version'> & { source: Store }, One<'tenant'>>;
  /** An invalidation ended: of a `key`, or (`tag`, `namespace`) of a `tag`. */
  'cache.invalidate': Told<
    'cache.invalidate',
    One<'duration_ms'> & {
      reason: 'key' | 'fields' | 'expire' | 'tag' | 'namespace' | 'write_through';
      state: 'confirmed' | 'journalled';
    },
    One<'key' | 'tag' | 'tenant'>
  >;
  /** A caller was served a value that is not fresh, instead of a `cache.hit`. */
  'cache.stale': Told<
    'cache.stale',
    One<'key' | 'duration_ms'> & {
      reason: 'revalidating' | 'error' | 'soft_timeout' | 'error_backoff' | 'max_fallbacks';
      source: Store | 'flight';
    },
    One<'version' | 'tenant'>
  >;
  /** A wait for another process ended. */
  'cache.wait': Told<'cache.wait', One<'key' | 'duration_ms'>, One<'tenant'>>;
  /** A computation behind a served value (`stale`, `early`), or a `refresh` (`explicit`), began. */
  'cache.refresh': Told<
    'cache.refresh',
    One<'key' | 'duration_ms'> & { reason: 'stale' | 'early' | 'explicit' },
    One<'tenant'>
  >;
  /** A fault of the cache that no caller saw. */
  'cache.error': Told<'cache.error', One<'message'> & { reason: FaultReason }, One<'key' | 'tenant'>>;
  /** A fallback failed, and its error went to its callers; or it ran too long. */
  'cache.fallback_error': Told<
    'cache.fallback_error',
    One<'key' | 'duration_ms'>,
    { reason: 'hard_timeout' } & One<'tenant'>
  >;
  /** The breaker of the store, or of one `node` of a Cluster, opened or closed. */
  'cache.breaker': Told<'cache.breaker', { state: 'open' | 'closed' }, One<'node'>>;
  /**
   * The connection to a `node` of the store was made or lost (`reason`); or another server answers from now on
   * (`new_primary`): what had been confirmed of late is sent again.
   */
  'cache.connection': Told<
    'cache.connection',
    { state: 'connected' | 'disconnected' | 'new_primary'; source: Store },
    One<'node' | 'reason' | 'message'>
  >;
  /** A health check found something wrong (`warning`), or that it is right again (`ok`). */
  'cache.health': Told<
    'cache.health',
    One<'message'> & { reason: HealthReason; state: 'ok' | 'warning' },
    One<'node'> & {
      /** What was measured. */
      value: number;
      /** What it is held against. */
      limit: number;
    }
  >;
}

/** The names of the events. */
export type EventName = keyof CacheEvents;
/** An event of any name. */
export type CacheEvent = CacheEvents[EventName];

/** What observers may ask for, and are given. */
export interface Heard extends CacheEvents {
  /** All events. */
  '*': CacheEvent;
}

/** What is called with each event of its name. */
export type Observer<K extends keyof Heard = EventName> = (event: Heard[K]) => unknown;
