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
 * @property {(key: string, fallback: () => Promise<unknown>, tag?: string) => Promise<any>} get the cached value, or the
 *   fallback's; under `tag`, if one is named
 * @property {(key: string) => Promise<boolean>} invalidate forgets the key; true when the store confirmed it
 * @property {(tag: string, keys: string[]) => Promise<boolean>} invalidateTag forgets what is under `tag`: these keys
 * @property {() => Promise<unknown>} close
 */

/**
 * The contender of that name (one of `NAMES`) on the redis-server at `url`; the caller closes it.
 *
 * @param {string} name
 * @param {string} url
 * @param {string | null} [l1] the size of tidegate's tier in the process; the naive manager has none
 * @returns {Promise<Contender>}
 */
export async function openContender(name, url, l1 = null) {
  if (name === 'naive') return openNaive(url);
  if (name === 'tidegate') return openTidegate(url, l1);
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
    invalidateTag: async (_tag, keys) => {
      // It has no tags: its users delete what they know of.
      for (const key of keys) await manager.invalidate(key);
      return true;
    },
    close: () => redis.quit(),
  };
}

async function openTidegate(url, l1) {
  const { CacheManager } = await import('tidegate'); // here, so that the naive manager runs where tidegate is not built
  const cache = new CacheManager({ url, service: 'race', ttl: TTL_MS, l1 });
  return {
    get: (key, fallback, tag) => cache.get(key, fallback, tag === undefined ? undefined : { tags: [tag] }),
    invalidate: (key) => cache.invalidate(key),
    invalidateTag: (tag) => cache.invalidateTag(tag),
    close: () => cache.close(),
  };
}
