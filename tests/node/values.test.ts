/** What values become: the first caller is given what later ones are given, and what JSON cannot hold is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CacheManager, EncodeError, ValueTooLarge } from 'tidegate';
import { Held, KEY, onBoth, reasonsAtTheEnd, rejection, watched } from './support/stage.js';

const OTHER = 'user:profile:2';

class User {
  readonly name = 'Ada';
  #secret = 'not shown';
  get shout(): string {
    return `${this.name}!${this.#secret}`;
  }
}

class Money {
  toJSON(): string {
    return '5 EUR';
  }
}

/** A value, and what every caller is given for it. */
const CHANGED: [name: string, value: unknown, given: unknown][] = [
  ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['an impossible date', new Date(Number.NaN), null],
  ['a date deep inside', { at: [new Date(0)] }, { at: ['1970-01-01T00:00:00.000Z'] }],
  ['an object of a class', new User(), { name: 'Ada' }],
  ['an object that says what it is as JSON', { price: new Money() }, { price: '5 EUR' }],
  ['a URL', new URL('https://example.org/'), 'https://example.org/'],
  ['an object that is nothing as JSON', { toJSON: () => undefined }, null],
  ['undefined inside', { gone: undefined, list: [undefined] }, { list: [null] }],
  ['no number', [Number.NaN, Number.POSITIVE_INFINITY, -0], [null, null, 0]],
  ['a list with holes', new Array(2), [null, null]],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ['a bigint that a number can hold', 7n, 7],
  ['boxed texts and numbers', [Object('text'), Object(5)], ['text', 5]],
  ['a name that is a symbol', { [Symbol('unseen')]: 1, seen: 2 }, { seen: 2 }],
];
for (const [name, value, given] of CHANGED) {
  onBoth(`${name} is the same for the caller who computed it and for later ones`, async (stage) => {
    const [cache, other] = [stage.make(), stage.make()];
    assert.deepEqual(await cache.get(KEY, () => value), given);
    assert.deepEqual(await cache.get(KEY, () => 'computed twice'), given);
    assert.deepEqual(await other.get(KEY, { default: 'absent' }), given);
    const many = await cache.getMany([KEY, OTHER], () => ({ [OTHER]: value }));
    assert.deepEqual([...many.values()], [given, given]);
    assert.deepEqual(await cache.disabled(() => cache.get(KEY, () => value)), given);
  });
}

const FAITHFUL: [name: string, value: unknown][] = [
  ['an empty text', ''],
  ['false', false],
  ['zero', 0],
  ['an empty list and an empty object', [[], {}]],
  ['a text in many scripts', 'ü 🎉 \u0000 \u2028 "\\'],
  ['bigints of any size', { ids: [2n ** 53n + 1n, -(2n ** 64n), 10n ** 30n] }],
  ['a text longer than the mailbox', 'é🎉'.repeat(60_000)],
  ['bigints in a text longer than the mailbox', Array.from({ length: 20_000 }, (_, at) => 2n ** 60n + BigInt(at))],
  ['60 levels', nested(60)],
];
for (const [name, value] of FAITHFUL) {
  onBoth(`${name} comes back as it is`, async (stage) => {
    const [cache, other] = [stage.make(), stage.make()];
    assert.deepEqual(await cache.get(KEY, () => value), value);
    assert.deepEqual(await other.get(KEY, { default: 'absent' }), value);
    assert.deepEqual((await other.getEntry(KEY))?.value, value);
    assert.deepEqual([...(await other.getMany([KEY], () => ({}))).values()], [value]);
    const followers = new Held<unknown>();
    const calls = [1, 2, 3].map(() => cache.get(OTHER, followers.fallback));
    followers.give(value);
    for (const seen of await Promise.all(calls)) assert.deepEqual(seen, value);
  });
}

const cyclic: { self?: unknown } = {};
cyclic.self = { again: cyclic };

/** What JSON cannot hold, and what the fault says of it. */
const UNSTORABLE: [name: string, value: unknown, says: string][] = [
  ['a function', () => 1, '$ is a function, which JSON cannot hold: give an object of data alone'],
  ['a symbol', Symbol('x'), '$ is a symbol'],
  ['half a surrogate pair', { name: 'x\ud800y' }, '$.name is a text with a lone surrogate'],
  [
    'a Map',
    { user: [{ tags: new Map() }] },
    '$.user[0].tags is a Map, which JSON cannot hold: give Object.fromEntries(map)',
  ],
  ['a Set', [1, new Set()], '$[1] is a Set'],
  ['a method', { name: 'Ada', greet() {} }, '$.greet is a function'],
  [
    'a Buffer',
    { photo: Buffer.from('x') },
    "$.photo is a Buffer, which JSON cannot hold: codec: 'msgpack' holds bytes",
  ],
  ['an array of bytes', new Uint8Array(2), '$ is a Uint8Array'],
  ['an ArrayBuffer', new ArrayBuffer(2), '$ is a ArrayBuffer'],
  ['an error', [new RangeError('x')], '$[0] is a RangeError'],
  ['a regular expression', /x/, '$ is a RegExp'],
  ['a promise', { later: Promise.resolve(1) }, '$.later is a Promise, which JSON cannot hold: did you forget await?'],
  ['what stands in itself', cyclic, '$.self.again is what it stands in: the value contains itself'],
  ['a thousand levels', nested(1_000), 'is nested deeper than 64 levels'],
  ['a hundred thousand levels', nested(100_000), 'is nested deeper than 64 levels'],
  [
    'a getter that throws',
    {
      get name() {
        throw new Error('no name');
      },
    },
    '$ cannot be written: no name',
  ],
  [
    'a toJSON that throws what is no error',
    {
      toJSON() {
        throw null;
      },
    },
    '$ cannot be written: null',
  ],
  ['a toJSON that gives a Map', { user: { toJSON: () => new Map() } }, '$.user is a Object'],
];
for (const [name, value, says] of UNSTORABLE) {
  onBoth(`${name} is returned as it is, uncached, and told`, async ({ cache }) => {
    const faults = watched(cache, 'cache.error');
    assert.equal(await cache.get(KEY, () => value), value);
    assert.equal(await cache.exists(KEY), false);
    const many = await cache.getMany(
      [KEY, OTHER],
      () =>
        new Map([
          [KEY, value],
          [OTHER, 'fine'],
        ]) as Map<string, unknown>,
    );
    assert.equal(many.get(KEY), value);
    assert.equal(await cache.get(OTHER, { default: 'absent' }), 'fine');
    assert.equal(await cache.disabled(() => cache.get(KEY, () => value)), value);
    const refused = await rejection(cache.set(KEY, value));
    assert.ok(refused instanceof EncodeError);
    assert.equal(await cache.exists(KEY), false);
    assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['encode', 'encode']);
    for (const { message, key } of [...faults, { message: refused.message, key: KEY }]) {
      assert.ok(message.startsWith(`the value of "${KEY}" is not stored: $`) && message.includes(says), message);
      assert.equal(key, KEY);
    }
  });
}

onBoth('strict throws what cannot be stored, at the caller and at all who wait', async (stage) => {
  const cache = stage.make({ strict: true });
  const faults = watched(cache, 'cache.error');
  const held = new Held<unknown>();
  const calls = [1, 2, 3].map(() => rejection(cache.get(KEY, held.fallback)));
  await held.entered;
  held.give([1, () => 1]);
  const refusals = await Promise.all(calls);
  for (const refusal of refusals) {
    assert.ok(refusal instanceof EncodeError);
    assert.match(refusal.message, /\$\[1\] is a function/);
  }
  // Those who came after the fallback had begun are not given what an invalidation since may have made old.
  assert.ok(held.runs <= 2, `${held.runs}`);
  assert.ok((await rejection(cache.refresh(KEY, () => Symbol('x')))) instanceof EncodeError);
  assert.ok(
    (await rejection(cache.getMany([KEY, OTHER], () => ({ [KEY]: () => 1, [OTHER]: 2 })))) instanceof EncodeError,
  );
  assert.equal(await cache.exists(KEY), false);
  assert.equal(await cache.get(OTHER, { default: 'absent' }), 2);
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), Array(held.runs + 2).fill('encode'));
});

onBoth('all who wait for what cannot be stored are given that very object', async ({ cache }) => {
  watched(cache, 'cache.error');
  const value = { greet: () => 'hello' };
  const held = new Held<typeof value>();
  const calls = Array.from({ length: 20 }, () => cache.get(KEY, held.fallback));
  await held.entered;
  held.give(value);
  for (const seen of await Promise.all(calls)) assert.equal(seen, value);
  assert.ok(held.runs <= 2, `${held.runs}`);
});

onBoth('a value over maxValueBytes is returned uncached and told, and refused by set', async (stage) => {
  const cache = stage.make({ maxValueBytes: 10 });
  const faults = watched(cache, 'cache.error');
  const value = 'x'.repeat(20);
  assert.equal(await cache.get(KEY, () => value), value);
  assert.equal(await cache.exists(KEY), false);
  const refused = await rejection(cache.set(KEY, value));
  assert.ok(refused instanceof ValueTooLarge);
  assert.match(refused.message, /maxValueBytes is 10/);
  assert.equal(await cache.set(KEY, 'x'.repeat(8)), true);
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['too_large']);
});

onBoth('a value named __proto__ pollutes nothing', async ({ cache }) => {
  const text = '{ "__proto__": { "isAdmin": true }, "a": { "__proto__": 1 }, "constructor": 2 }';
  for (const [at, more] of [{}, { big: 2n ** 53n + 1n }].entries()) {
    const key = `user:profile:${at}`;
    const value = Object.assign(JSON.parse(text), more);
    for (let time = 0; time < 2; time += 1) {
      const seen = (await cache.get(key, () => value)) as Record<string, unknown>;
      assert.deepEqual(Object.keys(seen), ['__proto__', 'a', 'constructor', ...Object.keys(more)]);
      assert.equal(Object.getPrototypeOf(seen), Object.prototype);
      assert.equal(seen.isAdmin, undefined);
      assert.equal(({} as Record<string, unknown>).isAdmin, undefined);
    }
  }
});

onBoth('each caller has a value of its own', async ({ cache }) => {
  const held = new Held<{ list: number[] }>();
  const calls = [cache.get(KEY, held.fallback), cache.get(KEY, held.fallback)] as const;
  await held.entered;
  const computed = { list: [] };
  held.give(computed);
  const [one, two] = await Promise.all(calls);
  one.list.push(1);
  assert.deepEqual([two, computed, await cache.get(KEY, held.fallback)], [{ list: [] }, { list: [] }, { list: [] }]);
});

test('what a fallback gives is not changed by encoding it', async () => {
  const value = Object.freeze({ big: 2n ** 60n, at: new Date(0), list: Object.freeze([1, undefined]) });
  const before = inspect(value);
  await new CacheManager().get(KEY, () => value as unknown);
  assert.equal(inspect(value), before);
});

function nested(levels: number): unknown {
  let value: unknown = 'innermost';
  for (let level = 0; level < levels; level += 1) value = level % 2 ? [value] : { value };
  return value;
}
