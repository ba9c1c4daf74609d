/** What a worker can do, by the names of the protocol (`benchmarks/README.md`). */

import assert from 'node:assert/strict';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { heldBytes } from './memory.mjs';
import { race } from './race.mjs';
import { record } from './records.mjs';
import { loops, measured, percentile, ticking } from './rounds.mjs';
import { serve } from './serve.mjs';

const FILLERS = 64;
const BATCH = 1_000; // calls between two looks at the clock; values stored at once
const STEP = 7_919; // a prime: visits every key, in an order that no cache line likes
const WARM_MS = 30_000;
const SOURCE_BYTES = 1_024;
const STALL_KEYS = 8;
const STALL_CALLERS = 4;
const TAGS_KEYS = 1_024;
const WAKE_MS = 100; // so long every caller of `wake` may take to wait

export class Commands {
  #contender;
  #cache;
  #hit;
  #keys = [];
  #misses = 0; // fallbacks that ran where a hit was asked for
  #serial = 0;

  /**
   * @param {import('./adapters.mjs').Contender} contender
   * @param {import('./adapters.mjs').Cache} cache
   */
  constructor(contender, cache) {
    this.#contender = contender;
    this.#cache = cache;
    const absent = async () => {
      this.#misses += 1;
      throw new Error('a miss was measured as a hit');
    };
    this.#hit = cache.hit ?? ((key) => cache.get(key, absent));
  }

  /** The answer to one command. */
  run(command) {
    const known = {
      fill: () => this.#fill(command),
      hit: () => this.#hits(command),
      spin: () => this.#spin(command),
      miss: () => this.#miss(command),
      stampede: () => this.#stampede(command),
      wake: () => this.#wake(command),
      stall: () => this.#stall(command),
      tags: () => this.#tags(command),
      serve: () => serve(this.#cache, command),
      race: () => race(this.#contender, this.#cache, command),
      memory: () => heldBytes(this.#contender, this.#cache, command),
      observe: () => this.#observe(command),
      rss: () => ({ bytes: process.memoryUsage.rss() }),
    };
    const run = known[command.do];
    return run === undefined ? { skipped: `there is no ${command.do}` } : run();
  }

  async close() {
    await this.#cache.close?.();
  }

  /** Stores every key and compares what is read back; what holds values in the process holds them then. */
  async #fill({ keys, bytes }) {
    this.#keys = Array.from({ length: keys }, (_, number) => `bench:${bytes}:item:${number}`);
    await this.#store((number) => record(number, bytes));
    await this.#each(async (key, number) => assert.deepEqual(await this.#hit(key), record(number, bytes)));
    if (this.#contender.tier === 'both') await this.#warm();
    return {};
  }

  async #store(valueFor) {
    if (this.#cache.setMany === undefined) {
      await this.#each((key, number) => this.#cache.get(key, async () => valueFor(number)));
      return;
    }
    for (let from = 0; from < this.#keys.length; from += BATCH) {
      const keys = this.#keys.slice(from, from + BATCH);
      await this.#cache.setMany(new Map(keys.map((key, at) => [key, valueFor(from + at)])));
    }
  }

  /** Until a whole pass over the keys takes no longer than hits in the process do: none of it waits for Redis. */
  async #warm() {
    const end = performance.now() + WARM_MS;
    do {
      await this.#each((key) => this.#hit(key));
      if (await this.#isHeld()) return;
      await sleep(100); // until its connection for pushes stands
    } while (performance.now() < end);
    throw new Error('the values are not held in the process');
  }

  /** A hit in the process is answered before the event loop turns; one that asks Redis is not. */
  async #isHeld() {
    let held = 0;
    for (const key of this.#keys) void this.#hit(key).then(() => (held += 1));
    for (let deep = 0; deep < 100; deep += 1) await null;
    const isHeld = held === this.#keys.length;
    await turn();
    return isHeld;
  }

  /** Calls `one` for every key, with many callers. */
  async #each(one) {
    let next = 0;
    const caller = async () => {
      while (next < this.#keys.length) {
        const number = next++;
        await one(this.#keys[number], number);
      }
    };
    await Promise.all(Array.from({ length: FILLERS }, caller));
  }

  #hits({ callers, seconds }) {
    const keys = this.#keys;
    return this.#onlyHits(() => loops(callers, seconds, (at) => this.#hit(keys[at % keys.length])));
  }

  async #spin({ seconds }) {
    const [keys, hit] = [this.#keys, this.#hit];
    const before = this.#cache.l1Hits?.();
    const answer = await this.#onlyHits(() =>
      measured(async () => {
        const end = performance.now() + seconds * 1_000;
        let count = 0;
        do {
          for (const stop = count + BATCH; count < stop; count += 1) await hit(keys[(count * STEP) % keys.length]);
        } while (performance.now() < end);
        return count;
      }),
    );
    const held = before === undefined ? answer.count : this.#cache.l1Hits() - before;
    assert(held >= answer.count, `only ${held} of ${answer.count} were hits in the process`);
    return answer;
  }

  #miss({ callers, seconds, bytes }) {
    const value = record(0, bytes);
    const fallback = async () => value;
    return loops(callers, seconds, () => this.#cache.get(this.#newKey(), fallback));
  }

  /** What a round answers, if every call in it was a hit. */
  async #onlyHits(round) {
    assert(this.#keys.length > 0, 'fill first');
    const before = this.#misses;
    const answer = await round();
    assert.equal(this.#misses, before, 'misses were measured as hits');
    return answer;
  }

  #newKey() {
    return `bench:new:${process.pid}-${this.#serial++}`;
  }

  async #stampede({ key, callers, fallback_ms: fallbackMs, at }) {
    let fallbacks = 0;
    const fallback = async () => {
      fallbacks += 1;
      await sleep(fallbackMs);
      return record(0, SOURCE_BYTES);
    };
    const call = async () => {
      const began = performance.now();
      await this.#cache.get(key, fallback);
      return performance.now() - began - fallbackMs;
    };
    await sleep(at * 1_000 - Date.now());
    return { extra_ms: await Promise.all(Array.from({ length: callers }, call)), fallbacks };
  }

  async #wake({ callers }) {
    const key = this.#newKey();
    let ended; // where each caller runs its own fallback: the first of them
    const fallback = async () => {
      await sleep(WAKE_MS);
      ended ??= performance.now();
      return record(0, SOURCE_BYTES);
    };
    const call = async () => {
      await this.#cache.get(key, fallback);
      return performance.now();
    };
    const times = await Promise.all(Array.from({ length: callers }, call));
    return { first_ms: Math.min(...times) - ended, last_ms: Math.max(...times) - ended };
  }

  /** The event loop turns after each hit, so that what holds values in the process does not keep the ticker from it. */
  async #stall({ bytes, seconds }) {
    await this.#fill({ keys: STALL_KEYS, bytes });
    const ticker = ticking();
    const answer = await this.#onlyHits(() =>
      loops(STALL_CALLERS, seconds, async (at) => {
        await this.#hit(this.#keys[at % STALL_KEYS]);
        await turn();
      }),
    );
    const lagsMs = ticker.stop();
    return { ...answer, lag_p99_ms: percentile(lagsMs, 0.99), lag_max_ms: Math.max(...lagsMs) };
  }

  async #tags({ n, callers, seconds }) {
    if (this.#cache.invalidateTag === undefined) return { skipped: 'it has no tags' };
    const tags = n === 0 ? undefined : Array.from({ length: n }, (_, number) => `tag:${number}`);
    const keys = Array.from({ length: TAGS_KEYS }, (_, number) => `bench:tagged-${n}:item:${number}`);
    for (const [number, key] of keys.entries())
      await this.#cache.get(key, async () => record(number, SOURCE_BYTES), tags);
    let misses = 0;
    const absent = async () => {
      misses += 1;
      throw new Error('a miss was measured as a hit');
    };
    const answer = await loops(callers, seconds, (at) => this.#cache.get(keys[at % TAGS_KEYS], absent, tags));
    assert.equal(misses, 0, 'misses were measured as hits');
    return answer;
  }

  async #observe({ who, on }) {
    if (this.#cache.observe === undefined) return { skipped: 'its events are not measured' };
    return { seen: await this.#cache.observe(who, on) };
  }
}
