/** The caches that races, stampedes and benchmarks set side by side, behind one small face. */

import { Cluster, Redis } from 'ioredis';
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
 * @property {(key: string, value: unknown, persist: (value: any) => Promise<void>) => Promise<boolean>} writeThrough has
 *   `persist` write the value to the database, and keeps it; true when the store holds it
 * @property {(tag: string, keys: string[]) => Promise<boolean>} invalidateTag forgets what is under `tag`: these keys
 * @property {(kind: string, observer: (event: any) => void) => unknown} on tells of every event of that kind, where
 *   there are events
 * @property {() => Record<string, any>} stats its figures, where it has some
 * @property {() => Promise<unknown>} close
 */

/**
 * The contender of that name (one of `NAMES`) on what is at `url`; the caller closes it.
 *
 * @param {string} name
 * @param {string} url
 * @param {Record<string, unknown>} [options] its own, named as in Python, with durations as texts
 * @returns {Promise<Contender>}
 */
export async function openContender(name, url, options = {}) {
  const own = Object.fromEntries(Object.entries(options).map(([option, value]) => [camelCase(option), value]));
  if (name === 'naive') return openNaive(url, own);
  if (name === 'tidegate') return openTidegate(url, own);
  throw new Error(`no contender is named '${name}'; there are ${NAMES.join(', ')}`);
}

function camelCase(name) {
  return name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

function openNaive(url, options) {
  const redis = clientOf(url);
  redis.on('error', () => {}); // what a command meets, its caller is told
  const manager = new NaiveManager(redis, options);
  const invalidate = (key) =>
    manager.invalidate(key).then(
      () => true,
      () => false,
    );
  return {
    get: (key, fallback) => manager.get(key, fallback, TTL_MS),
    invalidate,
    writeThrough: (key, value, persist) => manager.writeThrough(key, value, persist, TTL_MS),
    // It has no tags: its users delete what they know of.
    invalidateTag: async (_tag, keys) => (await Promise.all(keys.map(invalidate))).every(Boolean),
    on: () => {},
    stats: () => ({}),
    close: async () => redis.disconnect(),
  };
}

/** ioredis's, as its documentation has it, for a server, a Cluster or the master of some Sentinels. */
function clientOf(url) {
  // By default a call tries twenty times and waits for an answer without end; a careful user bounds both.
  const bounds = { maxRetriesPerRequest: 3, commandTimeout: COMMAND_TIMEOUT_MS };
  const [scheme, rest] = url.split('://');
  const [hosts, name] = rest.split('/');
  const seeds = hosts.split(',').map((seed) => ({ host: seed.split(':')[0], port: Number(seed.split(':')[1]) }));
  switch (scheme) {
    case 'redis-cluster':
      return new Cluster(seeds, { redisOptions: { commandTimeout: COMMAND_TIMEOUT_MS } });
    case 'redis-sentinel':
      return new Redis({ ...bounds, sentinels: seeds, name });
    default:
      return new Redis(url, bounds);
  }
}

async function openTidegate(url, options) {
  const { CacheManager } = await import('tidegate'); // here, so that the naive manager runs where tidegate is not built
  const cache = new CacheManager({ url, service: 'race', ttl: TTL_MS, ...options });
  return {
    get: (key, fallback, tag) => cache.get(key, fallback, tag === undefined ? undefined : { tags: [tag] }),
    invalidate: (key) => cache.invalidate(key),
    writeThrough: (key, value, persist) => cache.writeThrough(key, value, persist),
    invalidateTag: (tag) => cache.invalidateTag(tag),
    on: (kind, observer) => cache.on(kind, observer),
    stats: () => cache.stats(),
    close: () => cache.close({ timeout: 1_000 }), // the race is over: what is owed to a server that stays away is not waited for
  };
}
