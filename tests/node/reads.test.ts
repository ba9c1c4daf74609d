/** get, getEntry, exists and refresh, one caller at a time, on memory and on Redis. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { CacheManager } from 'tidegate';
import { deferred, Held, KEY, onBoth, reasonsAtTheEnd, rejection, watched } from './support/stage.js';

const OTHER = 'user:profile:2';

onBoth('a miss runs the fallback and a hit does not', async ({ cache }) => {
  const fetch = new Held<{ name: string }>();
  fetch.give({ name: 'Ada' });
  assert.deepEqual(await cache.get(KEY, fetch.fallback), { name: 'Ada' });
  assert.deepEqual(await cache.get(KEY, fetch.fallback), { name: 'Ada' });
  assert.equal(fetch.runs, 1);
});

onBoth('a plain fallback is as good as an async one', async ({ cache }) => {
  assert.deepEqual(await cache.get(KEY, () => [1, 2]), [1, 2]);
  assert.deepEqual(await cache.get(KEY, () => [9]), [1, 2]);
});

onBoth('null is a value, and undefined is null', async ({ cache }) => {
  for (const [at, nothing] of [null, undefined].entries()) {
    const key = `user:profile:${at}`;
    const fetch = new Held<null | undefined>();
    fetch.give(nothing);
    assert.equal(await cache.get(key, fetch.fallback), null);
    assert.equal(await cache.get(key, fetch.fallback), null);
    assert.equal(fetch.runs, 1);
    assert.equal(await cache.exists(key), true);
    assert.equal((await cache.getEntry(key))?.value, null);
    assert.equal(await cache.get(key, { default: 'absent' }), null);
  }
});

onBoth('without a fallback the default stands in', async ({ cache }) => {
  assert.equal(await cache.get(KEY, { default: 'nobody' }), 'nobody');
  assert.equal(await cache.get(KEY, { default: undefined }), undefined);
  assert.equal(await cache.exists(KEY), false);
  await cache.set(KEY, 'Ada');
  assert.equal(await cache.get(KEY, { default: 'nobody' }), 'Ada');
});

onBoth('an entry tells its value, its version, its times and where it stands', async ({ cache, url }) => {
  assert.equal(await cache.getEntry(KEY), null);
  const began = Date.now();
  await cache.set(KEY, { name: 'Ada' }, { ttl: '1m' });
  const entry = await cache.getEntry<{ name: string }>(KEY);
  assert.ok(entry);
  assert.deepEqual(Object.keys(entry).sort(), [
    'createdAt',
    'freshUntil',
    'source',
    'staleUntil',
    'tags',
    'value',
    'version',
  ]);
  assert.equal(entry.value?.name, 'Ada');
  assert.deepEqual(entry.tags, []);
  assert.equal(entry.source, url.startsWith('memory') ? 'memory' : 'redis');
  assert.ok(Math.abs(entry.createdAt - began) < 5_000, `${entry.createdAt} beside ${began}`);
  assert.ok(entry.version > 0 && entry.freshUntil > entry.createdAt && entry.staleUntil >= entry.freshUntil);
});

onBoth('a fallback may look at its context and say how long its value lives', async ({ cache }) => {
  const seen: unknown[] = [];
  await cache.get(KEY, (ctx) => {
    seen.push(ctx.key, ctx.ttl);
    ctx.ttl = '1h';
    seen.push(ctx.ttl);
    return 1;
  });
  await cache.get(OTHER, (ctx) => seen.push(ctx.ttl), { ttl: '2s' });
  assert.deepEqual(seen, [KEY, null, 3_600_000, 2_000]);
  const entry = await cache.getEntry(KEY);
  assert.ok(entry);
  const life = entry.freshUntil - entry.createdAt;
  assert.ok(life > 3_200_000 && life <= 3_600_000, `${life}`);
});

onBoth('a fallback may say that its value is not to be stored', async ({ cache }) => {
  const skipping = async (ctx: { skip(): void }) => {
    ctx.skip();
    return 'for now';
  };
  assert.equal(await cache.get(KEY, skipping), 'for now');
  assert.equal(await cache.exists(KEY), false);
});

onBoth('the ttl of a call counts for its entry', async (stage) => {
  const cache = stage.make({ ttlJitter: 0 });
  const lives: number[] = [];
  for (const ttl of [60_000, '2m', '1h']) {
    await cache.invalidate(KEY);
    await cache.get(KEY, () => 1, { ttl });
    const entry = await cache.getEntry(KEY);
    assert.ok(entry);
    lives.push(entry.freshUntil - entry.createdAt);
  }
  assert.deepEqual(lives, [60_000, 120_000, 3_600_000]);
});

onBoth('refresh computes anew and stores', async ({ cache }) => {
  await cache.get(KEY, () => 'old');
  const before = await cache.getEntry(KEY);
  assert.equal(await cache.refresh(KEY, () => 'new', { ttl: '1h' }), 'new');
  const after = await cache.getEntry<string>(KEY);
  assert.ok(before && after);
  assert.equal(after.value, 'new');
  assert.ok(after.version > before.version);
});

onBoth('a refresh that fails leaves what stands there', async ({ cache }) => {
  await cache.set(KEY, 'old');
  const boom = new Error('by hand');
  await assert.rejects(
    cache.refresh(KEY, () => Promise.reject(boom)),
    (error) => error === boom,
  );
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'old');
});

onBoth('a get inside its own fallback runs at once, and is told', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const outer = async () => ['outer', await cache.get(KEY, () => 'inner')];
  assert.deepEqual(await cache.get(KEY, outer), ['outer', 'inner']);
  assert.deepEqual(await cache.get(KEY, { default: null }), ['outer', 'inner']);
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['nested']);
});

onBoth('a get inside its own fallback is noticed through another key and after an await', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const inner = async () => {
    await turn();
    return cache.get(KEY, () => 'innermost');
  };
  assert.equal(await cache.get(KEY, () => cache.get(OTHER, inner)), 'innermost');
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), ['nested']);
});

onBoth('what a fallback left running is not inside it any more', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const go = deferred();
  let leftRunning: Promise<unknown> | undefined;
  await cache.get(KEY, () => {
    leftRunning = go.promise.then(() => cache.get(KEY, () => 'computed twice'));
    return 'value';
  });
  go.resolve();
  assert.equal(await leftRunning, 'value');
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), []);
});

onBoth('a fallback may get other keys', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const outer = async () => [await cache.get(OTHER, () => 2), 1];
  assert.deepEqual(await cache.get(KEY, outer), [2, 1]);
  assert.deepEqual(await reasonsAtTheEnd(cache, faults), []);
});

onBoth('a key is nested in one manager only', async (stage) => {
  const [cache, other] = [stage.make(), new CacheManager()];
  const faults = watched(other, 'cache.error');
  await cache.get(KEY, () => other.get(KEY, () => 'of the other'));
  assert.equal(await other.get(KEY, { default: 'absent' }), 'of the other');
  assert.deepEqual(await reasonsAtTheEnd(other, faults), []);
});

onBoth('disabled runs every fallback and stores nothing', async ({ cache }) => {
  await cache.set(KEY, 'stored');
  const seen = await cache.disabled(async () => [
    await cache.get(KEY, () => ({ at: new Date(0) })),
    await cache.get(KEY, { default: 'none' }),
    await cache.refresh(KEY, () => 'fresh'),
    Object.fromEntries(await cache.getMany([KEY], () => ({ [KEY]: 1 }))),
    await cache.set(OTHER, 'no'),
    await cache.exists(KEY),
    await cache.getEntry(KEY),
  ]);
  assert.deepEqual(seen, [{ at: '1970-01-01T00:00:00.000Z' }, 'none', 'fresh', { [KEY]: 1 }, false, false, null]);
  assert.equal(await cache.get(KEY, { default: 'none' }), 'stored');
  assert.equal(await cache.exists(OTHER), false);
});

onBoth('disabled gives what its block gives, throws what it throws, and ends with it', async ({ cache }) => {
  const boom = new Error('by hand');
  assert.equal(
    cache.disabled(() => 5),
    5,
  );
  assert.throws(
    () =>
      cache.disabled(() => {
        throw boom;
      }),
    (error) => error === boom,
  );
  assert.equal(await cache.get(KEY, () => 'cached'), 'cached');
  assert.equal(await cache.exists(KEY), true);
});

onBoth('disabled is of one manager', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  await cache.set(KEY, 'stored');
  assert.equal(await cache.disabled(() => other.get(KEY, () => 'fresh')), 'stored');
});

onBoth('disabled is of what its block started, through timers and awaits, and of nobody else', async ({ cache }) => {
  await cache.set(KEY, 'stored');
  const [inside, go] = [deferred(), deferred()];
  const block = cache.disabled(async () => {
    inside.resolve();
    await go.promise;
    await turn();
    return cache.get(KEY, () => 'fresh');
  });
  await inside.promise;
  assert.equal(await cache.get(KEY, () => 'fresh'), 'stored');
  go.resolve();
  assert.equal(await block, 'fresh');
});

onBoth(
  "a fallback sees its caller's AsyncLocalStorage, and callers keep theirs after they waited",
  async ({ cache }) => {
    const request = new AsyncLocalStorage<string>();
    const gate = deferred();
    const served = async (): Promise<unknown[]> => {
      const value = await cache.get(KEY, async () => {
        const before = request.getStore();
        await gate.promise;
        return [before, request.getStore()];
      });
      return [value, request.getStore()];
    };
    const all = ['Ada', 'Grace', 'Edsger'].map((name) => request.run(name, served));
    gate.resolve();
    const ends = await Promise.all(all);
    assert.deepEqual(ends, [
      [['Ada', 'Ada'], 'Ada'],
      [['Ada', 'Ada'], 'Grace'],
      [['Ada', 'Ada'], 'Edsger'],
    ]);
    assert.equal(await request.run('hit', async () => (await cache.exists(KEY)) && request.getStore()), 'hit');
  },
);

onBoth('nothing of a fallback runs in the context of another caller who takes over', async ({ cache }) => {
  const request = new AsyncLocalStorage<string>();
  const first = new AbortController();
  const held = new Held<string>();
  const leader = rejection(request.run('first', () => cache.get(KEY, held.fallback, { signal: first.signal })));
  await held.entered;
  const follower = request.run('second', () => cache.get(KEY, () => request.getStore()));
  first.abort('gone');
  assert.equal(await follower, 'second');
  assert.equal(await leader, 'gone');
});
