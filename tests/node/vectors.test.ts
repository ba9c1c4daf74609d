/** Keys and entries as the vectors have them, which every language reads; entries go through a real Redis. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { CacheManager, KeyFormatError, key } from 'tidegate';
import { RedisServer } from './support/redis-server.js';

type Part = { text: string } | { int: string } | { bool: boolean } | { uuid: string };

interface KeyVectors {
  build: { parts: Part[]; key: string }[];
  refused: string[];
}

interface EntryVector {
  name: string;
  bytes: string;
  /** The secrets of its reader. */
  keys?: string[];
  reject?: string;
  entry?: { payload: string | null; codec: number; big_integers: boolean; tags: string[]; value?: unknown };
}

const KEY = 'user:profile:42';
const VALUE_KEY = `billing:v1:${KEY}`;
const [AT_FLAGS, AT_CREATED, AT_COST, AT_PAYLOAD] = [3, 20, 44, 72] as const;
const [NEGATIVE, BIG_INTEGERS] = [1, 8];
const [RAW_CODEC, MSGPACK_CODEC] = [0, 2] as const;
const ABSENT = Symbol('absent');

function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')) as T;
}

function part(one: Part): string | number | bigint | boolean {
  if ('text' in one) return one.text;
  if ('bool' in one) return one.bool;
  if ('uuid' in one) return one.uuid.toLowerCase(); // a text here: Node has no type for it
  if ('int' in one) return Number.isSafeInteger(Number(one.int)) ? Number(one.int) : BigInt(one.int);
  throw new Error(`no part like ${inspect(one)}`);
}

describe('keys', () => {
  const { build, refused } = vectors<KeyVectors>('keys');

  for (const vector of build) {
    test(`${inspect(vector.key)} is built as the vectors say`, () => {
      const parts = vector.parts.map(part);
      assert.equal(key(...parts), vector.key);
      assert.equal(key(...parts.map((one) => (typeof one === 'number' ? BigInt(one) : one))), vector.key);
    });
  }

  for (const raw of refused) {
    test(`${inspect(raw)} is refused as the vectors say`, async () => {
      await assert.rejects(new CacheManager().exists(raw), KeyFormatError);
    });
  }

  test('data never makes a segment of its own, in a template either', () => {
    assert.equal(key`user:profile:${42}:${'a:b'}`, key('user', 'profile', 42, 'a:b'));
    assert.equal(key`user:${'%3A'}:${true}:${2n ** 70n}`, key('user', '%3A', true, 2n ** 70n));
  });
});

describe('entries', { concurrency: 1 }, () => {
  const server = new RedisServer();
  let redis: Redis;

  before(async () => {
    await server.start();
    redis = new Redis(server.url);
  });
  beforeEach(() => redis.flushall());
  after(async () => {
    redis.disconnect();
    await server.stop();
  });

  const open = (more: object = {}) =>
    new CacheManager({ url: server.url, service: 'billing', commandTimeout: '5s', ...more });

  for (const vector of vectors<EntryVector[]>('entries')) {
    test(`${vector.name} is read as the vectors say`, async () => {
      const entry = Buffer.from(vector.bytes, 'hex');
      await redis.set(VALUE_KEY, madeFresh(entry));
      // An entry counts while its tags stand as it says.
      for (const [name, nonce] of noncesIn(entry, vector.entry?.tags ?? [])) {
        await redis.set(`billing:~tag:${name}`, nonce);
      }
      const cache = open(vector.keys && { signingKeys: vector.keys });
      const reasons: unknown[] = [];
      cache.on('cache.error', (event) => reasons.push(event.reason));
      const seen = await cache.get(KEY, { default: ABSENT });
      await cache.close();
      assert.deepEqual([seen, reasons], expected(vector));
    });
  }

  const written: [value: unknown, flags: number, payload: string][] = [
    [9007199254740993n, BIG_INTEGERS, '9007199254740993'],
    [-(2n ** 60n), BIG_INTEGERS, '-1152921504606846976'],
    [2n ** 63n, BIG_INTEGERS, '9223372036854775808'],
    [{ id: [1, { deep: 9007199254740993n }] }, BIG_INTEGERS, '{"id":[1,{"deep":9007199254740993}]}'],
    [[1.5, 12345678901234567n], BIG_INTEGERS, '[1.5,12345678901234567]'],
    ['"9007199254740993', 0, '"\\"9007199254740993"'],
    ['\\', 0, '"\\\\"'],
    [{ '9007199254740993': 1 }, 0, '{"9007199254740993":1}'],
    [Number.MAX_SAFE_INTEGER, 0, '9007199254740991'],
    [null, NEGATIVE, ''],
  ];
  for (const [value, flags, payload] of written) {
    test(`${inspect(value, { depth: 5 })} is written with ${flags || 'no'} flags and read back as it is`, async () => {
      const entry = await roundTrip(value);
      assert.equal(entry[AT_FLAGS], flags);
      assert.equal(entry.subarray(AT_PAYLOAD).toString(), payload);
    });
  }

  // Written so that no reader takes them for integers, which would not be what was rounded to a Number.
  for (const value of [2 ** 53 + 2, -(2 ** 60), 2 ** 63, 1e21, 123456789012345680, 1e300]) {
    test(`the Number ${value} stays a Number`, async () => {
      const entry = await roundTrip([value]);
      assert.equal(entry[AT_FLAGS], 0);
      assert.match(entry.subarray(AT_PAYLOAD).toString(), /^\[-?\d(\.\d+)?e\+?\d+\]$/);
    });
  }

  test('a BigInt that a Number can hold is given alike by the miss and by the hit', async () => {
    const cache = open();
    const missed = await cache.get(KEY, () => ({ count: 7n }) as unknown);
    assert.deepEqual(missed, { count: 7 });
    assert.deepEqual(await cache.get(KEY, { default: ABSENT }), missed);
    await cache.close();
  });

  /** What stands in Redis once a value has been computed; checks that the caller and another process are given it. */
  async function roundTrip(value: unknown): Promise<Buffer> {
    const [cache, other] = [open(), open()];
    assert.deepEqual(await cache.get(KEY, () => value), value);
    assert.deepEqual(await other.get(KEY, { default: ABSENT }), value);
    await Promise.all([cache.close(), other.close()]);
    const entry = await redis.getBuffer(VALUE_KEY);
    assert.ok(entry);
    return entry;
  }
});

/** Each tag of an entry with its nonce, which stands behind its name. */
function noncesIn(entry: Buffer, tags: readonly string[]): [string, Buffer][] {
  return tags.map((name) => {
    const at = entry.indexOf(name, AT_PAYLOAD) + Buffer.byteLength(name);
    return [name, entry.subarray(at, at + 16)];
  });
}

/** Times are patched by stores, so no checksum counts them. */
function madeFresh(entry: Buffer): Buffer {
  if (entry.length < AT_COST) return entry;
  const now = BigInt(Date.now());
  const times = Buffer.alloc(AT_COST - AT_CREATED);
  for (const [index, ms] of [now, now + 60_000n, now + 60_000n].entries()) times.writeBigUInt64LE(ms, 8 * index);
  return Buffer.concat([entry.subarray(0, AT_CREATED), times, entry.subarray(AT_COST)]);
}

/** What a caller sees, and the reasons that observers are told. */
function expected({ reject, entry }: EntryVector): [unknown, string[]] {
  if (reject !== undefined) return [ABSENT, [reject]];
  assert.ok(entry);
  if (entry.payload === null) return [null, []];
  const bytes = Buffer.from(entry.payload, 'hex');
  if (entry.codec === RAW_CODEC) return [bytes, []];
  if (bytes.length === 0) return [ABSENT, ['decode']];
  if (entry.codec === MSGPACK_CODEC) return [spelled(entry.value), []];
  const text = bytes.toString();
  if (!entry.big_integers) return [JSON.parse(text), []];
  assert.match(text, /^\d+$/, 'JSON.parse rounds what is not a bare integer');
  return [BigInt(text), []];
}

/** A value as the vectors spell it: what JSON has no word for is `{ int: digits }` or `{ float: word }`. */
function spelled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(spelled);
  if (typeof value !== 'object' || value === null) return value;
  if ('int' in value) return BigInt(value.int as string);
  if ('float' in value) return Number.NaN;
  throw new Error(`no value like ${inspect(value)}`);
}
