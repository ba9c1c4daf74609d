/** What observers are told, and how they are told it. */

import { EventEmitter } from 'node:events';
import { ConfigError } from './errors.js';
import { isThenable } from './flow.js';
import type { HealthReason } from './health.js';
import { shown } from './key.js';
import { type Cache, eventTypes } from './native.js';

/** What every event has. Fields that do not apply are absent; the names are the same in every language. */
interface EventBase<K extends string> {
  type: K;
  /** Milliseconds since the epoch. */
  timestamp: number;
  service: string;
  /** The key as the user wrote it. */
  key?: string;
  source?: 'l1' | 'memory' | 'redis' | 'flight';
  duration_ms?: number;
  /** A stable name: why. */
  reason?: string;
  /** For people. */
  message?: string;
  /** The entry's version. */
  version?: number;
  state?: string;
  /** The tag or the namespace that was invalidated. */
  tag?: string;
  /** The address of the server that it is about. */
  node?: string;
  /** The tenant whose `key` or `tag` it is, as `tenant(name)` was given it. */
  tenant?: string;
}

type Source = 'memory' | 'redis';

/** The events, by name, and what their observers are given. */
export interface CacheEvents {
  /** A caller was served without running its fallback; `source` `flight`: by one that another caller here ran. */
  'cache.hit': EventBase<'cache.hit'> & { key: string; source: Source | 'l1' | 'flight'; duration_ms: number };
  /** The store said that there is no entry that counts. */
  'cache.miss': EventBase<'cache.miss'> & { key: string; source: Source; duration_ms: number };
  /** An entry was stored, by a fill or a `set`. */
  'cache.set': EventBase<'cache.set'> & { key: string; source: Source; duration_ms: number; version: number };
  /** `invalidate` (`reason` `key`), `expire`, `invalidateTag` (`tag`, without a key) or `clear` (`namespace`) ended. */
  'cache.invalidate': EventBase<'cache.invalidate'> & {
    reason: 'key' | 'expire' | 'tag' | 'namespace';
    state: 'confirmed' | 'journalled';
    duration_ms: number;
  };
  /** A caller was served a value that is not fresh, instead of a `cache.hit`. */
  'cache.stale': EventBase<'cache.stale'> & {
    key: string;
    reason: 'revalidating' | 'error' | 'soft_timeout' | 'error_backoff' | 'max_fallbacks';
    source: Source | 'flight';
    duration_ms: number;
  };
  /** A wait for another process ended. */
  'cache.wait': EventBase<'cache.wait'> & { key: string; duration_ms: number };
  /** A computation behind a served value (`stale`, `early`), or a `refresh` (`explicit`), began. */
  'cache.refresh': EventBase<'cache.refresh'> & {
    key: string;
    reason: 'stale' | 'early' | 'explicit';
    duration_ms: number;
  };
  /** A fault of the cache that no caller saw. */
  'cache.error': EventBase<'cache.error'> & { reason: string; message: string };
  /** A fallback failed; its error went to its callers. */
  'cache.fallback_error': EventBase<'cache.fallback_error'> & { key: string; duration_ms: number };
  /** The breaker of the store, or of one `node` of a Cluster, opened or closed. */
  'cache.breaker': EventBase<'cache.breaker'> & { state: 'open' | 'half_open' | 'closed' };
  /**
   * The connection to a `node` of the store was made or lost (`reason`); or another server answers from now on
   * (`new_primary`): what had been confirmed of late is sent again.
   */
  'cache.connection': EventBase<'cache.connection'> & {
    state: 'connected' | 'disconnected' | 'new_primary';
    source: Source;
  };
  /** Of a server there is something to look at (`warning`), or no longer (`ok`): see `health()`. */
  'cache.health': EventBase<'cache.health'> & {
    reason: HealthReason;
    state: 'warning' | 'ok';
    message: string;
    source: Source;
    /** What was seen, and what it is compared with, where these are numbers. */
    value?: number;
    limit?: number;
  };
}

export type EventName = keyof CacheEvents;
export type CacheEvent = CacheEvents[EventName];
export type Observer<K extends EventName = EventName> = (event: CacheEvents[K]) => unknown;

/** The observers of one manager. */
export class Observers {
  readonly #observers = new Map<EventName, Observer<never>[]>();
  readonly #emitter: EventEmitter | undefined;

  constructor(emitter: EventEmitter | undefined) {
    this.#emitter = emitter;
  }

  get isEmpty(): boolean {
    return this.#observers.size === 0 && this.#emitter === undefined;
  }

  add(event: EventName, observer: Observer<never>): void {
    checkEvent(event);
    if (typeof observer !== 'function') {
      throw new ConfigError(
        `observer=${shown(observer)} is not callable; a right example: cache.on('cache.hit', console.log)`,
      );
    }
    this.#observers.set(event, [...(this.#observers.get(event) ?? []), observer]);
  }

  remove(event: EventName, observer: Observer<never>): void {
    checkEvent(event);
    const observers = this.#observers.get(event) ?? [];
    const at = observers.indexOf(observer);
    const left = observers.filter((_, index) => index !== at);
    if (left.length > 0) this.#observers.set(event, left);
    else this.#observers.delete(event);
  }

  /** Whether hits are to be told of. */
  get hearsHits(): boolean {
    return this.#observers.has('cache.hit') || this.#emitter !== undefined;
  }

  /** Hands out what has happened since the last time; `hits` were served in this process. */
  deliver(native: Cache, hits: readonly CacheEvent[]): void {
    const faults: CacheEvents['cache.error'][] = JSON.parse(native.takeFaults());
    if (!this.#hears('cache.error')) faults.forEach(warn);
    const told: CacheEvent[] = JSON.parse(native.takeEvents());
    const events = hits.length === 0 ? told : [...told, ...hits].sort((one, other) => one.timestamp - other.timestamp);
    for (const event of events) {
      if (this.#emitter !== undefined) emit(this.#emitter, event);
      for (const observer of this.#observers.get(event.type) ?? []) tell(event, () => observer(event as never));
    }
  }

  #hears(event: EventName): boolean {
    return this.#observers.has(event) || (this.#emitter?.listenerCount(event) ?? 0) > 0;
  }
}

/** Never an event named `error`: an EventEmitter throws one that has no listener. */
function emit(emitter: EventEmitter, event: CacheEvent): void {
  // One that emits in a way of its own (wildcards) is let do so.
  if (emitter.emit !== EventEmitter.prototype.emit) {
    tell(event, () => void emitter.emit(event.type, event));
    return;
  }
  // As `emit` does it, but each listener by itself: what an async one rejects with would end the process.
  for (const listener of emitter.rawListeners(event.type)) tell(event, () => listener.call(emitter, event));
}

/** An observer harms nobody, whatever it throws. */
function tell(event: CacheEvent, observer: () => unknown): void {
  try {
    const result = observer();
    if (isThenable(result)) result.then(undefined, (error) => warnOfObserver(event, error));
  } catch (error) {
    warnOfObserver(event, error);
  }
}

function warn(fault: CacheEvents['cache.error']): void {
  // A stranger may have chosen the tenant's name; keys are escaped.
  const tenant = fault.tenant === undefined ? '' : ` of tenant ${JSON.stringify(fault.tenant)}`;
  const key = fault.key === undefined ? '' : ` [${fault.key}${tenant}]`;
  process.emitWarning(`${fault.reason}${key}: ${fault.message}`, { type: 'TidegateWarning', code: 'TIDEGATE_FAULT' });
}

// One warning a second for the observers of an event: an observer that fails does so for every event.
const WARNING_PAUSE_MS = 1_000;
const warnedMs = new Map<EventName, number>();

function warnOfObserver(event: CacheEvent, error: unknown): void {
  const nowMs = performance.now();
  if (nowMs - (warnedMs.get(event.type) ?? -WARNING_PAUSE_MS) < WARNING_PAUSE_MS) return;
  warnedMs.set(event.type, nowMs);
  const detail = error instanceof Error ? (error.stack ?? error.message) : shown(error);
  process.emitWarning(`an observer of ${event.type} threw`, {
    type: 'TidegateWarning',
    code: 'TIDEGATE_OBSERVER',
    detail,
  });
}

function checkEvent(event: string): void {
  const known = eventTypes();
  if (known.includes(event)) return;
  throw new ConfigError(
    `event=${shown(event)} is not an event; the events are ${known.join(', ')}; ` +
      "a right example: cache.on('cache.hit', console.log)",
  );
}
