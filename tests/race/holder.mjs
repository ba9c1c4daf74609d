/**
 * A process that holds leases, in Node, to be stopped or killed in the middle of its fallbacks.
 *
 *     node tests/race/holder.mjs CONTENDER URL OPTIONS
 *
 * `holder.py` is the same in Python, and says what the lines mean.
 */

import { createInterface } from 'node:readline';
import { openContender } from '../support/contenders.mjs';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const hear = async () => (await lines.next()).value?.trim() ?? '';

const [name, url, options] = process.argv.slice(2);
const cache = await openContender(name, url, JSON.parse(options));
for (let key = await hear(); key !== ''; key = await hear()) {
  const value = await cache.get(key, async () => {
    say({ running: key });
    await hear();
    return 'old';
  });
  say({ ended: key, value, sets: cache.stats().sets });
}
await cache.close();
