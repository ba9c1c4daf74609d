/**
 * A process that holds leases, in Node, to be stopped in the middle of its fallbacks.
 *
 *     node tests/race/holder.mjs URL
 *
 * `holder.py` is the same in Python, and says what the lines mean.
 */

import { createInterface } from 'node:readline';
import { CacheManager } from 'tidegate';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const hear = async () => (await lines.next()).value?.trim() ?? '';

const cache = new CacheManager({ url: process.argv[2], service: 'race', lease: 200, commandTimeout: '5s' });
for (let key = await hear(); key !== ''; key = await hear()) {
  const value = await cache.get(key, async () => {
    say({ running: key });
    await hear();
    return 'old';
  });
  say({ ended: key, value, sets: cache.stats().sets });
}
await cache.close();
