/** What holds values in this process and nowhere else: a Map, and lru-cache. */

import { ENTRIES_MAX, TTL_MS } from '../limits.mjs';
import { peer } from '../peers.mjs';

/** An async function over a Map: its callers share objects. */
export async function openMap() {
  const values = new Map();
  return {
    async get(key, fallback) {
      const value = values.get(key);
      return value === undefined ? fill(values, key, fallback) : value;
    },
    invalidate: async (key) => values.delete(key),
  };
}

/** An async function over a Map of JSON: each caller has an object of its own. */
export async function openMapJson() {
  const texts = new Map();
  return {
    async get(key, fallback) {
      const text = texts.get(key);
      return text === undefined ? fill(texts, key, fallback, JSON.stringify) : JSON.parse(text);
    },
    invalidate: async (key) => texts.delete(key),
  };
}

/** An async function over its `get`. */
export async function openLruCache() {
  const { LRUCache } = await peer('lru-cache');
  const values = new LRUCache({ max: ENTRIES_MAX, ttl: TTL_MS });
  return {
    async get(key, fallback) {
      const value = values.get(key);
      return value === undefined ? fill(values, key, fallback) : value;
    },
    invalidate: async (key) => values.delete(key),
  };
}

/** Its `fetch`, which has callers of one key wait for one fallback. */
export async function openLruCacheFetch() {
  const { LRUCache } = await peer('lru-cache');
  const fetchMethod = (_key, _stale, { context: fallback }) => fallback();
  const values = new LRUCache({ max: ENTRIES_MAX, ttl: TTL_MS, fetchMethod });
  return {
    get: (key, fallback) => values.fetch(key, { context: fallback }),
    invalidate: async (key) => values.delete(key),
  };
}

async function fill(values, key, fallback, encode = (value) => value) {
  const value = await fallback();
  values.set(key, encode(value));
  return value;
}
