/**
 * A process that puts into a queue for some time, in Node. `putter.py` says how.
 *
 *     node tests/faults/putter.mjs URL NAME KEYS SECONDS
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager, StoreUnavailable } from 'tidegate';

const OPTIONS = { maxPending: 1_000_000, partitions: 3 };
const PAUSE_MS = 2;
const POISON_EVERY = 150;
const [url, name, keys, seconds] = process.argv.slice(2);
const cache = new CacheManager({ url, service: 'behind', commandTimeout: '1s' });
const queue = cache.writeBehind('counters', null, OPTIONS);
const acked = [];
let unconfirmed = 0;

async function put(key, value) {
  while (true) {
    try {
      acked.push([key, value, await queue.put(key, value, { operationId: String(value) })]);
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      unconfirmed += 1;
      await sleep(50);
    }
  }
}

const end = performance.now() + Number(seconds) * 1000;
for (let number = 1; performance.now() < end; number += 1) {
  if (number % POISON_EVERY === 0) await put(`poison:${name}:${number}`, -number);
  else await put(`count:${name}:${number % Number(keys)}`, number);
  await sleep(PAUSE_MS);
}
await cache.close();
process.stdout.write(`${JSON.stringify({ acked, unconfirmed })}\n`);
