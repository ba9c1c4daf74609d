/** Worker threads: they end by themselves, and share what is in the process. Row 28 of the faults terminates many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './support/program.js';
import { freshService, sharedServer } from './support/stage.js';

const MAIN = `
  import { Worker } from 'node:worker_threads';
  import { once } from 'node:events';
  import { CacheManager } from 'tidegate';
  const [url, service, count, source] = process.argv.slice(1);
  process.on('unhandledRejection', (reason) => { console.log('unhandled', reason); process.exit(3); });
  const cache = new CacheManager({ url, service, commandTimeout: '20s', lease: '25s' });
  await cache.set('user:profile:1', 'of the main thread');
`;

test('workers that end by themselves end, their managers closed or not', async () => {
  const { url } = await sharedServer();
  const worker = `
    import { CacheManager } from 'tidegate';
    import { parentPort, workerData } from 'node:worker_threads';
    const { url, service, number } = workerData;
    const cache = new CacheManager({ url, service });
    cache.get('user:profile:1', () => 'computed by a worker').then(async (value) => {
      parentPort.postMessage(value);
      if (number % 2) await cache.close();
    });
  `;
  const source = `${MAIN}
    const seen = new Set();
    for (let number = 0; number < Number(count); number += 1) {
      const worker = new Worker(source, { eval: true, workerData: { url, service, number } });
      worker.once('message', (value) => seen.add(value));
      const [code] = await once(worker, 'exit');
      if (code !== 0) console.log('worker', number, 'ended with', code);
    }
    console.log([...seen].join());
  `;
  const { code, out, err } = await program(source, url, freshService(), '6', worker);
  assert.deepEqual({ code, out, err }, { code: 0, out: 'of the main thread', err: '' });
});

test('workers and the main thread share one fallback on memory', async () => {
  const worker = `
    import { CacheManager } from 'tidegate';
    import { parentPort, workerData } from 'node:worker_threads';
    const { url, service } = workerData;
    const cache = new CacheManager({ url, service });
    cache.get('user:profile:2', () => 'computed twice').then((value) => parentPort.postMessage(value));
  `;
  const source = `${MAIN}
    let give;
    const call = cache.get('user:profile:2', () => new Promise((resolve) => (give = resolve)));
    await cache.exists('user:profile:1');
    const workers = Array.from({ length: 3 }, () => new Worker(source, { eval: true, workerData: { url, service } }));
    const answers = Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    await Promise.all(workers.map((worker) => once(worker, 'online')));
    setTimeout(() => give('computed once'), 200);
    console.log(await call, ...(await answers));
  `;
  const { code, out, err } = await program(source, 'memory://workers', 'app', '', worker);
  assert.deepEqual({ code, out, err }, { code: 0, out: Array(4).fill('computed once').join(' '), err: '' });
});
