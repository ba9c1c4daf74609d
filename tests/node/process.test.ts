/** The package as a guest in a process: loading, staying, and the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ended, node, program } from './support/program.js';
import { eventually, freshService, Held, KEY, PATIENT, Stage, settled, sharedServer } from './support/stage.js';

const QUICK_MS = 10_000;

/** On memory, then on Redis; a program is given the URL and a service of its own. */
function onBothStores(name: string, body: (url: string, service: string) => Promise<void>): void {
  test(`${name} (memory)`, () => body('memory://', freshService()));
  test(`${name} (redis)`, async () => body((await sharedServer()).url, freshService()));
}

/** It printed this, nothing went wrong, and nobody waited for anything. */
function endedWell({ code, signal, out, err, ms }: Ended, printed: string): void {
  assert.deepEqual({ code, signal, out, err }, { code: 0, signal: null, out: printed, err: '' });
  assert.ok(ms < QUICK_MS, `${ms} ms`);
}

const CACHE = `
  import { CacheManager } from 'tidegate';
  const [url, service] = process.argv.slice(1);
  // A machine that is busy is no fault of the store.
  const patient = { url, service, commandTimeout: '20s', connectTimeout: '20s', lease: '25s' };
  const cache = new CacheManager(patient);
  const KEY = 'user:profile:1';
`;

test('loading it and making managers starts no thread and opens nothing', {
  skip: process.platform !== 'linux',
}, async () => {
  const source = `
    import { readdirSync } from 'node:fs';
    import { readFile } from 'node:fs/promises';
    // Node's own threads are all there once it has read files.
    await Promise.all(Array.from({ length: 16 }, () => readFile('package.json')));
    const count = () => [readdirSync('/proc/self/task').length, readdirSync('/proc/self/fd').length].join();
    const before = count();
    const { CacheManager } = await import('tidegate');
    new CacheManager({ url: 'redis://127.0.0.1:1/0', service: 'x' });
    new CacheManager();
    console.log(count() === before ? 'nothing' : before + ' became ' + count());
  `;
  endedWell(await program(source), 'nothing');
});

onBothStores('a script that forgets close ends by itself, quickly and quietly', async (url, service) => {
  const source = `${CACHE}
    import { EventEmitter } from 'node:events';
    const other = new CacheManager({ ...patient, metricsEmitter: new EventEmitter() });
    cache.on('cache.miss', () => {});
    console.log(await cache.get(KEY, async () => 'value'), await other.get(KEY, { default: 'absent' }));
  `;
  endedWell(await program(source, url, service), url === 'memory://' ? 'value absent' : 'value value');
});

onBothStores('so does one whose managers hold entries, with a refresh behind under way', async (url, service) => {
  const source = `
    import { CacheManager } from 'tidegate';
    const [url, service] = process.argv.slice(1);
    const options = { url, service, l1: '1MB', commandTimeout: '20s', connectTimeout: '20s', lease: '25s' };
    const cache = new CacheManager(options);
    await cache.set('user:profile:1', 'value');
    while (cache.stats().l1_hits < 5) await cache.get('user:profile:1', () => 'computed');
    const stale = new CacheManager({ ...options, ttl: 1, ttlJitter: 0, staleWhileRevalidate: '1m' });
    await stale.set('user:profile:2', 'old');
    await new Promise((go) => setTimeout(go, 20));
    // A refresh behind is a call that is out: the process stays for it.
    const slow = () => new Promise((resolve) => setTimeout(() => (console.log('ran'), resolve('new')), 100).unref());
    console.log(await stale.get('user:profile:2', slow));
  `;
  endedWell(await program(source, url, service), 'old\nran');
});

onBothStores('so does a CommonJS script', async (url, service) => {
  const source = `
    const { CacheManager } = require('tidegate');
    const [url, service] = process.argv.slice(1);
    new CacheManager({ url, service }).get('user:profile:1', () => 'value').then(console.log);
  `;
  endedWell(await node(['--eval', source, url, service]), 'value');
});

onBothStores('a call that waits keeps the process until it is answered', async (url, service) => {
  const source = `${CACHE}
    const hasty = new CacheManager({ ...patient, hardTimeout: 300 });
    hasty.get(KEY, () => new Promise(() => {})).catch((error) => console.log(error.name));
    hasty.get(KEY, () => 'never').catch((error) => console.log(error.name));
  `;
  endedWell(await program(source, url, service), 'HardTimeout\nHardTimeout');
});

test('a process that only waits for another process stays until it is woken', async () => {
  const { url } = await sharedServer();
  const stage = new Stage(url, freshService(), PATIENT);
  const held = new Held<string>();
  const leader = stage.cache.get(KEY, held.fallback);
  await held.entered;
  const source = `${CACHE}
    const call = cache.get(KEY, () => 'from the waiter');
    await cache.set('user:asked:1', true);
    console.log(await call, cache.stats().waits);
  `;
  const waiter = program(source, url, stage.service);
  await eventually(() => stage.cache.exists('user:asked:1'));
  await settled();
  held.give('from the holder');
  assert.equal(await leader, 'from the holder');
  endedWell(await waiter, 'from the holder 1');
  await stage.close();
});

onBothStores('calls that are refused keep nothing waiting', async (url, service) => {
  const source = `${CACHE}
    const wrong = [
      () => cache.get('flat', () => 1),
      () => cache.get(KEY),
      () => cache.get(KEY, () => 1, { signal: new AbortController() }),
      () => cache.get(KEY, () => 1, { signal: AbortSignal.abort() }),
      () => cache.get(KEY, () => 1, { ttl: -1 }),
      () => cache.getMany([KEY, 'flat'], () => ({})),
      () => cache.set(KEY, Symbol('x')),
      () => cache.setMany({ [KEY]: 1, flat: 2 }),
      () => cache.invalidate([KEY, 'flat']),
      () => cache.getEntry('flat'),
      () => cache.close({ timeout: -1 }),
    ];
    for (const call of wrong) await call().then(() => console.log('accepted', String(call)), () => {});
    await cache.close();
    for (const call of wrong.slice(0, -1)) await call().then(() => console.log('accepted', String(call)), () => {});
  `;
  endedWell(await program(source, url, service), '');
});

const IN_FLIGHT = `${CACHE}
  cache.on('cache.miss', () => {});
  const calls = [];
  for (let id = 0; id < 200; id += 1) {
    calls.push(cache.get('user:profile:' + (id % 50), () => new Promise(() => {})));
    calls.push(cache.get('user:settings:' + id, async () => id), cache.set('user:name:' + id, 'x'.repeat(1000)));
    calls.push(cache.getMany(['user:a:' + id, 'user:b:' + id], () => ({})), cache.exists(KEY));
  }
  for (const call of calls) call.catch(() => {});
`;

for (const [moment, wait] of [
  ['at once', ''],
  ['a turn later', 'await new Promise((go) => setImmediate(go));'],
  ['while fallbacks run', "await cache.get('user:other:1', () => 1);"],
] as const) {
  onBothStores(`process.exit ${moment} with calls in flight ends at once`, async (url, service) => {
    const { code, err, ms } = await program(`${IN_FLIGHT} ${wait} process.exit(7);`, url, service);
    assert.deepEqual([code, err], [7, '']);
    assert.ok(ms < QUICK_MS, `${ms} ms`);
  });
}

onBothStores('an uncaught error with calls in flight ends the process as ever', async (url, service) => {
  const source = `${IN_FLIGHT} await cache.exists(KEY); throw new Error('by hand');`;
  const { code, err, ms } = await program(source, url, service);
  assert.equal(code, 1);
  assert.match(err, /Error: by hand/);
  assert.ok(ms < QUICK_MS, `${ms} ms`);
});

onBothStores('SIGTERM with calls in flight ends the process', async (url, service) => {
  const { code, signal, err } = await program(
    `${IN_FLIGHT} await cache.exists(KEY); process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);`,
    url,
    service,
  );
  assert.deepEqual([code, signal, err], [null, 'SIGTERM', '']);
});

onBothStores('a process that closes at SIGTERM answers who waits and ends by itself', async (url, service) => {
  const source = `${CACHE}
    let give;
    let stay;
    process.removeAllListeners('warning').on('warning', ({ message }) => console.log(message.split(' (')[0]));
    const entered = new Promise((go) => (stay = go));
    const call = cache.get(KEY, () => new Promise((resolve) => (give = resolve)));
    const stuck = cache.get('user:profile:2', () => new Promise(() => stay())).catch((error) => error.name);
    process.on('SIGTERM', async () => {
      const closed = cache.close({ timeout: 200 });
      give('value');
      console.log(await call, await closed, await stuck);
    });
    await entered;
    while (give === undefined) await new Promise((go) => setImmediate(go));
    process.kill(process.pid, 'SIGTERM');
    // Signals are heard between turns of a loop that something keeps.
    setTimeout(() => {}, 100);
  `;
  const told = 'unfinished: closed with work undone: 1 call under way';
  endedWell(await program(source, url, service), `${told}\nvalue false ClosedError`);
});

onBothStores('nothing is ever an unhandled rejection but what a caller left unhandled', async (url, service) => {
  const source = `${CACHE}
    import { setImmediate as turn } from 'node:timers/promises';
    const unhandled = [];
    process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
    cache.on('cache.error', () => Promise.reject(new Error('of the observer')));
    process.removeAllListeners('warning').on('warning', () => {});
    const hasty = new CacheManager({ ...patient, hardTimeout: 50 });
    const settled = (...calls) => Promise.allSettled(calls);
    // Each run of \`fails\` is a promise of its own, which nobody but the package can handle.
    const later = () => {
      let fail;
      const promise = new Promise((_, reject) => (fail = reject));
      promise.catch(() => {});
      return { fails: async () => promise, fail };
    };
    const boom = () => new Error('too late');

    // Abandoned fallbacks that fail later: at the hard timeout, and by a signal.
    for (const call of [
      (of, signal) => hasty.get(KEY, of.fails, { signal }),
      (of, signal) => hasty.refresh(KEY, of.fails, { signal }),
      (of, signal) => hasty.getMany([KEY, 'user:profile:2'], of.fails, { signal }),
    ]) {
      const [timed, left] = [later(), later()];
      await settled(call(timed), hasty.get(KEY, () => 1));
      timed.fail(boom());
      const leaving = new AbortController();
      const doomed = settled(call(left, leaving.signal));
      await turn();
      leaving.abort(boom());
      left.fail(boom());
      await doomed;
      await cache.invalidate([KEY, 'user:profile:2']);
    }

    // Callers who are left before they were answered; batches that fail while they wait for others.
    for (let run = 0; run < 20; run += 1) {
      const leaving = new AbortController();
      const holder = later();
      const all = settled(
        cache.get(KEY, holder.fails),
        cache.get(KEY, () => 1, { signal: leaving.signal }),
        cache.getMany([KEY, 'user:profile:3'], () => Promise.reject(boom()), { signal: leaving.signal }),
        cache.getMany([KEY, 'user:profile:4'], () => ({}), { signal: leaving.signal }),
        cache.get('user:profile:5', () => Symbol('x')),
        cache.getMany([KEY, 'user:profile:6'], () => ({ [KEY]: Symbol('x'), 'user:profile:6': Symbol('x') })),
      );
      if (run % 2) await turn();
      leaving.abort(boom());
      holder.fail(boom());
      await all;
    }

    // Closed while calls are under way.
    const stuck = later();
    const ends = settled(cache.get(KEY, stuck.fails), cache.get(KEY, () => 1), cache.getMany([KEY], () => ({})));
    await cache.close({ timeout: 20 });
    stuck.fail(boom());
    await ends;
    for (let turns = 0; turns < 20; turns += 1) await turn();
    console.log(unhandled.join());

    // What is the caller's own is told.
    hasty.get('user:profile:9', () => Promise.reject(new Error('unhandled by hand')));
    await hasty.close();
    for (let turns = 0; turns < 5; turns += 1) await turn();
    console.log(unhandled.join());
  `;
  endedWell(await program(source, url, service), 'Error: unhandled by hand');
});

test('managers that nobody holds any more are let go, with their connections', async () => {
  const { url } = await sharedServer();
  const source = `${CACHE}
    import { setTimeout as pass } from 'node:timers/promises';
    import { Redis } from 'ioredis';
    const redis = new Redis(url);
    const clients = async () => Number(/connected_clients:(\\d+)/.exec(await redis.info('clients'))[1]);
    const before = await clients();
    for (let number = 0; number < 30; number += 1) {
      const dropped = new CacheManager({ ...patient, l1: '1MB' });
      dropped.on('cache.hit', () => {});
      for (let reads = 0; reads < 5; reads += 1) await dropped.namespace('people').get(KEY, () => 1);
    }
    const used = await clients();
    for (let tries = 0; tries < 100 && (await clients()) > before + 5; tries += 1) {
      gc();
      await pass(20);
    }
    console.log(used > before, (await clients()) <= before + 5);
    redis.disconnect();
  `;
  endedWell(await program(source, url, freshService()), 'true true');
});

test('a manager that is not held answers its calls all the same', async () => {
  const source = `
    import { CacheManager } from 'tidegate';
    let give;
    const url = 'memory://held';
    const call = new CacheManager({ url }).get('user:profile:1', () => new Promise((resolve) => (give = resolve)));
    const follower = new CacheManager({ url }).get('user:profile:1', () => 'computed twice');
    for (let run = 0; run < 20; run += 1) {
      gc();
      await new Promise((go) => setImmediate(go));
    }
    give('value');
    console.log(await call, await follower);
  `;
  endedWell(await program(source), 'value value');
});
