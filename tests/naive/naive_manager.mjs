/**
 * The cache manager that everyone writes by hand, kept here as the thing to beat: `naive_manager.py`, in Node.
 *
 * It is the pattern of many code bases, written as a good engineer would on a Friday: GET; on a miss `SET NX PX` takes a
 * lock; the holder looks once more, runs the fallback, SETs the value and DELetes the lock; everybody else sleeps 50 ms
 * and tries again. It fails open when Redis does, keeps a cached null apart from a miss, bounds its waiting and frees its
 * lock when the fallback fails. Nothing in it is sabotaged. Keys and values are those of the Python one: a fleet of both
 * shares one cache.
 *
 * What is wrong with it cannot be seen in review, and the tests beside it show it:
 *
 * - `invalidate` removes the value but not the right of a fallback already under way to store what it read *before*, so
 *   an old value can come back and stay for its whole ttl (`tests/race/race.py`);
 * - `writeThrough` writes the row and then SETs the value: two writers whose SETs come in the other order than their
 *   rows, a fallback that read the old row and stores it behind the SET, a writer that dies in between: each leaves the
 *   database and the cache apart for the whole ttl (`tests/faults/row_23_write_through.py`);
 * - the lock has no owner: one that ran out is deleted under the feet of whoever holds it now;
 * - waiters poll, each caller for itself, so they learn of a value up to 50 ms late (`tests/race/stampede.py`);
 * - with a hung Redis every call waits for the client's own timeout, seconds by habit, and then does it again.
 */

import { setTimeout as sleep } from 'node:timers/promises';

const LOCK_MS = 10_000;
const RETRY_MS = 50;
const WAIT_MS = 5_000;

/** Cache-aside on ioredis, JSON values, one lock per key. */
export class NaiveManager {
  #redis;
  #prefix;
  #lockMs;

  /**
   * @param {import('ioredis').Redis} redis
   * @param {{ prefix?: string, lockMs?: number }} [options]
   */
  constructor(redis, { prefix = 'app', lockMs = LOCK_MS } = {}) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#lockMs = lockMs;
  }

  /**
   * The cached value of `key`, or what `fallback` returns, which is kept for `ttlMs`.
   *
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} fallback
   * @param {number} [ttlMs]
   * @returns {Promise<T>}
   */
  async get(key, fallback, ttlMs = 300_000) {
    const [valueKey, lockKey] = this.#keys(key);
    for (let attempt = 0; attempt < WAIT_MS / RETRY_MS; attempt += 1) {
      let cached = null;
      let locked = null;
      try {
        cached = await this.#redis.get(valueKey);
        if (cached === null) locked = await this.#redis.set(lockKey, '1', 'PX', this.#lockMs, 'NX');
      } catch (error) {
        console.warn(`cache unavailable, going to the source for ${key}`, error);
        break;
      }
      if (cached !== null) return JSON.parse(cached);
      if (locked !== null) return this.#fill(valueKey, lockKey, fallback, ttlMs);
      await sleep(RETRY_MS);
    }
    return fallback();
  }

  /**
   * Forget the value of `key`.
   *
   * @param {string} key
   */
  async invalidate(key) {
    const [valueKey] = this.#keys(key);
    await this.#redis.del(valueKey);
  }

  /**
   * Has `persist` write `value` to the database, then SETs it; true when that was answered.
   *
   * @param {string} key
   * @param {unknown} value
   * @param {(value: any) => Promise<void>} persist
   * @param {number} [ttlMs]
   */
  async writeThrough(key, value, persist, ttlMs = 300_000) {
    await persist(value);
    const [valueKey] = this.#keys(key);
    return (await this.#quietly(this.#redis.set(valueKey, JSON.stringify(value), 'PX', ttlMs))) !== null;
  }

  async #fill(valueKey, lockKey, fallback, ttlMs) {
    try {
      // Somebody may have filled it between our GET and our lock.
      const cached = await this.#quietly(this.#redis.get(valueKey));
      if (cached !== null) return JSON.parse(cached);
      const value = await fallback();
      await this.#quietly(this.#redis.set(valueKey, JSON.stringify(value ?? null), 'PX', ttlMs));
      return value;
    } finally {
      await this.#quietly(this.#redis.del(lockKey));
    }
  }

  async #quietly(command) {
    try {
      return await command;
    } catch (error) {
      console.warn('cache unavailable, going on without it', error);
      return null;
    }
  }

  #keys(key) {
    return [`${this.#prefix}:${key}`, `${this.#prefix}:${key}:lock`];
  }
}
