/**
 * Many workers are started and terminated with calls in flight, and the main thread notices nothing.
 *
 *     node tests/faults/workers.mjs URL WORKERS
 *
 * It says {"terminated": ..., "right": whether the main thread is answered then}, and ends by itself.
 */

import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { CacheManager } from 'tidegate';

const LANES = 3;
const OF_THE_MAIN_THREAD = 'of the main thread';

/** A worker: it begins whatever can be begun, and never ends. */
function work() {
  const { url, number } = workerData;
  const l1 = { l1: '1MB', staleWhileRevalidate: '1m', ttl: 5 };
  const managers = [
    new CacheManager(),
    new CacheManager({ url, service: 'race', hardTimeout: 20 }),
    new CacheManager({ url: 'memory://of-all', ...l1 }),
    new CacheManager({ url, service: 'race', ...l1 }),
  ];
  for (const cache of managers) {
    cache.on('cache.miss', () => {}).on('cache.error', () => {});
    for (let id = 0; id < 20; id += 1) begin(cache, id, number);
    if (number % 5 === 4) cache.close().catch(() => {});
  }
  parentPort.postMessage('busy');
  setInterval(() => {}, 1000);
}

/** Calls of every kind, some of which nobody ever answers. */
function begin(cache, id, number) {
  const held = () => cache.get(`user:held:${id}`, () => new Promise(() => {}));
  const quick = () => cache.get(`user:quick:${id}`, async () => 'x'.repeat(id * 10_000));
  const invalidate = () => cache.invalidate(`user:quick:${id}`);
  const calls = [
    held(),
    held(),
    quick(),
    cache.set(`user:set:${id}`, { number }),
    cache.getMany([`user:a:${id}`, `user:held:${id}`], () => ({})),
    quick().then(quick).then(quick).then(invalidate).then(quick),
  ];
  for (const call of calls) call.catch(() => {});
}

/** The main thread, whose calls go on meanwhile. */
async function main() {
  const [url, count] = process.argv.slice(2);
  process.on('unhandledRejection', (reason) => {
    console.error('unhandled', reason);
    process.exit(3);
  });
  const cache = new CacheManager({ url, service: 'race', commandTimeout: '20s', lease: '25s' });
  await cache.set('user:profile:1', OF_THE_MAIN_THREAD);
  let next = 0;
  const lane = async () => {
    while (next < Number(count)) await terminate(url, next++);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const value = await cache.get('user:profile:1', { default: 'absent' });
  process.stdout.write(`${JSON.stringify({ terminated: next, right: value === OF_THE_MAIN_THREAD })}\n`);
}

/** A worker that is ended before it runs, while it starts, or at one of several moments of its work. */
async function terminate(url, number) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { url, number } });
  if (number % 4 === 1) await once(worker, 'online');
  if (number % 4 > 1) await once(worker, 'message');
  if (number % 4 === 3) await new Promise((go) => setTimeout(go, number % 40));
  await worker.terminate();
}

if (isMainThread) await main();
else work();
