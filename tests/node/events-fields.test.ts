/** Every event of docs/events.md, from a real run, with exactly the fields that the page lists; observers of all; channels. */
import assert from 'node:assert/strict';
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { setTimeout as pass } from 'node:timers/promises';
import type { CacheEvent, CacheManager } from 'tidegate';
import { eventually, Held, KEY, onBoth, onOwnServer, onRedis, rejection, watched } from './support/stage.js';

const PAGE = readFileSync('docs/events.md', 'utf8');
const KIND_OF: Record<string, (value: unknown) => boolean> = {
  timestamp: Number.isSafeInteger,
  version: Number.isSafeInteger,
  duration_ms: (value) => typeof value === 'number' && value >= 0,
  source: (value) => ['l1', 'memory', 'redis', 'flight'].includes(value as string),
};
const isText = (value: unknown) => typeof value === 'string' && value !== '';

/** The fields that each event has, and may have, by the page. */
const LISTED = new Map(
  [...PAGE.matchAll(/^\| `(cache\.\w+)` \|.*\| ([^|]+) \|$/gm)].map(([, name = '', cell = '']) => {
    const [always = [], sometimes = []] = cell
      .split(';')
      .map((part) => [...part.matchAll(/`(\w+)`/g)].map(([, field]) => field));
    return [name, { always: ['type', 'timestamp', 'service', ...always], sometimes }];
  }),
);

function check(events: readonly CacheEvent[]): void {
  for (const event of events) {
    const listed = LISTED.get(event.type);
    const told = JSON.stringify(event);
    assert.ok(listed !== undefined, told);
    const fields = Object.keys(event);
    assert.deepEqual(
      listed.always.filter((field) => !fields.includes(`${field}`)),
      [],
      told,
    );
    const known = [...listed.always, ...listed.sometimes];
    assert.deepEqual(
      fields.filter((field) => !known.includes(field)),
      [],
      told,
    );
    for (const [field, value] of Object.entries(event))
      assert.ok((KIND_OF[field] ?? isText)(value), `${field}: ${told}`);
  }
}

function heard(cache: CacheManager): CacheEvent[] {
  const events: CacheEvent[] = [];
  cache.on('*', (event) => events.push(event));
  return events;
}

const fails = () => Promise.reject(new RangeError('no'));
const said = (events: CacheEvent[], type: string, field: keyof CacheEvent) => [
  ...new Set(events.filter((event) => event.type === type).map((event) => event[field])),
];

onBoth('reads and writes tell what the page lists, of tenants and namespaces too', async (stage) => {
  const cache = stage.make({ staleIfError: '1h', errorBackoff: 0 });
  const events = heard(cache);
  for (const view of [cache, cache.tenant('acme'), cache.namespace('shop')]) {
    await view.get(KEY, () => 1);
    await view.get(KEY, () => 1);
    await view.expire(KEY);
    await view.get(KEY, fails);
    await view.invalidate(KEY);
    await rejection(view.get(KEY, fails));
    await view.refresh(KEY, () => 2);
    await view.set(KEY, 3, { tags: ['users'] });
    await view.invalidateTag('users');
    await view.setFields('user:profile:2', { name: 'Ada' });
    await view.invalidateField('user:profile:2', 'name');
    await view.get('user:profile:3', () => Symbol('unstorable'));
    await rejection(view.writeThrough('user:profile:4', 1, fails));
  }
  await cache.namespace('shop').clear();
  await rejection(cache.get('user:profile:5', () => pass(30_000, 1, { ref: false }), { hardTimeout: 50 }));
  await cache.set('user:profile:6', 1, { ttl: 20, staleWhileRevalidate: '1h' });
  await pass(100);
  await cache.get('user:profile:6', () => 2, { staleWhileRevalidate: '1h' });
  await eventually(() => said(events, 'cache.refresh', 'reason').includes('stale'));
  const held = new Held<number>();
  const calls = [cache.get('user:profile:7', held.fallback), cache.get('user:profile:7', held.fallback)];
  await held.entered;
  held.give(1);
  await Promise.all(calls);
  await cache.close();
  check(events);
  assert.deepEqual(said(events, 'cache.invalidate', 'reason').sort(), [
    'expire',
    'fields',
    'key',
    'namespace',
    'tag',
    'write_through',
  ]);
  assert.deepEqual(said(events, 'cache.stale', 'reason').sort(), ['error', 'revalidating']);
  assert.deepEqual(said(events, 'cache.refresh', 'reason').sort(), ['explicit', 'stale']);
  assert.deepEqual(said(events, 'cache.error', 'reason'), ['encode']);
  assert.deepEqual(said(events, 'cache.fallback_error', 'reason'), [undefined, 'hard_timeout']);
  assert.ok(said(events, 'cache.hit', 'source').includes('flight'));
  assert.deepEqual(said(events, 'cache.set', 'tenant'), [undefined, 'acme']);
});

onBoth('a wait tells what the page lists', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const events = heard(two);
  const held = new Held<number>();
  const leader = one.get(KEY, held.fallback);
  await held.entered;
  const waiter = two.get(KEY, held.fallback);
  await eventually(() => two.stats().waits > 0);
  held.give(1);
  await Promise.all([leader, waiter]);
  await two.close();
  check(events);
  assert.deepEqual(said(events, 'cache.wait', 'key'), [KEY]);
});

onRedis('a hit in this process tells what the page lists', async (stage) => {
  const cache = stage.make({ l1: '1MB' });
  const events = heard(cache);
  await eventually(async () => {
    await cache.get(KEY, () => 1);
    return said(events, 'cache.hit', 'source').includes('l1');
  });
  await cache.close();
  check(events);
});

onOwnServer('a server that is lost and comes back tells what the page lists', async ({ cache }, server) => {
  const events = heard(cache);
  const tells = async (...states: string[]) => {
    const isTold = () => states.every((state) => events.some((event) => event.state === state));
    // Breakers open by calls.
    for (let tries = 0; tries < 400 && !isTold(); tries += 1) await cache.get(KEY, () => 1).then(() => pass(25));
    assert.ok(isTold(), `${states} of ${events.map((event) => event.state)}`);
  };
  await cache.set(KEY, 1);
  await server.kill();
  await tells('disconnected', 'open');
  assert.equal(await cache.invalidate(KEY), false);
  await server.start();
  await tells('connected', 'closed');
  await cache.close();
  check(events);
  assert.ok(said(events, 'cache.invalidate', 'state').includes('journalled'));
});

onBoth('an observer of all events is told each once, and may be taken away', async ({ cache }) => {
  const every: string[] = [];
  const observer = (event: CacheEvent) => every.push(event.type);
  const hits = watched(cache, 'cache.hit');
  cache.on('*', observer);
  await cache.get(KEY, () => 1);
  await cache.get(KEY, () => 1);
  await eventually(() => hits.length === 1);
  cache.off('*', observer);
  await cache.get(KEY, () => 1);
  await cache.close();
  assert.deepEqual(
    every.filter((type) => type !== 'cache.connection'),
    ['cache.miss', 'cache.set', 'cache.hit'],
  );
  assert.equal(hits.length, 2);
});

// --- node:diagnostics_channel

onBoth(
  'each event is published on its channel, to who subscribed after the manager was made too',
  async ({ cache }) => {
    const seen: unknown[] = [];
    const listener = (event: unknown, name: string | symbol) => seen.push([name, (event as CacheEvent).type]);
    await cache.get(KEY, () => 1);
    subscribe('tidegate:cache.hit', listener);
    channel('tidegate:cache.miss').subscribe(listener);
    try {
      await cache.get(KEY, () => 1);
      await cache.get('user:profile:2', () => 1);
      await eventually(() => seen.length === 2);
      assert.deepEqual(seen, [
        ['tidegate:cache.hit', 'cache.hit'],
        ['tidegate:cache.miss', 'cache.miss'],
      ]);
    } finally {
      unsubscribe('tidegate:cache.hit', listener);
      channel('tidegate:cache.miss').unsubscribe(listener);
    }
    await cache.get(KEY, () => 1);
    // Nobody listens: nothing is kept.
    const late = watched(cache, 'cache.hit');
    await cache.get(KEY, () => 1);
    await cache.close();
    assert.equal(late.length, 1);
    assert.equal(seen.length, 2);
  },
);

onRedis('a channel of hits has those in this process', async (stage) => {
  const cache = stage.make({ l1: '1MB' });
  const sources: unknown[] = [];
  const listener = (event: unknown) => sources.push((event as CacheEvent).source);
  subscribe('tidegate:cache.hit', listener);
  try {
    await eventually(async () => {
      await cache.get(KEY, () => 1);
      return sources.includes('l1');
    });
  } finally {
    unsubscribe('tidegate:cache.hit', listener);
  }
});
