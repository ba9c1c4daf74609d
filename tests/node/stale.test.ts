/** Values that are not fresh: served at once or instead of an error, and what then goes on behind. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as pass } from 'node:timers/promises';
import { type CacheManager, type Context, HardTimeout, type Options } from 'tidegate';
import { eventually, Held, KEY, onBoth, rejection, type Stage, settled, watched } from './support/stage.js';

const OTHER = 'user:profile:2';
const QUICK: Options = { ttl: 200, ttlJitter: 0, staleWhileRevalidate: '1m', lease: '20s' };
const CAREFUL: Options = { ttl: 200, ttlJitter: 0, staleIfError: '1m', lease: '20s' };

/** A manager in which these keys stand, past their freshness. */
async function aged(stage: Stage, options: Options, ...keys: string[]): Promise<CacheManager> {
  const cache = stage.make(options);
  for (const key of keys) await cache.get(key, () => 'old');
  await pass(250);
  return cache;
}

onBoth('a stale value is served at once, and computed anew behind', async (stage) => {
  const cache = await aged(stage, QUICK, KEY);
  const told = watched(cache, 'cache.stale', 'cache.refresh', 'cache.hit');
  const held = new Held<string>();
  assert.equal(await cache.get(KEY, held.fallback), 'old');
  await held.entered;
  assert.equal(held.contexts[0]?.stale, 'old');
  // Nobody else starts a second one.
  assert.equal(await cache.get(KEY, held.fallback), 'old');
  held.give('new');
  await eventually(async () => (await cache.get(KEY, { default: null })) === 'new');
  assert.equal(held.runs, 1);
  const { stale_served, refreshes } = cache.stats();
  assert.deepEqual([stale_served, refreshes], [2, 1]);
  await eventually(() => told.length >= 4);
  assert.deepEqual(
    told.slice(0, 3).map(({ type, reason }) => [type, reason]),
    [
      ['cache.stale', 'revalidating'],
      ['cache.refresh', 'stale'],
      ['cache.stale', 'revalidating'],
    ],
  );
});

onBoth('what runs behind keeps its caller’s AsyncLocalStorage, and each caller his own', async (stage) => {
  const cache = await aged(stage, QUICK, KEY, OTHER);
  const who = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const fallback = async () => {
    seen.push(who.getStore());
    await pass(1);
    seen.push(who.getStore());
    return 'new';
  };
  const served = await Promise.all([
    who.run('one', () => cache.get(KEY, fallback)),
    who.run('two', () => cache.getMany([OTHER], async () => ({ [OTHER]: await fallback() }))),
  ]);
  assert.deepEqual(served, ['old', new Map([[OTHER, 'old']])]);
  await eventually(() => seen.length === 4);
  assert.deepEqual(seen.sort(), ['one', 'one', 'two', 'two']);
});

onBoth('what fails behind is an event, and nobody’s rejection', async (stage) => {
  const cache = await aged(stage, QUICK, KEY, OTHER);
  const told = watched(cache, 'cache.fallback_error');
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  const fails = async (): Promise<never> => {
    throw new Error('behind');
  };
  assert.equal(await cache.get(KEY, fails), 'old');
  assert.deepEqual(await cache.getMany([OTHER], fails), new Map([[OTHER, 'old']]));
  await eventually(() => told.length === 2);
  await settled();
  process.off('unhandledRejection', note);
  assert.deepEqual(unhandled, []);
});

onBoth('a signal that is aborted after its caller was served ends nothing that runs behind', async (stage) => {
  const cache = await aged(stage, QUICK, KEY);
  const leaving = new AbortController();
  const held = new Held<string>();
  assert.equal(await cache.get(KEY, held.fallback, { signal: leaving.signal }), 'old');
  leaving.abort();
  await held.entered;
  assert.equal(held.contexts[0]?.signal.aborted, false);
  held.give('new');
  await eventually(async () => (await cache.get(KEY, { default: null })) === 'new');
});

onBoth('at the soft timeout a caller is served, and his fallback goes on and fills', async (stage) => {
  const cache = await aged(stage, { ...CAREFUL, softTimeout: 30 }, KEY, OTHER);
  const leaving = new AbortController();
  const [held, many] = [new Held<string>(), new Held<Record<string, string>>()];
  const calls = [
    cache.get(KEY, held.fallback, { signal: leaving.signal }),
    cache.getMany([OTHER], many.fallback as never),
  ];
  assert.deepEqual(await Promise.all(calls), ['old', new Map([[OTHER, 'old']])]);
  leaving.abort();
  assert.equal(held.contexts[0]?.signal.aborted, false);
  held.give('new');
  many.give({ [OTHER]: 'new' });
  for (const key of [KEY, OTHER]) {
    await eventually(async () => (await cache.getEntry(key))?.value === 'new');
  }
  assert.deepEqual([held.runs, many.runs], [1, 1]);
});

onBoth('at the soft timeout of a batch nobody is served while one of its keys has nothing stale', async (stage) => {
  const cache = await aged(stage, { ...CAREFUL, softTimeout: 30 }, KEY);
  const held = new Held<Record<string, string>>();
  const call = cache.getMany([KEY, OTHER], held.fallback as never);
  await held.entered;
  await pass(100);
  held.give({ [KEY]: 'new', [OTHER]: 'new' });
  assert.deepEqual([...(await call).values()], ['new', 'new']);
});

onBoth('at the hard timeout a stale value is given instead of the error, and the run is told', async (stage) => {
  const cache = await aged(stage, { ...CAREFUL, hardTimeout: 60 }, KEY, OTHER);
  const [held, many] = [new Held<string>(), new Held<Record<string, string>>()];
  const calls = [cache.get(KEY, held.fallback), cache.getMany([OTHER], many.fallback as never)];
  assert.deepEqual(await Promise.all(calls), ['old', new Map([[OTHER, 'old']])]);
  assert.ok(held.contexts[0]?.signal.reason instanceof HardTimeout);
  assert.match(String(held.contexts[0]?.signal.reason), /user:profile:1/);
  assert.equal(
    (await rejection(cache.get('user:profile:3', () => new Promise(() => {})))) instanceof HardTimeout,
    true,
  );
});

onBoth('a fallback that blocks the loop and fails behind the hard timeout gives the stale value', async (stage) => {
  const cache = await aged(stage, { ...CAREFUL, hardTimeout: 60 }, KEY);
  const fallback = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    throw new Error('by hand');
  };
  assert.equal(await cache.get(KEY, fallback), 'old');
  assert.equal(cache.stats().stale_served, 1);
});

onBoth('where the fallback fails a stale value is given, to its leader and to those who wait', async (stage) => {
  const cache = await aged(stage, CAREFUL, KEY, OTHER);
  const told = watched(cache, 'cache.stale');
  const held = new Held<string>();
  const calls = [cache.get(KEY, held.fallback), cache.get(KEY, () => 'never')];
  await held.entered;
  held.fail(new Error('down'));
  assert.deepEqual(await Promise.all(calls), ['old', 'old']);
  const fails = async (): Promise<never> => {
    throw new Error('down');
  };
  assert.deepEqual(await cache.getMany([OTHER], fails), new Map([[OTHER, 'old']]));
  const boom = new Error('nothing stands there');
  assert.equal(await rejection(cache.getMany([OTHER, 'user:profile:3'], () => Promise.reject(boom))), boom);
  await eventually(() => told.length >= 3);
  // On memory the second came too late for what the first had been told, and found the fallback spared.
  assert.ok(told.every(({ reason }) => reason === 'error' || reason === 'error_backoff'));
});

onBoth('the refreshes of a batch run behind, each key once, by fetchMissing', async (stage) => {
  const cache = await aged(stage, QUICK, KEY, OTHER);
  const asked: string[][] = [];
  const fetchMissing = (keys: string[]) => {
    asked.push(keys);
    return Object.fromEntries(keys.map((key) => [key, 'new']));
  };
  const all = [KEY, OTHER, 'user:profile:3'];
  assert.deepEqual([...(await cache.getMany(all, fetchMissing)).values()], ['old', 'old', 'new']);
  await eventually(() => asked.flat().length === 3);
  assert.deepEqual(asked.flat().sort(), all);
  await eventually(async () => (await cache.getEntry(KEY))?.value === 'new');
  await eventually(async () => (await cache.getEntry(OTHER))?.value === 'new');
});

onBoth('close waits for what runs behind, and aborts it when its time is over', async (stage) => {
  const cache = await aged(stage, QUICK, KEY, OTHER);
  const [held, stuck] = [new Held<string>(), new Held<string>()];
  assert.equal(await cache.get(KEY, held.fallback), 'old');
  await held.entered;
  let isClosed = false;
  const closed = cache.close({ timeout: '20s' }).then((drained) => {
    isClosed = true;
    return drained;
  });
  await pass(50);
  assert.equal(isClosed, false);
  held.give('new');
  assert.equal(await closed, true);
  const other = stage.make(QUICK);
  assert.equal(await other.get(KEY, { default: null }), 'new');
  await pass(250);
  assert.equal(await other.get(KEY, stuck.fallback), 'new');
  await stuck.entered;
  const { signal } = stuck.contexts[0] as Context;
  assert.equal(await other.close({ timeout: 30 }), false);
  assert.equal(signal.aborted, true);
});

onBoth('notModified keeps what stands there, for a new life, and gives it', async (stage) => {
  const cache = await aged(stage, CAREFUL, KEY);
  const before = await stage.make(CAREFUL).getEntry(KEY);
  const unchanged = (context: Context): string => {
    context.ttl = '1m';
    return context.stale === 'old' ? context.notModified() : 'wrong';
  };
  assert.equal(before, null);
  assert.equal(await cache.get(KEY, unchanged), 'old');
  const entry = await cache.getEntry(KEY);
  assert.equal(entry?.value, 'old');
  assert.ok((entry?.freshUntil ?? 0) - (entry?.createdAt ?? 0) > 50_000);
});

onBoth('a fallback’s object of ctx.stale is its own', async (stage) => {
  const cache = stage.make(CAREFUL);
  await cache.set(KEY, { list: [1] });
  await pass(250);
  const spoils = (context: Context) => {
    (context.stale as { list: number[] }).list.push(2);
    return context.notModified<{ list: number[] }>();
  };
  assert.deepEqual(await cache.get(KEY, spoils), { list: [1] });
});

onBoth('a fallback inside another one’s that runs behind is inside of nothing', async (stage) => {
  const cache = await aged(stage, QUICK, KEY);
  const errors = watched(cache, 'cache.error');
  const held = new Held<string>();
  const outer = cache.get(OTHER, async () => {
    const inner = await cache.get(KEY, async () => `${await cache.get(OTHER, () => 'of nobody')} behind`);
    await held.fallback({} as Context);
    return `with ${inner}`;
  });
  await held.entered;
  held.give('go');
  assert.equal(await outer, 'with old');
  await eventually(async () => (await cache.getEntry(KEY))?.value === 'with old behind');
  assert.deepEqual(errors, []);
});
