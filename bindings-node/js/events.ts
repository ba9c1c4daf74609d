/** How observers are told what happens. */

import { EventEmitter } from 'node:events';
import { isThenable } from './awaitable.js';
import { isSubscribedTo, publish } from './channels.js';
import { ConfigError } from './errors.js';
import type { CacheEvent, CacheEvents, EventName, Heard, Observer } from './event-types.js';
import { shown } from './key.js';
import { type Cache, eventTypes, storeReasons } from './native.js';

/** The observers of one manager. */
export class Observers {
  readonly #observers = new Map<keyof Heard, Observer<never>[]>();
  readonly #emitter: EventEmitter | undefined;

  constructor(emitter: EventEmitter | undefined) {
    this.#emitter = emitter;
  }

  get isEmpty(): boolean {
    return this.#observers.size === 0 && this.#emitter === undefined;
  }

  add(event: keyof Heard, observer: Observer<never>): void {
    checkEvent(event);
    if (typeof observer !== 'function') {
      throw new ConfigError(
        `observer=${shown(observer)} is not callable; a right example: cache.on('cache.hit', console.log)`,
      );
    }
    this.#observers.set(event, [...(this.#observers.get(event) ?? []), observer]);
  }

  remove(event: keyof Heard, observer: Observer<never>): void {
    checkEvent(event);
    const observers = this.#observers.get(event) ?? [];
    const at = observers.indexOf(observer);
    const left = observers.filter((_, index) => index !== at);
    if (left.length > 0) this.#observers.set(event, left);
    else this.#observers.delete(event);
  }

  /** Whether hits are to be told of. */
  get hearsHits(): boolean {
    return this.#observers.has('cache.hit') || this.#observers.has('*') || this.#emitter !== undefined;
  }

  /** Hands out what has happened since the last time; `hits` were served in this process. */
  deliver(native: Cache, hits: readonly CacheEvent[]): void {
    const faults: Fault[] = JSON.parse(native.takeFaults());
    for (const fault of faults) if (!this.#hears(fault.type)) warn(fault);
    const told: CacheEvent[] = JSON.parse(native.takeEvents());
    const events = hits.length === 0 ? told : [...told, ...hits].sort((one, other) => one.timestamp - other.timestamp);
    for (const event of events) {
      if (this.#emitter !== undefined) emit(this.#emitter, event);
      for (const name of [event.type, '*'] as const) {
        for (const observer of this.#observers.get(name) ?? []) tell(event, () => observer(event as never));
      }
      publish(event);
    }
  }

  #hears(event: EventName): boolean {
    const isObserved = this.#observers.has(event) || this.#observers.has('*') || isSubscribedTo(event);
    return isObserved || (this.#emitter?.listenerCount(event) ?? 0) > 0;
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

const OF_THE_STORE = new Set(storeReasons());

/** What is told where nobody observes it: a breaker's with a text. */
type Fault =
  | CacheEvents['cache.error']
  | (Omit<CacheEvents['cache.breaker'], 'message'> & { readonly message: string });

function warn(fault: Fault): void {
  if (fault.type === 'cache.breaker') {
    // That all is well again too: who was warned waits for it, and Node has no other log.
    process.emitWarning(`the store: ${fault.message}`, { type: 'TidegateWarning', code: 'TIDEGATE_BREAKER' });
    return;
  }
  // A stranger may have chosen the tenant's name; keys are escaped.
  const tenant = fault.tenant === undefined ? '' : ` of tenant ${JSON.stringify(fault.tenant)}`;
  const key = fault.key === undefined ? '' : ` [${fault.key}${tenant}]`;
  const about = OF_THE_STORE.has(fault.reason) ? 'the store: ' : '';
  const isAway = fault.reason === 'disconnected' && fault.key === undefined;
  const then = isAway ? '; calls run their fallback until the store is back' : '';
  process.emitWarning(`${about}${fault.reason}${key}: ${fault.message}${then}`, {
    type: 'TidegateWarning',
    code: 'TIDEGATE_FAULT',
  });
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
  if (event === '*' || known.includes(event)) return;
  throw new ConfigError(
    `event=${shown(event)} is not an event; the events are ${known.join(', ')}, and '*' for all; ` +
      "a right example: cache.on('cache.hit', console.log)",
  );
}
