/** The storage adapter for Keyv: Keyv's own suite, what is built on Keyv, and what the adapter promises beyond. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCache } from 'cache-manager';
import Keyv from 'keyv';
import { CacheManager, ConfigError } from 'tidegate';
import { TidegateStore } from 'tidegate/keyv';
import { testCache } from 'tidegate/testing';
import { node } from './support/program.js';
import { onBoth, sharedServer } from './support/stage.js';

test('it passes the suite of Keyv, on Redis', async () => {
  const run = ['node_modules/vitest/vitest.mjs', 'run', '--root', 'tests/node/keyv'];
  const { code, out, err } = await node(run, { REDIS_URL: (await sharedServer()).url, NO_COLOR: '1' });
  assert.equal(code, 0, out + err);
  assert.match(out, /Tests +38 passed \(38\)/);
});

onBoth('any text is a key, and no two keys or namespaces meet', async ({ cache }) => {
  const names = [
    'a',
    'a:b',
    'a%3Ab',
    ' ',
    '__proto__',
    '日本',
    '{x}',
    '*',
    `${'long'.repeat(200)}`,
    `${'long'.repeat(200)}.`,
  ];
  const namespaces = [undefined, 'n', 'n:a', 'a'];
  const stores = namespaces.map((namespace) => new TidegateStore(cache, namespace === undefined ? {} : { namespace }));
  for (const [at, store] of stores.entries()) {
    for (const name of names) assert.equal(await store.set(name, `${at} ${name}`), true);
  }
  for (const [at, store] of stores.entries()) {
    assert.deepEqual(
      await store.getMany(names),
      names.map((name) => `${at} ${name}`),
    );
    assert.deepEqual(await store.hasMany([...names, 'none']), [...names.map(() => true), false]);
  }
  assert.equal(await cache.exists('keyv:n:a%3Ab'), true);
  const [plain, first] = stores;
  assert.ok(plain && first);
  await first.clear();
  assert.deepEqual(
    await first.getMany(names),
    names.map(() => undefined),
  );
  assert.equal(await plain.get('a'), '0 a');
  await plain.clear();
  assert.deepEqual([await plain.get('a'), await stores[2]?.get('a')], [undefined, '2 a']);
  await assert.rejects(plain.set('', 'x'), { code: 'ERR_TIDEGATE_KEY_FORMAT' });
});

onBoth('what is set without a ttl lives for thirty days, unless somebody says other', async ({ cache }) => {
  const DAY_MS = 86_400_000;
  const lives = async (key: string) => {
    const entry = await cache.getEntry(key);
    assert.ok(entry);
    return (entry.freshUntil - entry.createdAt) / DAY_MS;
  };
  await new TidegateStore(cache).set('a', 'x');
  await new TidegateStore(cache, { prefix: 'short', ttl: '1d' }).set('a', 'x');
  await new TidegateStore(cache, { prefix: 'said' }).set('a', 'x', 2 * DAY_MS);
  for (const [key, days] of [
    ['keyv:a', 30],
    ['short:a', 1],
    ['said:a', 2],
  ] as const) {
    const found = await lives(key);
    assert.ok(found > 0.89 * days && found <= days, `${key}: ${found}`);
  }
});

test('with the store away reads are misses and nothing throws', async (context) => {
  const { cache, store } = testCache(context);
  const keyv = new Keyv({ store: new TidegateStore(cache) });
  keyv.on('error', (error) => assert.fail(error));
  await keyv.set('a', 1);
  store.fail('down');
  assert.deepEqual([await keyv.get('a'), await keyv.has('a'), await keyv.delete('a')], [undefined, false, false]);
  assert.equal(await keyv.set('a', 2), false);
  await keyv.clear();
  store.heal();
});

onBoth('cache-manager works on it', async ({ cache }) => {
  const users = createCache({ stores: [new Keyv({ store: new TidegateStore(cache), namespace: 'users' })] });
  let runs = 0;
  const load = async () => {
    runs += 1;
    return { name: 'Ada', born: null };
  };
  for (const _ of [1, 2]) assert.deepEqual(await users.wrap('42', load, 60_000), { name: 'Ada', born: null });
  assert.equal(runs, 1);
  await users.mset([
    { key: '1', value: 'one' },
    { key: '2', value: 'two', ttl: 60_000 },
  ]);
  assert.deepEqual(await users.mget(['1', '2', '3']), ['one', 'two', undefined]);
  assert.ok(((await users.ttl('2')) ?? 0) > Date.now());
  await users.mdel(['1', '2']);
  assert.deepEqual(await users.mget(['1', '2']), [undefined, undefined]);
  await users.clear();
  assert.equal(await users.get('42'), undefined);
});

test('it closes the manager that it has made, and no other', async () => {
  const own = new TidegateStore({ service: 'own' });
  assert.equal(await own.set('a', 'x'), true);
  await own.disconnect();
  await assert.rejects(own.get('a'), { code: 'ERR_TIDEGATE_CLOSED' });
  const cache = new CacheManager();
  await new TidegateStore(cache).disconnect();
  assert.equal(await cache.set('a:b', 1), true);
  assert.throws(() => new TidegateStore(cache, { tll: 1 } as never), /tll/);
  assert.throws(() => new TidegateStore(cache, { prefix: 1 } as never), /prefix=1 is not a text/);
  assert.throws(() => new TidegateStore(cache, { ttl: 0 }), ConfigError);
});
