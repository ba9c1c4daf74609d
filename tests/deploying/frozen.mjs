/**
 * A process that holds an entry in L1, is stopped, and says what it read first when it went on: `frozen.py` in Node.
 *
 *     node tests/deploying/frozen.mjs URL FLAG
 */

import { existsSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { CacheManager } from 'tidegate';

const [url, flag] = process.argv.slice(2);
const cache = new CacheManager({ url, service: 'frozen', l1: '1MB', commandTimeout: '5s' });
await cache.set('user:name:1', 'old');
const read = () => cache.get('user:name:1', () => 'from the database');
while (cache.stats().l1_hits < 3) await read();
console.log(JSON.stringify({ holds: true }));
while (!existsSync(flag)) {
  await read();
  await turn();
}
const first = await read();
const began = performance.now();
while ((await read()) !== 'new') await turn();
console.log(JSON.stringify({ first, old_ms: performance.now() - began }));
process.exit(0);
