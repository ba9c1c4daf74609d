/** tidegate as it comes, with and without a tier in the process. */

import { Registry } from 'prom-client';
import { CacheManager } from 'tidegate';
import { instrument } from 'tidegate/prometheus';
import { BYTES_MAX, ENTRIES_MAX, TTL_MS } from '../limits.mjs';

const CLOSE_MS = 1_000;
// Where no fault is measured, a pause of the machine shall not turn a hit into a fallback: as patient as its peers.
const PATIENCE = process.env.BENCH_PATIENT === '1' ? { commandTimeout: '5s' } : {};

let heard = 0; // events

/** `service` is each contender's own: what one stores would drop what another holds. */
export async function openTidegate(url, service, { l1 = false, shareValues = false }) {
  return faceOf(manager(url, service, l1, shareValues), l1);
}

/** Each hit says a ttl and tags of its own, as calls in an application often do. */
export async function openTidegateOptions(url, service) {
  const cache = manager(url, service, true, true);
  const hit = (key) => cache.get(key, () => absent(key), { ttl: TTL_MS, tags: [] });
  return { ...faceOf(cache, true), hit };
}

/** A function of one argument, wrapped; it is filled by `get` on the same keys. */
export async function openTidegateWrap(url, service) {
  const cache = manager(url, service, true, true);
  const hit = cache.wrap(absent, { key: (key) => key });
  return { ...faceOf(cache, true), hit: (key) => hit(key) };
}

function faceOf(cache, l1) {
  return {
    get: (key, fallback, tags) => (tags === undefined ? cache.get(key, fallback) : cache.get(key, fallback, { tags })),
    setMany: (values) => cache.setMany(values),
    invalidate: (key) => cache.invalidate(key),
    invalidateTag: (tag) => cache.invalidateTag(tag),
    observe: (who, isOn) => {
      if (who === 'metrics') return scrape(cache, isOn);
      const name = who === 'hits' ? 'cache.hit' : '*';
      isOn ? cache.on(name, count) : cache.off(name, count);
      return heard;
    },
    l1Hits: l1 ? () => cache.stats().l1_hits : undefined,
    close: () => cache.close({ timeout: CLOSE_MS }),
  };
}

let stop; // the end of being scraped

async function scrape(cache, isOn) {
  stop?.();
  stop = undefined;
  if (!isOn) return 0;
  const register = new Registry();
  const instrumented = instrument(cache, { register });
  const timer = setInterval(() => register.metrics(), 1_000);
  stop = () => {
    clearInterval(timer);
    instrumented.close();
  };
  return (await register.metrics()).length;
}

function manager(url, service, hasL1, shareValues) {
  const l1 = hasL1 ? { maxBytes: BYTES_MAX, maxEntries: ENTRIES_MAX } : null;
  return new CacheManager({ url, service, ttl: TTL_MS, shareValues, l1, ...PATIENCE });
}

async function absent(key) {
  throw new Error(`${key} is not held: a miss was measured as a hit`);
}

function count() {
  heard += 1;
}
