/**
 * A process that asks for what it is told to ask for, in Node.
 *
 *     node tests/faults/asker.mjs URL OPTIONS
 *
 * `asker.py` is the same in Python, and says what the lines mean.
 */

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager } from 'tidegate';

const VALUE = 'computed';

/** To one question. */
async function answer(cache, faults, asked) {
  if ('clock' in asked) return { wall: Date.now() / 1000, monotonic: performance.now() / 1000 };
  if ('invalidate' in asked) return { confirmed: await cache.invalidate(asked.invalidate) };
  if ('faults' in asked) {
    await sleep(50); // events come in batches
    return { faults: faults.splice(0) };
  }
  let ran = false;
  const fallback = async () => {
    ran = true;
    return VALUE;
  };
  const began = performance.now();
  const { get: key, ...options } = asked;
  const value = await cache.get(key, fallback, options);
  return { value, ran, took_ms: performance.now() - began };
}

const [url, options] = process.argv.slice(2);
const cache = new CacheManager({ url, ...JSON.parse(options) });
const faults = [];
cache.on('cache.error', (event) => faults.push([event.reason ?? '', event.message ?? '']));
for await (const line of createInterface({ input: process.stdin })) {
  const told = await answer(cache, faults, JSON.parse(line)).catch((error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
await cache.close();
