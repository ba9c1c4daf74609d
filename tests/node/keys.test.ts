/** key: the tag and the function. What every language writes alike is in vectors.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CacheManager, KeyFormatError, key } from 'tidegate';

const RUNS = 2_000;
const SEED = 20_251_124;

test('texts, whole numbers, bigints and booleans make a key', () => {
  assert.equal(key('user', 'profile', 42), 'user:profile:42');
  assert.equal(key`user:profile:${42}`, 'user:profile:42');
  assert.equal(key('a', -1, true, 2n ** 70n, 'x:y'), 'a:-1:true:1180591620717411303424:x%3Ay');
  assert.equal(key`a:${-1}:${true}:${2n ** 70n}:${'x:y'}`, 'a:-1:true:1180591620717411303424:x%3Ay');
  assert.equal(key('zero', 0), 'zero:0');
  assert.equal(key`zero:${-0}`, 'zero:0');
  assert.equal(key`max:${Number.MAX_SAFE_INTEGER}`, 'max:9007199254740991');
});

test('what stands in a template is the key, and what stands in its places is escaped', () => {
  assert.equal(key`user:settings`, 'user:settings');
  assert.equal(key`user:${'a:b/c d'}:settings`, 'user:a%3Ab/c%20d:settings');
  assert.equal(key`user:u-${7}.x`, 'user:u-7.x');
  assert.equal(key`${'user'}:${1}`, 'user:1');
  assert.equal(key`file:${'100%'}`, 'file:100%25');
});

test('a template in a loop is another key each time', () => {
  const keys = [1, 'two', 3n].map((id) => key`user:profile:${id}`);
  assert.deepEqual(keys, ['user:profile:1', 'user:profile:two', 'user:profile:3']);
});

test('data never makes a segment of its own, and different data are different keys', async () => {
  const random = seeded(SEED);
  const cache = new CacheManager();
  const built = new Map<string, string>();
  for (let run = 0; run < RUNS; run += 1) {
    const [one, two] = [text(random), text(random)];
    const whole = key('user', one, two);
    const given = inspect([SEED, one, two]);
    assert.equal(whole.split(':').length, 3, given);
    assert.equal(key`user:${one}:${two}`, whole, given);
    assert.deepEqual(whole.split(':').map(decodeURIComponent), ['user', one, two], given);
    assert.equal(await cache.exists(whole), false, given);
    const same = JSON.stringify([one, two]);
    assert.equal(built.get(whole) ?? same, same);
    built.set(whole, same);
  }
  assert.ok(built.size > RUNS / 2, `${built.size}`);
});

const NO_PARTS: unknown[] = [
  null,
  undefined,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  -(2 ** 53),
  '',
  'x\ud800',
  [1],
  {},
  () => 1,
  Symbol('x'),
  new Date(0),
  Object('boxed'),
];
for (const part of NO_PARTS) {
  test(`${inspect(part)} is no part of a key`, () => {
    const given = part as string;
    for (const build of [
      () => key('user', given),
      () => key`user:${'x'}:${given}`,
      () => key`user:profile:${given}.x`,
    ]) {
      assert.throws(build, (error) => {
        assert.ok(error instanceof KeyFormatError, inspect(error));
        assert.match(error.message, /\b[12]\b.*a right example: /s);
        return true;
      });
    }
  });
}

test('too little makes no key', () => {
  for (const build of [
    () => key(),
    () => key(''),
    () => key('user'),
    () => key``,
    () => key`user`,
    () => key`${'user'}`,
  ]) {
    assert.throws(build, KeyFormatError, `${build}`);
  }
  assert.throws(() => key(undefined as unknown as string), KeyFormatError);
});

test('a template with two places in one segment is refused: their data could not be told apart', () => {
  for (const build of [
    () => key`user:${1}${2}`,
    () => key`user:${1}-${2}`,
    () => key`user:a${1}b${2}c:d`,
    () => key`${'user'}${1}:x`,
  ]) {
    assert.throws(build, /^KeyFormatError: .*two places in one segment/, `${build}`);
  }
});

test('a template that is no key is refused, with what is wrong and a right example', () => {
  for (const [build, says] of [
    [() => key`user::${1}`, 'empty segment'],
    [() => key`user:${1}:`, 'empty segment'],
    [() => key`user:a b:${1}`, "reserved character ' '"],
    [() => key`user:*:${1}`, "'*'"],
    [() => key`user:\n:${1}`, 'user:'],
    [() => key`user:\u:${1}`, 'user:'],
  ] as [() => string, string][]) {
    for (let time = 0; time < 2; time += 1) {
      assert.throws(build, (error) => {
        assert.ok(error instanceof KeyFormatError, `${build}: ${inspect(error)}`);
        assert.ok(error.message.includes(says), error.message);
        assert.match(error.message, /a right example: /);
        return true;
      });
    }
  }
});

/** Chance that can be had again. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function text(random: (below: number) => number): string {
  const letters = ['a', 'Z', '0', ':', '%', '%3A', '{', '}', '*', ' ', '\n', '/', '\u0000', 'é', '🎉', '\\', '~', '.'];
  return Array.from({ length: 1 + random(4) }, () => letters[random(letters.length)]).join('');
}
