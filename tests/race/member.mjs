/**
 * A member of a fleet, in Node: one process that plays its part of a race or of a stampede.
 *
 *     node tests/race/member.mjs
 *
 * `tests/support/fleet.py` starts it and says what the two tell each other; `member.py` is the same in Python.
 */

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
async function start() {
  say({ ready: true });
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

/** The readers and the writer of one process, and the log of what they saw. */
class Race {
  #settings;
  #cache;
  #rows;
  #chance;
  #log = { reads: [], invalidations: [], fallbacks: 0, unconfirmed: 0 };

  constructor(settings, cache, rows) {
    this.#settings = settings;
    this.#cache = cache;
    this.#rows = rows;
    this.#chance = seeded(settings.seed * 1000 + settings.index);
  }

  /** Starts with the fleet, ends after `seconds`; the log. */
  async play() {
    const { readers, seconds } = this.#settings;
    await this.#rows.ping();
    await connect(this.#cache, readers + 1);
    const endUs = (await start()) + seconds * 1e6;
    await Promise.all([this.#write(endUs), ...Array.from({ length: readers }, () => this.#read(endUs))]);
    return this.#log;
  }

  async #read(endUs) {
    for (let began = beganUs(); began < endUs; began = beganUs()) {
      const number = this.#anyKey();
      const key = this.#settings.keys[number];
      const fallback = async () => {
        this.#log.fallbacks += 1;
        const version = Number(await this.#rows.get(key));
        await this.#pause(this.#settings.fallback_ms);
        return { key, version };
      };
      const row = await this.#cache.get(key, fallback, this.#tagOf(number));
      this.#log.reads.push([number, began, row.version]);
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
      if (confirmed) reached.forEach((at, order) => void this.#log.invalidations.push([at, returned, versions[order]]));
      else this.#log.unconfirmed += 1;
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
    rounds.push(await stampedeOnce(settings, cache, `stampede:key:${number}`));
  }
  return rounds;
}

/** One round: how many fallbacks ran here, and how much longer than a fallback each caller waited. */
async function stampedeOnce({ callers, fallback_ms: fallbackMs }, cache, key) {
  let fallbacks = 0;

  async function fallback() {
    fallbacks += 1;
    await sleep(fallbackMs);
    return { key };
  }

  async function call() {
    const began = performance.now();
    await cache.get(key, fallback);
    return performance.now() - began - fallbackMs;
  }

  await start();
  const extraMs = await Promise.all(Array.from({ length: callers }, call));
  return { fallbacks, extra_ms: extraMs };
}

/** The member's part, from its connections to its result. */
async function play(settings) {
  const cache = await openContender(settings.contender, settings.url, settings.l1 ?? null);
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
