/** The bytes of msgpack: what we write others read, what others write we read, and what is none is a miss. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { forge } from './support/forge.js';
import { KEY, onRedis, reasonsAtTheEnd, watched } from './support/stage.js';

const require = createRequire(import.meta.url);
// Its types ask for a browser's.
const library = require('@msgpack/msgpack');
const { toMsgpack } = require('../../dist/cjs/msgpack.js');
const { fromMsgpack } = require('../../dist/cjs/unpack.js');

test('what is written is what the library of msgpack reads, and the other way round', () => {
  const chance = random(7);
  for (let round = 0; round < 3_000; round += 1) {
    const value = anything(chance, 4);
    const bytes: Uint8Array | undefined = toMsgpack(value)?.bytes;
    assert.deepEqual(bytes === undefined ? null : library.decode(bytes), value, inspect(value));
    assert.deepEqual(fromMsgpack(library.encode(value)), value, inspect(value));
  }
});

test('a whole number up to 2^53 is an integer for every other language, and a larger one a float, as in JSON', () => {
  for (const end of [2 ** 53, 2n ** 53n, -(2 ** 53), -(2n ** 53n)]) {
    assert.equal(toMsgpack(end)?.bytes[0], end > 0 ? 0xcf : 0xd3, `${end}`);
  }
  for (const beyond of [2 ** 53 + 2, -(2 ** 60), 1e21]) assert.equal(toMsgpack(beyond)?.bytes[0], 0xcb, `${beyond}`);
  assert.equal(toMsgpack(2n ** 53n + 1n)?.bytes[0], 0xcf);
});

test('bytes that are no msgpack are refused, whatever they are, and nothing is made of a length that lies', () => {
  const chance = random(11);
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Uint8Array.from({ length: Math.floor(chance() * 40) }, () => Math.floor(chance() * 256));
    const cut = (toMsgpack(anything(chance, 3))?.bytes ?? new Uint8Array([0])) as Uint8Array;
    for (const broken of [bytes, cut.subarray(0, cut.length - 1)]) {
      try {
        fromMsgpack(broken);
      } catch (error) {
        assert.ok(error instanceof Error, inspect(error));
      }
    }
    if (cut.length > 1) assert.throws(() => fromMsgpack(cut.subarray(0, cut.length - 1)), inspect(cut));
  }
  for (const lie of [[0xdd], [0xdf], [0xdb], [0xc6], [0xc9]]) {
    assert.throws(() => fromMsgpack(Uint8Array.from([...lie, 255, 255, 255, 255, 1, 1])));
  }
});

const UNREADABLE: [name: string, bytes: number[], says: string][] = [
  ['a name that is a number', [0x81, 1, 2], 'has a name that is no text'],
  ['a name that is nil', [0x81, 0xc0, 2], 'has a name that is no text'],
  ['an extension of somebody', [0xd4, 5, 0], 'has an extension of type 5'],
  ['a time of no length', [0xd4, 0xff, 0], 'has a time of a length that no time has'],
  [
    'a time beyond all',
    [0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255],
    'has a time that no Date can hold',
  ],
  ['too many nanoseconds', [0xd7, 0xff, 255, 255, 255, 255, 0, 0, 0, 1], 'has a time that no Date can hold'],
  ['a text that is no UTF-8', [0xa2, 0xc0, 0x80], 'cannot be read'],
  ['a text with half a surrogate pair', [0xa3, 0xed, 0xa0, 0x80], 'cannot be read'],
  ['a long text that is no UTF-8', [0xd9, 60, ...Array(59).fill(0x61), 0xff], 'cannot be read'],
];
for (const [name, bytes, says] of UNREADABLE) {
  onRedis(`an entry of msgpack with ${name} is a miss, and told`, async (stage) => {
    await forge(stage, KEY, 'msgpack', Uint8Array.from(bytes));
    const cache = stage.make();
    const faults = watched(cache, 'cache.error');
    assert.equal(await cache.get(KEY, () => 'computed'), 'computed');
    assert.equal(await cache.get(KEY, () => 'again'), 'computed');
    assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['decode']);
    assert.ok(faults[0]?.message.includes(says), faults[0]?.message);
  });
}

onRedis('what others write in msgpack is read: short floats, long forms, times to the nanosecond', async (stage) => {
  const cases: [bytes: number[], value: unknown][] = [
    [[0xca, 0x3f, 0x80, 0, 0], 1],
    [[0xca, 0xff, 0x80, 0, 0], Number.NEGATIVE_INFINITY],
    [[0xcf, 0, 0, 0, 0, 0, 0, 0, 5], 5],
    [[0xd3, 255, 255, 255, 255, 255, 255, 255, 251], -5],
    [[0xd3, 0, 32, 0, 0, 0, 0, 0, 0], 2 ** 53],
    [[0xcf, 0, 32, 0, 0, 0, 0, 0, 1], 2n ** 53n + 1n],
    [[0xd1, 0, 5], 5],
    [[0xdb, 0, 0, 0, 1, 0x61], 'a'],
    [[0xdf, 0, 0, 0, 1, 0xa1, 0x61, 0xdd, 0, 0, 0, 0], { a: [] }],
    [[0xc7, 12, 0xff, 0x3b, 0x9a, 0xc9, 0xff, 255, 255, 255, 255, 255, 255, 255, 255], new Date(-1)],
    [[0xd7, 0xff, 0xee, 0x6b, 0x27, 0xfc, 0, 0, 0, 1], new Date(1_999)],
    [[0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2], { a: 2 }],
  ];
  for (const [bytes, value] of cases) {
    await forge(stage, KEY, 'msgpack', Uint8Array.from(bytes));
    assert.deepEqual(await stage.make().get(KEY, { default: 'absent' }), value);
  }
});

/** Chance that is the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Of what the library and we write alike: it knows neither -0 nor our bigints, and gives bytes as it likes. */
function anything(chance: () => number, depth: number): unknown {
  const size = Math.floor(chance() * 6);
  switch (Math.floor(chance() * (depth > 0 ? 9 : 7))) {
    case 0:
      return null;
    case 1:
      return chance() < 0.5;
    case 2:
      return Math.floor((chance() - 0.5) * 2 ** Math.floor(chance() * 54)) || 0;
    case 3:
      return (chance() - 0.5) * 10 ** (chance() * 40 - 20);
    case 4:
      return ['', 'name', 'ü🎉', 'x'.repeat(40), '日本'.repeat(60)][size % 5];
    case 5:
      return new Date(Math.floor((chance() - 0.3) * 2 ** (30 + chance() * 16)));
    case 6:
      return [Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, -(2 ** 53)][size % 4];
    case 7:
      return Array.from({ length: size * size }, () => anything(chance, depth - 1));
    default:
      return Object.fromEntries(Array.from({ length: size }, (_, at) => [`n${at}`, anything(chance, depth - 1)]));
  }
}
