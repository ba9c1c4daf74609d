/** The warning of a value that comes back as something else, since its call names no schema. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import vm from 'node:vm';
import { CacheManager } from 'tidegate';
import { FakeClock, MemoryStore } from 'tidegate/testing';
import { z } from 'zod';
import { KEY, onBoth } from './support/stage.js';

class User {
  constructor(readonly id: number) {}
}

class Rows extends Array<number> {}

/** What the process is warned of while `block` runs, by this code. */
async function warned(block: () => Promise<unknown>): Promise<string[]> {
  const told: string[] = [];
  const listen = (warning: Error & { code?: string }) => {
    if (warning.code !== 'TIDEGATE_UNTYPED') return;
    assert.equal(warning.name, 'TidegateWarning');
    told.push(warning.message);
  };
  process.on('warning', listen);
  try {
    await block();
    await turn();
    return told;
  } finally {
    process.off('warning', listen);
  }
}

const OTHERS: readonly [unknown, string, string][] = [
  [new User(1), 'User', 'a plain object'],
  [new Date(0), 'Date', 'a text'],
  [{ toJSON: () => 'text' }, 'Object', 'a text'],
  [7n, 'bigint', 'a number'],
  [Rows.of(1, 2), 'Rows', 'a plain array'],
  [[new User(1)], 'array of User', 'one of plain object'],
  [{ at: new Date(0), id: 1 }, 'object of Date', 'one of text'],
];

for (const [value, given, comes] of OTHERS) {
  onBoth(`a ${given} that comes back as ${comes} is told of`, async ({ cache }) => {
    const told = await warned(() => cache.get(KEY, () => value));
    assert.equal(told.length, 1);
    assert.match(
      told[0] ?? '',
      new RegExp(`^"${KEY}" names no schema, so its ${given} comes back as ${comes}, on hits`),
    );
  });
}

test('what is kept as it was is not told of', async () => {
  const clock = new FakeClock();
  const cache = new CacheManager({ store: new MemoryStore({ clock }), codec: 'msgpack', staleIfError: '1h' });
  await cache.set(KEY, { body: Buffer.from('a') }, { ttl: '1s' });
  clock.advance('2s');
  const told = await warned(() => cache.get(KEY, (context) => context.notModified()));
  assert.deepEqual(told, []);
  await cache.close();
});

test('what codecs hold is not told of', async () => {
  const cache = new CacheManager();
  const plain: unknown[] = [
    null,
    undefined,
    1,
    'a',
    true,
    [],
    {},
    [1, [new User(1)]],
    [{ id: 1 }],
    { id: 1, at: new Date(0) },
  ];
  plain.push(
    Object.create(null),
    vm.runInNewContext('[1]'),
    vm.runInNewContext('({ id: 1, in: [{}] })'),
    new Map(),
    2n ** 60n,
  );
  const told = await warned(async () => {
    for (const [at, value] of plain.entries()) await cache.get(`a:b${at}:1`, () => value);
    await cache.get('c:d:1', () => Buffer.from('a'), { codec: 'raw' });
    await cache.get('c:d:2', () => new Uint8Array(2), { codec: 'raw' });
    await cache.get('c:d:3', () => new Date(0), { codec: 'msgpack' });
    await cache.get('c:d:4', () => Buffer.from('a'), { codec: 'msgpack' });
  });
  assert.deepEqual(told, []);
  await cache.close();
});

test('what a schema makes is not, nor is a write, whose readers have one', async () => {
  const cache = new CacheManager();
  const told = await warned(async () => {
    await cache.get('a:b:1', () => new Date(0), { schema: z.coerce.date() });
    await cache.set(KEY, new User(1));
    await cache.writeThrough(KEY, new User(1), () => {});
    await cache.setFields('a:c:1', { user: new User(1) });
    await cache.writeBehind('elsewhere', null).put('a:d:1', new User(1));
    await cache.writeBehind('typed', () => {}, { schema: z.object({ id: z.number() }) }).put('a:e:1', new User(1));
  });
  assert.deepEqual(told, []);
  await cache.close();
});

onBoth('it is told once for each kind of key and type', async (stage) => {
  const { cache } = stage;
  const told = await warned(async () => {
    for (const at of [1, 2, 3]) {
      await cache.get(`user:profile:${at}`, () => new User(1));
      await cache.get(`user:other:${at}`, () => new User(1));
      await cache.tenant('acme').get(`user:profile:${at}`, () => new User(1));
      await cache.get(`user:profile:${at}:born`, () => new Date(0));
    }
  });
  assert.deepEqual(
    told.map((text) => text.split(',')[0]),
    ['"user:profile:1" names no schema', '"user:other:1" names no schema', '"user:profile:1:born" names no schema'],
  );
  const again = await warned(() => stage.make({ service: 'another' }).get(KEY, () => new User(1)));
  assert.equal(again.length, 1);
});

test('what has been told of is bounded', async () => {
  const cache = new CacheManager();
  const told = await warned(async () => {
    for (let at = 0; at < 1_100; at += 1) await cache.get(`user:of${at}:1`, () => new User(1));
  });
  assert.equal(told.length, 1_024);
  await cache.close();
});

onBoth('wherever a fallback gives a value', async ({ cache }) => {
  const many = (keys: string[]) => new Map(keys.map((key) => [key, new User(1)]));
  const told = await warned(async () => {
    await cache.refresh('a:b:1', () => new User(1));
    await cache.getMany(['c:d:1'], many);
    await cache.getFields('e:f:1', ['user', 'name'], () => ({ user: new User(1), name: 'Ada' }));
    const schema = { name: z.object({ id: z.number() }) };
    await cache.getFields('e:g:1', ['name', 'user'], () => ({ name: new User(1), user: new User(1) }), { schema });
    await cache.disabled(async () => {
      await cache.get('g:h:1', () => new User(1));
      await cache.getMany(['i:j:1'], many);
    });
    await cache.wrap(async () => new User(1), { key: () => 'k:l:1' })();
    await cache.writeBehind('users', () => {}).put('m:n:1', new User(1));
  });
  assert.deepEqual(
    told.map((text) => text.split(' names')[0]),
    [
      '"a:b:1"',
      '"c:d:1"',
      'field "user" of "e:f:1"',
      'field "user" of "e:g:1"',
      '"g:h:1"',
      '"i:j:1"',
      '"k:l:1"',
      '"m:n:1"',
    ],
  );
});

test('what does not like to be looked at twice is nobody’s fault', async () => {
  const cache = new CacheManager();
  let looks = 0;
  const shy = {
    get id() {
      looks += 1;
      if (looks > 2) throw new Error('again?');
      return 1;
    },
  };
  assert.deepEqual(await cache.get(KEY, () => shy), { id: 1 });
  assert.deepEqual(await cache.get(KEY, { default: null }), { id: 1 });
  await cache.close();
});
