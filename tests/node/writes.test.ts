/** set, invalidate, expire and close; and the store being away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CacheManager, ClosedError, EncodeError, StoreUnavailable } from 'tidegate';
import { deferred, eventually, Held, KEY, onBoth, onOwnServer, rejection, settled, watched } from './support/stage.js';

const [KEY2, KEY3, KEY4] = ['user:profile:2', 'user:profile:3', 'user:profile:4'] as const;

onBoth('set stores whatever stands there', async ({ cache }) => {
  assert.equal(await cache.set(KEY, { name: 'Ada' }), true);
  assert.deepEqual(await cache.get(KEY, { default: 'absent' }), { name: 'Ada' });
  assert.equal(await cache.set(KEY, null), true);
  assert.equal(await cache.get(KEY, { default: 'absent' }), null);
  assert.equal(await cache.set(KEY, undefined), true);
  assert.equal(await cache.get(KEY, { default: 'absent' }), null);
});

onBoth('setMany stores all of a Map or an object, with their ttl', async (stage) => {
  const cache = stage.make({ ttlJitter: 0 });
  assert.equal(await cache.setMany({ [KEY]: 1, [KEY2]: 2 }, { ttl: '1h' }), true);
  assert.equal(await cache.setMany(new Map([[KEY3, 3]])), true);
  assert.equal(await cache.setMany({}), true);
  for (const [at, key] of [KEY, KEY2, KEY3].entries()) assert.equal(await cache.get(key, { default: 0 }), at + 1);
  const entry = await cache.getEntry(KEY2);
  assert.ok(entry);
  assert.equal(entry.freshUntil - entry.createdAt, 3_600_000);
});

onBoth('setMany stores nothing at all where one value cannot be stored', async ({ cache }) => {
  const refused = await rejection(cache.setMany({ [KEY]: 1, [KEY2]: new Set([1]) }));
  assert.ok(refused instanceof EncodeError);
  assert.match(refused.message, /user:profile:2.*\$ is a Set/);
  assert.equal(await cache.exists(KEY), false);
});

onBoth('what is set while a fallback runs is not overwritten by it', async ({ cache }) => {
  const held = new Held<string>();
  const leader = cache.get(KEY, held.fallback);
  await held.entered;
  assert.equal(await cache.set(KEY, 'set'), true);
  held.give('computed');
  await leader;
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'set');
});

onBoth('invalidate takes one key or many, for everybody', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  await cache.setMany({ [KEY]: 'old', [KEY2]: 'old', [KEY3]: 'old', [KEY4]: 'stays' });
  assert.equal(await other.invalidate(KEY), true);
  assert.equal(await other.invalidate(new Set([KEY2, KEY3])), true);
  assert.equal(await other.invalidate([]), true);
  const there = await Promise.all([KEY, KEY2, KEY3, KEY4].map((key) => cache.exists(key)));
  assert.deepEqual(there, [false, false, false, true]);
  assert.equal(await cache.get(KEY, () => 'new'), 'new');
});

onBoth('a fill after an invalidation is refused', async ({ cache }) => {
  const held = new Held<string>();
  const leader = cache.get(KEY, held.fallback);
  await held.entered;
  assert.equal(await cache.invalidate(KEY), true);
  held.give('old');
  assert.equal(await leader, 'old');
  assert.equal(await cache.exists(KEY), false);
  assert.equal(await cache.get(KEY, () => 'new'), 'new');
});

onBoth('expire makes the next read compute', async ({ cache }) => {
  await cache.set(KEY, 'old');
  assert.equal(await cache.expire(KEY), true);
  assert.equal(await cache.get(KEY, () => 'new'), 'new');
  assert.equal(await cache.expire([KEY, KEY2], { required: true }), true);
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'absent');
});

onBoth('close lets what is out end, and refuses what comes', async ({ cache }) => {
  const held = new Held<string>();
  const leader = cache.get(KEY, held.fallback);
  await held.entered;
  const closing = cache.close();
  held.give('value');
  assert.equal(await leader, 'value');
  assert.equal(await closing, true);
  assert.equal(await cache.close(), true);
  const calls: (() => Promise<unknown>)[] = [
    () => cache.get(KEY, () => assert.fail('a fallback ran after close')),
    () => cache.get(KEY, { default: 1 }),
    () => cache.getEntry(KEY),
    () => cache.getMany([KEY], () => assert.fail('a fetch ran after close')),
    () => cache.refresh(KEY, () => assert.fail('a fallback ran after close')),
    () => cache.exists(KEY),
    () => cache.set(KEY, 1),
    () => cache.setMany({ [KEY]: 1 }),
    () => cache.invalidate(KEY),
    () => cache.expire(KEY),
  ];
  for (const call of calls) {
    const refused = await rejection(call());
    assert.ok(refused instanceof ClosedError, `${call}: ${inspect(refused)}`);
    assert.match(refused.message, /closed/);
  }
  assert.equal(cache.stats().fallbacks, 1);
});

onBoth('close does not wait for ever, and frees who waits', async ({ cache }) => {
  const held = new Held<string>();
  const leader = rejection(cache.get(KEY, held.fallback));
  await held.entered;
  const follower = rejection(cache.get(KEY, () => assert.fail('two fallbacks ran')));
  assert.equal(await cache.close({ timeout: 50 }), false);
  assert.ok((await follower) instanceof ClosedError);
  held.give('late');
  const end = await leader;
  assert.ok(end instanceof ClosedError);
});

onBoth('two who close at once are both told', async ({ cache }) => {
  await cache.set(KEY, 1);
  assert.deepEqual(await Promise.all([cache.close(), cache.close()]), [true, true]);
});

onBoth('`await using` closes, as Symbol.asyncDispose does', async (stage) => {
  const kept: CacheManager[] = [];
  {
    await using cache = stage.make();
    kept.push(cache);
    assert.equal(await cache.set(KEY, 1), true);
  }
  const [closed] = kept;
  assert.ok(closed);
  assert.ok((await rejection(closed.exists(KEY))) instanceof ClosedError);
});

test('a manager shows where it stands and what it is for', () => {
  const cache = new CacheManager({ url: 'redis://ada:secret@localhost:6379/0', service: 'billing' });
  assert.equal(inspect(cache), "CacheManager('redis://localhost:6379/0', service='billing')");
  assert.equal(inspect(new CacheManager()), "CacheManager('memory://', service='app')");
});

onOwnServer(
  'a computed value is given when it is stored, so that its caller may tell others',
  async (stage, server) => {
    const cache = stage.make({ commandTimeout: '20s', lease: '25s' });
    await cache.exists(KEY);
    let isGiven = false;
    const paused = deferred();
    const call = cache
      .get(KEY, () => {
        server.pause();
        paused.resolve();
        return 'value';
      })
      .finally(() => {
        isGiven = true;
      });
    await paused.promise;
    await settled();
    assert.equal(isGiven, false);
    server.resume();
    assert.equal(await call, 'value');
  },
);

onOwnServer('with the store hanging nobody fails, and what is owed to it is told later', async (stage, server) => {
  const cache = stage.cache;
  watched(cache, 'cache.error');
  assert.equal(await cache.get(KEY, () => 'stored'), 'stored');
  server.pause();
  assert.equal(await cache.get(KEY, () => 'from the source'), 'from the source');
  assert.equal(await cache.get(KEY, { default: 'none' }), 'none');
  assert.equal(await cache.refresh(KEY2, () => 2), 2);
  const many = await cache.getMany([KEY, KEY3], (keys) => new Map(keys.map((key) => [key, 1])));
  assert.deepEqual(
    [...many],
    [
      [KEY, 1],
      [KEY3, 1],
    ],
  );
  assert.equal(await cache.set(KEY4, 4), false);
  assert.equal(await cache.invalidate(KEY), false);
  assert.equal(await cache.expire(KEY), false);
  const calls: (() => Promise<unknown>)[] = [
    () => cache.invalidate(KEY, { required: true }),
    () => cache.expire(KEY, { required: true }),
    () => cache.exists(KEY),
    () => cache.getEntry(KEY),
  ];
  for (const call of calls) assert.ok((await rejection(call())) instanceof StoreUnavailable, `${call}`);
  server.resume();
  // Redis has the old entry still; who comes next must not see it.
  await eventually(async () => (await cache.invalidate(KEY2)) === true);
  const other = stage.make();
  await eventually(async () => (await other.get(KEY, { default: 'gone' })) === 'gone');
});

onOwnServer('with the server gone nobody fails, and afterwards it serves again', async (stage, server) => {
  const cache = stage.cache;
  watched(cache, 'cache.error');
  const changes = watched(cache, 'cache.connection', 'cache.breaker');
  await cache.get(KEY, () => 1);
  await server.kill();
  for (let run = 0; run < 20; run += 1) assert.equal(await cache.get(KEY, () => run), run);
  await server.start();
  await eventually(() => cache.set(KEY, 'back'));
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'back');
  await cache.close();
  const states = new Set<string>(changes.map((event) => event.state));
  for (const state of ['connected', 'disconnected', 'open', 'closed']) assert.ok(states.has(state), `${[...states]}`);
});

test('a server that was never there fails nobody', async () => {
  const cache = new CacheManager({ url: 'redis://127.0.0.1:1/0', service: 'billing', connectTimeout: 200 });
  watched(cache, 'cache.error');
  assert.equal(await cache.get(KEY, () => 'value'), 'value');
  assert.equal(await cache.invalidate(KEY), false);
  assert.ok((await rejection(cache.exists(KEY))) instanceof StoreUnavailable);
  await cache.close({ timeout: 0 });
});
