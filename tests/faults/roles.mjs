/**
 * A process with two managers, one of which is saturated now and then, in Node.
 *
 *     node tests/faults/roles.mjs URL SLOW_URL CALLERS ROUNDS SECONDS
 *
 * `roles.py` is the same in Python, and says what it does.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager } from 'tidegate';

const CALLERS = 8;
const SPREAD_MS = 1_500;
const KEYS = 16;
const SLOW = { commandTimeout: '5s', connectTimeout: '20s' };

const [url, slowUrl, bulkCallers, rounds, seconds] = process.argv.slice(2);
const cache = new CacheManager({ url, service: 'race', role: 'cache' });
const bulk = new CacheManager({ url: slowUrl, service: 'race', role: 'bulk', ...SLOW });
let answered = 0;

/** The p99 of the cache's hits, in ms. */
async function measured() {
  const took = [];
  const end = performance.now() + Number(seconds) * 1000;
  const caller = async (first) => {
    for (let number = first, began = performance.now(); began < end; number += 1, began = performance.now()) {
      await cache.get(`role:row:${number % KEYS}`, () => 1);
      took.push(performance.now() - began);
      await sleep(2);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, number) => caller(number)));
  return took.sort((one, other) => one - other)[Math.floor(took.length * 0.99)];
}

/** The same, with bulk saturated. */
async function beside() {
  let over = false;
  const caller = async (number) => {
    await sleep((SPREAD_MS * number) / Number(bulkCallers)); // their answers do not come all at once
    while (!over) {
      await bulk.get(`bulk:row:${number}`, () => 1);
      answered += 1;
    }
  };
  const callers = Array.from({ length: Number(bulkCallers) }, (_, number) => caller(number));
  await sleep(SPREAD_MS);
  const took = await measured();
  over = true;
  await Promise.all(callers);
  return took;
}

await measured();
while (!(await bulk.invalidate('bulk:row:0'))); // it is connecting
const found = { alone: [], beside: [], bulk: 0 };
for (let round = 0; round < Number(rounds); round += 1) {
  found.alone.push(await measured());
  found.beside.push(await beside());
}
process.stdout.write(`${JSON.stringify({ ...found, bulk: answered })}\n`);
await Promise.all([cache.close(), bulk.close()]);
