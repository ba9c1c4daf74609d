/** The testing kit, as a user's test uses it: time goes by when it is told to, and the store fails on command. No sleeps. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { CacheManager, ConfigError } from 'tidegate';
import * as testing from 'tidegate/testing';
import { FakeClock, type FaultName, MemoryStore, record, testCache } from 'tidegate/testing';

const KEY = 'user:name:42';

/** A user's service: a function that fetches, behind the cache. */
class Users {
  fetched = 0;

  constructor(readonly cache: CacheManager) {}

  name(): Promise<string> {
    return this.cache.get(KEY, async () => {
      this.fetched += 1;
      return `Ada ${this.fetched}`;
    });
  }
}

const FAULTS: [FaultName, string | undefined, number][] = [
  ['down', undefined, 0],
  ['hang', undefined, 100],
  ['lost-reply', undefined, 100],
  ['slow', '500ms', 100],
  ['slow', '20ms', 60],
];

for (const [fault, delay, cost] of FAULTS) {
  test(`a store that is ${fault} ${delay ?? ''} costs a service nothing but its cache`, async (t) => {
    const { cache, clock, store } = testCache(t);
    const users = new Users(cache);
    assert.equal(await users.name(), 'Ada 1');
    await cache.invalidate(KEY);
    const before = clock.now();
    store.fail(fault, { delay });
    assert.equal(await users.name(), 'Ada 2');
    assert.equal(clock.now() - before, cost);
  });
}

test('an entry lives for its ttl and not longer', async (t) => {
  const { cache, clock } = testCache(t, { ttl: '1m' });
  const users = new Users(cache);
  await users.name();
  clock.advance(59_999);
  assert.equal(await users.name(), 'Ada 1');
  clock.advance(1);
  assert.equal(await users.name(), 'Ada 2');
});

test('stale windows go by', async (t) => {
  const { cache, clock, events } = testCache(t, { ttl: '1m', staleWhileRevalidate: '1m', staleIfError: '10m' });
  const users = new Users(cache);
  await users.name();
  clock.advance('90s');
  assert.equal(await users.name(), 'Ada 1');
  await events.settled();
  assert.equal(events.one('cache.stale').reason, 'revalidating');
  assert.equal(await users.name(), 'Ada 2');
  const fails = async () => {
    throw new RangeError('the database is away');
  };
  clock.advance('5m');
  assert.equal(await cache.get(KEY, fails), 'Ada 2');
  clock.advance('10m');
  await assert.rejects(cache.get(KEY, fails), RangeError);
});

test('a soft timeout passes when the clock says so', async (t) => {
  const { cache, clock } = testCache(t, { ttl: '1m', staleIfError: '1h', softTimeout: '2s' });
  await cache.set(KEY, 'Ada');
  clock.advance('2m');
  let finish = (_: string) => {};
  const call = cache.get(KEY, () => new Promise<string>((resolve) => (finish = resolve)));
  await setImmediate();
  clock.advance('2s');
  assert.equal(await call, 'Ada');
  finish('Grace');
});

test('the breaker opens, and a probe finds the store back', async (t) => {
  const { cache, clock, store, events } = testCache(t);
  const users = new Users(cache);
  store.fail('down');
  for (let call = 0; call < 5; call += 1) await users.name();
  assert.equal(cache.stats().breaker, 'open');
  clock.advance('1m');
  assert.equal(cache.stats().breaker, 'open');
  store.heal();
  clock.advance('1s');
  assert.equal(cache.stats().breaker, 'closed');
  await events.settled();
  assert.deepEqual(
    events.of('cache.breaker').map((event) => event.state),
    ['open', 'closed'],
  );
  assert.deepEqual(
    events.of('cache.connection').map((event) => event.state),
    ['disconnected', 'connected'],
  );
});

test('a stampede of two managers runs one fallback', async (t) => {
  const { cache, clock, store, events } = testCache(t);
  const caches = [cache, new CacheManager({ store })];
  events.add(caches[1] as CacheManager);
  let runs = 0;
  let finish = (_: string) => {};
  const fetch = () => {
    runs += 1;
    return new Promise<string>((resolve) => (finish = resolve));
  };
  const calls = Array.from({ length: 100 }, (_, number) => (caches[number % 2] as CacheManager).get(KEY, fetch));
  await events.settled();
  clock.advance('4s');
  await events.settled();
  finish('Ada');
  assert.deepEqual([...new Set(await Promise.all(calls))], ['Ada']);
  assert.equal(runs, 1);
  assert.equal((await events.settled()).of('cache.wait').length, 1);
  await caches[1]?.close();
});

test('an invalidation whose reply is lost is owed, and replayed', async (t) => {
  const { cache, clock, store, events } = testCache(t);
  const other = new CacheManager({ store });
  await cache.set(KEY, 'Ada');
  {
    const failing = store.failing('lost-reply', { only: cache });
    assert.equal(await cache.invalidate(KEY), false);
    assert.equal(await other.set(KEY, 'Grace'), true);
    failing[Symbol.dispose]();
  }
  assert.equal(await cache.get(KEY, { default: null }), null);
  assert.equal(await other.get(KEY, { default: null }), 'Grace');
  clock.advance('1s');
  assert.equal(await other.get(KEY, { default: null }), null);
  await events.settled();
  assert.equal(events.one('cache.invalidate').state, 'journalled');
  await other.close();
});

test('L1 goes by the clock, is coherent, and empty in doubt', async (t) => {
  const { cache, clock, store, events } = testCache(t, { l1: '1MB', ttl: '1m' });
  const other = new CacheManager({ store });
  await cache.set(KEY, 'Ada');
  for (let read = 0; read < 3; read += 1) assert.equal(await cache.get(KEY, { default: null }), 'Ada');
  assert.equal(cache.stats().l1_hits, 2);
  const [hit] = (await events.settled()).of('cache.hit', { source: 'l1' });
  assert.equal(hit?.timestamp, Math.floor(clock.now()));
  await other.set(KEY, 'Grace');
  assert.equal(await cache.get(KEY, { default: null }), 'Grace');
  store.fail('hang', { only: cache });
  assert.equal(await cache.get(KEY, { default: null }), null);
  await other.set(KEY, 'Mary', { ttl: '1m' });
  store.heal();
  for (let read = 0; read < 2; read += 1) assert.equal(await cache.get(KEY, { default: null }), 'Mary');
  assert.equal(cache.stats().l1_hits, 3);
  clock.advance('1m');
  assert.equal(await cache.get(KEY, { default: null }), null);
  await other.close();
});

test('views, write-behind and namespaces go by the store', async (t) => {
  const { cache, store } = testCache(t);
  const acme = cache.tenant('acme').namespace('catalog');
  await acme.set('product:7', 'lamp');
  assert.equal(await cache.get('product:7', { default: null }), null);
  store.fail('down', { only: acme });
  assert.equal(await acme.clear(), false);
  store.heal({ only: acme });
  const rows = new Map<string, unknown>();
  const behind = cache.writeBehind<number>('counters', (items) => {
    for (const { key, value } of items) rows.set(key, value);
  });
  await behind.put('page:views:7', 42);
  assert.equal(await behind.flush(), true);
  assert.equal(rows.get('page:views:7'), 42);
  store.flush();
  assert.equal(await cache.get('page:views:7', { default: null }), null);
});

test('a clock by hand moves for nobody', async () => {
  const clock = new FakeClock({ start: new Date('2001-09-09T01:46:40Z'), byHand: true });
  assert.equal(clock.now(), 1_000_000_000_000);
  assert.match(inspect(clock), /2001-09-09T01:46:40/);
  const store = new MemoryStore({ clock });
  const users = new Users(new CacheManager({ store }));
  store.fail('hang');
  let isOver = false;
  const call = users.name().then((name) => {
    isOver = true;
    return name;
  });
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
  assert.equal(isOver, false);
  clock.advance(100);
  assert.equal(await call, 'Ada 1');
  assert.match(inspect(store), /2001/);
});

test('on the real clock a hang is a timeout after its time', async () => {
  const store = new MemoryStore();
  const users = new Users(new CacheManager({ store, commandTimeout: 5 }));
  store.fail('hang');
  assert.equal(await users.name(), 'Ada 1');
  store.heal();
  assert.equal(await users.name(), 'Ada 2');
});

test('chance is the same for the same seed', async () => {
  const life = async (seed: number) => {
    const cache = new CacheManager({ store: new MemoryStore({ clock: new FakeClock(), seed }) });
    await cache.set(KEY, 'Ada');
    const entry = await cache.getEntry(KEY);
    return (entry?.freshUntil ?? 0) - (entry?.createdAt ?? 0);
  };
  assert.equal(await life(1), await life(1));
  assert.ok(new Set(await Promise.all([0, 1, 2, 3, 4].map(life))).size > 1);
});

test('recorded events say what they are', async () => {
  const cache = new CacheManager();
  const recorded = record(cache);
  await cache.set(KEY, 'Ada');
  await cache.get(KEY, { default: null });
  assert.deepEqual(recorded.settle().types, ['cache.set', 'cache.hit']);
  assert.equal(recorded.length, 2);
  assert.equal(recorded.at(-1)?.source, 'memory');
  assert.deepEqual([...recorded].slice(1), recorded.of('cache.hit', { key: KEY }));
  assert.match(inspect(recorded), /cache.set user:name:42 memory/);
  assert.throws(() => recorded.one('cache.miss', { key: KEY }), /0 events are \(cache.miss, { key: .*RecordedEvents/);
  recorded.clear();
  recorded.stop();
  await cache.get(KEY, { default: null });
  assert.equal(recorded.settle().length, 0);
});

test('it closes with the test whose context it has, and by itself with `await using`', async () => {
  let end = async () => {};
  const after = (given: () => Promise<void>) => {
    end = given;
  };
  const { cache } = testCache({ after });
  await end();
  await assert.rejects(
    cache.get(KEY, () => 1),
    { code: 'ERR_TIDEGATE_CLOSED' },
  );
  const kept: CacheManager[] = [];
  {
    await using kit = testCache({ service: 'billing' });
    kept.push(kit.cache);
    assert.equal(await kit.cache.set(KEY, 1), true);
  }
  await assert.rejects(kept[0]?.get(KEY, () => 1) ?? Promise.resolve(), { code: 'ERR_TIDEGATE_CLOSED' });
});

const BAD: [() => unknown, string][] = [
  [() => new CacheManager({ store: {} as MemoryStore }), 'store={} is not a MemoryStore of tidegate/testing'],
  [() => new CacheManager({ url: 'redis://localhost', store: new MemoryStore() }), 'url and store both say where'],
  [() => new MemoryStore({ clock: 1 as never }), 'clock=1 is not a FakeClock; a right example'],
  [() => new MemoryStore({ seed: -1 }), 'seed=-1 is not accepted'],
  [() => new MemoryStore(1 as never), 'options=1 is not an object'],
  [() => new MemoryStore().fail('dwon' as never), 'fault="dwon" is not accepted: fault takes "down", "hang", "slow"'],
  [() => new MemoryStore().fail(1 as never), 'fault=1 is not a text'],
  [() => new MemoryStore().fail('slow'), "takes a delay; a right example: store.fail('slow', { delay: 50 })"],
  [() => new MemoryStore().fail('slow', { delay: -1 }), 'delay=-1 is not accepted'],
  [() => new MemoryStore().fail('down', { delay: 1 }), 'only "slow" takes a delay'],
  [() => new MemoryStore().fail('down', { only: new CacheManager() }), 'this manager is not on this store'],
  [() => new MemoryStore().heal({ only: 1 as never }), 'only=1 is not a CacheManager'],
  [() => new FakeClock().advance(-1), 'duration=-1 is not accepted'],
  [() => new FakeClock().advance('5 minutes'), 'duration="5 minutes" is not accepted'],
  [() => new FakeClock({ start: 'now' as never }), 'start='],
  [() => new FakeClock({ start: new Date('x') }), 'is not accepted: start takes milliseconds'],
  [() => new FakeClock({ byHand: 1 as never }), 'byHand=1 is not accepted'],
  [() => record(1 as never), 'cache=1 is not a CacheManager'],
  [() => record(new CacheManager()).of('cache.hits' as never), 'is not an event'],
  [() => testCache({ ttl: 1 } as never, {}), 'is no test'],
  [() => testCache({ ttlJiter: 1 } as never), 'did you mean "ttlJitter"'],
];

for (const [call, says] of BAD) {
  test(`what is wrong is said: ${says}`, () => {
    assert.throws(call, (error) => error instanceof ConfigError && error.message.includes(says));
  });
}

test('what `require` gives is what `import` gives', () => {
  const required: object = createRequire(import.meta.url)('tidegate/testing');
  const imported = { ...testing } as Record<string, unknown>;
  for (const noise of ['default', 'module.exports', '__esModule']) delete imported[noise];
  assert.deepEqual(Object.keys(imported).sort(), ['FakeClock', 'MemoryStore', 'RecordedEvents', 'record', 'testCache']);
  for (const [name, value] of Object.entries(required)) assert.equal(imported[name], value, name);
});

test('under a real vitest, with the test of the page', { timeout: 120_000 }, () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const project = fileURLToPath(new URL('vitest', import.meta.url));
  const page = new URL('vitest/page.spec.ts', import.meta.url);
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  const command = ['node_modules/vitest/vitest.mjs', 'run', '--root', project, '--reporter', 'json'];
  const [, shown] = /```ts\n([\s\S]*?)```/.exec(readFileSync(`${root}docs/testing.md`, 'utf8')) ?? [];
  assert.ok(shown !== undefined, 'the page shows one');
  try {
    writeFileSync(page, shown);
    const ran = spawnSync(process.execPath, command, { cwd: root, env, encoding: 'utf8', timeout: 110_000 });
    assert.equal(ran.status, 0, ran.stdout + ran.stderr);
    const report = JSON.parse(ran.stdout.slice(ran.stdout.indexOf('{')));
    assert.deepEqual([report.numPassedTests, report.numFailedTests], [5, 0]);
  } finally {
    unlinkSync(page);
  }
});
