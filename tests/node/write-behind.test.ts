/** Write-behind in Node: what the scenarios of all languages do not say. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { type CacheEvent, ClosedError, ConfigError, type WriteBehind, type WriteItem } from 'tidegate';
import { program } from './support/program.js';
import { deferred, eventually, freshService, onBoth, rejection, sharedServer, warningsOf } from './support/stage.js';

const KEY = 'page:views:7';
const SOON = { maxDelay: 10 };

onBoth('a sink is given the key, the value, the id and the attempt', async ({ cache }) => {
  const items: WriteItem[] = [];
  const save = async (given: WriteItem[]) => {
    await null;
    items.push(...given);
  };
  const behind = cache.writeBehind('counters', save, SOON);
  const ids = [await behind.put(KEY, { count: 1 }), await behind.put(KEY, null)];
  assert.equal(await behind.flush(), true);
  assert.deepEqual(
    items.map(({ key, value, id, attempt }) => ({ key, value, id, attempt })),
    [
      { key: KEY, value: { count: 1 }, id: ids[0], attempt: 1 },
      { key: KEY, value: null, id: ids[1], attempt: 1 },
    ],
  );
  assert.deepEqual(items[0]?.order, ids[0]?.split('-').map(Number));
});

onBoth('what cannot work is refused by name', async ({ cache }) => {
  // biome-ignore lint/suspicious/noExplicitAny: what no compiler lets pass
  const open = (sink: any, options?: any) => cache.writeBehind('counters', sink, options);
  for (const [make, told] of [
    [() => open(42), /sink=42 is not callable; it takes an array of writes/],
    [() => open(null, { batch: 0 }), /batch=0 is not accepted: batch takes a whole number from 1 to 1000/],
    [() => open(null, { maxDelay: -1 }), /maxDelay=-1 is not accepted/],
    [() => open(null, { maxDlay: 1 }), /there is no option "maxDlay"; did you mean "maxDelay"\?/],
    [() => open(null, { coalesce: 1 }), /coalesce=1 is not accepted: coalesce takes true or false/],
    [() => open(null, 5), /options=5 is not an object/],
    [() => cache.writeBehind('two words', null), /queue "two words" has the reserved character/],
    [() => cache.writeBehind(7 as never, null), /name=7 is not a text/],
  ] as const) {
    assert.throws(make, (error: Error) => told.test(error.message), told.source);
  }
  // biome-ignore lint/suspicious/noExplicitAny: the same
  const behind: any = open(null);
  for (const [call, told] of [
    [() => behind.put(KEY, 1, { operationId: 7 }), /operationId=7 is not a text/],
    [
      () => behind.put(KEY, 1, { operationId: 'x'.repeat(201) }),
      /operationId.* has 201 bytes; it takes a text of 1 to 200/,
    ],
    [() => behind.put(KEY, 1, { speed: 7 }), /there is no option "speed"/],
    [() => behind.put(KEY, 1, { ttl: -1 }), /ttl=-1 is not accepted/],
    [() => behind.flush({ timeout: 'soon' }), /timeout="soon" is not accepted/],
    [() => behind.deadLetters.list({ limit: 0 }), /limit=0 is not accepted/],
  ] as const) {
    const error = await rejection(call());
    assert.ok(error instanceof ConfigError, `${error}`);
    assert.match(error.message, told);
  }
  assert.equal(behind.pending, 0);
});

onBoth('a sink that throws, or gives what it should not, is told of and asked again', async ({ cache }) => {
  const events: CacheEvent[] = [];
  cache.on('cache.error', (event) => events.push(event));
  const answers: unknown[] = [new TypeError('no such table'), ['of another batch'], 42, undefined];
  const attempts: number[] = [];
  const save = (items: WriteItem[]) => {
    attempts.push(...items.map(({ attempt }) => attempt));
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer as undefined;
  };
  const behind = cache.writeBehind('counters', save, SOON);
  await behind.put(KEY, 1);
  assert.equal(await behind.flush(), true);
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  const told = () => events.filter(({ reason }) => reason === 'sink').map(({ message }) => message ?? '');
  await eventually(() => told().length === 3);
  assert.equal(told()[0], "the sink of the queue 'counters' failed on 1 write: TypeError: no such table");
  const [first] = events.filter(({ reason }) => reason === 'sink');
  assert.equal(first?.key, KEY, 'one that fails alone is named');
  for (const text of told().slice(1)) assert.match(text, /a right example: return failed\.map\(\(item\) => item\.id\)/);
});

onBoth('the work is inside of nobody', async ({ cache }) => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  let behind: WriteBehind | undefined;
  // Made within a fallback: a get of the same key in the sink is no get inside of its own fallback.
  await cache.get('user:profile:1', () => {
    behind = storage.run('caller', () =>
      cache.writeBehind(
        'counters',
        async () => {
          seen.push(await cache.get('user:profile:1', () => 'computed again'));
        },
        SOON,
      ),
    );
    return 'computed';
  });
  assert.ok(behind);
  await behind.put(KEY, 1);
  assert.equal(await behind.flush(), true);
  assert.deepEqual(seen, ['computed']);
});

onBoth('a close deals with what is pending and ends the work', async (stage) => {
  const cache = stage.make();
  const values: unknown[] = [];
  const save = (items: WriteItem[]) => {
    values.push(...items.map(({ value }) => value));
  };
  const behind = cache.writeBehind('counters', save, { maxDelay: '1m' });
  await behind.put(KEY, 1);
  assert.equal(await behind.close(), true);
  assert.deepEqual(values, [1]);
  const refused = await rejection(behind.put(KEY, 2));
  assert.ok(refused instanceof ClosedError);
  assert.match(refused.message, /the queue "counters" has been closed/);
  const another = cache.writeBehind('counters', save, { maxDelay: '1m' });
  await another.put(KEY, 3);
  assert.equal(await cache.close(), true);
  assert.deepEqual(values, [1, 3]);
});

onBoth('a close that runs out of time says so, and what its sink brings then is not counted', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  const [entered, held] = [deferred(), deferred()];
  const behind = cache.writeBehind(
    'counters',
    () => {
      entered.resolve();
      return held.promise as Promise<void>;
    },
    SOON,
  );
  await behind.put(KEY, 1);
  await entered.promise;
  assert.equal(await behind.close({ timeout: 100 }), false);
  const attempts: number[] = [];
  const next = other.writeBehind(
    'counters',
    (items) => {
      attempts.push(...items.map(({ attempt }) => attempt));
    },
    SOON,
  );
  assert.equal(await next.flush(), true);
  held.resolve();
  assert.deepEqual(attempts, [2]);
});

onBoth('a close that a failing sink holds up is soon over, and a warning says what is left', async (stage) => {
  const cache = stage.make();
  const save = () => {
    throw new Error('the database is away');
  };
  await cache.writeBehind('counters', save, SOON).put(KEY, 1);
  const beganMs = performance.now();
  const warnings = await warningsOf(async () => assert.equal(await cache.close(), false));
  assert.ok(performance.now() - beganMs < 15_000, 'not its whole half a minute');
  const left = warnings.filter(({ message }) => message.startsWith('unfinished: '));
  assert.equal(left.length, 1);
  assert.match(
    left[0]?.message ?? '',
    /^unfinished: closed with work undone: 1 pending write of the queue "counters" \(/,
  );
});

test('a script that forgets close ends by itself, and waits for the batch that is in the sink', async () => {
  const { url } = await sharedServer();
  const service = freshService();
  const done = await program(
    `
    import { CacheManager } from 'tidegate';
    const [url, service] = process.argv.slice(1);
    let enter;
    const entered = new Promise((resolve) => { enter = resolve; });
    const stay = setInterval(() => {}, 1_000);
    {
      const cache = new CacheManager({ url, service, commandTimeout: '5s' });
      const behind = cache.writeBehind('counters', async (items) => {
        enter();
        await new Promise((resolve) => setTimeout(resolve, 200).unref());
        console.log(items.map(({ value }) => value).join());
      }, { maxDelay: 10 });
      await behind.put('page:views:7', 42);
    }
    await entered;
    // From here on nothing but the batch keeps the process.
    clearInterval(stay);
    `,
    url,
    service,
  );
  assert.deepEqual([done.code, done.out], [0, '42'], done.err);
});
