/** What stands in the server: compressed, signed, within its limits. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { type CacheManager, EncodeError, type Options, ValueTooLarge } from 'tidegate';
import { forge, nameOf, withRedis } from './support/forge.js';
import {
  KEY,
  onBoth,
  onRedis,
  reasonsAtTheEnd,
  rejection,
  type Stage,
  settled,
  warningsOf,
  watched,
} from './support/stage.js';

const OTHER = 'user:profile:2';
const ROWS = Array.from({ length: 400 }, (_, id) => ({ id, name: `user ${id}`, active: id % 3 === 0 }));
const OLD = 'the old secret, of many bytes';
const NEW = 'a new secret, of many bytes';

async function lengthOf(stage: Stage, key = KEY): Promise<number> {
  return withRedis((redis) => redis.strlen(nameOf(stage, key)));
}

for (const [codec, value] of [
  ['json', ROWS],
  ['msgpack', ROWS],
  ['raw', Buffer.from(JSON.stringify(ROWS))],
] as const) {
  onRedis(
    `${codec}: long values are short in the server, and read by all whatever they compress with`,
    async (stage) => {
      const plain = stage.make({ codec, compression: null });
      await plain.set(KEY, value);
      const whole = await lengthOf(stage);
      assert.ok(whole > 8_000, `${whole}`);
      for (const compression of [undefined, 'lz4', 'zstd', 'zlib'] as const) {
        const cache = stage.make({ codec, compression });
        assert.equal(await cache.set(KEY, value), true);
        const length = await lengthOf(stage);
        assert.ok(length < whole / 2, `${compression}: ${length} of ${whole}`);
        for (const reader of [cache, plain, stage.make()])
          assert.deepEqual(await reader.get(KEY, { default: 0 }), value);
        await cache.invalidate(KEY);
        assert.deepEqual(await cache.get(KEY, () => value), value);
        assert.ok((await lengthOf(stage)) < whole / 2);
      }
      const late = stage.make({ codec, compressOver: 1_000_000 });
      await late.set(KEY, value);
      assert.equal(await lengthOf(stage), whole);
    },
  );
}

onRedis(
  'what is long enough to be compressed elsewhere comes back, and keeps its place in the order',
  async (stage) => {
    const cache = stage.make({ compression: 'zlib' });
    const long = Array.from({ length: 4_000 }, (_, id) => ({ id, name: `user ${id}` }));
    const writes = [cache.set(KEY, long), cache.get(OTHER, () => long)];
    assert.deepEqual(await Promise.all(writes), [true, long]);
    for (const key of [KEY, OTHER]) {
      assert.deepEqual(await stage.make().get(key, { default: 'absent' }), long);
      assert.ok((await lengthOf(stage, key)) < 40_000);
    }
  },
);

onBoth('a value over maxValueBytes is told with both figures, in each codec', async (stage) => {
  for (const codec of ['json', 'msgpack', 'raw'] as const) {
    const cache = stage.make({ codec, maxValueBytes: 1_000 });
    const faults = watched(cache, 'cache.error');
    const value = Buffer.alloc(2_000, 'x');
    const given = codec === 'json' ? `${value}` : value;
    assert.deepEqual(await cache.get(KEY, () => given), given);
    const refused = await rejection(cache.set(KEY, given));
    assert.ok(refused instanceof ValueTooLarge, inspect(refused));
    assert.match(refused.message, /has 200\d bytes, maxValueBytes is 1000/);
    assert.equal(await cache.exists(KEY), false);
    assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['too_large']);
  }
});

onRedis('what is nested deeper than 64 levels is a miss, whoever wrote it', async (stage) => {
  for (const [codec, deep] of [
    ['json', `${'['.repeat(65)}${']'.repeat(65)}`],
    ['json', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['msgpack', Buffer.concat([Buffer.alloc(65, 0x91), Buffer.from([1])])],
  ] as const) {
    await forge(stage, KEY, codec, deep);
    const cache = stage.make();
    const faults = watched(cache, 'cache.error');
    assert.equal(await cache.get(KEY, () => 'computed'), 'computed');
    assert.deepEqual([...new Set(await reasonsAtTheEnd(cache, faults))], ['nesting']);
  }
});

onRedis('with secrets only what one of them signed is read', async (stage) => {
  const secret = (signingKeys: Options['signingKeys']) => stage.make({ signingKeys });
  await stage.make().set(KEY, 'unsigned');
  await secret([NEW]).set(OTHER, 'signed by another');
  const cache = secret([OLD]);
  const faults = watched(cache, 'cache.error');
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'absent');
  assert.equal(await cache.get(OTHER, { default: 'absent' }), 'absent');
  assert.equal(await cache.getEntry(OTHER), null);
  for (const [codec, value] of [
    ['json', { a: 1 }],
    ['msgpack', { at: new Date(0) }],
    ['raw', Buffer.alloc(5_000, 'x')],
  ] as const) {
    await cache.invalidate(KEY);
    assert.deepEqual(await cache.get(KEY, () => value, { codec }), value);
    assert.deepEqual(await secret([OLD]).get(KEY, () => 'computed'), value);
  }
  // Changed by hand, with right sums.
  await withRedis(async (redis) => {
    const entry = (await redis.getBuffer(nameOf(stage, KEY))) ?? Buffer.alloc(0);
    entry[entry.length - 1] = (entry.at(-1) ?? 0) ^ 1;
    await redis.set(nameOf(stage, KEY), entry, 'KEEPTTL');
  });
  assert.equal(await cache.get(KEY, () => 'computed'), 'computed');
  const reasons = await reasonsAtTheEnd(cache, faults);
  assert.deepEqual(reasons.slice(0, 3), ['signature', 'signature', 'signature']);
  assert.ok(['signature', 'checksum'].includes(reasons.at(-1) ?? ''), `${reasons}`);
});

onRedis('secrets are changed without a miss', async (stage) => {
  const step = (...signingKeys: string[]) => stage.make({ signingKeys });
  const both: [CacheManager, CacheManager][] = [
    [step(OLD), step(OLD, NEW)],
    [step(OLD, NEW), step(NEW, OLD)],
    [step(NEW, OLD), step(NEW)],
  ];
  for (const [one, other] of both) {
    await one.set(KEY, 'of one');
    const due = one === both[2]?.[0] || other !== both[2]?.[1] ? 'of one' : 'absent';
    assert.equal(await other.get(KEY, { default: 'absent' }), due);
    await other.set(KEY, 'of the other');
    assert.equal(await one.get(KEY, { default: 'absent' }), 'of the other');
  }
  assert.equal(await step(OLD).get(KEY, { default: 'absent' }), 'absent');
});

onBoth('no secret is ever seen', async (stage) => {
  const cache = stage.make({ signingKeys: [OLD, NEW], strict: true });
  const told: unknown[] = [];
  const warnings = await warningsOf(async () => {
    await stage.make().set(KEY, 'unsigned');
    told.push(await cache.get(KEY, { default: 1 }), await rejection(cache.set(KEY, Symbol('x'))));
    told.push(await rejection(cache.get(KEY, () => 1, { ttl: -1 })), cache.stats(), JSON.stringify(cache));
    told.push(inspect(cache), inspect(cache, { showHidden: true, depth: 20 }), `${cache}`);
    for (const wrong of [[OLD, OLD], [NEW, 5], OLD, [OLD, 'short'], { [OLD]: NEW }, [[OLD]]]) {
      told.push(await rejection((async () => stage.make({ signingKeys: wrong as string[] }))()));
    }
    await settled();
  });
  const text = inspect([told, warnings], { showHidden: true, depth: 20, maxStringLength: null });
  assert.ok(told.some((one) => one instanceof EncodeError));
  assert.ok(!text.includes(OLD.slice(0, 12)) && !text.includes(NEW.slice(0, 12)), text);
});
