/** Entries with names that mean something to JavaScript: no prototype is ever another than it should be. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { CacheManager, Options } from 'tidegate';
import { z } from 'zod';
import { forge } from './support/forge.js';
import { eventually, KEY, onBoth, onRedis, rejection, watched } from './support/stage.js';

const L1: Options = { l1: '16MB' };
const BIG_INTEGERS = 8;
const BIG = '9007199254740993';
const before = {
  object: Object.getOwnPropertyNames(Object.prototype),
  array: Object.getOwnPropertyNames(Array.prototype),
};

/** JSON as an attacker writes it; what is read is to be what `JSON.parse` makes of it. */
const TEXTS: Record<string, string> = {
  'a prototype': '{"__proto__":{"isAdmin":true},"name":"Ada"}',
  'a prototype deep inside': '{"user":{"a":[{"__proto__":{"isAdmin":true}}]}}',
  'a prototype within a prototype': '{"__proto__":{"__proto__":{"isAdmin":true}}}',
  'a prototype that is null, a list, a text': '[{"__proto__":null},{"__proto__":[1]},{"__proto__":"isAdmin"}]',
  'a prototype twice': '{"__proto__":{"isAdmin":true},"__proto__":{"isAdmin":1}}',
  'a prototype by escapes': '{"\\u005f_proto__":{"isAdmin":true}}',
  'a constructor': '{"constructor":{"prototype":{"isAdmin":true}},"prototype":{"isAdmin":true}}',
  'the names of methods': '{"toString":1,"hasOwnProperty":1,"valueOf":{"__proto__":1},"__defineGetter__":2}',
  'what calls itself a promise and a text': '{"then":{"__proto__":1},"toJSON":1,"length":5}',
};

for (const [name, text] of Object.entries(TEXTS)) {
  const wide = text.startsWith('[') ? `[${BIG},${text.slice(1)}` : `{"big":${BIG},${text.slice(1)}`;
  for (const [how, forged] of Object.entries({
    JSON: (stage: Parameters<typeof forge>[0]) => forge(stage, KEY, 'json', text),
    'JSON with integers beyond 2^53': (stage: Parameters<typeof forge>[0]) =>
      forge(stage, KEY, 'json', wide, BIG_INTEGERS),
    msgpack: (stage: Parameters<typeof forge>[0]) => forge(stage, KEY, 'msgpack', packed(shaped(text))),
  })) {
    onRedis(`${how}: ${name} is a name like any other`, async (stage) => {
      const due = how.includes('beyond') ? withBig(JSON.parse(text)) : JSON.parse(text);
      const [cache, near] = [stage.make(), stage.make(L1)];
      await forged(stage);
      const never = () => assert.fail('a miss');
      const seen = [
        await cache.get(KEY, never),
        await cache.get(KEY, { default: 'absent' }),
        (await cache.getEntry(KEY))?.value,
        (await cache.getMany([KEY], never)).get(KEY),
        await cache.get(KEY, never, { schema: z.unknown() }),
      ];
      const hits = near.stats().l1_hits;
      await eventually(async () => {
        seen.push(await near.get(KEY, never));
        return near.stats().l1_hits > hits;
      });
      for (const value of seen) isPlain(value, due);
      // The same on its way back into the cache, and to a sink.
      for (const codec of ['json', 'msgpack'] as const) {
        assert.equal(await cache.set(KEY, seen[0], { codec }), true);
        isPlain(await cache.get(KEY, never), due);
      }
      const sunk: unknown[] = [];
      const behind = cache.writeBehind('hostile', (items) => void sunk.push(...items.map(({ value }) => value)), {
        maxDelay: 10,
      });
      await behind.put(KEY, seen[0]);
      assert.equal(await behind.flush(), true);
      isPlain(sunk[0], due);
    });
  }
}

/** An object of a list of pairs, so that a name may stand twice and mean what it says. */
type Shape =
  | { readonly pairs: readonly (readonly [string, Shape])[] }
  | { readonly list: readonly Shape[] }
  | { readonly leaf: unknown };

function shaped(text: string): Shape {
  const of = (value: unknown): Shape => {
    if (Array.isArray(value)) return { list: value.map(of) };
    if (typeof value !== 'object' || value === null) return { leaf: value };
    return { pairs: Object.entries(value).map(([name, child]) => [name, of(child)] as const) };
  };
  return of(JSON.parse(text));
}

/** Short texts, lists and maps in msgpack, as another language writes them. */
function packed(shape: Shape): Buffer {
  if ('list' in shape) return Buffer.concat([Buffer.from([0x90 + shape.list.length]), ...shape.list.map(packed)]);
  if ('pairs' in shape) {
    const pairs = shape.pairs.map(([name, child]) => Buffer.concat([textOf(name), packed(child)]));
    return Buffer.concat([Buffer.from([0x80 + pairs.length]), ...pairs]);
  }
  const { leaf } = shape;
  if (typeof leaf === 'string') return textOf(leaf);
  return Buffer.from([leaf === null ? 0xc0 : leaf === true ? 0xc3 : Number(leaf)]);
}

function textOf(text: string): Buffer {
  return Buffer.concat([Buffer.from([0xa0 + text.length]), Buffer.from(text)]);
}

function withBig(value: object): unknown {
  if (Array.isArray(value)) return [BigInt(BIG), ...value];
  return Object.defineProperties({ big: BigInt(BIG) }, Object.getOwnPropertyDescriptors(value));
}

function isPlain(value: unknown, due: unknown): void {
  assert.deepEqual(value, due, inspect(value));
  walk(value);
  assert.equal(({} as { isAdmin?: unknown }).isAdmin, undefined);
  assert.deepEqual(Object.getOwnPropertyNames(Object.prototype), before.object);
  assert.deepEqual(Object.getOwnPropertyNames(Array.prototype), before.array);
}

function walk(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  assert.equal(Object.getPrototypeOf(value), Array.isArray(value) ? Array.prototype : Object.prototype);
  for (const name of Object.getOwnPropertyNames(value)) {
    walk(Object.getOwnPropertyDescriptor(value, name)?.value);
  }
}

const HOSTILE_KEYS = [
  'user:__proto__',
  '__proto__:constructor',
  'constructor:prototype',
  'a:hasOwnProperty',
  'a:toString',
];

onBoth('keys and tags may be called what they like', async (stage) => {
  const cache = stage.make(L1);
  const pairs = HOSTILE_KEYS.map((key) => [key, { of: key }] as const);
  const values = Object.fromEntries(pairs);
  assert.equal(await cache.setMany(values), true);
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual([...(await cache.getMany(HOSTILE_KEYS, () => assert.fail('a miss')))], pairs);
  }
  await cache.invalidate(HOSTILE_KEYS);
  const fetched = await cache.getMany(HOSTILE_KEYS, () => JSON.parse(JSON.stringify(values)));
  assert.deepEqual([...fetched], pairs);
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const key = `user:tagged:${name}`;
    assert.equal(await cache.get(key, () => 1, { tags: [name] }), 1);
    assert.equal(await cache.invalidateTag(name), true);
    await eventually(async () => (await cache.get(key, { default: 'gone' })) === 'gone');
    const view = cache.namespace(name);
    await view.set(key, 2);
    assert.equal(await view.clear(), true);
    assert.equal(await cache.get(key, { default: 'gone' }), 'gone');
    const tenant: CacheManager = cache.tenant(name);
    assert.equal(await tenant.get(key, () => 3), 3);
    assert.equal(tenant.stats().misses >= 1, true);
    const sunk: string[] = [];
    const behind = cache.writeBehind(name, (items) => void sunk.push(...items.map((item) => item.key)), {
      maxDelay: 10,
    });
    await behind.put(key, 4);
    assert.equal(await behind.flush(), true);
    assert.deepEqual(sunk, [key]);
  }
});

onBoth('what has a name for a value only by its prototype has none', async (stage) => {
  const cache = stage.make();
  const inherited = Object.create({ [KEY]: 'inherited' }) as Record<string, string>;
  inherited['user:profile:2'] = 'own';
  const seen = await cache.getMany([KEY, 'user:profile:2', 'user:__proto__'], () => inherited);
  assert.deepEqual([...seen.values()], [null, 'own', null]);
  assert.equal(await cache.setMany(inherited), true);
  assert.equal(await cache.get(KEY, { default: 'absent' }), null);
});

onBoth('options with such names are refused, or not seen', async (stage) => {
  const cache = stage.make();
  watched(cache, 'cache.error');
  const parsed = JSON.parse('{ "__proto__": { "ttl": "1h" } }');
  // biome-ignore lint/suspicious/noExplicitAny: wrong programs
  const loose = cache as any;
  for (const call of [
    () => cache.get(KEY, () => 1, parsed),
    () => cache.set(KEY, 1, parsed),
    () => cache.getEntry(KEY, parsed),
    () => cache.invalidate(KEY, parsed),
    () => loose.get(KEY, () => 1, { constructor: 1 }),
    () => loose.set(KEY, 1, { toString: 1 }),
    async () => cache.tenant('acme', parsed),
    async () => cache.writeBehind('q', null, parsed),
    async () => stage.make(parsed),
  ]) {
    const error = (await rejection(call())) as Error & { code?: string };
    assert.equal(error.code, 'ERR_TIDEGATE_CONFIG', inspect(error));
    assert.match(error.message, /there is no option "(__proto__|constructor|toString)"/);
  }
  assert.deepEqual(Object.getOwnPropertyNames(Object.prototype), before.object);
});
