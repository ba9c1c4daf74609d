/**
 * A member of a fleet, in Node: one process that plays its part of a race or of a stampede.
 *
 *     node tests/race/member.mjs
 *
 * `tests/support/fleet.py` starts it and says what the two tell each other; `member.py` is the same in Python.
 */

import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { openContender } from '../support/contenders.mjs';

const input = createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

/** One line to the parent. */
function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** The parent's next line. */
async function hear() {
  const { value, done } = await lines.next();
  if (done) throw new Error('the parent is gone');
  return JSON.parse(value);
}

/** Stands at the starting line; resolves, in all members together, to the moment of the start in microseconds. */
async function start(more = {}) {
  say({ ready: true, ...more });
  const { go: startUs } = await hear();
  while (beganUs() < startUs) await sleep((startUs - beganUs()) / 1000);
  return startUs;
}

/** Opens the connections which so many callers use; resolves when the store has answered. */
async function connect(cache, callers) {
  await Promise.all(Array.from({ length: callers }, () => cache.invalidate('member:warm-up')));
  while (!(await cache.invalidate('member:warm-up'))) await sleep(50);
}

// Nanoseconds would not fit a JSON number of JavaScript. A read is said to have begun, and an invalidation to have
// returned, up to 1 us on the side that excuses a stale read: rounding never condemns one.
/** Now, rounded down. */
function beganUs() {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** Now, rounded up. */
function returnedUs() {
  return Number((process.hrtime.bigint() + 999n) / 1_000n);
}

/** Numbers in [0, 1) from a seed, as `Math.random` has none: mulberry32. */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What this process takes now: kilobytes in memory, descriptors, threads, tasks. */
function weight() {
  globalThis.gc?.();
  return {
    rss_kb: Math.round(process.memoryUsage.rss() / 1024),
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    tasks: process.getActiveResourcesInfo().length,
  };
}

/** The readers and the writer of one process, and the log of what they saw. */
class Race {
  #settings;
  #cache;
  #rows;
  #chance;
  #log;

  constructor(settings, cache, rows) {
    this.#settings = settings;
    this.#cache = cache;
    this.#rows = rows;
    this.#chance = seeded(settings.seed * 1000 + settings.index);
    this.#forget();
    cache.on('cache.breaker', (event) => this.#log.breaker.push([returnedUs(), event.state]));
  }

  #forget() {
    this.#log = { reads: [], invalidations: [], unconfirmed: [], errors: {}, breaker: [] };
  }

  /** Starts with the fleet, ends after `seconds`, `rounds` times; the log of the last, the others' on the way. */
  async play() {
    const { readers, seconds, rounds } = this.#settings;
    await this.#rows.ping();
    await connect(this.#cache, readers + 1);
    let said = {};
    for (let round = 0; round < rounds; round += 1) {
      const endUs = (await start(said)) + seconds * 1e6;
      this.#forget();
      await Promise.all([this.#write(endUs), ...Array.from({ length: readers }, (_, at) => this.#read(endUs, at))]);
      said = { log: this.#log, weight: weight() };
    }
    return said;
  }

  async #read(endUs, reader) {
    const { index, keys, readers, own_keys: hasOwnKey } = this.#settings;
    for (let began = beganUs(); began < endUs; began = beganUs()) {
      const number = hasOwnKey ? (index * readers + reader) % keys.length : this.#anyKey();
      const key = keys[number];
      let insideUs = -1; // this caller's fallback did not run
      const fallback = async () => {
        const entered = beganUs();
        const version = Number(await this.#rows.get(key));
        await this.#pause(this.#settings.fallback_ms);
        insideUs = beganUs() - entered;
        return { key, version };
      };
      try {
        const row = await this.#cache.get(key, fallback, this.#tagOf(number));
        this.#log.reads.push([number, began, row.version, returnedUs() - began, insideUs]);
      } catch (error) {
        count(this.#log.errors, String(error));
      }
      await this.#pause(this.#settings.between_reads_ms);
    }
  }

  async #write(endUs) {
    const { keys } = this.#settings;
    while (beganUs() < endUs) {
      const number = this.#anyKey();
      const tag = this.#tagOf(number);
      // What one invalidation is to reach: a key, or all keys under its tag.
      const reached = [...keys.keys()].filter((at) => at === number || (tag !== undefined && this.#tagOf(at) === tag));
      const versions = [];
      for (const at of reached) versions.push(await this.#rows.incr(keys[at]));
      const names = reached.map((at) => keys[at]);
      const confirmed = await (tag === undefined
        ? this.#cache.invalidate(names[0])
        : this.#cache.invalidateTag(tag, names));
      const returned = returnedUs();
      const those = confirmed ? this.#log.invalidations : this.#log.unconfirmed;
      reached.forEach((at, order) => void those.push([at, returned, versions[order]]));
      await this.#pause(this.#settings.between_writes_ms);
    }
  }

  #tagOf(number) {
    const { tags } = this.#settings;
    return tags ? `group:${number % tags}` : undefined;
  }

  #anyKey() {
    return Math.floor(this.#chance() * this.#settings.keys.length);
  }

  #pause(mostMs) {
    return sleep(this.#chance() * mostMs);
  }
}

/** One more of those. */
function count(counts, name) {
  const short = name.slice(0, 200);
  counts[short] = (counts[short] ?? 0) + 1;
}

/** One race. */
async function race(settings, cache) {
  const rows = new Redis(settings.rows_url);
  try {
    return await new Race(settings, cache, rows).play();
  } finally {
    rows.disconnect();
  }
}

/** Every round of a stampede. */
async function stampede(settings, cache) {
  await connect(cache, settings.callers);
  const rounds = [];
  for (let number = 0; number < settings.rounds; number += 1) {
    rounds.push(await stampedeOnce({ ...settings, number }, cache, `stampede:key:${number}`));
  }
  return rounds;
}

/** One round: when fallbacks ran here, how much longer than one each caller waited, who was told of an error. */
async function stampedeOnce({ callers, fallback_ms: fallbackMs, fails, index, number, members }, cache, key) {
  const isFirst = fails && index === number % members;
  const fallbacks = [];
  const errors = {};

  async function fallback() {
    const entered = beganUs();
    await sleep(fallbackMs);
    fallbacks.push([entered, returnedUs()]);
    if (isFirst) throw new RangeError('the database is away');
    return { key };
  }

  async function call() {
    const began = performance.now();
    try {
      await cache.get(key, fallback);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      count(errors, error.message);
    }
    return performance.now() - began - fallbackMs;
  }

  await start();
  if (fails && !isFirst) await sleep(fallbackMs / 2); // the first has the lease
  const extraMs = await Promise.all(Array.from({ length: callers }, call));
  return { fallbacks, extra_ms: extraMs, errors, ended_us: returnedUs() };
}

/** The member's part, from its connections to its result. */
async function play(settings) {
  const cache = await openContender(settings.contender, settings.url, settings.options ?? {});
  try {
    return await (settings.harness === 'race' ? race : stampede)(settings, cache);
  } finally {
    await cache.close();
  }
}

try {
  say({ result: await play(await hear()) });
} catch (error) {
  say({ error: String(error) });
  throw error;
} finally {
  input.close();
}
