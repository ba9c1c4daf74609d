/** Schemas: what they make of what is stored is what callers are given, on the miss as on every hit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { type } from 'arktype';
import {
  type AnySchema,
  type CacheEvents,
  type CacheManager,
  EncodeError,
  HardTimeout,
  helpersOf,
  type Options,
  type StandardSchema,
} from 'tidegate';
import * as v from 'valibot';
import { z } from 'zod';
import { eventually, Held, KEY, onBoth, reasonsAtTheEnd, rejection, settled, watched } from './support/stage.js';

const OTHER = 'user:profile:2';
const L1: Options = { l1: '16MB', ttlJitter: 0 };
const BORN = new Date('1815-12-10');
const STORED = { id: 7, born: '1815-12-10T00:00:00.000Z', extra: true };
const GIVEN = { id: 7, born: BORN };
const WRONG = { id: 'a secret id 4711', born: 'yesterday' };

/** By hand: what the specification asks for, and nothing more. */
function byHand(isAsync: boolean): StandardSchema<typeof STORED, typeof GIVEN> {
  const check = (value: unknown) => {
    const { id, born } = value as typeof STORED;
    if (typeof id !== 'number') return { issues: [{ message: 'no number', path: ['id'] }] };
    return { value: { id, born: new Date(born) } };
  };
  const validate = isAsync ? async (value: unknown) => settled().then(() => check(value)) : check;
  return { '~standard': { version: 1, vendor: 'hand', validate } };
}

const SCHEMAS: [name: string, schema: AnySchema, place: string][] = [
  ['zod', z.object({ id: z.number(), born: z.coerce.date() }), '$.id: '],
  [
    'valibot',
    v.object({
      id: v.number(),
      born: v.pipe(
        v.string(),
        v.transform((text) => new Date(text)),
      ),
    }),
    '$.id: ',
  ],
  ['arktype', type({ id: 'number', born: 'string.date.iso.parse', '+': 'delete' }), '$.id: '],
  ['an async one of zod', z.object({ id: z.number(), born: z.coerce.date() }).refine(async () => true), '$.id: '],
  ['one by hand', byHand(false), '$.id: no number'],
  ['an async one by hand', byHand(true), '$.id: no number'],
];

for (const [name, schema, place] of SCHEMAS) {
  for (const codec of ['json', 'msgpack'] as const) {
    onBoth(`${name}: all are given what it makes of what is stored, in ${codec}`, async (stage) => {
      const [cache, near] = [stage.make({ codec }), stage.make({ codec, ...L1 })];
      const never = () => assert.fail('it stands there');
      const options = { schema };
      const seen = [
        await cache.get(KEY, () => STORED, options),
        await cache.get(KEY, never, options),
        await cache.get(KEY, { default: 'absent', schema }),
        (await cache.getEntry(KEY, options))?.value,
        ...(await cache.getMany([KEY, OTHER], () => ({ [OTHER]: STORED }), options)).values(),
        await cache.refresh(KEY, () => STORED, options),
        await cache.disabled(() => cache.get(KEY, () => STORED, options)),
        ...(await cache.disabled(() => cache.getMany([KEY], () => ({ [KEY]: STORED }), options))).values(),
        await cache.wrap(async (_id: number) => STORED, { key: () => KEY, schema })(7),
        await cache.get('user:profile:3', () => ({ ...STORED, born: BORN }), options).then(() => GIVEN),
      ];
      const before = near.stats().l1_hits;
      await eventually(async () => {
        seen.push(await near.get(KEY, never, options));
        return near.stats().l1_hits > before + 2;
      });
      seen.push(await near.get(KEY, { default: 'absent', schema }));
      seen.push((await near.getMany([KEY], never, options)).get(KEY));
      for (const value of seen) assert.deepEqual(value, GIVEN);
      // What is stored is what the fallback gave, not what the schema made of it.
      assert.deepEqual(await cache.get(KEY, never), STORED);
      assert.deepEqual(await near.get(KEY, never), STORED);
    });
  }

  onBoth(`${name}: an entry that does not fit is a miss, told without its values, and overwritten`, async (stage) => {
    for (const options of [{}, L1]) {
      const cache = stage.make(options);
      const faults = watched(cache, 'cache.error');
      await cache.setMany({ [KEY]: WRONG, [OTHER]: WRONG });
      // Held by the process too, where it holds any.
      for (let reading = 0; reading < 5; reading += 1) await cache.get(KEY, { default: null });
      assert.equal(await cache.get(KEY, { default: 'absent', schema }), 'absent');
      assert.equal(await cache.getEntry(KEY, { schema }), null);
      assert.deepEqual(await cache.get(KEY, () => STORED, { schema }), GIVEN);
      assert.deepEqual(await cache.get(KEY, () => assert.fail('overwritten'), { schema }), GIVEN);
      const many = await cache.getMany([KEY, OTHER], (keys) => new Map(keys.map((key) => [key, STORED])), { schema });
      assert.deepEqual([...many.values()], [GIVEN, GIVEN]);
      assert.deepEqual(await reasonsAtTheEnd(cache, faults), Array(4).fill('schema'));
      for (const { message } of faults) tellsNoValue(message, place);
    }
  });

  onBoth(
    `${name}: what the fallback gives and does not fit is returned as it is, uncached, and told`,
    async (stage) => {
      const cache = stage.make(L1);
      const faults = watched(cache, 'cache.error');
      const many = () => ({ [KEY]: WRONG, [OTHER]: STORED });
      assert.equal(await cache.get(KEY, () => WRONG, { schema }), WRONG);
      assert.equal(await cache.refresh(KEY, () => WRONG, { schema }), WRONG);
      const values = await cache.getMany([KEY, OTHER], many, { schema });
      assert.equal(values.get(KEY), WRONG);
      assert.deepEqual(values.get(OTHER), GIVEN);
      assert.equal(await cache.disabled(() => cache.get(KEY, () => WRONG, { schema })), WRONG);
      assert.equal(await cache.exists(KEY), false);
      const held = new Held<typeof WRONG>();
      const calls = [1, 2, 3].map(() => cache.get(KEY, held.fallback, { schema }));
      await held.entered;
      held.give(WRONG);
      for (const call of calls) assert.equal(await call, WRONG);
      await cache.close();
      assert.ok(faults.length >= 4 && faults.length <= 6, `${faults.length}`);
      for (const { reason, message, key } of faults) {
        assert.deepEqual([reason, key], ['schema', KEY]);
        tellsNoValue(message, place);
      }
      const strict = stage.make({ strict: true });
      watched(strict, 'cache.error');
      const refused = await rejection(strict.get(KEY, () => WRONG, { schema }));
      assert.ok(refused instanceof EncodeError, inspect(refused));
      tellsNoValue(refused.message, place);
    },
  );
}

function tellsNoValue(message: string, place: string): void {
  assert.ok(message.includes(place), message);
  assert.ok(!/secret|4711|yesterday/.test(message), message);
  assert.ok(
    message.length < 800 && JSON.stringify(message) === `"${message.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
    message,
  );
}

const THROWS: [name: string, validate: (value: unknown) => unknown, says: string][] = [
  [
    'throws',
    () => {
      throw new TypeError('no "secret 4711"\n\u001b[31m here');
    },
    'its schema failed: no … […m here',
  ],
  [
    'throws what is no error',
    () => {
      throw null;
    },
    'its schema failed: ',
  ],
  ['rejects', () => Promise.reject(new Error('away')), 'its schema failed: away'],
  ['gives nothing', () => undefined, 'its schema failed: '],
  ['gives issues that are none', () => ({ issues: [null, 5, { message: 7, path: 'x' }, {}] }), '; and 1 more'],
  ['gives no list of issues', () => ({ issues: 5 }), 'its schema failed: '],
  ['gives a long story', () => ({ issues: [{ message: 'x'.repeat(10_000), path: Array(900).fill('deep') }] }), '…'],
  [
    'names odd places',
    () => ({ issues: [{ message: 'bad', path: ['a', 0, { key: 'b\n"c' }, Symbol('s')] }] }),
    '$.a[0]["b\\n\\"c"]["Symbol(s)"]: bad',
  ],
];
for (const [name, validate, says] of THROWS) {
  onBoth(`a schema that ${name} is a schema that nothing fits`, async (stage) => {
    const cache = stage.make();
    const faults = watched(cache, 'cache.error');
    const schema = { '~standard': { version: 1, vendor: 'odd', validate } } as unknown as AnySchema;
    await cache.set(KEY, WRONG);
    assert.equal(await cache.get(KEY, { default: 'absent', schema }), 'absent');
    assert.equal(await cache.get(OTHER, () => WRONG, { schema }), WRONG);
    assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['schema', 'schema']);
    for (const { message } of faults) {
      assert.ok(message.includes(says), message);
      tellsNoValue(message, '');
    }
  });
}

onBoth('a null is a null, whatever the schema', async (stage) => {
  const schema = z.object({ id: z.number() });
  const cache = stage.make(L1);
  const faults = watched(cache, 'cache.error');
  assert.equal(await cache.get(KEY, (): { id: number } | null => null, { schema }), null);
  for (let reading = 0; reading < 4; reading += 1) {
    assert.equal(await cache.get(KEY, () => assert.fail('cached'), { schema }), null);
  }
  assert.deepEqual([...(await cache.getMany([OTHER], () => ({}), { schema })).values()], [null]);
  assert.equal((await cache.getEntry(OTHER, { schema }))?.value, null);
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), []);
});

onBoth('raw: a schema has to take bytes', async (stage) => {
  const cache = stage.make({ codec: 'raw' });
  watched(cache, 'cache.error');
  const schema = z.instanceof(Uint8Array).transform((bytes) => bytes.length);
  assert.deepEqual(
    [await cache.get(KEY, () => Buffer.alloc(5), { schema }), await cache.get(KEY, { default: 0, schema })],
    [5, 5],
  );
  assert.deepEqual(await cache.get(KEY, { default: 'absent', schema: z.string() }), 'absent');
});

onBoth('callers of one flight each have their own schema', async (stage) => {
  const cache = stage.make();
  const held = new Held<typeof STORED>();
  const ids = cache.get(KEY, held.fallback, { schema: z.object({ id: z.number() }) });
  const times = cache.get(KEY, held.fallback, { schema: z.object({ born: z.coerce.date() }) });
  const plain = cache.get(KEY, held.fallback);
  await held.entered;
  held.give(STORED);
  assert.deepEqual([await ids, await times, await plain], [{ id: 7 }, { born: BORN }, STORED]);
  assert.ok(held.runs <= 2, `${held.runs}`);
});

onBoth('stale values are served as the schema makes them, and only those that fit', async (stage) => {
  const cache = stage.make({ staleIfError: '1h', staleWhileRevalidate: '1h', ttlJitter: 0 });
  watched(cache, 'cache.error', 'cache.fallback_error');
  const schema = z.object({ id: z.number(), born: z.coerce.date() });
  const boom = new Error('away');
  const fails = () => Promise.reject(boom) as Promise<typeof STORED>;
  await cache.setMany({ [KEY]: STORED, [OTHER]: WRONG });
  await cache.expire([KEY, OTHER]);
  const { staleWhileRevalidate: _, ...onError } = { staleWhileRevalidate: 0, schema };
  assert.deepEqual(await cache.get(KEY, fails, { ...onError, staleWhileRevalidate: 0 }), GIVEN);
  assert.equal(
    await rejection(cache.get(OTHER, fails, { ...onError, staleWhileRevalidate: 0, errorBackoff: 1 })),
    boom,
  );
  let seen: unknown;
  const unchanged = (ctx: { stale: unknown; notModified(): never }) => {
    seen = ctx.stale;
    return ctx.notModified();
  };
  assert.deepEqual(await cache.refresh(KEY, unchanged, { schema }), GIVEN);
  assert.deepEqual(seen, STORED);
  assert.deepEqual(await cache.get(KEY, () => assert.fail('renewed'), { schema }), GIVEN);
  await cache.expire(KEY);
  const refused = await cache.refresh(KEY, unchanged, { schema: z.object({ name: z.string() }) });
  assert.deepEqual(refused, STORED as unknown);
});

onBoth('a soft timeout serves what fits', async (stage) => {
  const cache = stage.make({ staleIfError: '1h', ttlJitter: 0 });
  const schema = byHand(true);
  await cache.set(KEY, STORED);
  await cache.expire(KEY);
  const held = new Held<typeof STORED>();
  assert.deepEqual(await cache.get(KEY, held.fallback, { schema, softTimeout: 20 }), GIVEN);
  held.give({ ...STORED, id: 8 });
  await eventually(async () => (await cache.get(KEY, { default: null, schema }))?.id === 8);
});

onBoth('methods and wrapped functions give what the schema makes', async (stage) => {
  const cache = stage.make();
  const schema = z.object({ id: z.number(), born: z.coerce.date() });
  class Users {
    @cache.cached({ key: (id: number) => `user:profile:${id}`, schema })
    async find(id: number): Promise<typeof GIVEN> {
      return { id, born: BORN };
    }
  }
  const users = new Users();
  const given = { id: 4, born: BORN };
  assert.deepEqual([await users.find(4), await users.find(4)], [given, given]);
  assert.deepEqual(await helpersOf(users, 'find').getCached(4), given);
  const find = cache.wrap(async (id: number) => ({ ...STORED, id }), { key: (id) => `user:wrapped:${id}`, schema });
  assert.deepEqual(
    [await find(4), await find(4), await find.refresh(4), await find.getCached(4)],
    Array(4).fill(given),
  );
});

onBoth('a sink is given what the schema makes, and is spared what does not fit', async (stage) => {
  const cache = stage.make();
  const faults: CacheEvents['cache.error'][] = watched(cache, 'cache.error');
  const schema = z.object({ id: z.number(), born: z.coerce.date<string>() });
  const seen: unknown[] = [];
  const behind = cache.writeBehind(
    'users',
    (items) => void seen.push(...items.map(({ value }) => value.born.getTime())),
    { schema, maxDelay: 10, maxAttempts: 1 },
  );
  await behind.put(KEY, { id: 1, born: '1815-12-10' });
  await cache.writeBehind('users').put(OTHER, WRONG);
  await eventually(async () => (await behind.deadLetters.list()).length === 1);
  assert.deepEqual(seen, [BORN.getTime()]);
  const [letter] = await behind.deadLetters.list();
  assert.deepEqual([letter?.key, letter?.value as unknown], [OTHER, WRONG]);
  await cache.close();
  const told = faults.filter(({ reason }) => reason === 'schema');
  assert.ok(told.length > 0);
  for (const { message } of told) tellsNoValue(message, '$.id: ');
});

onBoth('a schema that never ends is over when the fallback’s time is', async (stage) => {
  const cache = stage.make({ hardTimeout: 100 });
  watched(cache, 'cache.error');
  const never: AnySchema = { '~standard': { version: 1, vendor: 'slow', validate: () => new Promise(() => {}) } };
  assert.ok((await rejection(cache.get(KEY, () => STORED, { schema: never }))) instanceof HardTimeout);
  assert.equal(await cache.get(KEY, () => 'mine'), 'mine');
});

test('a schema is asked once for each caller, and not at all where there is none', async () => {
  const { CacheManager } = await import('tidegate');
  const cache: CacheManager = new CacheManager();
  let asked = 0;
  const schema: AnySchema = {
    '~standard': { version: 1, vendor: 'count', validate: (value) => ({ value: [value, ++asked] }) },
  };
  assert.deepEqual(await cache.get(KEY, () => 'a', { schema }), ['a', 1]);
  assert.deepEqual(await cache.get(KEY, () => 'b', { schema }), ['a', 2]);
  assert.deepEqual(await cache.get(KEY, () => 'b'), 'a');
  assert.equal(asked, 2);
});

onBoth(
  'a program that puts a Promise of its own in the place of the language’s is given its values',
  async ({ cache }) => {
    const schema = z.object({ id: z.number() });
    const own = globalThis.Promise;
    await cache.set(KEY, { id: 7 });
    globalThis.Promise = class extends own<unknown> {} as PromiseConstructor;
    try {
      assert.deepEqual(await cache.get(KEY, () => assert.fail('it stands there'), { schema }), { id: 7 });
      const many = await cache.getMany([KEY], () => assert.fail('it stands there'), { schema });
      assert.deepEqual([...many.values()], [{ id: 7 }]);
    } finally {
      globalThis.Promise = own;
    }
  },
);
