/** Events of hits in this process: made here, without a crossing, and told in batches, never on a caller's path. */

import { AsyncResource } from 'node:async_hooks';
import type { CacheEvents } from './event-types.js';
import { limits } from './native.js';

// As many as the engine keeps; what is beyond is counted and dropped.
const WAITING_MAX = limits().eventsWaiting;

export class HitEvents {
  /** Since the manager was made. */
  dropped = 0;
  readonly #service: string;
  readonly #deliver: () => void;
  readonly #clock: { now(): number };
  /** Observers are told outside of whatever the caller is inside of. */
  readonly #outside = new AsyncResource('TidegateEvents');
  #waiting: CacheEvents['cache.hit'][] = [];

  constructor(service: string, deliver: () => void, clock: { now(): number } = Date) {
    this.#service = service;
    this.#deliver = deliver;
    this.#clock = clock;
  }

  readonly add = (key: string, version: number): void => {
    if (this.#waiting.length >= WAITING_MAX) {
      this.dropped += 1;
      return;
    }
    if (this.#waiting.length === 0) setImmediate(() => this.#outside.runInAsyncScope(this.#deliver));
    const timestamp = Math.floor(this.#clock.now());
    const service = this.#service;
    const hit = { type: 'cache.hit', timestamp, service, key, source: 'l1', duration_ms: 0, version } as const;
    this.#waiting.push(key.startsWith('@') ? { ...hit, ...ofTenant(key) } : hit);
  };

  /** Those that wait, the oldest first. */
  take(): readonly CacheEvents['cache.hit'][] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}

/** What `@tenant:key` is told as. */
function ofTenant(whole: string): { key: string; tenant: string } {
  const at = whole.indexOf(':');
  // Escaped as a part of a key is, which is how a URI is.
  return { key: whole.slice(at + 1), tenant: decodeURIComponent(whole.slice(1, at)) };
}
