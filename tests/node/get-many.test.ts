/** getMany: one fetch for all that is missing, and no waiting with a lease in hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { CacheManager, ConfigError, EncodeError, HardTimeout } from 'tidegate';
import { deferred, eventually, Held, KEY, onBoth, rejection, settled, warningsOf, watched } from './support/stage.js';

const KEYS = [1, 2, 3, 4, 5].map((id) => `user:profile:${id}`);
const [K1 = '', K2 = '', K3 = '', K4 = '', K5 = ''] = KEYS;
const SOON_MS = 2_000;

type Row = { of: string };

/** A fetchMissing that remembers what it was asked for. */
class Source {
  readonly calls: string[][] = [];
  readonly fetch = (keys: string[]): Map<string, Row> => {
    this.calls.push([...keys]);
    return rows(keys);
  };
}

function rows(keys: readonly string[]): Map<string, Row> {
  return new Map(keys.map((key) => [key, { of: key }]));
}

onBoth('only what is missing is fetched, and once', async ({ cache }) => {
  await cache.set(K2, 'there');
  const source = new Source();
  const many = await cache.getMany<unknown>([...KEYS, K1], source.fetch);
  assert.deepEqual([...many.keys()], KEYS);
  assert.deepEqual([...many.values()], [{ of: K1 }, 'there', { of: K3 }, { of: K4 }, { of: K5 }]);
  assert.deepEqual(
    source.calls.map((call) => call.sort()),
    [[K1, K3, K4, K5]],
  );
  assert.deepEqual(await cache.getMany<unknown>(new Set(KEYS), source.fetch), many);
  assert.equal(source.calls.length, 1);
});

onBoth('a fetch may be async, give an object, and leave keys out, which are cached as null', async ({ cache }) => {
  const fetch = async (keys: string[]) => {
    await turn();
    return Object.fromEntries(keys.filter((key) => key !== K3).map((key) => [key, 1]));
  };
  const many = await cache.getMany([K1, K2, K3], fetch, { ttl: '1h' });
  assert.deepEqual(
    [...many],
    [
      [K1, 1],
      [K2, 1],
      [K3, null],
    ],
  );
  assert.equal(await cache.exists(K3), true);
  assert.equal(await cache.get(K3, { default: 'absent' }), null);
});

onBoth('a Map of another realm, as test runners make them, is a Map', async ({ cache }) => {
  const foreign: Map<string, number> = runInNewContext(`new Map([['${K1}', 1]])`);
  assert.equal(foreign instanceof Map, false);
  assert.deepEqual([...(await cache.getMany([K1], () => foreign))], [[K1, 1]]);
  assert.equal(await cache.setMany(foreign), true);
  assert.equal(await cache.get(K1, { default: 'absent' }), 1);
});

onBoth('what a fetch gives beyond what it was asked for is not stored', async ({ cache }) => {
  const many = await cache.getMany([K1], () => ({ [K1]: 1, [K2]: 2 }));
  assert.deepEqual([...many], [[K1, 1]]);
  assert.equal(await cache.exists(K2), false);
});

onBoth('no keys are no work', async ({ cache }) => {
  assert.equal((await cache.getMany([], () => assert.fail('it was called'))).size, 0);
});

onBoth('a thousand keys come in their order', async ({ cache }) => {
  const keys = Array.from({ length: 1_000 }, (_, at) => `user:profile:${(at * 37) % 1_000}`);
  const source = new Source();
  await cache.getMany(keys.slice(0, 300), source.fetch);
  const many = await cache.getMany(keys, source.fetch);
  assert.deepEqual(
    [...many],
    keys.map((key) => [key, { of: key }]),
  );
  assert.deepEqual(
    source.calls.map((call) => call.length),
    [300, 700],
  );
});

onBoth('its failure is the failure of all, unchanged, and frees the keys', async ({ cache }) => {
  const boom = new Error('no');
  for (const fails of [
    () => {
      throw boom;
    },
    () => Promise.reject(boom),
  ]) {
    assert.equal(await rejection(cache.getMany(KEYS, fails)), boom);
  }
  const source = new Source();
  await cache.getMany(KEYS, source.fetch);
  assert.equal(source.calls.length, 1);
});

onBoth('who waits for one of its keys is given what it fetched, or its error', async ({ cache }) => {
  const [held, failing] = [new Held<Map<string, Row>>(), new Held<Map<string, Row>>()];
  const fetchOf = (source: Held<Map<string, Row>>) => () => source.fallback({ key: '' } as never);
  const many = cache.getMany([K1, K2], fetchOf(held));
  await held.entered;
  const waiting = cache.get(K2, () => assert.fail('two fetches ran'));
  held.give(rows([K1, K2]));
  assert.deepEqual(await waiting, { of: K2 });
  await many;
  const doomed = rejection(cache.getMany([K3], fetchOf(failing)));
  await failing.entered;
  const waitingToo = rejection(cache.get(K3, () => assert.fail('two fetches ran')));
  const boom = new Error('no');
  failing.fail(boom);
  assert.deepEqual([await doomed, await waitingToo], [boom, boom]);
});

onBoth('what others compute is waited for after the own keys are filled', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  const held = new Held<string>();
  const leader = cache.get(K1, held.fallback);
  await held.entered;
  const source = new Source();
  let isDone = false;
  const many = cache.getMany<unknown>(KEYS, source.fetch).finally(() => {
    isDone = true;
  });
  await eventually(() => other.exists(K5));
  assert.equal(isDone, false);
  held.give('theirs');
  assert.equal(await leader, 'theirs');
  assert.equal((await many).get(K1), 'theirs');
  assert.deepEqual(
    source.calls.map((call) => call.sort()),
    [[K2, K3, K4, K5]],
  );
});

onBoth('what another holder failed to compute is fetched for exactly those keys', async (stage) => {
  const [cache, other] = [stage.make(), stage.make({ lease: '20s' })];
  const [there, here] = [new Held<Row>(), new Held<Row>()];
  const boom = new Error('theirs');
  const calls = [other.get(K1, there.fallback), cache.get(K2, here.fallback)].map(rejection);
  await Promise.all([there.entered, here.entered]);
  const source = new Source();
  const many = cache.getMany(KEYS, source.fetch);
  await eventually(() => other.exists(K5));
  await settled();
  there.fail(boom);
  here.fail(boom);
  assert.deepEqual([...(await many)], [...rows(KEYS)]);
  assert.deepEqual(source.calls[0]?.sort(), [K3, K4, K5]);
  assert.deepEqual(source.calls.slice(1).flat().sort(), [K1, K2]);
  assert.deepEqual(await Promise.all(calls), [boom, boom]);
});

onBoth('two batches in opposite order never block each other', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const keys = Array.from({ length: 100 }, (_, at) => `user:profile:${at}`);
  const source = new Source();
  const [first, second] = await Promise.all([
    one.getMany(keys, source.fetch),
    two.getMany([...keys].reverse(), source.fetch),
  ]);
  assert.deepEqual(first, rows(keys));
  assert.deepEqual([...second], [...rows([...keys].reverse())]);
  assert.deepEqual(source.calls.flat().sort(), [...keys].sort());
});

onBoth('a batch that is left gives its leases back, and the signal of its fetch is aborted', async ({ cache }) => {
  const leaving = new AbortController();
  const entered = deferred<AbortSignal>();
  const never = (_: string[], { signal }: { signal: AbortSignal }) => {
    entered.resolve(signal);
    return new Promise<Map<string, Row>>(() => {});
  };
  const many = rejection(cache.getMany(KEYS, never, { signal: leaving.signal }));
  const signal = await entered.promise;
  const waiting = cache.get(K1, () => 'mine', { signal: AbortSignal.timeout(SOON_MS) });
  await settled();
  leaving.abort('gone');
  assert.equal(await many, 'gone');
  assert.equal(signal.reason, 'gone');
  assert.equal(await waiting, 'mine');
  const next = await cache.getMany([K2, K3], new Source().fetch, { signal: AbortSignal.timeout(SOON_MS) });
  assert.deepEqual(next, rows([K2, K3]));
});

onBoth('a batch that waits for others can be left', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const held = new Held<string>();
  const leader = one.get(K1, held.fallback);
  await held.entered;
  const leaving = new AbortController();
  const many = rejection(two.getMany(KEYS, new Source().fetch, { signal: leaving.signal }));
  await eventually(() => one.exists(K5));
  leaving.abort('gone');
  assert.equal(await many, 'gone');
  held.give('value');
  assert.equal(await leader, 'value');
});

onBoth('a batch that waits for many keys warns of nothing', async ({ cache }) => {
  const keys = Array.from({ length: 30 }, (_, at) => `user:profile:${at}`);
  const held = new Held<string>();
  const warnings = await warningsOf(async () => {
    const leaders = keys.map((key) => cache.get(key, held.fallback));
    await eventually(() => held.runs === keys.length);
    const many = cache.getMany(keys, () => assert.fail('two fetches ran'));
    await settled();
    held.give('value');
    assert.deepEqual([...(await many).values()], await Promise.all(leaders));
  });
  assert.deepEqual(warnings, []);
});

onBoth('the hard timeout of a batch frees its caller and its keys', async (stage) => {
  const cache = stage.make({ hardTimeout: '100ms' });
  const signals: AbortSignal[] = [];
  const never = (_: string[], { signal }: { signal: AbortSignal }) => {
    signals.push(signal);
    return new Promise<Map<string, Row>>(() => {});
  };
  assert.ok((await rejection(cache.getMany(KEYS, never))) instanceof HardTimeout);
  assert.equal(signals[0]?.aborted, true);
  assert.deepEqual(await cache.getMany(KEYS, new Source().fetch), rows(KEYS));
});

test('with the store away a batch is one fallback, whatever its keys', async () => {
  const nowhere = { url: 'redis://127.0.0.1:1/0', service: 'billing', connectTimeout: 200 };
  const cache = new CacheManager({ ...nowhere, maxFallbacks: 1, wait: '1m' });
  watched(cache, 'cache.error');
  const held = new Held<string>();
  const alone = cache.get('user:name:1', held.fallback);
  await eventually(() => held.runs === 1);
  const source = new Source();
  const many = cache.getMany(KEYS, source.fetch, { signal: AbortSignal.timeout(2 * SOON_MS) });
  await delay(500);
  assert.deepEqual(source.calls, []);
  held.give('alone');
  assert.deepEqual(await many, rows(KEYS));
  assert.equal(source.calls.length, 1);
  assert.equal(await alone, 'alone');
  await cache.close({ timeout: 0 });
});

onBoth('one value that cannot be stored spoils no other', async (stage) => {
  const cache = stage.make({ strict: true });
  watched(cache, 'cache.error');
  const fetch = () => ({ [K1]: 1, [K2]: Symbol('x'), [K3]: 3 });
  assert.ok((await rejection(cache.getMany([K1, K2, K3], fetch))) instanceof EncodeError);
  const there = await Promise.all([K1, K2, K3].map((key) => cache.exists(key)));
  assert.deepEqual(there, [true, false, true]);
  assert.equal(await cache.get(K2, () => 'free', { signal: AbortSignal.timeout(SOON_MS) }), 'free');
});

onBoth('a batch inside the fallback of one of its keys does not wait for itself', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const source = new Source();
  const fetch = async () => Object.fromEntries(await cache.getMany([K1, K2], source.fetch));
  const both = Object.fromEntries(rows([K1, K2]));
  assert.deepEqual(await cache.get(K1, fetch, { signal: AbortSignal.timeout(SOON_MS) }), both);
  assert.deepEqual(source.calls, [[K2, K1]]);
  assert.deepEqual(await cache.get(K1, { default: null }), both);
  assert.deepEqual(await cache.get(K2, { default: null }), { of: K2 });
  await cache.close();
  assert.deepEqual(
    faults.map((fault) => [fault.reason, fault.key]),
    [['nested', K1]],
  );
});

onBoth('a get inside the fetch that fills its key does not wait for itself', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const fetch = async () => ({ [K1]: await cache.get(K1, () => 'inner', { signal: AbortSignal.timeout(SOON_MS) }) });
  assert.equal((await cache.getMany([K1], fetch)).get(K1), 'inner');
  await cache.close();
  assert.deepEqual(
    faults.map((fault) => fault.reason),
    ['nested'],
  );
});

onBoth('what is neither a Map nor an object is refused by name, and frees the keys', async ({ cache }) => {
  for (const [given, says] of [
    [[1], '[ 1 ]'],
    [null, 'null'],
    [undefined, 'undefined'],
    [5, '5'],
  ] as const) {
    const refused = await rejection(cache.getMany(KEYS, () => given as never));
    assert.ok(refused instanceof ConfigError);
    assert.ok(refused.message.startsWith(`fetchMissing gave ${says}; it takes an array of keys and gives a Map`));
  }
  assert.equal(await cache.get(KEY, () => 'free', { signal: AbortSignal.timeout(SOON_MS) }), 'free');
});
