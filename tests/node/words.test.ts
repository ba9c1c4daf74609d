/** Whatever a user of Node.js is told is in his spelling: `softTimeout`, `service: 'billing'`, the tag of a key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { CacheManager, key, type Options, TidegateError } from 'tidegate';
import { MemoryStore } from 'tidegate/testing';
import { KEY, rejection, warningsOf } from './support/stage.js';

// What no option, no call and no queue takes.
const WRONG: unknown = () => {};
const NOWHERE = 'redis://127.0.0.1:1/0';

/** Fails on what only another language's users write. */
function checkWords(message: string): void {
  const names = message.match(/\b[a-z]+(_[a-z0-9]+)+\b/g) ?? [];
  assert.deepEqual(names, [], `another language's names in: ${message}`);
  assert.doesNotMatch(message, /a right example: \w+=|\b(None|True|False)\b|key\("/, message);
}

function refusal(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof TidegateError, inspect(error));
    return error.message;
  }
  assert.fail(`nothing is wrong with ${make}`);
}

/** The names that a refusal of an option that is none lists. */
function optionsOf(make: () => unknown): string[] {
  const [, list] = refusal(make).split('the options are ');
  assert.ok(list, 'no list of options');
  return list.split(', ');
}

const made = (options: object) => new CacheManager({ service: 'words', ...options } as Options);
const UNKNOWN = { '§': 1 };

test('every option of a manager that is wrong is told of in the words of Node.js', () => {
  const names = optionsOf(() => made(UNKNOWN));
  assert.ok(names.length > 30, `${names}`);
  for (const name of names) {
    const message = refusal(() => made({ [name]: WRONG }));
    checkWords(message);
    if (!['url', 'store', 'metricsEmitter', 'upgrade'].includes(name))
      assert.ok(message.includes(`; a right example: ${name}: `), message);
  }
  for (const [group, wrong] of [
    ['breaker', ['failures', 'ratio', 'window', 'probe']],
    ['tls', ['ca', 'cert', 'key', 'serverName']],
    ['l1', ['maxBytes', 'maxEntries', 'maxAge']],
    [
      'health',
      ['fragmentation', 'fragmentationBytes', 'evictionsPerS', 'roundTrip', 'memory', 'replicaLag', 'interval'],
    ],
  ] as const) {
    checkWords(refusal(() => made({ [group]: UNKNOWN })));
    for (const name of wrong) {
      const message = refusal(() => made({ [group]: { [name]: WRONG } }));
      checkWords(message);
      assert.match(message, new RegExp(`; a right example: ${group}: \\{ `));
    }
  }
  for (const options of [
    { url: NOWHERE, service: 'a:b' },
    { url: 'http://localhost' },
    { signingKeys: ['short'] },
    { signingKeys: [] },
    { version: 3, upgrade: { 1: (value: unknown) => value } },
    { url: 'rediss://localhost', tls: { ca: '/nowhere/ca.pem' } },
    { url: 'rediss://localhost', tls: { serverName: 'a b' } },
    { url: NOWHERE, tls: {} },
  ]) {
    checkWords(refusal(() => new CacheManager({ service: 'words', ...options } as Options)));
  }
  checkWords(refusal(() => new CacheManager({ url: NOWHERE })));
  assert.match(
    refusal(() => new CacheManager({ url: NOWHERE })),
    /a right example: service: 'billing'$/,
  );
});

test('every option of a call that is wrong is told of in the words of Node.js', async () => {
  const cache = new CacheManager();
  // biome-ignore lint/suspicious/noExplicitAny: what no compiler lets pass
  const wrong = cache as any;
  const one = () => 1;
  const calls: Record<string, (options: object) => unknown> = {
    get: (options) => wrong.get(KEY, one, options),
    getMany: (options) => wrong.getMany([KEY], one, options),
    set: (options) => wrong.set(KEY, 1, options),
    writeThrough: (options) => wrong.writeThrough(KEY, 1, one, options),
    getFields: (options) => wrong.getFields(KEY, ['a'], one, options),
    tenant: async (options) => wrong.tenant('acme', options),
    behind: async (options) => wrong.writeBehind('q', null, options),
    publish: (options) => wrong.publishEvent('user.updated', 1, options),
    handler: async (options) => wrong.onEvent('user.updated', one, options),
  };
  for (const [name, call] of Object.entries(calls)) {
    const { message } = (await rejection(call(UNKNOWN) as Promise<unknown>)) as Error;
    checkWords(message);
    const [, list] = message.split('the options are ');
    assert.ok(list, `${name}: ${message}`);
    for (const option of list.split(', ')) {
      checkWords(((await rejection(call({ [option]: Symbol('wrong') }) as Promise<unknown>)) as Error).message);
    }
  }
  for (const call of [
    () => wrong.getFields(KEY, [], one),
    () =>
      wrong.getFields(
        KEY,
        Array.from({ length: 2_000 }, (_, at) => `f${at}`),
        one,
      ),
    () => wrong.publishEvent('user.updated', 1, { operationId: 'x'.repeat(300) }),
    () => wrong.get('flat', one),
    () => wrong.get('user:{id}', one),
    () => wrong.set(KEY, 1, { tags: ['a b'] }),
    () => wrong.get(5, one),
  ]) {
    checkWords(((await rejection(call())) as Error).message);
  }
  for (const build of [() => key('user', 1.5), () => key`user:${''}`, () => key`${1}${2}`]) checkWords(refusal(build));
  assert.match(
    refusal(() => key('user', 1.5)),
    /a right example: key`user:profile:\$\{id\}`/,
  );
});

test('what goes wrong while it runs is told of in the words of Node.js', async () => {
  const cache = new CacheManager({ url: 'memory://words', maxValueBytes: 10, hardTimeout: '20ms' });
  checkWords(((await rejection(cache.set(KEY, 'x'.repeat(11)))) as Error).message);
  checkWords(((await rejection(cache.get('user:profile:43', () => sleep(60, 1)))) as Error).message);
  const behind = cache.writeBehind('words', null, { maxPending: 1 });
  await behind.put(KEY, 1);
  const full = (await rejection(behind.put(KEY, 2))) as Error;
  assert.match(full.message, /maxPending is 1/);
  const store = new MemoryStore();
  for (const fail of [
    () => store.fail('dwon' as never),
    () => store.fail('slow'),
    () => store.fail('down', { delay: 5 }),
    () => store.fail('down', { only: cache }),
  ]) {
    checkWords(refusal(fail));
  }
  await cache.close();
});

test('options that make no sense together are warned of in the words of Node.js', async () => {
  // Nothing but a call keeps the program running until the warning comes.
  const [warning, ...others] = await warningsOf(() => new CacheManager({ softTimeout: '1s' }).close());
  assert.ok(warning);
  assert.deepEqual(others, []);
  checkWords(warning.message);
  assert.match(warning.message, /softTimeout does nothing without staleIfError/);
});
