/** The two that stand on Keyv: cacheable and cache-manager; on Redis, in the process, or on both. */

import { TTL_MS } from '../limits.mjs';
import { peer } from '../peers.mjs';

/**
 * On Redis alone, Redis is what it calls primary: every read asks it. With both, Redis is the secondary store, and
 * changes reach other processes by its sync.
 */
export async function openCacheable({ url, memory = false }) {
  const cache = await cacheable(url, memory, {});
  let tagged; // tags cost another read at each hit, so that they are on only where they are asked for
  const withTags = () => (tagged ??= cacheable(url, memory, { tags: true }));
  return {
    get: (key, fallback, tags) =>
      tags === undefined
        ? cache.getOrSet(key, fallback, { throwErrors: 'function' })
        : withTags().then((opened) => getUnderTags(opened, key, fallback, tags)),
    invalidate: (key) => cache.delete(key),
    invalidateTag: async (tag) => (await withTags()).tags.invalidateTag(tag),
    close: async () => Promise.all([cache.disconnect(), (await tagged)?.disconnect()]),
  };
}

async function cacheable(url, memory, options) {
  const { Cacheable } = await peer('cacheable');
  const stores = {};
  if (url !== undefined) stores[memory ? 'secondary' : 'primary'] = await redisStore(url, 'cacheable');
  if (url !== undefined && memory) stores.sync = { qified: await redisMessages(url) };
  const cache = new Cacheable({ ttl: TTL_MS, ...stores, ...options });
  cache.on('error', handled);
  return cache;
}

/** `getOrSet` takes no tags. */
async function getUnderTags(cache, key, fallback, tags) {
  const cached = await cache.get(key);
  if (cached !== undefined) return cached;
  const value = await fallback();
  await cache.set(key, value, { tags });
  return value;
}

export async function openCacheManager({ url, memory = false }) {
  const { createCache } = await peer('cache-manager');
  const { createKeyv } = await peer('cacheable');
  const redis = url === undefined ? [] : [await redisStore(url, 'cache-manager')];
  const stores = memory && redis.length > 0 ? [createKeyv(), ...redis] : redis; // without any, a store in the process
  const cache = createCache({ stores, ttl: TTL_MS });
  return {
    get: (key, fallback) => cache.wrap(key, fallback),
    invalidate: (key) => cache.del(key),
    close: () => cache.disconnect(),
  };
}

async function redisStore(url, namespace) {
  const { createKeyv } = await peer('@keyv/redis');
  return createKeyv(url, { namespace }).on('error', handled);
}

async function redisMessages(url) {
  const { RedisMessageProvider } = await peer('@qified/redis');
  return new RedisMessageProvider({ uri: url });
}

/** What is told here was handled: the caller got a value all the same, or the error. */
function handled() {}
