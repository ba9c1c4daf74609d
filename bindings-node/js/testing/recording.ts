import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { ConfigError } from '../errors.js';
import type { CacheEvent, CacheEvents, EventName } from '../event-types.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { eventTypes } from '../native.js';

// How often the loop goes round until whatever an event can lead to has happened.
const TURNS = 20;

/**
 * The events of managers, in the order in which they were delivered; made by `record`.
 *
 * ```ts
 * import { CacheManager } from 'tidegate';
 * import { record } from 'tidegate/testing';
 *
 * const cache = new CacheManager();
 * const recorded = record(cache);
 * await cache.get('user:name:42', () => 'Ada');
 * await recorded.settled();
 * if (recorded.types.join() !== 'cache.miss,cache.set') throw new Error(recorded.types.join());
 * ```
 */
export class RecordedEvents implements Iterable<CacheEvent> {
  readonly #caches: CacheManager[] = [];
  #events: CacheEvent[] = [];
  readonly #add = (event: CacheEvent): void => void this.#events.push(event);

  constructor(...caches: readonly CacheManager[]) {
    for (const cache of caches) this.add(cache);
  }

  /** Records the events of another manager too. */
  add(cache: CacheManager): void {
    if (!(cache instanceof CacheManager)) {
      throw new ConfigError(`cache=${shown(cache)} is not a CacheManager; a right example: record(cache)`);
    }
    this.#caches.push(cache);
    cache.on('*', this.#add);
  }

  /** Records no more. */
  stop(): void {
    for (const cache of this.#caches.splice(0)) {
      cache.off('*', this.#add);
    }
  }

  /** Takes all that has happened so far; gives itself. */
  settle(): this {
    for (const cache of this.#caches) cache.house.deliver();
    return this;
  }

  /** The same, and before that everything else goes on for as long as nothing but the event loop holds it up. */
  async settled(): Promise<this> {
    for (let turn = 0; turn < TURNS; turn += 1) await setImmediate();
    return this.settle();
  }

  /** How many. */
  get length(): number {
    return this.#events.length;
  }

  /** The type of each: `['cache.miss', 'cache.set']`. */
  get types(): EventName[] {
    return this.#events.map((event) => event.type);
  }

  /** The one at this place; from the end where it is negative. */
  at(index: number): CacheEvent | undefined {
    return this.#events.at(index);
  }

  [Symbol.iterator](): IterableIterator<CacheEvent> {
    return this.#events[Symbol.iterator]();
  }

  /** Those of this type whose fields are these. */
  of<K extends EventName>(type: K, fields: Partial<CacheEvents[K]> = {}): CacheEvents[K][] {
    if (!eventTypes().includes(type)) {
      throw new ConfigError(`event=${shown(type)} is not an event; the events are ${eventTypes().join(', ')}`);
    }
    const wanted = Object.entries(fields);
    const fits = (event: CacheEvent) => wanted.every(([name, value]) => event[name as keyof CacheEvent] === value);
    return this.#events.filter((event): event is CacheEvents[K] => event.type === type && fits(event));
  }

  /** The only one of those; an error that shows what there is where there are none, or more. */
  one<K extends EventName>(type: K, fields: Partial<CacheEvents[K]> = {}): CacheEvents[K] {
    const found = this.of(type, fields);
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    throw new Error(`${found.length} events are (${type}, ${inspect(fields)}), of ${inspect(this)}`);
  }

  /** Forgets what was recorded so far. */
  clear(): void {
    this.#events = [];
  }

  [inspect.custom](): string {
    return `RecordedEvents(${inspect(this.#events.map(said))})`;
  }
}

function said({ type, key, tag, source, reason, state }: CacheEvent): string {
  return [type, key ?? tag, source, reason, state].filter((word) => word !== undefined).join(' ');
}

/** Records the events of these managers from now on. */
export function record(...caches: readonly CacheManager[]): RecordedEvents {
  return new RecordedEvents(...caches);
}
