/** wrap: a function that answers from the cache, and its helpers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheManager, ConfigError, helpersOf, KeyFormatError, key } from 'tidegate';
import { Held, KEY, onBoth, rejection } from './support/stage.js';

interface User {
  id: number;
  name: string;
}

const keyOf = (id: number) => key`user:profile:${id}`;

/** A source that notes what it was asked for. */
function users(): { asked: number[]; fetchUser: (id: number) => Promise<User> } {
  const asked: number[] = [];
  return {
    asked,
    fetchUser: async (id) => {
      asked.push(id);
      return { id, name: `user ${id}` };
    },
  };
}

onBoth('a wrapped function is run once for its arguments', async ({ cache }) => {
  const { asked, fetchUser } = users();
  const getUser = cache.wrap(fetchUser, { key: keyOf, ttl: '1h' });
  assert.deepEqual(await getUser(1), { id: 1, name: 'user 1' });
  assert.deepEqual(
    [await getUser(1), await getUser(2)],
    [
      { id: 1, name: 'user 1' },
      { id: 2, name: 'user 2' },
    ],
  );
  assert.deepEqual(asked, [1, 2]);
  assert.equal(getUser.name, 'fetchUser');
  const entry = await cache.getEntry('user:profile:1');
  assert.ok(entry && entry.freshUntil - entry.createdAt > 3_000_000);
});

onBoth('its helpers take its arguments', async ({ cache }) => {
  const { asked, fetchUser } = users();
  const getUser = cache.wrap(fetchUser, { key: keyOf });
  assert.equal(getUser.key(42), 'user:profile:42');
  assert.equal(await getUser.getCached(42), undefined);
  assert.equal((await getUser(42)).id, 42);
  assert.deepEqual(await getUser.getCached(42), { id: 42, name: 'user 42' });
  assert.deepEqual(await getUser.refresh(42), { id: 42, name: 'user 42' });
  assert.deepEqual(asked, [42, 42]);
  assert.equal(await getUser.invalidate(42), true);
  assert.equal(await getUser.getCached(42), undefined);
  assert.equal(helpersOf({ getUser }, 'getUser').key(42), 'user:profile:42');
});

onBoth('getCached gives only what carries the wrap’s tags', async ({ cache }) => {
  const { fetchUser } = users();
  const plain = cache.wrap(fetchUser, { key: keyOf });
  const tagged = cache.wrap(fetchUser, { key: keyOf, tags: (id) => [`user:${id}`] });
  await plain(42);
  assert.equal(await tagged.getCached(42), undefined);
  await tagged(42);
  assert.equal((await tagged.getCached(42))?.id, 42);
  await cache.invalidateTag('user:42');
  assert.equal(await tagged.getCached(42), undefined);
});

onBoth('a tags function that gives no array is refused', async ({ cache }) => {
  const { asked, fetchUser } = users();
  const find = cache.wrap(fetchUser, { key: keyOf, tags: (() => undefined) as never });
  const error = await rejection(find(42));
  assert.ok(error instanceof ConfigError);
  assert.match(error.message, /tags gave undefined/);
  assert.deepEqual(asked, []);
});

onBoth('a cached null is told apart from nothing', async ({ cache }) => {
  const find = cache.wrap(async (_: number): Promise<User | null> => null, { key: keyOf });
  assert.equal(await find.getCached(1), undefined);
  assert.equal(await find(1), null);
  assert.equal(await find.getCached(1), null);
});

onBoth('a plain function becomes an async one, and many arguments make a key', async ({ cache }) => {
  const add = cache.wrap((a: number, b: bigint, c = 'x') => `${a}+${b}+${c}`, {
    key: (a, b, c = 'x') => key('sum', a, b, c),
  });
  assert.equal(await add(1, 2n), '1+2+x');
  assert.equal(add.key(1, 2n, 'a:b'), 'sum:1:2:a%3Ab');
  assert.equal(await cache.get('sum:1:2:x', { default: 'absent' }), '1+2+x');
});

onBoth('a wrapped function keeps its `this`', async ({ cache }) => {
  const greet = cache.wrap(
    function (this: { name: string }, id: number): string {
      return `${this.name} ${id}`;
    },
    { key: keyOf },
  );
  assert.equal(await greet.call({ name: 'Ada' }, 1), 'Ada 1');
  const object = { name: 'Grace', greet };
  assert.equal(await object.greet(2), 'Grace 2');
  assert.equal(await object.greet(1), 'Ada 1');
});

onBoth('a thousand calls are one run, and a failure is theirs all', async ({ cache }) => {
  const [slow, broken] = [new Held<string>(), new Held<string>()];
  const get = cache.wrap((id: number) => (id === 1 ? slow : broken).fallback({} as never), { key: keyOf });
  const calls = Array.from({ length: 1_000 }, () => get(1));
  const failures = Array.from({ length: 100 }, () => rejection(get(2)));
  await Promise.all([slow.entered, broken.entered]);
  const boom = new Error('no');
  slow.give('value');
  broken.fail(boom);
  assert.deepEqual(await Promise.all(calls), Array(1_000).fill('value'));
  for (const seen of await Promise.all(failures)) assert.equal(seen, boom);
  assert.deepEqual([slow.runs, broken.runs], [1, 1]);
});

onBoth('disabled calls the function', async ({ cache }) => {
  const { asked, fetchUser } = users();
  const getUser = cache.wrap(fetchUser, { key: keyOf });
  await getUser(1);
  await cache.disabled(async () => {
    await getUser(1);
    await getUser.refresh(1);
    assert.equal(await getUser.getCached(1), undefined);
  });
  assert.deepEqual(asked, [1, 1, 1]);
});

onBoth('a wrapped function that calls itself for other arguments is not nested', async ({ cache }) => {
  const factorial: (n: number) => Promise<number> = cache.wrap(
    async (n: number) => (n <= 1 ? 1 : n * (await factorial(n - 1))),
    { key: (n) => key`factorial:of:${n}` },
  );
  assert.equal(await factorial(6), 720);
  assert.equal(await cache.get('factorial:of:5', { default: 0 }), 120);
});

onBoth('a key that cannot be rejects, and the function is not run', async ({ cache }) => {
  const wrong = cache.wrap(() => assert.fail('it ran'), { key: (id?: number) => key`user:profile:${id as number}` });
  for (const call of [wrong(), wrong.refresh(), wrong.invalidate(), wrong.getCached()]) {
    assert.ok((await rejection(call)) instanceof KeyFormatError);
  }
  assert.throws(() => wrong.key(), KeyFormatError);
  const flat = cache.wrap(() => assert.fail('it ran'), { key: () => 'flat' });
  assert.ok((await rejection(flat())) instanceof KeyFormatError);
});

test('what cannot work is refused when wrapping', () => {
  const cache = new CacheManager();
  const fn = async () => 1;
  // biome-ignore lint/suspicious/noExplicitAny: wrong programs are what this test is about
  const loose = cache as any;
  for (const [wrong, says] of [
    [() => loose.wrap(5, { key: keyOf }), 'fn=5 is not a function'],
    [() => loose.wrap(fn()), 'is not a function; a right example: cache.wrap(fetchUser, { key })'],
    [() => loose.wrap(fn), 'key=undefined is not a function of the arguments; a right example: { key: (id) =>'],
    [() => loose.wrap(fn, {}), 'key=undefined is not a function'],
    [() => loose.wrap(fn, null), 'is not a'],
    [() => loose.wrap(fn, { key: KEY }), "key='user:profile:1' is not a function"],
    [() => loose.wrap(fn, keyOf), 'is not a'],
    [() => loose.wrap(fn, { key: keyOf, ttl: -1 }), 'ttl=-1'],
    [() => loose.wrap(fn, { key: keyOf, tll: 1 }), 'did you mean "ttl"'],
    [() => loose.cached({ key: keyOf, tags: 'user:42' }), 'tags="user:42"'],
    [() => loose.cached({ key: keyOf, signal: AbortSignal.timeout(5) }), 'signal is an option of a call'],
    [() => loose.cached(KEY), 'is not a'],
    [() => helpersOf({ fn }, 'fn'), "'fn' is no cached method of { fn: "],
  ] as [() => unknown, string][]) {
    assert.throws(wrong, (error) => {
      assert.ok(error instanceof ConfigError, `${wrong}: ${error}`);
      assert.ok(error.message.includes(says), error.message);
      return true;
    });
  }
});
