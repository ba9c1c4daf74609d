/** The caches that races, stampedes and benchmarks set side by side, behind one small face. */

import { Redis } from 'ioredis';
import { NaiveManager } from '../naive/naive_manager.mjs';

export const NAMES = ['naive', 'tidegate'];
const TTL_MS = 3_600_000; // nothing runs out while it is measured
const COMMAND_TIMEOUT_MS = 5_000; // of the naive manager's client, as redis-py has it

/**
 * What a harness asks of a cache.
 *
 * @typedef {object} Contender
 * @property {(key: string, fallback: () => Promise<unknown>) => Promise<any>} get the cached value, or the fallback's
 * @property {(key: string) => Promise<boolean>} invalidate forgets the key; true when the store confirmed it
 * @property {() => Promise<unknown>} close
 */

/**
 * The contender of that name (one of `NAMES`) on the redis-server at `url`; the caller closes it.
 *
 * @param {string} name
 * @param {string} url
 * @returns {Promise<Contender>}
 */
export async function openContender(name, url) {
  if (name === 'naive') return openNaive(url);
  if (name === 'tidegate') return openTidegate(url);
  throw new Error(`no contender is named '${name}'; there are ${NAMES.join(', ')}`);
}

function openNaive(url) {
  // By default a call tries twenty times and waits for an answer without end; a careful user bounds both.
  const redis = new Redis(url, { maxRetriesPerRequest: 3, commandTimeout: COMMAND_TIMEOUT_MS });
  const manager = new NaiveManager(redis);
  return {
    get: (key, fallback) => manager.get(key, fallback, TTL_MS),
    invalidate: async (key) => {
      await manager.invalidate(key);
      return true;
    },
    close: () => redis.quit(),
  };
}

async function openTidegate(url) {
  const { CacheManager } = await import('tidegate'); // here, so that the naive manager runs where tidegate is not built
  const cache = new CacheManager({ url, service: 'race', ttl: TTL_MS });
  return {
    get: (key, fallback) => cache.get(key, fallback),
    invalidate: (key) => cache.invalidate(key),
    close: () => cache.close(),
  };
}
