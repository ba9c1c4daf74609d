/** Values that are split over fields: read, fetched, written and invalidated one by one. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, EncodeError, KeyFormatError, ValueTooLarge } from 'tidegate';
import { z } from 'zod';
import { deferred, eventually, KEY, onBoth, onRedis, rejection, watched } from './support/stage.js';

/** A fetchMissing that remembers what it was asked for. */
class Source {
  readonly asked: string[][] = [];
  constructor(readonly value: unknown) {}
  readonly fetch = (names: string[]): Record<string, unknown> => {
    this.asked.push(names);
    return Object.fromEntries(names.filter((name) => name !== 'none').map((name) => [name, this.value]));
  };
}

onBoth('only what is missing is fetched, once, and given in the order asked for', async ({ cache }) => {
  const source = new Source(2);
  assert.equal(await cache.setFields(KEY, { a: 1 }), true);
  const found = await cache.getFields(KEY, ['none', 'b', 'a', 'b'], source.fetch);
  assert.deepEqual(Object.entries(found), [
    ['none', null],
    ['b', 2],
    ['a', 1],
  ]);
  assert.deepEqual(
    source.asked.map((names) => names.sort()),
    [['b', 'none']],
  );
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b', 'none'], new Source(3).fetch), { a: 1, b: 2, none: null });
  assert.deepEqual(await cache.getFields(KEY, ['b', 'x', 'a']), { b: 2, a: 1 });
  assert.equal(await cache.get(KEY, { default: 'the whole is another matter' }), 'the whole is another matter');
});

onBoth('a fetch may be async and give a Map; what it throws is thrown unchanged', async ({ cache }) => {
  const boom = new Error('boom');
  const fail = async (): Promise<Record<string, number>> => {
    await delay(1);
    throw boom;
  };
  assert.equal(await rejection(cache.getFields(KEY, ['a'], fail)), boom);
  const fetch = async (names: string[]) => new Map(names.map((name) => [name, 1]));
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b'], fetch), { a: 1, b: 1 });
});

onBoth('one field is invalidated and the others stay', async ({ cache }) => {
  await cache.getFields(KEY, ['a', 'b', 'c'], new Source(1).fetch);
  assert.equal(await cache.invalidateField(KEY, ['a', 'c']), true);
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b', 'c']), { b: 1 });
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b'], new Source(2).fetch), { a: 2, b: 1 });
  assert.equal(await cache.invalidateField(KEY, 'a'), true);
  assert.equal(await cache.invalidate(KEY), true);
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b']), {});
});

onBoth('callers of the same fields share one fetch', async (stage) => {
  const [here, there] = [stage.make(), stage.make()];
  let runs = 0;
  const fetch = async (names: string[]) => {
    runs += 1;
    await delay(50);
    return Object.fromEntries(names.map((name) => [name, runs]));
  };
  const calls = Array.from({ length: 20 }, (_, at) => (at % 2 ? here : there).getFields(KEY, ['a', 'b'], fetch));
  for (const found of await Promise.all(calls)) assert.deepEqual(found, { a: 1, b: 1 });
  assert.equal(runs, 1);
});

onBoth('what was fetched before an invalidation is not cached', async (stage) => {
  const [cache, other] = [stage.make(), stage.make()];
  const fetch = async (names: string[]) => {
    assert.equal(await other.invalidateField(KEY, 'z'), true);
    return Object.fromEntries(names.map((name) => [name, 1]));
  };
  assert.deepEqual(await cache.getFields(KEY, ['a'], fetch), { a: 1 });
  assert.deepEqual(await cache.getFields(KEY, ['a']), {});
});

onBoth('tags and namespaces are those of the whole', async ({ cache }) => {
  await cache.setFields(KEY, new Map([['a', 1]]), { tags: ['user:42'] });
  assert.deepEqual(await cache.getFields(KEY, ['a']), { a: 1 });
  await cache.invalidateTag('user:42');
  assert.deepEqual(await cache.getFields(KEY, ['a']), {});
  const catalog = cache.namespace('catalog');
  assert.deepEqual(await catalog.getFields(KEY, ['a'], new Source(2).fetch), { a: 2 });
  await catalog.clear();
  assert.deepEqual(await catalog.getFields(KEY, ['a']), {});
});

onBoth('stale fields are served where the fetch fails', async ({ cache }) => {
  const boom = new Error('boom');
  const fail = (): Record<string, number> => {
    throw boom;
  };
  const staleIfError = '1m';
  await cache.setFields(KEY, { a: 1, b: 2 }, { ttl: 20, staleIfError });
  await delay(50);
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b'], fail, { staleIfError }), { a: 1, b: 2 });
  assert.equal(await rejection(cache.getFields(KEY, ['a', 'c'], fail, { staleIfError })), boom);
});

onBoth('a schema of all fields, or of each, and what does not fit is fetched anew', async ({ cache }) => {
  const faults = watched(cache, 'cache.error');
  const schema = { home: z.object({ street: z.string() }), seen: z.coerce.date() };
  const given = { home: { street: 'Strand' }, seen: '2026-01-02T00:00:00.000Z', extra: [1] };
  const fetch = (names: string[]) => Object.fromEntries(names.map((name) => [name, given[name as keyof typeof given]]));
  const whole = { ...given, seen: new Date(given.seen) };
  assert.deepEqual(await cache.getFields(KEY, ['home', 'seen', 'extra'], fetch, { schema }), whole);
  assert.deepEqual(await cache.getFields(KEY, ['home', 'seen', 'extra'], fetch, { schema }), whole);
  await cache.setFields(KEY, { age: 'many' });
  const counted = { schema: z.number() };
  assert.deepEqual(await cache.getFields(KEY, ['age'], new Source(37).fetch, counted), { age: 37 });
  assert.deepEqual(await cache.getFields(KEY, ['age'], new Source(38).fetch, counted), { age: 37 });
  await eventually(() => faults.length > 0);
  assert.deepEqual(
    faults.map((fault) => fault.reason),
    ['schema'],
  );
});

for (const codec of ['json', 'msgpack', 'raw'] as const) {
  onBoth(`fields of the codec ${codec}`, async ({ cache }) => {
    const value = codec === 'raw' ? Buffer.from([0, 255]) : { a: [1, null, 'ö', 9_007_199_254_740_993n] };
    assert.deepEqual(await cache.getFields(KEY, ['a'], new Source(value).fetch, { codec }), { a: value });
    assert.deepEqual(await cache.getFields(KEY, ['a'], new Source(null).fetch), { a: value });
  });
}

onBoth('what cannot be written is given uncached, or refused', async (stage) => {
  const { cache } = stage;
  const strict = stage.make({ strict: true });
  const odd = () => undefined;
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b'], () => ({ a: odd, b: 1 })), { a: odd, b: 1 });
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b']), {});
  for (const call of [() => strict.getFields(KEY, ['a'], () => ({ a: odd })), () => cache.setFields(KEY, { a: odd })]) {
    const error = await rejection(call());
    assert.ok(error instanceof EncodeError && error.message.includes("field 'a'"), `${error}`);
  }
  const error = await rejection(cache.setFields(KEY, { big: 'x'.repeat(2 << 20) }));
  assert.ok(error instanceof ValueTooLarge);
  assert.match(error.message, /the field "big" of "user:profile:1" has 2097154 bytes, maxValueBytes is 1048576/);
});

onBoth('a disabled block fetches all and stores nothing', async ({ cache }) => {
  await cache.setFields(KEY, { a: 1 });
  const source = new Source(2);
  await cache.disabled(async () => {
    assert.deepEqual(await cache.getFields(KEY, ['a', 'b'], source.fetch), { a: 2, b: 2 });
    assert.deepEqual(await cache.getFields(KEY, ['a']), {});
    assert.equal(await cache.setFields(KEY, { a: 3 }), false);
  });
  assert.deepEqual(source.asked, [['a', 'b']]);
  assert.deepEqual(await cache.getFields(KEY, ['a', 'b']), { a: 1 });
});

onBoth('inside a fallback of the same key nobody waits for oneself', async ({ cache }) => {
  const whole = () => cache.getFields(KEY, ['a'], new Source(1).fetch);
  assert.deepEqual(await cache.get(KEY, whole), { a: 1 });
});

onBoth('an aborted caller hands the fetch to another', async ({ cache }) => {
  const [entered, leave] = [deferred(), new AbortController()];
  const hang = (_: string[], { signal }: { signal: AbortSignal }): Promise<Record<string, number>> => {
    entered.resolve();
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  const leader = rejection(cache.getFields(KEY, ['a'], hang, { signal: leave.signal }));
  await entered.promise;
  const follower = cache.getFields(KEY, ['a'], new Source(2).fetch);
  await delay(20);
  const gone = new Error('gone');
  leave.abort(gone);
  assert.equal(await leader, gone);
  assert.deepEqual(await follower, { a: 2 });
});

onBoth('a field of any name is an own property, and changes no prototype', async ({ cache }) => {
  const names = ['__proto__', 'constructor', 'toString'];
  const found = await cache.getFields(KEY, names, (asked) => new Map(asked.map((name) => [name, { polluted: true }])));
  assert.deepEqual(Object.keys(found).sort(), [...names].sort());
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  assert.deepEqual(Object.keys(await cache.getFields(KEY, names)).sort(), [...names].sort());
});

onBoth('what is wrong is refused by its name', async ({ cache }) => {
  const { fetch } = new Source(1);
  // biome-ignore lint/suspicious/noExplicitAny: what no type checker would let through
  const any = cache as any;
  const wrong: [() => Promise<unknown>, RegExp][] = [
    [() => any.getFields(KEY, 'name', fetch), /names='name' is no list of fields/],
    [() => cache.getFields(KEY, [], fetch), /fields has 0 names/],
    [() => any.getFields(KEY, [1], fetch), /field 1 is no text/],
    [() => cache.getFields(KEY, [''], fetch), /field "" is empty/],
    [() => cache.getFields(KEY, ['a\nb'], fetch), /has a control character/],
    [() => any.getFields(KEY, ['a'], 7), /fetchMissing=7 is not a function/],
    [() => any.getFields(KEY, ['a'], () => [1]), /is neither a Map nor an object/],
    [() => any.getFields(KEY, ['a'], fetch, { earlyRefresh: true }), /earlyRefresh/],
    [() => any.getFields(KEY, ['a'], fetch, { schema: { a: 7 } }), /is not a Standard Schema/],
    [() => any.setFields(KEY, ['a']), /is neither a Map nor an object/],
    [() => cache.setFields(KEY, {}), /fields has 0 names/],
    [() => cache.invalidateField(KEY, ''), /field "" is empty/],
    [() => any.invalidateField(KEY, 'a', { requird: true }), /requird/],
  ];
  for (const [call, message] of wrong) {
    const error = await rejection(call());
    assert.ok(error instanceof ConfigError, `${error}`);
    assert.match(error.message, message);
  }
  for (const call of [
    () => cache.getFields('user', ['a'], fetch),
    () => cache.setFields('user', { a: 1 }),
    () => cache.invalidateField('user', 'a'),
  ]) {
    assert.ok((await rejection(call())) instanceof KeyFormatError);
  }
});

onRedis('signed fields are nobody else’s', async (stage) => {
  const [ours, theirs] = ['our secret of many bytes', 'their secret of many bytes'];
  const [signed, stranger, both] = [[ours], [theirs], [theirs, ours]].map((signingKeys) => stage.make({ signingKeys }));
  assert.equal(await signed?.setFields(KEY, { a: 1 }), true);
  assert.deepEqual(await signed?.getFields(KEY, ['a']), { a: 1 });
  assert.deepEqual(await stranger?.getFields(KEY, ['a']), {});
  assert.deepEqual(await both?.getFields(KEY, ['a']), { a: 1 });
});
