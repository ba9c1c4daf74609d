/** Worker threads: many are started and terminated with calls in flight, and nobody else notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { node, program } from './support/program.js';
import { freshService, sharedServer } from './support/stage.js';

/** More by an environment variable, for a longer look. */
const WORKERS = Number(process.env.TIDEGATE_WORKERS ?? 100);
const PATIENCE_MS = 60_000 + WORKERS * 3_000;

const MAIN = `
  import { Worker } from 'node:worker_threads';
  import { once } from 'node:events';
  import { CacheManager } from 'tidegate';
  const [url, service, count, source] = process.argv.slice(1);
  process.on('unhandledRejection', (reason) => { console.log('unhandled', reason); process.exit(3); });
  const cache = new CacheManager({ url, service, commandTimeout: '20s', lease: '25s' });
  await cache.set('user:profile:1', 'of the main thread');
`;

const BUSY = `
  import { CacheManager } from 'tidegate';
  import { parentPort, workerData } from 'node:worker_threads';
  const { url, service, number } = workerData;
  const l1 = { l1: '1MB', staleWhileRevalidate: '1m', ttl: 5 };
  const managers = [
    new CacheManager(),
    new CacheManager({ url, service, hardTimeout: 20 }),
    new CacheManager({ url: 'memory://of-all', ...l1 }),
    new CacheManager({ url, service, ...l1 }),
  ];
  for (const cache of managers) {
    cache.on('cache.miss', () => {}).on('cache.error', () => {});
    for (let id = 0; id < 20; id += 1) {
      cache.get('user:held:' + id, () => new Promise(() => {})).catch(() => {});
      cache.get('user:held:' + id, () => new Promise(() => {})).catch(() => {});
      cache.get('user:quick:' + id, async () => 'x'.repeat(id * 10_000)).catch(() => {});
      cache.set('user:set:' + id, { number }).catch(() => {});
      cache.getMany(['user:a:' + id, 'user:held:' + id], () => ({})).catch(() => {});
      const again = () => cache.get('user:quick:' + id, async () => 'x'.repeat(id * 10_000)).catch(() => {});
      again().then(again).then(again).then(() => cache.invalidate('user:quick:' + id)).then(again).catch(() => {});
    }
    if (number % 5 === 4) cache.close().catch(() => {});
  }
  parentPort.postMessage('busy');
  setInterval(() => {}, 1000);
`;

test(`${WORKERS} workers are terminated with calls in flight`, { timeout: 2 * PATIENCE_MS }, async () => {
  const { url } = await sharedServer();
  const source = `${MAIN}
    const run = async (number) => {
      const worker = new Worker(source, { eval: true, workerData: { url, service, number } });
      // Before it runs, while it starts, and at several moments of its work.
      if (number % 4 === 1) await once(worker, 'online');
      if (number % 4 > 1) await once(worker, 'message');
      if (number % 4 === 3) await new Promise((go) => setTimeout(go, number % 40));
      await worker.terminate();
    };
    let next = 0;
    const lane = async () => { while (next < Number(count)) await run(next++); };
    await Promise.all([lane(), lane(), lane()]);
    console.log(await cache.get('user:profile:1', { default: 'absent' }), cache.stats().hits);
  `;
  const argv = ['--input-type=module', '--eval', source, url, freshService(), `${WORKERS}`, BUSY];
  const { code, signal, out, err } = await node(argv, {}, PATIENCE_MS);
  assert.deepEqual({ code, signal, out, err }, { code: 0, signal: null, out: 'of the main thread 1', err: '' });
});

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
