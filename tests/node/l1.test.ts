/** The tier in the process: what it serves, whose copies, and when it serves nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import type { CacheManager, Options } from 'tidegate';
import { RedisServer } from './support/redis-server.js';
import { eventually, freshService, KEY, onBoth, rejection, settled, watched } from './support/stage.js';

const L1: Options = { l1: '16MB', ttlJitter: 0 };
const OTHER = 'user:profile:2';
const NONE = Symbol('none');

/** Reads until the process itself answers. */
async function held(cache: CacheManager, key = KEY): Promise<unknown> {
  const before = cache.stats().l1_hits;
  let value: unknown = NONE;
  await eventually(async () => {
    value = await cache.get(key, { default: NONE });
    return cache.stats().l1_hits > before;
  });
  return value;
}

function hits(cache: CacheManager): number {
  return cache.stats().l1_hits;
}

onBoth('what was read once is answered here', async (stage) => {
  const cache = stage.make(L1);
  await cache.set(KEY, { id: 1 });
  assert.deepEqual(await held(cache), { id: 1 });
  const before = cache.stats();
  const never = () => assert.fail('it is held');
  assert.deepEqual(await cache.get(KEY, never), { id: 1 });
  assert.deepEqual(await cache.get(KEY, never, { ttl: '1m', signal: new AbortController().signal }), { id: 1 });
  assert.deepEqual(await cache.getMany([KEY, KEY], never), new Map([[KEY, { id: 1 }]]));
  assert.deepEqual(await cache.wrap(never, { key: () => KEY })(), { id: 1 });
  const after = cache.stats();
  assert.equal(after.l1_hits - before.l1_hits, 4);
  assert.equal(after.hits - before.hits, 4);
  assert.equal(after.l1_entries, 1);
  assert.ok(after.l1_bytes > KEY.length && after.l1_bytes < 1_000, `${after.l1_bytes}`);
});

const VERBS: Record<string, (cache: CacheManager, view: CacheManager) => Promise<unknown>> = {
  invalidate: (cache) => cache.invalidate(KEY),
  'invalidate, of many': (cache) => cache.invalidate([OTHER, KEY]),
  expire: (cache) => cache.expire(KEY),
  set: (cache) => cache.set(KEY, 'new'),
  setMany: (cache) => cache.setMany({ [OTHER]: 1, [KEY]: 'new' }),
  refresh: (cache) => cache.refresh(KEY, () => 'new'),
  invalidateTag: (cache) => cache.invalidateTag('user:1'),
  clear: (_, view) => view.clear(),
};
for (const [name, verb] of Object.entries(VERBS)) {
  // I8.
  onBoth(`a read right behind ${name}, in the same tick, is not answered with what was held`, async (stage) => {
    const cache = stage.make(L1);
    const view = cache.namespace('people');
    await view.set(KEY, 'old', { tags: ['user:1'] });
    assert.equal(await held(cache), 'old');
    const before = hits(cache);
    const changed = verb(cache, view);
    const reads = [cache.get(KEY, { default: 'absent' }), cache.get(KEY, () => 'computed')];
    assert.equal(hits(cache), before);
    await changed;
    for (const value of await Promise.all(reads)) {
      // On Redis a read that began while the change was on its way may have overtaken it on the server. What stands there
      // is not touched by a refresh before that has ended.
      if (stage.url.startsWith('memory:') && name !== 'refresh') assert.notEqual(value, 'old');
    }
    assert.notEqual(await cache.get(KEY, { default: 'absent' }), 'old');
    assert.notEqual(await cache.get(KEY, () => 'computed'), 'old');
  });
}

onBoth('what another manager changes is soon gone here', async (stage) => {
  const [cache, other] = [stage.make(L1), stage.make()];
  await other.set(KEY, 1, { tags: ['user:1'] });
  const changes = [
    () => other.set(KEY, 2, { tags: ['user:1'] }),
    () => other.invalidateTag('user:1'),
    () => other.set(KEY, 3),
  ];
  for (const [at, change] of changes.entries()) {
    const due = [1, 2, 'absent'][at];
    if (due !== 'absent') assert.equal(await held(cache), due);
    await change();
    await eventually(async () => (await cache.get(KEY, { default: 'absent' })) === [2, 'absent', 3][at]);
  }
  assert.equal(await held(cache), 3);
  await other.invalidate(KEY);
  await eventually(async () => (await cache.get(KEY, { default: 'absent' })) === 'absent');
});

onBoth('objects are each caller’s own', async (stage) => {
  const cache = stage.make(L1);
  await cache.set(KEY, { list: [1] });
  const first = (await held(cache)) as { list: number[] };
  first.list.push(2);
  const second = (await cache.get(KEY, { default: null })) as { list: number[] };
  assert.deepEqual(second, { list: [1] });
  assert.notEqual(second, first);
});

onBoth('with shareValues all callers have one object', async (stage) => {
  const cache = stage.make({ ...L1, shareValues: true });
  await cache.set(KEY, { list: [1] });
  const first = await held(cache);
  assert.deepEqual(first, { list: [1] });
  assert.equal(await cache.get(KEY, { default: null }), first);
  assert.equal((await cache.getMany([KEY], () => ({}))).get(KEY), first);
  await cache.set(KEY, { list: [2] });
  assert.deepEqual(await held(cache), { list: [2] });
});

onBoth('every kind of value comes back as the store would give it', async (stage) => {
  const cache = stage.make(L1);
  const kinds = [
    'text',
    '',
    '{not an object',
    'ünïcödé 日本',
    5,
    -0.5,
    true,
    false,
    null,
    2n ** 70n,
    [1, { a: 2n ** 60n }],
    [],
    {},
  ];
  for (const [at, value] of kinds.entries()) await cache.set(`kind:of:${at}`, value);
  for (const [at, value] of kinds.entries()) {
    const key = `kind:of:${at}`;
    assert.deepEqual(await held(cache, key), value);
    const before = cache.stats();
    assert.deepEqual(await cache.get(key, () => 'never', { ttl: '1m' }), value);
    assert.deepEqual(await cache.get(key, { default: 'never' }), value);
    assert.deepEqual((await cache.getMany([key], () => ({}))).get(key), value);
    const after = cache.stats();
    assert.deepEqual([after.hits - before.hits, after.l1_hits - before.l1_hits], [3, 3]);
  }
  await cache.set(KEY, 'x'.repeat(100_000));
  assert.equal(((await held(cache)) as string).length, 100_000);
});

onBoth('getEntry and exists ask the store', async (stage) => {
  const cache = stage.make(L1);
  await cache.set(KEY, 1);
  await held(cache);
  const before = hits(cache);
  const entry = await cache.getEntry(KEY);
  assert.deepEqual([entry?.value, await cache.exists(KEY), hits(cache)], [1, true, before]);
  assert.notEqual(entry?.source as string, 'l1');
});

onBoth('a call is answered here only by what carries all the tags that it names', async (stage) => {
  const cache = stage.make(L1);
  const view = cache.namespace('people');
  await view.set(KEY, 'tagged', { tags: ['user:1'] });
  assert.equal(await held(cache), 'tagged');
  const before = hits(cache);
  assert.equal(await view.get(KEY, () => 'never', { tags: ['user:1'] }), 'tagged');
  assert.equal(hits(cache), before + 1);
  assert.equal(await view.get(KEY, () => 'more', { tags: ['user:1', 'users'] }), 'more');
  assert.equal(hits(cache), before + 1);
  await rejection(cache.get(KEY, () => 1, { tags: ['no name'] }));
  await rejection(cache.get(KEY, () => 1, { tags: ['user:1'], ttl: -1 }));
  await rejection(cache.get(KEY, () => 1, { ttl: -1 }));
  await rejection(cache.get(KEY, () => 1, { signal: AbortSignal.abort() }));
  assert.equal(hits(cache), before + 1);
});

onBoth(
  'nothing is answered here inside its own fallback, in a block without the cache, or after the end',
  async (stage) => {
    const cache = stage.make(L1);
    await cache.set(KEY, 'held');
    await held(cache);
    const before = hits(cache);
    assert.equal(await cache.disabled(() => cache.get(KEY, () => 'run')), 'run');
    assert.equal(await cache.refresh(KEY, () => cache.get(KEY, () => 'nested')), 'nested');
    assert.equal(hits(cache), before);
    await held(cache);
    const closed = cache.close();
    await rejection(cache.get(KEY, () => 1));
    await rejection(cache.get(KEY, { default: 1 }));
    await closed;
    assert.equal(cache.stats().l1_entries, 0);
  },
);

onBoth('an entry is held no longer than it lives, and than maxAge', async (stage) => {
  const cache = stage.make({ ...L1, l1: { maxAge: 300 } });
  await cache.set(KEY, 'brief', { ttl: 400 });
  await cache.set(OTHER, 'long');
  await pass(30);
  await held(cache, OTHER);
  const [began, before] = [performance.now(), hits(cache)];
  await pass(320);
  await cache.get(OTHER, { default: null });
  assert.equal(hits(cache), before, `${performance.now() - began} ms`);
  await held(cache, OTHER);
  await eventually(async () => (await cache.get(KEY, { default: 'absent' })) === 'absent');
});

onBoth('what is held is bounded, and what is used stays', async (stage) => {
  const cache = stage.make({ ...L1, l1: { maxEntries: 50 } });
  const small = stage.make({ ...L1, l1: 100_000 });
  const keys = Array.from({ length: 200 }, (_, at) => `user:many:${at}`);
  await cache.setMany(Object.fromEntries(keys.map((key) => [key, 'x'.repeat(2_000)])));
  await held(cache, keys[0]);
  for (const key of keys) {
    await cache.get(key, { default: null });
    await cache.get(keys[0] as string, { default: null });
    await small.get(key, { default: null });
  }
  assert.ok(cache.stats().l1_entries <= 50, `${cache.stats().l1_entries}`);
  assert.ok(small.stats().l1_bytes <= 100_000, `${small.stats().l1_bytes}`);
  if (stage.url.startsWith('memory:')) {
    assert.deepEqual([cache.stats().l1_entries, cache.stats().l1_hits >= 200], [50, true]);
    assert.ok(small.stats().l1_entries > 20, `${small.stats().l1_entries}`);
  }
  // One that would push out much of the rest is not held at all.
  await small.set(KEY, 'x'.repeat(50_000));
  const before = hits(small);
  for (let reads = 0; reads < 5; reads += 1) await small.get(KEY, { default: null });
  assert.equal(hits(small), before);
});

onBoth('each hit is told, in batches, outside of its caller', async (stage) => {
  const emitter = new EventEmitter();
  const cache = stage.make({ ...L1, metricsEmitter: emitter });
  await cache.set(KEY, 'value');
  await held(cache);
  await settled();
  const told = watched(cache, 'cache.hit');
  const emitted: unknown[] = [];
  emitter.on('cache.hit', (event) => emitted.push(event));
  const { version } = (await cache.getEntry(KEY)) ?? {};
  for (let reads = 0; reads < 3; reads += 1) void cache.get(KEY, () => 'never');
  assert.equal(told.length, 0);
  await eventually(() => told.length === 3);
  const { timestamp, ...rest } = told[0] ?? {};
  assert.deepEqual(rest, {
    type: 'cache.hit',
    service: stage.service,
    key: KEY,
    source: 'l1',
    duration_ms: 0,
    version,
  });
  assert.ok(Math.abs((timestamp ?? 0) - Date.now()) < 10_000);
  assert.deepEqual(emitted, told);
  for (let reads = 0; reads < 10_050; reads += 1) void cache.get(KEY, () => 'never');
  await settled();
  assert.equal(told.length, 10_003);
  assert.equal(cache.stats().events_dropped, 50);
});

test('the engine’s time is never read as earlier than it is, nor much later, for as long as one looks', async () => {
  const require = createRequire(import.meta.url);
  const { Cache } = require('../../dist/native/index.cjs');
  const { zeroOf } = require('../../dist/cjs/l1.js');
  const native = new Cache('memory://', {}, Buffer.alloc(65_536), () => {});
  const zeroMs: number = zeroOf(native);
  const late: number[] = [];
  for (let run = 0; run < 30; run += 1) {
    for (let look = 0; look < 1_000; look += 1) {
      const engineMs = native.nowUs() / 1_000;
      const lateMs = performance.now() - zeroMs - engineMs;
      // A µs is what the engine's clock is read to.
      assert.ok(lateMs > -0.0015, `${lateMs}`);
      late.push(lateMs);
    }
    await pass(20);
  }
  late.sort((one, other) => one - other);
  assert.ok((late[late.length >> 1] ?? 1) < 0.1, `${late[late.length >> 1]} ms`);
});

test('a process that has lived for months holds as on its first day, whatever its words have come to', () => {
  const { Index } = createRequire(import.meta.url)('../../dist/cjs/l1.js');
  for (const [days, generation] of [
    [0, 0],
    [100, 0x7fff_ffff],
    [100, 0xffff_fffe],
  ] as const) {
    const native = { nowUs: () => performance.now() * 1_000 + days * 86_400_000_000 };
    const words = new Uint32Array(64);
    words.fill(generation);
    words.set([0xffff_ffff, 0xffff_ffff, 0xffff_fffe]);
    const layout = {
      trustedAt: 0,
      allAt: 8,
      keysAt: 16,
      tagsAt: 128,
      maxBytes: 1e6,
      maxEntries: 10,
      shareValues: false,
    };
    const index = new Index(native, layout, words.buffer);
    const seen = generation | 0;
    const stamp = { expiresUs: native.nowUs() + 60e6, version: 1, all: -2, word: 1, generation: seen, bytes: 1 };
    index.hold(KEY, '5', { ...stamp, tagWords: [2, seen], tags: ['a'] });
    assert.equal(index.get(KEY, ['a']), 5);
    words[32 + 2] = generation + 1;
    assert.equal(typeof index.get(KEY, ['a']), 'symbol');
  }
});

test('a process that was stopped trusts nothing of what it holds', { timeout: 30_000 }, async () => {
  const server = new RedisServer();
  await server.start();
  const source = `
    import { CacheManager } from 'tidegate';
    const [url, service] = process.argv.slice(1);
    const cache = new CacheManager({ url, service, l1: '1MB', commandTimeout: 500 });
    await cache.set('user:profile:1', 'held');
    const read = () => cache.get('user:profile:1', { default: 'absent' });
    while (cache.stats().l1_hits < 3) await read();
    let last = performance.now();
    let before = cache.stats().l1_hits;
    const timer = setInterval(async () => {
      const now = performance.now();
      const wasStopped = now - last > 2_000;
      last = now;
      const seen = wasStopped ? await read() : undefined;
      if (wasStopped) {
        console.log(seen, cache.stats().l1_hits - before);
        clearInterval(timer);
        process.exit(0);
      }
      before = cache.stats().l1_hits;
    }, 5);
    console.log('holds');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, server.url, freshService()]);
  const lines = createInterface(child.stdout);
  const printed: string[] = [];
  lines.on('line', (line) => printed.push(line));
  try {
    await eventually(() => printed[0] === 'holds');
    child.kill('SIGSTOP');
    // Nothing can be told it when it goes on: what it knows of the time is all that it has.
    await server.pause();
    await pass(3_500);
    child.kill('SIGCONT');
    await once(child, 'exit');
    assert.deepEqual(printed, ['holds', 'absent 0']);
  } finally {
    child.kill('SIGKILL');
    await server.resume();
    await server.stop();
  }
});
