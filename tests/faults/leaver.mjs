/**
 * A process that ends with calls in flight, in Node.
 *
 *     node tests/faults/leaver.mjs URL HOW
 *
 * `leaver.py` is the same in Python, and says what it does; `handled` is a listener of SIGTERM that calls process.exit.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager } from 'tidegate';

const CALLS = 100;
const PATIENCE = '25s'; // longer than anybody looks

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const [url, how] = process.argv.slice(2);
const cache = new CacheManager({ url, service: 'race', commandTimeout: PATIENCE, lease: PATIENCE });
await cache.get('leaver:row:0', () => 0);
if (how === 'handled') process.on('SIGTERM', () => process.exit(0));
say({ ready: true });
await once(process.stdin, 'data');
let done = 0;
for (let number = 0; number < CALLS; number += 1) {
  for (const call of [cache.get(`leaver:row:${number}`, () => 0), cache.invalidate(`leaver:row:${number}`)]) {
    call.catch(() => {}).finally(() => (done += 1));
  }
}
await sleep(100);
if (done > 0) throw new Error(`${done} calls have ended`);
say({ leaving: true });
if (how === 'exit') process.exit(0);
