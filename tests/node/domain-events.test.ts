/** Domain events: services that invalidate on each other's. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import {
  type CacheEvent,
  CacheManager,
  ClosedError,
  ConfigError,
  EncodeError,
  type EventDetails,
  KeyFormatError,
  key,
  StoreUnavailable,
  Tag,
  tag,
  ValueTooLarge,
} from 'tidegate';
import { FakeClock, MemoryStore } from 'tidegate/testing';
import { program } from './support/program.js';
import { deferred, eventually, KEY, onBoth, onOwnServer, rejection, settled } from './support/stage.js';

const NAME = 'user.updated';

/** The messages of a manager's faults of one reason, from now on. */
function faults(cache: CacheManager): (reason: string) => string[] {
  const told: CacheEvent[] = [];
  cache.on('cache.error', (event) => told.push(event as CacheEvent));
  return (reason) => told.filter((event) => event.reason === reason).map((event) => String(event.message));
}

test('a tag is a name of its own type, escaped as a key is', () => {
  const id = 42;
  assert.equal(tag`user:${id}`.name, 'user:42');
  assert.equal(String(tag`users`), 'users');
  assert.equal(tag('user:42').name, 'user:42');
  assert.equal(tag('file', 'a:b').name, 'file:a%3Ab');
  assert.equal(tag`file:${'a:b c'}`.name, 'file:a%3Ab%20c');
  assert.ok(tag`users` instanceof Tag);
  assert.throws(() => tag('user::42'), KeyFormatError);
  assert.throws(() => tag`user ${id}`, KeyFormatError);
  assert.throws(() => tag(undefined as never), KeyFormatError);
});

onBoth('an event invalidates the keys and tags that its handler names', async (stage) => {
  const [billing, crm] = [stage.cache, stage.make({ service: 'crm' })];
  await billing.set(KEY, 'old');
  await billing.set('team:page:7', 'old', { tags: ['team:7'] });
  const seen: [unknown, EventDetails][] = [];
  const subscription = billing.onEvent<{ id: number; team: number }>(NAME, (data, details) => {
    seen.push([data, details]);
    return [key`user:profile:${data.id}`, tag`team:${data.team}`];
  });
  assert.equal(await subscription.started(), true);
  const id = await crm.publishEvent(NAME, { id: 1, team: 7, big: 2n ** 60n });
  await eventually(async () => !(await billing.exists(KEY)) && !(await billing.exists('team:page:7')));
  const details = { id, name: NAME, publishedAt: Number(id.split('-')[0]), attempt: 1, service: 'crm' };
  assert.deepEqual(seen, [[{ id: 1, team: 7, big: 2n ** 60n }, details]]);
  assert.equal(await subscription.close(), true);
  assert.equal(await subscription.started(), false);
});

test('started gives false once its timeout is over, and is patient without one', { timeout: 30_000 }, async () => {
  const clock = new FakeClock({ byHand: true });
  const store = new MemoryStore({ clock });
  const cache = new CacheManager({ store });
  store.fail('down');
  const subscription = cache.onEvent(NAME, () => {});
  const ended: string[] = [];
  const waits = Object.entries({ soon: '5s', later: 60_000, patient: undefined } as const).map(
    async ([name, timeout]) => {
      const began = await subscription.started({ timeout });
      ended.push(name);
      return began;
    },
  );
  clock.advance(4_900);
  await settled();
  assert.deepEqual(ended, []);
  clock.advance(100);
  assert.equal(await waits[0], false);
  assert.deepEqual(ended, ['soon']);
  store.heal();
  clock.advance(30_000);
  assert.deepEqual(await Promise.all(waits), [false, true, true]);
  assert.equal(await subscription.started({ timeout: 0 }), true);
  assert.ok((await rejection(subscription.started({ timeout: 'soon' }))) instanceof ConfigError);
  await cache.close();
});

onBoth('what a handler gives may be one or many, or nothing', async ({ cache }) => {
  const gifts = [KEY, [KEY], new Set([KEY]), tag`user:1`, [tag('user', 1)], [KEY, tag`users`], [tag`user:1`].values()];
  let given: (typeof gifts)[number] | undefined;
  await using subscription = cache.onEvent(NAME, async () => given);
  assert.equal(subscription.name, NAME);
  for (given of gifts) {
    await cache.set(KEY, 'old', { tags: ['user:1'] });
    await cache.publishEvent(NAME, null);
    await eventually(async () => !(await cache.exists(KEY)));
  }
});

onBoth('a handler that throws is called again and then set aside, while others go on', async ({ cache }) => {
  const seen: string[] = [];
  const told = faults(cache);
  const handler = (data: unknown, { attempt }: EventDetails): string | undefined => {
    seen.push(`${data} ${attempt}`);
    if (data === 'poison') throw new RangeError('no');
    if (data === 'late' && attempt === 1) throw 'not an error';
    return data === 'wrong' ? (7 as never) : undefined;
  };
  cache.onEvent(NAME, handler, { maxAttempts: 3 });
  for (const data of ['poison', 'late', 'wrong', 'good']) await cache.publishEvent(NAME, data);
  await eventually(async () => told('dead_letter').length === 2);
  assert.deepEqual(
    seen.filter((one) => one.startsWith('poison')),
    ['poison 1', 'poison 2', 'poison 3'],
  );
  assert.deepEqual(
    seen.filter((one) => one.startsWith('late')),
    ['late 1', 'late 2'],
  );
  assert.ok(seen.indexOf('good 1') < seen.indexOf('poison 2'));
  const failures = told('event_handler').join('\n');
  assert.match(failures, /attempt 1 of 3: RangeError: no/);
  assert.match(failures, /'not an error'/);
  assert.match(failures, /the handler gave 7/);
});

onBoth('what was set aside is looked at, handled again and dropped', async (stage) => {
  const [billing, crm] = [stage.cache, stage.make({ service: 'crm' })];
  const seen: unknown[] = [];
  let isMended = false;
  const handler = (data: unknown) => {
    if (!isMended) throw new RangeError('no');
    seen.push(data);
  };
  await billing.onEvent(NAME, handler, { maxAttempts: 1 }).started();
  const ids = [
    await crm.publishEvent(NAME, { id: 1 }),
    await crm.publishEvent(NAME, 2),
    await crm.publishEvent(NAME, 3),
  ];
  const letters = billing.eventDeadLetters(NAME);
  await eventually(async () => (await letters.list()).length === 3);
  const [first, second] = await letters.list({ limit: 2 });
  assert.ok(first && second);
  const { id: _, setAsideAt, ...known } = first;
  const publishedAt = Number(ids[0]?.split('-')[0]);
  assert.deepEqual(known, {
    ...{ data: { id: 1 }, eventId: ids[0], attempts: 1, error: 'RangeError: no', publishedAt, service: 'crm' },
  });
  assert.ok(setAsideAt >= publishedAt);
  isMended = true;
  assert.equal(await letters.retry(first.id), 1);
  assert.equal(await letters.drop(second.id), 1);
  assert.equal(await letters.drop(second.id), 0);
  assert.equal(await letters.retry(), 1);
  await eventually(async () => seen.length === 2);
  assert.deepEqual([seen, await letters.list()], [[{ id: 1 }, 3], []]);
  assert.ok((await rejection(letters.list({ limit: 0 }))) instanceof ConfigError);
  assert.throws(() => billing.eventDeadLetters('no name'), KeyFormatError);
});

onBoth('a handler has the context of its beginning', async ({ cache }) => {
  const request = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  request.run('mine', () => cache.onEvent(NAME, () => void seen.push(request.getStore())));
  await request.run('another', () => cache.publishEvent(NAME, 1));
  await eventually(async () => seen.length === 1);
  assert.deepEqual(seen, ['mine']);
});

onBoth('a close finishes the event that is handled, and leaves the rest to others', async (stage) => {
  const [cache, other] = [stage.cache, stage.make()];
  const { promise: gate, resolve: go } = deferred();
  const begun: unknown[] = [];
  const subscription = cache.onEvent(NAME, async (data) => {
    begun.push(data);
    await gate;
    return KEY;
  });
  await subscription.started();
  await cache.set(KEY, 'old');
  for (const data of [1, 2, 3]) await cache.publishEvent(NAME, data);
  await eventually(async () => begun.length === 1);
  const closing = cache.close();
  setTimeout(go, 50);
  assert.equal(await closing, true);
  assert.equal(await other.exists(KEY), false);
  const rest: unknown[] = [];
  other.onEvent(NAME, (data) => void rest.push(data));
  await eventually(async () => rest.length === 2);
  assert.deepEqual([begun, rest], [[1], [2, 3]]);
});

onBoth('what was trimmed is told, and onGap names what is invalidated', async (stage) => {
  const [billing, crm] = [stage.make({ l1: '1MB' }), stage.make({ service: 'crm' })];
  const told = faults(billing);
  const first = billing.onEvent(NAME, () => {});
  await first.started();
  assert.equal(await first.close(), true);
  await Promise.all(Array.from({ length: 400 }, (_, at) => crm.publishEvent(NAME, at, { maxLen: 1 })));
  await billing.set(KEY, 'old', { tags: ['users'] });
  const missed: number[] = [];
  const seen: unknown[] = [];
  const onGap = (count: number) => {
    missed.push(count);
    return tag`users`;
  };
  billing.onEvent(NAME, (data) => void seen.push(data), { onGap });
  await eventually(async () => !(await billing.exists(KEY)) && seen.length + (missed[0] ?? 0) === 400);
  assert.equal(missed.length, 1);
  // Events are delivered in batches.
  await eventually(async () => told('events_trimmed').length > 0);
  assert.deepEqual(
    told('events_trimmed').map((text) => text.includes(String(missed[0]))),
    [true],
  );
});

onBoth('mistakes are told in words', async ({ cache }) => {
  assert.throws(() => cache.onEvent(NAME, 7 as never), /handler=7 is not callable/);
  assert.throws(() => cache.onEvent(NAME, () => {}, { onGap: 7 as never }), /onGap=7 is not callable/);
  for (const maxAttempts of [0, 1.5, '3' as never]) {
    assert.throws(() => cache.onEvent(NAME, () => {}, { maxAttempts }), /maxAttempts=.*right example/);
  }
  assert.throws(() => cache.onEvent(NAME, () => {}, { redeliverAfter: 0 }), /redeliverAfter/);
  assert.throws(() => cache.onEvent(NAME, () => {}, { onGaps: () => {} } as never), /onGap/);
  for (const name of ['', 'user updated', 'user::x', '~x']) {
    assert.throws(() => cache.onEvent(name, () => {}), KeyFormatError);
    assert.ok((await rejection(cache.publishEvent(name, 1))) instanceof KeyFormatError);
  }
  assert.throws(() => cache.onEvent(7 as never, () => {}), ConfigError);
  const unencodable = await rejection(cache.publishEvent(NAME, { x: new Map() }));
  assert.ok(
    unencodable instanceof EncodeError && /user\.updated.*\$\.x/.test(unencodable.message),
    String(unencodable),
  );
  for (const options of [{ maxLen: 0 }, { maxLen: 1.5 }, { operationId: 7 as never }, { operationId: '' }]) {
    assert.ok((await rejection(cache.publishEvent(NAME, 1, options))) instanceof ConfigError);
  }
  assert.ok((await rejection(cache.publishEvent(NAME, 'x'.repeat(2_000_000)))) instanceof ValueTooLarge);
  cache.onEvent(NAME, () => {});
  assert.throws(() => cache.onEvent(NAME, () => {}), /has a handler already/);
  await cache.close();
  assert.ok((await rejection(cache.publishEvent(NAME, 1))) instanceof ClosedError);
  assert.throws(() => cache.onEvent('user.removed', () => {}), ClosedError);
});

onBoth('a publication with an id of its own is one', async ({ cache }) => {
  const first = await cache.publishEvent(NAME, 1, { operationId: 'row-7' });
  assert.equal(await cache.publishEvent(NAME, 1, { operationId: 'row-7' }), first);
  assert.notEqual(await cache.publishEvent(NAME, 1, { operationId: 'row-8' }), first);
});

onOwnServer('with the store away a publisher is told, and a handler goes on when it is back', async (stage, server) => {
  const seen: unknown[] = [];
  const cache = stage.make({ commandTimeout: 200 });
  const subscription = cache.onEvent(NAME, (data) => void seen.push(data));
  await subscription.started();
  server.pause();
  assert.ok((await rejection(cache.publishEvent(NAME, 'lost'))) instanceof StoreUnavailable);
  server.resume();
  await eventually(async () => {
    const failed = await cache.publishEvent(NAME, 'there', { operationId: 'there' }).then(
      () => false,
      () => true,
    );
    return !failed;
  });
  await eventually(async () => seen.includes('there'));
});

test('a program ends while a handler waits, and not while one runs', async () => {
  const source = `
    import { CacheManager } from 'tidegate';
    const cache = new CacheManager({ url: 'memory://ends' });
    const [what] = process.argv.slice(1);
    const subscription = cache.onEvent('user.updated', async () => {
      await new Promise((go) => setTimeout(go, 100));
      console.log('handled');
    });
    await subscription.started();
    if (what === 'one') await cache.publishEvent('user.updated', 1);
    process.on('exit', () => console.log('the end'));
  `;
  const [none, one] = await Promise.all([program(source, 'none'), program(source, 'one')]);
  assert.deepEqual([none.code, none.out, none.err], [0, 'the end', '']);
  assert.deepEqual([one.code, one.out, one.err], [0, 'handled\nthe end', '']);
});
