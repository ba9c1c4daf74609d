/** What stands on Redis alone: the manager that everyone writes by hand, and clients with JSON and no cache logic. */

import { openContender } from '../../../tests/support/contenders.mjs';
import { TTL_MS } from '../limits.mjs';
import { peer } from '../peers.mjs';

export async function openNaive(url) {
  const { get, invalidate, close } = await openContender('naive', url); // it has no tags
  return { get: (key, fallback) => get(key, fallback), invalidate, close };
}

export async function openIoredis(url, options) {
  const { Redis } = await peer('ioredis-6');
  const redis = new Redis(url, options);
  redis.on('error', () => undefined); // a call that fails for it says so
  const prefixed = (key) => `ioredis:${key}`;
  return {
    ...aside({
      get: (key) => redis.get(prefixed(key)),
      set: (key, text) => redis.set(prefixed(key), text, 'PX', TTL_MS),
    }),
    invalidate: (key) => redis.del(prefixed(key)),
    close: () => redis.disconnect(),
  };
}

export async function openGlide(url) {
  const { GlideClient, Logger, TimeUnit } = await peer('@valkey/valkey-glide');
  Logger.setLoggerConfig('off'); // it would log to stdout, where answers go
  const { hostname, port } = new URL(url);
  const redis = await GlideClient.createClient({ addresses: [{ host: hostname, port: Number(port) }] });
  const expiry = { type: TimeUnit.Milliseconds, count: TTL_MS };
  return {
    ...aside({
      get: (key) => redis.get(`glide:${key}`),
      set: (key, text) => redis.set(`glide:${key}`, text, { expiry }),
    }),
    invalidate: (key) => redis.del([`glide:${key}`]),
    close: async () => redis.close(),
  };
}

/** Cache-aside at its plainest: GET and `JSON.parse`, else the fallback and SET. */
function aside({ get, set }) {
  return {
    async get(key, fallback) {
      const text = await get(key);
      if (text !== null) return JSON.parse(text);
      const value = await fallback();
      await set(key, JSON.stringify(value));
      return value;
    },
  };
}
