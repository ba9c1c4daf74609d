/** Values in msgpack and as bytes: the rules of numbers, texts, times and bytes, on the miss as on every hit. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { type CacheManager, EncodeError, type Options } from 'tidegate';
import { eventually, Held, KEY, onBoth, reasonsAtTheEnd, rejection, watched } from './support/stage.js';

const OTHER = 'user:profile:2';
const MSGPACK: Options = { codec: 'msgpack' };
const RAW: Options = { codec: 'raw' };
const L1: Options = { l1: '16MB' };

/** What each way of reading gives: of the one who computed, of those who come later, and of another manager. */
async function everyWay(
  make: (options?: Options) => CacheManager,
  codec: Options,
  value: unknown,
): Promise<[way: string, given: unknown][]> {
  const [cache, other, near] = [make(codec), make(), make({ ...codec, ...L1 })];
  const never = () => assert.fail('it stands there');
  const ways: [string, unknown][] = [
    ['the miss', await cache.get(KEY, () => value)],
    ['a hit', await cache.get(KEY, never)],
    ['another manager', await other.get(KEY, { default: 'absent' })],
    ['getEntry', (await other.getEntry(KEY))?.value],
    ['getMany', (await cache.getMany([KEY, OTHER], () => ({ [OTHER]: value }))).get(KEY)],
    ['the miss of getMany', await cache.get(OTHER, never)],
    ['without the cache', await cache.disabled(() => cache.get(KEY, () => value))],
    ['refresh', await cache.refresh(KEY, () => value)],
    ['set', (await cache.set(OTHER, value)) && (await other.get(OTHER, never))],
  ];
  const before = near.stats().l1_hits;
  await eventually(async () => {
    await near.get(KEY, never);
    return near.stats().l1_hits > before;
  });
  ways.push(['the process', await near.get(KEY, never)], ['and again', await near.get(KEY, never)]);
  return ways;
}

const FIRST = Buffer.from([0, 1, 2, 253, 254, 255]);

/** A value, and what all are given for it in msgpack. */
const IN_MSGPACK: [name: string, value: unknown, given?: unknown][] = [
  ['no number, the infinities, and -0', [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0]],
  ['NaN itself', Number.NaN],
  ['-0 itself', -0],
  ['whole numbers of every width', widths()],
  ['the ends of what is exact', [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 53, -(2 ** 53)]],
  ['numbers beyond 2^53', [2 ** 53 + 2, -(2 ** 60), 1e20, 1e21, Number.MAX_VALUE, 5e-324, 0.1]],
  ['a bigint that a number can hold', [7n, -(2n ** 53n), 2n ** 53n], [7, -(2 ** 53), 2 ** 53]],
  ['bigints of 64 bits', [2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 64n - 1n, -(2n ** 63n)]],
  ['a bigint itself', 2n ** 63n],
  ['a bigint beside numbers of all kinds', { id: 2n ** 60n, count: 5_000_000_000, share: 0.5, zero: -0 }],
  ['dates', [new Date(0), new Date(1), new Date(-1), new Date(1e12), new Date('2514-05-30T01:53:04.003Z')]],
  ['dates of the ends', [new Date(8.64e15), new Date(-8.64e15), new Date(2 ** 34 * 1_000), new Date(2 ** 32 * 1_000)]],
  ['a date itself', new Date('2026-02-03T04:05:06.789Z')],
  ['an impossible date', [new Date(Number.NaN)], [null]],
  ['an impossible date itself', new Date(Number.NaN), null],
  ['a Buffer', FIRST],
  [
    'bytes deep inside',
    { photo: new Uint8Array([1, 2]), all: [Buffer.alloc(300, 7)] },
    { photo: Buffer.from([1, 2]), all: [Buffer.alloc(300, 7)] },
  ],
  ['an ArrayBuffer', { of: new Uint8Array([3, 4]).buffer }, { of: Buffer.from([3, 4]) }],
  ['bytes longer than the mailbox', Buffer.alloc(300_000, 'tide')],
  ['no bytes', Buffer.alloc(0)],
  ['undefined inside', { gone: undefined, list: [undefined] }, { list: [null] }],
  [
    'an object of a class',
    new (class User {
      name = 'Ada';
    })(),
    { name: 'Ada' },
  ],
  [
    'what has toJSON',
    { url: new URL('https://example.org/'), it: { toJSON: () => new Date(5) } },
    { url: 'https://example.org/', it: new Date(5) },
  ],
  ['what is nothing as JSON', { toJSON: () => undefined }, null],
  ['boxed texts and numbers', [Object('text'), Object(5), Object(true), Object(7n)], ['text', 5, true, 7]],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ['a list with holes', new Array(2), [null, null]],
  ['texts of every length', [0, 1, 31, 32, 255, 256, 65_535, 65_536].map((length) => 'x'.repeat(length))],
  ['texts in many scripts', ['ü', '🎉'.repeat(40), '日本', '\u0000\u2028"\\', '\ufeffmark', 'é'.repeat(40_000)]],
  ['names in many scripts', { ü: 1, '🎉': 2, '': 3, ['x'.repeat(300)]: 4 }],
  ['lists and objects of every length', [0, 15, 16, 65_535, 65_536].map((length) => Array.from({ length }, () => 1))],
  ['an object of many names', Object.fromEntries(Array.from({ length: 70_000 }, (_, at) => [`n${at}`, at]))],
  ['true, false, null', [true, false, null]],
  ['64 levels', nested(64)],
];
for (const [name, value, given = value] of IN_MSGPACK) {
  onBoth(`msgpack: ${name}`, async (stage) => {
    for (const [way, seen] of await everyWay((options) => stage.make(options), MSGPACK, value)) {
      assert.deepEqual(seen, given, way);
    }
  });
}

const cyclic: unknown[] = [];
cyclic.push(cyclic);

/** What a codec cannot hold, and what the fault says of it. */
const UNSTORABLE: [codec: Options, name: string, value: unknown, says: string][] = [
  [
    MSGPACK,
    'a bigint beyond 64 bits',
    { ids: [1n, 2n ** 64n] },
    '$.ids[1] is a bigint beyond 64 bits, which msgpack cannot hold',
  ],
  [MSGPACK, 'a bigint below 64 bits', -(2n ** 63n) - 1n, '$ is a bigint beyond 64 bits'],
  [MSGPACK, 'half a surrogate pair', ['ok', 'x\ud800y'], '$[1] is a text with a lone surrogate'],
  [
    MSGPACK,
    'half a surrogate pair in a long text',
    { a: `${'x'.repeat(50)}\udc00` },
    '$.a is a text with a lone surrogate',
  ],
  [
    MSGPACK,
    'a name with half a surrogate pair',
    { a: { 'x\ud800': 1 } },
    "$.a: the name 'x\\ud800' is a text with a lone",
  ],
  [MSGPACK, 'a Map', { user: [{ tags: new Map() }] }, '$.user[0].tags is a Map, which msgpack cannot hold'],
  [MSGPACK, 'a Set', [1, new Set()], '$[1] is a Set, which msgpack cannot hold: give [...set]'],
  [MSGPACK, 'numbers in an array of their own', { of: new Float64Array(2) }, '$.of is a Float64Array'],
  [MSGPACK, 'clamped bytes', new Uint8ClampedArray(2), '$ is a Uint8ClampedArray'],
  [MSGPACK, 'a view of data', new DataView(new ArrayBuffer(2)), '$ is a DataView'],
  [MSGPACK, 'memory that others share', new SharedArrayBuffer(2), '$ is a SharedArrayBuffer'],
  [MSGPACK, 'a function', { name: 'Ada', greet() {} }, '$.greet is a function'],
  [MSGPACK, 'a symbol', [Symbol('x')], '$[0] is a symbol'],
  [MSGPACK, 'an error', [new RangeError('x')], '$[0] is a RangeError'],
  [MSGPACK, '65 levels', nested(65), 'is nested deeper than 64 levels'],
  [
    MSGPACK,
    'what stands in itself',
    cyclic,
    '$[0] is what it stands in: the value contains itself, which msgpack cannot hold',
  ],
  [
    MSGPACK,
    'a getter that throws',
    {
      get name() {
        throw new Error('no name');
      },
    },
    '$ cannot be written: no name',
  ],
  [{}, '65 levels', nested(65), 'is nested deeper than 64 levels'],
  [
    RAW,
    'a text',
    'text',
    '$ is a string, which the codec raw cannot hold: it takes a Buffer, a Uint8Array or an ArrayBuffer',
  ],
  [RAW, 'an object', { a: 1 }, '$ is a Object, which the codec raw cannot hold'],
  [RAW, 'a number', 5, '$ is a number'],
  [RAW, 'a list of bytes', [1, 2], '$ is a Array'],
  [RAW, 'numbers in an array of their own', new Uint16Array(2), '$ is a Uint16Array'],
];
for (const [codec, name, value, says] of UNSTORABLE) {
  onBoth(`${codec.codec ?? 'json'}: ${name} is returned as it is, uncached, and told`, async (stage) => {
    const cache = stage.make(codec);
    const faults = watched(cache, 'cache.error');
    assert.equal(await cache.get(KEY, () => value), value);
    const refused = await rejection(cache.set(KEY, value));
    assert.ok(refused instanceof EncodeError, inspect(refused));
    assert.ok((await rejection(cache.writeThrough(KEY, value, () => assert.fail('persisted')))) instanceof EncodeError);
    assert.equal(await cache.exists(KEY), false);
    assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['encode']);
    for (const message of [faults[0]?.message ?? '', refused.message]) {
      assert.ok(message.startsWith(`the value of "${KEY}" is not stored: $`) && message.includes(says), message);
    }
  });
}

onBoth('JSON: 64 levels, the innermost a date, come back', async (stage) => {
  let value: unknown = new Date(0);
  let given: unknown = '1970-01-01T00:00:00.000Z';
  for (let level = 0; level < 64; level += 1) [value, given] = [[value], [given]];
  for (const [way, seen] of await everyWay((options) => stage.make(options), {}, value)) {
    assert.deepEqual(seen, given, way);
  }
});

const BYTES: [name: string, value: unknown, given: Buffer][] = [
  ['a Buffer', FIRST, FIRST],
  ['a Uint8Array', new Uint8Array([9, 8]), Buffer.from([9, 8])],
  ['a part of a longer one', Buffer.from('0123456789').subarray(3, 6), Buffer.from('345')],
  ['an ArrayBuffer', new Uint8Array([7]).buffer, Buffer.from([7])],
  ['no bytes', new Uint8Array(), Buffer.alloc(0)],
  ['bytes longer than the mailbox', Buffer.alloc(400_000, 'raw'), Buffer.alloc(400_000, 'raw')],
  ['what is no text in any language', Buffer.from([0xff, 0xc0, 0x80]), Buffer.from([0xff, 0xc0, 0x80])],
];
for (const [name, value, given] of BYTES) {
  onBoth(`raw: ${name} comes back as a Buffer of its own`, async (stage) => {
    for (const [way, seen] of await everyWay((options) => stage.make(options), RAW, value)) {
      assert.deepEqual(seen, given, way);
      assert.ok(Buffer.isBuffer(seen) && seen !== value, way);
      assert.equal(seen.buffer.byteLength, seen.length, `${way}: the memory is shared`);
    }
  });
}

onBoth('raw: a null is a cached null', async (stage) => {
  for (const [way, seen] of await everyWay((options) => stage.make(options), RAW, null)) assert.equal(seen, null, way);
});

for (const codec of ['raw', 'msgpack'] as const) {
  onBoth(`${codec}: what callers do to their bytes is nobody else's`, async (stage) => {
    const cache = stage.make({ codec, ...L1 });
    const mine = Buffer.from('mine');
    const setting = cache.set(KEY, mine);
    mine.fill(0);
    assert.equal(await setting, true);
    const held = new Held<Buffer>();
    const reads = [1, 2, 3].map(() => cache.get(OTHER, held.fallback));
    const computed = Buffer.from('computed');
    await held.entered;
    held.give(computed);
    for (const read of reads) {
      const seen = await read;
      assert.equal(`${seen}`, 'computed');
      seen.fill(0);
    }
    computed.fill(0);
    for (const [key, text] of [
      [KEY, 'mine'],
      [OTHER, 'computed'],
    ] as const) {
      for (let reading = 0; reading < 5; reading += 1) {
        const seen = (await cache.get(key, { default: null })) as Buffer;
        assert.equal(`${seen}`, text);
        seen.fill(0);
      }
    }
    assert.ok(cache.stats().l1_hits > 0);
  });
}

onBoth('bytes in the process take their share of it, and go when they are too many', async (stage) => {
  const cache = stage.make({ codec: 'raw', l1: 200_000 });
  const keys = Array.from({ length: 100 }, (_, at) => `user:photo:${at}`);
  await cache.setMany(new Map(keys.map((key) => [key, Buffer.alloc(5_000)])));
  for (let round = 0; round < 2; round += 1) for (const key of keys) await cache.get(key, { default: null });
  const { l1_bytes, l1_entries } = cache.stats();
  assert.ok(l1_bytes <= 200_000 && l1_bytes > 5_000, `${l1_bytes}`);
  assert.ok(l1_entries < 40, `${l1_entries}`);
});

onBoth('with shareValues callers share the bytes that the process holds', async (stage) => {
  const cache = stage.make({ codec: 'raw', shareValues: true, ...L1 });
  await cache.set(KEY, FIRST);
  await eventually(async () => (await cache.get(KEY, { default: 1 })) === (await cache.get(KEY, { default: 2 })));
  assert.deepEqual(await cache.get(KEY, { default: null }), FIRST);
});

onBoth('a read goes by what stands there, a write by its call', async (stage) => {
  const cache = stage.make();
  const values = { json: { a: [1] }, msgpack: { at: new Date(5) }, raw: FIRST } as const;
  for (const [codec, value] of Object.entries(values)) {
    await cache.set(KEY, value, { codec: codec as keyof typeof values });
    for (const other of ['json', 'msgpack', 'raw'] as const) {
      assert.deepEqual(await cache.get(KEY, () => assert.fail('a miss'), { codec: other }), value);
      assert.deepEqual(await stage.make({ codec: other }).get(KEY, { default: null }), value);
    }
  }
  const tenant = cache.tenant('acme', { codec: 'raw' });
  assert.deepEqual(await tenant.get(KEY, () => FIRST), FIRST);
  await tenant.set(KEY, Buffer.from('2'));
  assert.deepEqual(await cache.tenant('acme').get(KEY, { default: null }), Buffer.from('2'));
  assert.deepEqual(await tenant.get(OTHER, () => [1], { codec: 'json' }), [1]);
  const get = cache.wrap(async (id: number) => new Date(id), { key: (id) => `user:seen:${id}`, codec: 'msgpack' });
  assert.deepEqual([await get(5), await get(5), await get.getCached(5)], [new Date(5), new Date(5), new Date(5)]);
  assert.ok((await rejection(cache.set(KEY, 'text', { codec: 'raw' }))) instanceof EncodeError);
});

onBoth('who takes a flight over writes with his own codec', async (stage) => {
  const cache = stage.make();
  const [first, second] = [new Held<unknown>(), new Held<unknown>()];
  const leave = new AbortController();
  const led = cache.get(KEY, first.fallback, { codec: 'json', signal: leave.signal });
  await first.entered;
  const followed = cache.get(KEY, second.fallback, { codec: 'msgpack' });
  leave.abort();
  await rejection(led);
  await second.entered;
  second.give({ at: new Date(7), bytes: FIRST });
  for (const seen of [await followed, await stage.make().get(KEY, { default: null })]) {
    assert.deepEqual(seen, { at: new Date(7), bytes: FIRST });
  }
});

onBoth('stale values, upgrades and writes through keep their codec', async (stage) => {
  const cache = stage.make({ staleIfError: '1h', ttlJitter: 0 });
  const value = { at: new Date(9), bytes: FIRST, big: 2n ** 60n };
  assert.equal(await cache.writeThrough(KEY, value, () => {}, { codec: 'msgpack' }), true);
  await cache.expire(KEY);
  let stale: unknown;
  const fails = (ctx: { stale: unknown }) => {
    stale = ctx.stale;
    throw new Error('away');
  };
  assert.deepEqual(await cache.get(KEY, fails), value);
  assert.deepEqual(stale, value);
  const renewed = await stage.make({ staleIfError: '1h' }).refresh(KEY, (ctx) => ctx.notModified());
  assert.deepEqual(renewed, value);
  await stage.make().set(KEY, value, { codec: 'msgpack' });
  const newer = stage.make({ version: 2, upgrade: { 1: (old: typeof value) => [old.bytes, old] }, codec: 'msgpack' });
  assert.deepEqual(await newer.get(KEY, () => assert.fail('the old version has it')), [FIRST, value]);
});

for (const [codec, values] of [
  ['msgpack', [{ at: new Date(3), bytes: FIRST, big: 2n ** 63n }, null, -0, Number.NaN]],
  ['raw', [FIRST, null, Buffer.alloc(50_000, 7), Buffer.alloc(0)]],
] as const) {
  onBoth(`${codec}: writes behind reach their sink, and come back from what was set aside`, async (stage) => {
    const cache = stage.make({ codec });
    cache.on('cache.error', () => {});
    const seen: unknown[] = [];
    const behind = cache.writeBehind('photos', (items) => void seen.push(...items.map(({ value }) => value)), {
      maxDelay: 10,
    });
    for (const value of values) await behind.put(KEY, value);
    assert.deepEqual(await cache.get(KEY, { default: 'absent' }), values.at(-1));
    assert.equal(await behind.flush(), true);
    assert.deepEqual(seen, values);
    const failing = cache.writeBehind(
      'failing',
      async (): Promise<void> => {
        throw new Error('no');
      },
      { maxDelay: 10, maxAttempts: 1 },
    );
    await failing.put(KEY, values[0]);
    await eventually(async () => (await failing.deadLetters.list()).length === 1);
    assert.deepEqual((await failing.deadLetters.list())[0]?.value, values[0]);
  });
}

function widths(): number[] {
  const ends = [5, 7, 8, 15, 16, 31, 32, 33, 40, 52].map((bits) => 2 ** bits);
  return [0, ...ends.flatMap((end) => [end - 1, end, end + 1, -end + 1, -end, -end - 1])];
}

function nested(levels: number): unknown {
  let value: unknown = 'innermost';
  for (let level = 0; level < levels; level += 1) value = level % 2 ? [value] : { value };
  return value;
}
