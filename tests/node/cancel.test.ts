/** Callers who go away: by the `signal` that they gave. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { HardTimeout } from 'tidegate';
import {
  deferred,
  eventually,
  Held,
  KEY,
  onBoth,
  onOwnServer,
  rejection,
  settled,
  warningsOf,
} from './support/stage.js';

const GONE = new Error('gone');
const SOON_MS = 1_500;

onBoth('an aborted signal rejects with its reason, and nothing runs', async ({ cache }) => {
  const signal = AbortSignal.abort(GONE);
  const never = () => assert.fail('it ran');
  await cache.set(KEY, 'there');
  for (const call of [
    () => cache.get(KEY, never, { signal }),
    () => cache.get(KEY, { default: 1, signal }),
    () => cache.refresh(KEY, never, { signal }),
    () => cache.getMany([KEY], never, { signal }),
    () => cache.disabled(() => cache.get(KEY, never, { signal })),
    () => cache.disabled(() => cache.refresh(KEY, never, { signal })),
    () => cache.disabled(() => cache.getMany([KEY], never, { signal })),
  ]) {
    assert.equal(await rejection(call()), GONE, `${call}`);
  }
  assert.equal(((await rejection(cache.get(KEY, never, { signal: AbortSignal.abort() }))) as Error).name, 'AbortError');
});

onBoth('a leader who goes away hands over, and the signal of its fallback is aborted', async ({ cache }) => {
  const leaving = new AbortController();
  const [first, second] = [new Held<string>(), new Held<string>()];
  const leader = rejection(cache.get(KEY, first.fallback, { signal: leaving.signal }));
  await first.entered;
  const [context] = first.contexts;
  assert.ok(context);
  const { signal } = context;
  const followers = [1, 2, 3].map(() => cache.get(KEY, second.fallback));
  await settled();
  assert.equal(signal.aborted, false);
  leaving.abort(GONE);
  assert.equal(await leader, GONE);
  assert.equal(signal.reason, GONE);
  await second.entered;
  second.give('second');
  assert.deepEqual(await Promise.all(followers), ['second', 'second', 'second']);
  first.give('too late');
  await settled();
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'second');
  assert.deepEqual([first.runs, second.runs], [1, 1]);
});

onBoth('a fallback that fails because its caller went away hands over', async ({ cache }) => {
  const leaving = new AbortController();
  const entered = deferred();
  const leader = rejection(
    cache.get(
      KEY,
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          entered.resolve();
        }),
      { signal: leaving.signal },
    ),
  );
  await entered.promise;
  const follower = cache.get(KEY, () => 'second');
  await settled();
  leaving.abort(GONE);
  assert.equal(await follower, 'second');
  assert.equal(await leader, GONE);
});

onBoth('a plain fallback that ends its own caller still gives its value', async ({ cache }) => {
  const leaving = new AbortController();
  const value = () => {
    leaving.abort(GONE);
    return 'value';
  };
  assert.equal(await cache.get(KEY, value, { signal: leaving.signal }), 'value');
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'value');
});

onBoth('a plain fallback that ends its own caller and throws, or never ends, hands over', async ({ cache }) => {
  for (const end of [
    () => {
      throw new Error('because of it');
    },
    () => new Promise<string>(() => {}),
  ]) {
    const leaving = new AbortController();
    const own = () => {
      leaving.abort(GONE);
      return end();
    };
    const leader = rejection(cache.get(KEY, own, { signal: leaving.signal }));
    const follower = cache.get(KEY, () => 'second');
    assert.equal(await follower, 'second');
    const reason = await leader;
    assert.ok(reason === GONE || (reason as Error).message === 'because of it');
    await cache.invalidate(KEY);
  }
});

onBoth('an async fallback that ends its own caller hands over', async ({ cache }) => {
  const leaving = new AbortController();
  const go = deferred();
  const own = async () => {
    await go.promise;
    leaving.abort(GONE);
    return 'unwanted';
  };
  const leader = rejection(cache.get(KEY, own, { signal: leaving.signal }));
  const follower = cache.get(KEY, () => 'second');
  go.resolve();
  assert.equal(await leader, GONE);
  assert.equal(await follower, 'second');
});

onBoth('a follower who goes away takes nobody with it', async ({ cache }) => {
  const held = new Held<string>();
  const leader = cache.get(KEY, held.fallback);
  await held.entered;
  const leaving = new AbortController();
  const gone = [1, 2, 3].map(() => rejection(cache.get(KEY, held.fallback, { signal: leaving.signal })));
  const staying = [1, 2, 3].map(() => cache.get(KEY, held.fallback));
  await settled();
  leaving.abort(GONE);
  assert.deepEqual(await Promise.all(gone), [GONE, GONE, GONE]);
  held.give('value');
  assert.deepEqual(await Promise.all([leader, ...staying]), Array(4).fill('value'));
  assert.equal(held.runs, 1);
});

onBoth('a timeout of the caller’s own works, and the key is free', async ({ cache }) => {
  const signal = AbortSignal.timeout(20);
  const end = await rejection(cache.get(KEY, () => new Promise(() => {}), { signal }));
  assert.equal(end, signal.reason);
  assert.equal((end as Error).name, 'TimeoutError');
  assert.equal(await cache.get(KEY, () => 'next', { signal: AbortSignal.timeout(SOON_MS) }), 'next');
});

for (const [when, leave] of [
  ['before anything', () => {}],
  ['after a microtask', () => Promise.resolve()],
  ['after a turn', () => turn()],
  ['after several turns', () => settled()],
  ['while its answer lies ready', () => block(20)],
] as const) {
  onBoth(`a caller may go away ${when}, and never keeps the key`, async ({ cache }) => {
    for (const [at, fallback] of [() => new Promise(() => {}), async () => 'quick', () => 'plain'].entries()) {
      for (let run = 0; run < 10; run += 1) {
        const key = `user:profile:${at}:${run}`;
        const leaving = new AbortController();
        const doomed = Promise.allSettled([cache.get<unknown>(key, fallback, { signal: leaving.signal })]);
        await leave();
        leaving.abort(GONE);
        const seen = await cache.get(key, () => 'next', { signal: AbortSignal.timeout(SOON_MS) });
        const [end] = await doomed;
        const value = end.status === 'fulfilled' ? end.value : 'next';
        assert.ok(end.status === 'fulfilled' || end.reason === GONE);
        // Its value may have been stored on its way out.
        assert.ok(seen === value || seen === 'next' || seen === 'quick' || seen === 'plain', `${seen}`);
      }
    }
  });
}

onBoth('a refresh can be left, and never keeps the key', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  const leaving = new AbortController();
  const held = new Held<string>();
  const refresh = rejection(cache.refresh(KEY, held.fallback, { signal: leaving.signal }));
  await held.entered;
  leaving.abort(GONE);
  assert.equal(await refresh, GONE);
  assert.equal(await other.get(KEY, () => 'next', { signal: AbortSignal.timeout(SOON_MS) }), 'next');
});

onOwnServer('whoever waits for a server that hangs can leave', async (stage, server) => {
  const cache = stage.make({ commandTimeout: '20s', connectTimeout: '20s', lease: '25s' });
  await cache.set(KEY, 'there');
  server.pause();
  const never = () => assert.fail('it ran');
  const leaving = new AbortController();
  const { signal } = leaving;
  const calls = [
    cache.get(KEY, never, { signal }),
    cache.get(KEY, { default: 1, signal }),
    cache.refresh(KEY, never, { signal }),
    cache.getMany([KEY], never, { signal }),
  ].map(rejection);
  await settled();
  leaving.abort(GONE);
  assert.deepEqual(await Promise.all(calls), Array(4).fill(GONE));
  server.resume();
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'there');
});

onBoth('a get that is disabled, or inside its own fallback, can be left too', async ({ cache }) => {
  cache.on('cache.error', () => {});
  const never = () => new Promise<string>(() => {});
  for (const call of [
    (signal: AbortSignal) => cache.disabled(() => cache.get(KEY, never, { signal })),
    (signal: AbortSignal) => cache.get(KEY, () => cache.get(KEY, never, { signal })),
    (signal: AbortSignal) => cache.disabled(() => cache.refresh(KEY, never, { signal })),
    (signal: AbortSignal) => cache.disabled(() => cache.getMany([KEY], () => new Promise<never>(() => {}), { signal })),
  ]) {
    const leaving = new AbortController();
    const end = rejection(call(leaving.signal));
    await settled();
    leaving.abort(GONE);
    assert.equal(await end, GONE);
  }
});

onBoth('who waits for another manager can leave', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const held = new Held<string>();
  const leader = one.get(KEY, held.fallback);
  await held.entered;
  const leaving = new AbortController();
  const waiting = rejection(two.get(KEY, () => assert.fail('two fallbacks ran'), { signal: leaving.signal }));
  await settled();
  leaving.abort(GONE);
  assert.equal(await waiting, GONE);
  held.give('value');
  assert.equal(await leader, 'value');
  assert.equal(await two.get(KEY, { default: 'absent' }), 'value');
});

onBoth('one signal for a hundred calls warns of nothing and ends them all', async ({ cache }) => {
  const leaving = new AbortController();
  const { signal } = leaving;
  const never = () => new Promise<never>(() => {});
  const others = Array.from({ length: 20 }, (_, at) => `user:settings:${at}`);
  const warnings = await warningsOf(async () => {
    const led = Array.from({ length: 50 }, (_, at) => rejection(cache.get(`user:profile:${at}`, never, { signal })));
    const waiting = Array.from({ length: 50 }, () => rejection(cache.get(KEY, never, { signal })));
    const busy = others.map((key) => rejection(cache.get(key, never, { signal })));
    const many = rejection(cache.getMany([...others, KEY], () => ({}), { signal }));
    await eventually(() => cache.stats().misses >= 70);
    leaving.abort(GONE);
    for (const end of await Promise.all([...led, ...waiting, ...busy, many])) assert.equal(end, GONE);
  });
  assert.deepEqual(warnings, []);
});

onBoth('a signal that outlives its calls is left as it was', async (stage) => {
  const cache = stage.make({ hardTimeout: '50ms' });
  const life = new AbortController();
  const { signal } = life;
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
    listeners += 1;
    addEventListener.apply(signal, given);
  };
  signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
    listeners -= 1;
    removeEventListener.apply(signal, given);
  };
  const keys = [1, 2, 3].map((at) => `user:profile:${at}`);
  await cache.get('user:profile:0', async () => 1, { signal });
  await rejection(cache.get('user:profile:1', () => Promise.reject(GONE), { signal }));
  assert.ok((await rejection(cache.get(KEY, () => new Promise(() => {}), { signal }))) instanceof HardTimeout);
  const held = new Held<string>();
  const busy = cache.get('user:profile:3', held.fallback);
  await held.entered;
  const many = cache.getMany(keys, async () => ({}), { signal });
  held.give('value');
  await Promise.all([busy, many]);
  assert.equal(listeners, 0);
});

/** Holds the loop, while the native side goes on. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
