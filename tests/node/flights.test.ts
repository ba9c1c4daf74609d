/** Many callers of one key: one fallback, its value, its failure, its time. */
import assert from 'node:assert/strict';
import { setTimeout as pass } from 'node:timers/promises';
import { HardTimeout } from 'tidegate';
import { deferred, eventually, Held, KEY, onBoth, rejection, settled } from './support/stage.js';

onBoth('a thousand callers are one fallback', async ({ cache }) => {
  const held = new Held<{ name: string }>();
  const calls = Array.from({ length: 1_000 }, () => cache.get(KEY, held.fallback));
  await held.entered;
  held.give({ name: 'Ada' });
  assert.deepEqual(await Promise.all(calls), Array(1_000).fill({ name: 'Ada' }));
  assert.equal(held.runs, 1);
  assert.equal(cache.stats().fallbacks, 1);
});

onBoth('callers who come while the fallback runs share it too', async ({ cache }) => {
  const held = new Held<string>();
  const leader = cache.get(KEY, held.fallback);
  await held.entered;
  const late = [];
  for (let turn = 0; turn < 10; turn += 1) {
    late.push(cache.get(KEY, () => assert.fail('two fallbacks ran')));
    await settled();
  }
  held.give('value');
  assert.deepEqual(await Promise.all([leader, ...late]), Array(11).fill('value'));
});

onBoth('many keys at once keep their values apart', async ({ cache }) => {
  const keys = Array.from({ length: 500 }, (_, at) => `user:profile:${at}`);
  const ask = (key: string) => cache.get(key, (ctx) => pass(1, `of ${ctx.key}`));
  const all = await Promise.all([...keys, ...keys].map(ask));
  assert.deepEqual(
    all,
    [...keys, ...keys].map((key) => `of ${key}`),
  );
  assert.equal(cache.stats().fallbacks, 500);
});

class NoSuchUser extends Error {
  readonly id = 1;
}

onBoth('a failure reaches all who wait as the very object that was thrown, with its own stack', async ({ cache }) => {
  const boom = new NoSuchUser('no such user', { cause: 'by hand' });
  const before = { stack: boom.stack, ...boom };
  const held = new Held<string>();
  const calls = Array.from({ length: 100 }, () => rejection(cache.get(KEY, held.fallback)));
  await held.entered;
  held.fail(boom);
  for (const seen of await Promise.all(calls)) assert.equal(seen, boom);
  assert.deepEqual({ stack: boom.stack, ...boom }, before);
  assert.equal(held.runs, 1);
  assert.equal(await cache.get(KEY, () => 'next'), 'next');
});

onBoth('what a plain fallback throws is thrown unchanged, whatever it is', async ({ cache }) => {
  for (const thrown of [new RangeError('by hand'), 'a text', 0, null, undefined, Object.freeze({ code: 5 })]) {
    const plain = rejection(
      cache.get(KEY, () => {
        throw thrown;
      }),
    );
    assert.equal(await plain, thrown);
    const [one, two] = [1, 2].map(() => rejection(cache.get(KEY, () => Promise.reject(thrown))));
    assert.deepEqual([await one, await two], [thrown, thrown]);
  }
  assert.equal(await cache.exists(KEY), false);
});

onBoth('any thenable will do', async ({ cache }) => {
  const thenable: PromiseLike<string> = {
    // biome-ignore lint/suspicious/noThenProperty: it is what this test is about
    then: (resolve) =>
      pass(1)
        .then(() => 'from a thenable')
        .then(resolve),
  };
  assert.equal(await cache.get(KEY, () => thenable), 'from a thenable');
  const broken = {
    // biome-ignore lint/suspicious/noThenProperty: it is what this test is about
    then() {
      throw new TypeError('no promise at all');
    },
  } as unknown as PromiseLike<string>;
  await assert.rejects(
    cache.refresh(KEY, () => broken),
    /no promise at all/,
  );
});

onBoth('the hard timeout frees the callers, aborts the signal of the fallback, and frees the key', async (stage) => {
  const cache = stage.make({ hardTimeout: '150ms' });
  const signals: AbortSignal[] = [];
  const never = ({ signal }: { signal: AbortSignal }) => {
    signals.push(signal);
    return new Promise<never>(() => {});
  };
  const ends = await Promise.all([1, 2, 3].map(() => rejection(cache.get(KEY, never))));
  for (const end of ends) {
    assert.ok(end instanceof HardTimeout);
    assert.match(end.message, /user:profile:1.*150 ms/);
  }
  const [signal] = signals;
  assert.equal(signals.length, 1);
  assert.ok(signal?.aborted && signal.reason instanceof HardTimeout);
  assert.equal(await cache.get(KEY, () => 'free'), 'free');
});

onBoth('a signal that is first asked for after the hard timeout is aborted already', async (stage) => {
  const cache = stage.make({ hardTimeout: '50ms' });
  const [late, seen] = [deferred(), deferred<boolean>()];
  const call = rejection(
    cache.get(KEY, async (ctx) => {
      await late.promise;
      seen.resolve(ctx.signal.aborted);
    }),
  );
  assert.ok((await call) instanceof HardTimeout);
  late.resolve();
  assert.equal(await seen.promise, true);
});

onBoth('what a fallback brings after the hard timeout is nobody’s, a value or an error', async (stage) => {
  const cache = stage.make({ hardTimeout: '50ms' });
  for (const end of ['give', 'fail'] as const) {
    const held = new Held<unknown>();
    assert.ok((await rejection(cache.get(KEY, held.fallback))) instanceof HardTimeout);
    assert.equal(await cache.get(KEY, () => 'next'), 'next');
    held[end](new Error('too late'));
    await settled();
    assert.equal(await cache.get(KEY, { default: 'absent' }), 'next');
    await cache.invalidate(KEY);
  }
});

onBoth('the signal of a fallback that ends in time is never aborted', async ({ cache }) => {
  const signals: AbortSignal[] = [];
  const caller = new AbortController();
  const value = await cache.get(KEY, ({ signal }) => signals.push(signal), { signal: caller.signal });
  caller.abort();
  await settled();
  assert.equal(value, 1);
  assert.equal(signals[0]?.aborted, false);
});

onBoth('another manager is waited for and its work not repeated', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const held = new Held<string>();
  const leader = one.get(KEY, held.fallback);
  await held.entered;
  const other = two.get(KEY, () => assert.fail('two fallbacks ran'));
  await eventually(() => two.stats().waits > 0);
  held.give('value');
  assert.deepEqual(await Promise.all([leader, other]), ['value', 'value']);
  assert.equal(two.stats().fallbacks, 0);
});

onBoth('where another manager’s fallback fails, one who waits takes over', async (stage) => {
  const [one, two] = [stage.make(), stage.make({ lease: '20s' })];
  const held = new Held<string>();
  const leader = rejection(two.get(KEY, held.fallback));
  await held.entered;
  const other = one.get(KEY, () => 'mine');
  await eventually(() => one.stats().waits > 0);
  const boom = new Error('theirs');
  held.fail(boom);
  assert.equal(await leader, boom);
  assert.equal(await other, 'mine');
});

onBoth('a value that cannot be asked whether it is a promise is its fallback’s failure', async ({ cache }) => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const boom = new Error('then');
  const values = [
    proxy,
    {
      // biome-ignore lint/suspicious/noThenProperty: it is asked for it
      get then(): never {
        throw boom;
      },
    },
  ];
  for (const value of values) {
    const error = await rejection(cache.get(KEY, () => value));
    assert.ok(value === proxy ? error instanceof TypeError : error === boom);
    // The lease is free at once: nobody waits for the hard timeout.
    const next = cache.get(KEY, () => 'next');
    assert.equal(await Promise.race([next, pass(5_000, 'still held', { ref: false })]), 'next');
    await cache.invalidate(KEY);
  }
});
