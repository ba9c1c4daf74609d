/**
 * The index of the tier in the process. It lives here, so that a hit does not cross; coherence stays in the engine, which
 * changes generation words in memory that both sides see before it does anything else (`core/src/engine/l1`).
 *
 * An entry is served only while the words stand that were captured before the read was sent which brought it, its own
 * time is not over, and the engine has heard from the store within the last three seconds.
 */

import { performance } from 'node:perf_hooks';
import { open } from './codec.js';
import type { Cache, L1Plan } from './native.js';
import { BigText, Packed, type Single } from './payload.js';

/** Nothing is held that counts. */
export const NOT_HELD = Symbol('not held');

/** What an entry may be held under. Words and generations are the engine's 32 bits, as signed numbers. */
export interface Stamp {
  /** On the engine's clock. */
  readonly expiresUs: number;
  readonly version: number;
  readonly all: number;
  readonly word: number;
  readonly generation: number;
  /** Word, generation, word, generation, … */
  readonly tagWords: readonly number[];
  /** The names of all its tags, those of namespaces too. */
  readonly tags: readonly string[];
  /** Of the payload, in UTF-8. */
  readonly bytes: number;
}

// What an entry takes beside its key and payload: itself, its place in the map, its version (measured: `python -m benchmarks --only memory`).
const ENTRY_BYTES = 200;
const TAG_BYTES = 40;
// What bytes take beside themselves in memory of their own (measured: RSS of 200,000 of them).
const BUFFER_BYTES = 550;
const HIGH = 2 ** 32;
const AT = '@'.charCodeAt(0);

// Taken once: who fakes the time of his tests later does not fake ours.
const nowMs = performance.now.bind(performance);

class Entry {
  /** Since it was last looked at by the hand. */
  isUsed = false;

  constructor(
    /** A payload, or the value itself. */
    public held: unknown,
    public isPayload: boolean,
    readonly endsMs: number,
    readonly word: number,
    readonly generation: number,
    readonly tagWords: readonly number[],
    readonly tags: readonly string[],
    readonly bytes: number,
    readonly version: number,
  ) {}
}

/** One manager's. */
export class Index {
  readonly #entries = new Map<string, Entry>();
  readonly #words: Int32Array;
  readonly #allAt: number;
  readonly #keysAt: number;
  readonly #tagsAt: number;
  readonly #maxBytes: number;
  readonly #maxEntries: number;
  readonly #shares: boolean;
  /** What our clock shows when the engine's shows 0; rather too early, so that nothing is trusted for too long. */
  readonly #zeroMs: number;
  /** A test's clock, where the engine goes by one. */
  readonly #fakeMs: (() => number) | undefined;
  /** The word for everything, that all entries here were read under. */
  #all = 1;
  /** The upper half of the time until which the engine may be trusted. */
  #trustedHigh = 0;
  #bytes = 0;
  #isClosed = false;
  /** How many were let go of for want of room. */
  evictions = 0;
  /** Where the search for what nobody uses goes on: SIEVE (Zhang and others, NSDI 2024). */
  #hand: MapIterator<[string, Entry]> | undefined;
  #lastNames = '';
  #lastTags: readonly string[] = [];
  /** Hits that the engine has not been told of. */
  #hits = 0;
  /** Told of each hit while somebody observes hits. */
  onHit: ((key: string, version: number) => void) | undefined;

  constructor(native: Cache, plan: L1Plan, words: ArrayBuffer, isFake = false) {
    this.#words = new Int32Array(words);
    if (plan.trustedAt !== 0) throw new Error('the words begin with the time of trust');
    this.#allAt = plan.allAt / 4;
    this.#keysAt = plan.keysAt / 4;
    this.#tagsAt = plan.tagsAt / 4;
    this.#maxBytes = plan.maxBytes;
    this.#maxEntries = plan.maxEntries;
    this.#shares = plan.shareValues;
    this.#fakeMs = isFake ? () => native.nowUs() / 1_000 : undefined;
    this.#zeroMs = isFake ? 0 : zeroOf(native);
  }

  /**
   * The value of a key of the manager's own, which need not have been checked, for a call that names these tags;
   * `NOT_HELD` where the store has to be asked.
   */
  get(key: string, tags: readonly string[]): unknown {
    const entry = this.#entries.get(key);
    // What begins as a tenant's key does is no key of the manager's own.
    if (entry === undefined || key.charCodeAt(0) === AT) return NOT_HELD;
    const value = this.#serve(key, entry, tags);
    if (value !== NOT_HELD) this.#hits += 1;
    return value;
  }

  /** The same of a tenant's; `scope` is its `@tenant:`. Its hits are counted by whoever asks. */
  getOf(scope: string, key: string, tags: readonly string[]): unknown {
    const whole = scope + key;
    const entry = this.#entries.get(whole);
    return entry === undefined ? NOT_HELD : this.#serve(whole, entry, tags);
  }

  #serve(key: string, entry: Entry, tags: readonly string[]): unknown {
    const words = this.#words;
    // In this order: whoever is stopped between any two of these steps finds the time over when he goes on. The lower
    // half of the time first: the upper half only grows, so where it is what was seen before, neither changed in between.
    const low = words[0] as number;
    const high = words[1] as number;
    if (high !== this.#trustedHigh) {
      this.#trustedHigh = high;
      return NOT_HELD;
    }
    if (words[this.#allAt] !== this.#all) return this.#dropAll();
    let stands = words[this.#keysAt + entry.word] === entry.generation;
    const { tagWords } = entry;
    for (let at = 0; at < tagWords.length; at += 2) {
      stands &&= words[this.#tagsAt + (tagWords[at] as number)] === tagWords[at + 1];
    }
    const ageMs = this.#fakeMs === undefined ? nowMs() - this.#zeroMs : this.#fakeMs();
    if (!stands || ageMs >= entry.endsMs) return this.#drop(key, entry);
    if (ageMs * 1_000 >= (high >>> 0) * HIGH + (low >>> 0)) return NOT_HELD;
    for (const name of tags) if (!entry.tags.includes(name)) return NOT_HELD;
    const value = entry.isPayload ? this.#opened(key, entry) : entry.held;
    if (value === NOT_HELD) return NOT_HELD;
    entry.isUsed = true;
    this.onHit?.(key, entry.version);
    return value;
  }

  /** Takes a hit in, under its key within the manager (a tenant's with its `@tenant:`), if nothing has happened since its words were captured. */
  hold(key: string, payload: Single, stamp: Stamp): void {
    const words = this.#words;
    this.#trustedHigh = words[1] as number;
    const all = words[this.#allAt] as number;
    if (all !== this.#all) this.#dropAll();
    // Odd: nothing may be held, and no changes are told.
    if (this.#isClosed || all !== stamp.all || all % 2 !== 0 || words[this.#keysAt + stamp.word] !== stamp.generation)
      return;
    const bytes = ENTRY_BYTES + TAG_BYTES * stamp.tags.length + key.length + sizeOf(payload, stamp.bytes);
    // Whole ones take no memory of their own, in the first 24 days of a process.
    const endsMs = Math.floor(stamp.expiresUs / 1_000);
    const before = this.#entries.get(key);
    if (before !== undefined) this.#bytes -= before.bytes;
    // An object or a list is made anew for each caller; anything else cannot be changed by any of them.
    const isPayload = isOpenedForEach(payload);
    const held = isPayload ? payload : open(payload);
    const { word, generation, tagWords, tags, version } = stamp;
    this.#entries.set(key, new Entry(held, isPayload, endsMs, word, generation, tagWords, tags, bytes, version));
    this.#bytes += bytes;
    while (this.#entries.size > 0 && (this.#bytes > this.#maxBytes || this.#entries.size > this.#maxEntries))
      this.#evict();
  }

  /** The names of an entry's tags, a line each, as an array that entries of the same tags share. */
  tagsOf(names: string): readonly string[] {
    if (names !== this.#lastNames) {
      this.#lastNames = names;
      this.#lastTags = names === '' ? [] : names.split('\n');
    }
    return this.#lastTags;
  }

  /** How many hits of the manager's own there have been since the last time. */
  takeHits(): number {
    const hits = this.#hits;
    this.#hits = 0;
    return hits;
  }

  get entries(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing is held any more, nor will be. */
  close(): void {
    this.#isClosed = true;
    this.#clear();
  }

  #clear(): void {
    this.#entries.clear();
    this.#hand = undefined;
    this.#bytes = 0;
  }

  #opened(key: string, entry: Entry): unknown {
    let value: unknown;
    try {
      value = open(entry.held as Single);
    } catch {
      // Told by the read of the store that comes now.
      return this.#drop(key, entry);
    }
    if (this.#shares) {
      entry.held = value;
      entry.isPayload = false;
    }
    return value;
  }

  #drop(key: string, entry: Entry): typeof NOT_HELD {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    return NOT_HELD;
  }

  #dropAll(): typeof NOT_HELD {
    this.#clear();
    this.#all = this.#words[this.#allAt] as number;
    return NOT_HELD;
  }

  #evict(): void {
    this.#hand ??= this.#entries.entries();
    const { value: seen, done } = this.#hand.next();
    if (done) {
      this.#hand = undefined;
    } else if (seen[1].isUsed) {
      seen[1].isUsed = false;
    } else {
      this.#drop(...seen);
      this.evictions += 1;
    }
  }
}

/** Whether what a payload holds may be an object or a list, or bytes, which one caller could harm for another. */
function isOpenedForEach(payload: Single): boolean {
  if (payload === null) return false;
  const text = payload instanceof BigText ? payload.text : payload;
  return typeof text !== 'string' || text.startsWith('{') || text.startsWith('[');
}

/** What a payload takes, which in UTF-8 has so many bytes. */
function sizeOf(payload: Single, bytes: number): number {
  if (payload === null) return 0;
  if (payload instanceof Packed || payload instanceof Uint8Array) return BUFFER_BYTES + bytes;
  const { length } = payload instanceof BigText ? payload.text : payload;
  // Two bytes for a letter where any of them is beyond ASCII.
  return bytes > length ? 2 * length : length;
}

/** Where the engine's clock stood at zero, on ours; both are the machine's monotonic clock. */
export function zeroOf(native: { nowUs(): number }): number {
  let zeroMs = Number.NEGATIVE_INFINITY;
  // Ours is read first, so the difference errs to one side only, by what the crossing takes: the shortest is the nearest.
  for (let tries = 0; tries < 8; tries += 1) zeroMs = Math.max(zeroMs, nowMs() - native.nowUs() / 1_000);
  return zeroMs;
}
