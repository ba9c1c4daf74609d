/** Observers, the emitter, process warnings and the figures. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CacheEvent, CacheManager, ConfigError, type EventName } from 'tidegate';
import { RedisServer } from './support/redis-server.js';
import { eventually, Held, KEY, onBoth, rejection, settled, warningsOf, watched } from './support/stage.js';

const NAMES = [
  'cache.hit',
  'cache.miss',
  'cache.set',
  'cache.invalidate',
  'cache.wait',
  'cache.error',
  'cache.fallback_error',
] as const;
const HELD_BACK = 10_000;

// Warnings are kept apart by a second of this clock.
const { now } = performance;
let skippedMs = 0;
performance.now = () => now.call(performance) + skippedMs;
beforeEach(() => {
  skippedMs += 10_000;
});

onBoth('events tell what happened, in order', async ({ cache, service, url }) => {
  const events = watched(cache, ...NAMES);
  await cache.get(KEY, () => 1);
  await cache.get(KEY, () => 1);
  await cache.invalidate(KEY);
  await rejection(cache.get(KEY, () => Promise.reject(new Error('no'))));
  await cache.set(KEY, 2);
  await cache.expire(KEY);
  await cache.close();
  assert.deepEqual(
    events.map((event) => [event.type, event.state ?? event.source ?? '']),
    [
      ['cache.miss', where(url)],
      ['cache.set', where(url)],
      ['cache.hit', where(url)],
      ['cache.invalidate', 'confirmed'],
      ['cache.miss', where(url)],
      ['cache.fallback_error', ''],
      ['cache.set', where(url)],
      ['cache.invalidate', 'confirmed'],
    ],
  );
  for (const event of events) {
    assert.deepEqual([event.service, event.key], [service, KEY]);
    assert.ok(Math.abs(event.timestamp - Date.now()) < 60_000, `${event.timestamp}`);
  }
  const [, set, hit] = events;
  assert.ok(hit?.version !== undefined && hit.version === set?.version);
  assert.ok(hit.duration_ms !== undefined && hit.duration_ms >= 0);
  assert.deepEqual(
    events.filter((event) => event.type === 'cache.invalidate').map((event) => event.reason),
    ['key', 'expire'],
  );
});

function where(url: string): string {
  return url.startsWith('memory') ? 'memory' : 'redis';
}

onBoth('one who shares another caller’s fallback is told of as a hit in flight', async ({ cache }) => {
  const hits = watched(cache, 'cache.hit');
  const held = new Held<string>();
  const calls = [cache.get(KEY, held.fallback), cache.get(KEY, held.fallback)];
  await held.entered;
  held.give('value');
  await Promise.all(calls);
  await cache.close();
  assert.deepEqual(
    hits.map((hit) => hit.source),
    ['flight'],
  );
});

onBoth('events come by themselves, and never within a call', async ({ cache }) => {
  const events = watched(cache, 'cache.miss', 'cache.set', 'cache.hit');
  const calls = [cache.set(KEY, 1), cache.get(KEY, { default: 1 })];
  assert.deepEqual(events, []);
  await Promise.all(calls);
  await eventually(() => events.length === 2);
});

onBoth('a wait for another manager is told', async (stage) => {
  const [one, two] = [stage.make(), stage.make()];
  const waits = watched(two, 'cache.wait');
  const held = new Held<number>();
  const leader = one.get(KEY, held.fallback);
  await held.entered;
  const waiter = two.get(KEY, held.fallback);
  await eventually(() => two.stats().waits > 0);
  held.give(1);
  await Promise.all([leader, waiter]);
  await two.close();
  assert.equal(waits.length, 1);
  assert.ok(waits[0] && waits[0].duration_ms > 0);
});

onBoth('an emitter is emitted every event under its name, and shared by managers', async (stage) => {
  const metricsEmitter = new EventEmitter();
  const [one, two] = [stage.make({ metricsEmitter }), stage.make({ metricsEmitter })];
  const heard: CacheEvent[] = [];
  for (const name of NAMES) metricsEmitter.on(name, (event: CacheEvent) => heard.push(event));
  await one.get(KEY, () => 1);
  await two.get(KEY, () => 2);
  await eventually(() => heard.some(({ type }) => type === 'cache.hit'));
  assert.ok(heard.every((event) => 'key' in event && event.key === KEY));
  await Promise.all([one.close(), two.close()]);
  assert.deepEqual(heard.map(({ type }) => type).sort(), ['cache.hit', 'cache.miss', 'cache.set']);
});

onBoth('an emitter without listeners is never sent an `error`, which would throw', async (stage) => {
  const metricsEmitter = new EventEmitter();
  const sent: unknown[] = [];
  metricsEmitter.on('newListener', (name) => sent.push(name));
  const { emit } = metricsEmitter;
  metricsEmitter.emit = (name, ...rest) => {
    sent.push(name);
    return emit.call(metricsEmitter, name, ...rest);
  };
  const cache = stage.make({ metricsEmitter });
  const warnings = await warningsOf(async () => {
    await cache.get(KEY, () => Symbol('unstorable'));
    await cache.close();
  });
  assert.ok(sent.includes('cache.miss') && sent.includes('cache.error'), `${sent}`);
  assert.ok(!sent.includes('error'), `${sent}`);
  assert.deepEqual(
    warnings.map((warning) => warning.code),
    ['TIDEGATE_FAULT'],
  );
});

for (const [how, observer, detail] of [
  [
    'throws',
    () => {
      throw new RangeError('by hand');
    },
    /^RangeError: by hand\n.*events\.test\.ts/s,
  ],
  ['rejects', () => Promise.reject(new RangeError('by hand')), /^RangeError: by hand\n.*events\.test\.ts/s],
  ['rejects later with a text', () => settled().then(() => Promise.reject('no error')), /^'no error'$/],
] as [string, () => unknown, RegExp][]) {
  onBoth(`an observer that ${how} harms nobody and becomes one process warning`, async ({ cache }) => {
    cache.on('cache.miss', observer);
    const events = watched(cache, 'cache.miss', 'cache.set');
    const warnings = await warningsOf(async () => {
      for (const id of [1, 2, 3]) assert.equal(await cache.get(`user:profile:${id}`, () => id), id);
      await cache.close();
      await settled();
    });
    assert.deepEqual(
      events.map((event) => event.type),
      Array(3).fill(['cache.miss', 'cache.set']).flat(),
    );
    assert.deepEqual(
      warnings.map(({ name, code, message }) => [name, code, message]),
      [['TidegateWarning', 'TIDEGATE_OBSERVER', 'an observer of cache.miss threw']],
    );
    assert.match(warnings[0]?.detail ?? '', detail);
  });
}

for (const [when, listener] of [
  [
    'at once',
    () => {
      throw new RangeError('at once');
    },
  ],
  [
    'later',
    async () => {
      throw new RangeError('later');
    },
  ],
] as const)
  onBoth(`a listener of the emitter that throws ${when} harms nobody either`, async (stage) => {
    const metricsEmitter = new EventEmitter();
    metricsEmitter.on('cache.miss', listener);
    const cache = stage.make({ metricsEmitter });
    const events = watched(cache, 'cache.miss');
    const warnings = await warningsOf(async () => {
      assert.equal(await cache.get(KEY, () => 1), 1);
      await cache.close();
    });
    assert.equal(events.length, 1);
    assert.deepEqual(
      warnings.map((warning) => warning.code),
      ['TIDEGATE_OBSERVER'],
    );
  });

test('who has no Redis is told what happens to his calls', async () => {
  const warnings = await warningsOf(async () => {
    const cache = new CacheManager({ url: 'redis://127.0.0.1:1/0', service: 'billing', connectTimeout: 200 });
    assert.equal(await cache.get(KEY, () => 1), 1);
    await cache.close();
  });
  assert.match(
    warnings[0]?.message ?? '',
    /^the store: disconnected: 127\.0\.0\.1:1: .*; calls run their fallback until the store is back$/,
  );
});

test('a breaker that opens and closes again is a process warning where nobody observes it', async () => {
  const outage = async (heard: boolean) => {
    const server = new RedisServer();
    await server.start();
    try {
      const warnings = await warningsOf(async () => {
        const breaker = { failures: 2, probe: 50 };
        const cache = new CacheManager({ url: server.url, service: 'warned', breaker, commandTimeout: '1s' });
        await cache.set(KEY, 1);
        if (heard) cache.on('cache.breaker', () => {});
        const state = async () => {
          await cache.get(KEY, () => 1);
          return cache.stats().breaker;
        };
        await server.kill();
        while ((await state()) === 'closed') await sleep(10);
        await server.start();
        while ((await state()) !== 'closed') await sleep(10);
        await cache.close();
      });
      return warnings.filter(({ code }) => code !== 'TIDEGATE_FAULT');
    } finally {
      await server.stop();
    }
  };
  const [opened, closed, ...others] = await outage(false);
  for (const one of [opened, closed]) assert.deepEqual([one?.name, one?.code], ['TidegateWarning', 'TIDEGATE_BREAKER']);
  assert.deepEqual(others, []);
  const said =
    /^the store: the breaker of 127\.0\.0\.1:\d+ is open: calls run their fallback until a probe finds the store back$/;
  assert.match(opened?.message ?? '', said);
  assert.match(closed?.message ?? '', /^the store: the breaker of 127\.0\.0\.1:\d+ is closed: the store answers again/);
  assert.deepEqual(await outage(true), []);
});

onBoth('a fault becomes a process warning when nobody listens, and only then', async (stage) => {
  const unstorable = async (cache: CacheManager) => {
    await cache.get(KEY, () => Symbol('unstorable'));
    await cache.close();
  };
  const unheard = await warningsOf(() => unstorable(stage.make()));
  assert.deepEqual(
    unheard.map(({ name, code }) => [name, code]),
    [['TidegateWarning', 'TIDEGATE_FAULT']],
  );
  assert.match(
    unheard[0]?.message ?? '',
    /^encode \[user:profile:1\]: the value of "user:profile:1" is not stored: \$/,
  );

  const others = await warningsOf(() => unstorable(stage.make().on('cache.hit', () => {})));
  assert.equal(others.length, 1);

  const heard = await warningsOf(() => unstorable(stage.make().on('cache.error', () => {})));
  assert.deepEqual(heard, []);

  const metricsEmitter = new EventEmitter().on('cache.error', () => {});
  const emitted = await warningsOf(() => unstorable(stage.make({ metricsEmitter })));
  assert.deepEqual(emitted, []);
});

onBoth('off ends it, and takes one observer away for each time', async ({ cache }) => {
  const seen: string[] = [];
  const observer = (event: CacheEvent) => seen.push(event.type);
  const other = () => seen.push('other');
  cache.on('cache.miss', observer).on('cache.miss', observer).on('cache.set', observer);
  cache.off('cache.miss', observer).off('cache.set', observer).off('cache.hit', observer).off('cache.miss', other);
  await cache.get(KEY, () => 1);
  await eventually(() => seen.length > 0);
  cache.off('cache.miss', observer);
  await cache.get('user:profile:2', () => 1);
  await cache.close();
  assert.deepEqual(seen, ['cache.miss']);
});

onBoth('what happens while nobody listens is not told later', async ({ cache }) => {
  const observer = () => {};
  await cache.get(KEY, () => 1);
  const early = watched(cache, 'cache.hit', 'cache.miss', 'cache.set');
  await cache.get(KEY, () => 1);
  await eventually(() => early.length === 1);
  assert.deepEqual(
    early.map(({ type }) => type),
    ['cache.hit'],
  );
  cache.on('cache.wait', observer).off('cache.wait', observer);
  await cache.close();
  assert.equal(cache.stats().events_dropped, 0);
});

/** In one turn of the loop, though one call would not take them all. */
async function setAll(cache: CacheManager, count: number): Promise<void> {
  const pairs = Array.from({ length: count }, (_, at) => [`user:profile:${at}`, at] as const);
  const half = count / 2;
  await Promise.all([pairs.slice(0, half), pairs.slice(half)].map((part) => cache.setMany(new Map(part))));
}

test('with the last observer gone nothing is kept', async () => {
  const cache = new CacheManager();
  const observer = () => assert.fail('it was told');
  cache.on('cache.set', observer).off('cache.set', observer);
  await setAll(cache, HELD_BACK + 100);
  assert.equal(cache.stats().events_dropped, 0);
  const late = watched(cache, 'cache.set', 'cache.hit');
  await cache.get(KEY, { default: 0 });
  await cache.close();
  assert.deepEqual(
    late.map(({ type }) => type),
    ['cache.hit'],
  );
});

test('events that nobody takes in time are dropped and counted', async () => {
  const cache = new CacheManager();
  const sets = watched(cache, 'cache.set');
  await setAll(cache, HELD_BACK + 100);
  await cache.close();
  assert.equal(sets.length + cache.stats().events_dropped, HELD_BACK + 100);
  assert.ok(sets.length >= HELD_BACK, `${sets.length}`);
});

onBoth('an observer may use the cache and take itself away', async ({ cache }) => {
  const seen: unknown[] = [];
  const observer = async () => {
    cache.off('cache.miss', observer);
    seen.push(await cache.get('user:profile:2', () => 'of the observer'));
  };
  cache.on('cache.miss', observer);
  await cache.get(KEY, () => 1);
  await eventually(() => seen.length > 0);
  await cache.close();
  assert.deepEqual(seen, ['of the observer']);
});

onBoth('stats count', async ({ cache }) => {
  await cache.get(KEY, () => 1);
  await cache.get(KEY, () => 1);
  await cache.invalidate(KEY);
  await cache.refresh(KEY, () => 1);
  await rejection(cache.get('user:profile:2', () => Promise.reject(new Error('no'))));
  const stats = cache.stats();
  assert.deepEqual(Object.keys(stats).sort(), [
    'avg_latency_ms',
    'avg_wait_ms',
    'breaker',
    'early_refreshes',
    'errors',
    'events_dropped',
    'fallback_errors',
    'fallbacks',
    'hit_rate',
    'hits',
    'invalidation_count',
    'l1_bytes',
    'l1_entries',
    'l1_hits',
    'miss_rate',
    'misses',
    'p50_ms',
    'p99_ms',
    'refreshes',
    'sets',
    'stale_served',
    'unavailable',
    'waits',
  ]);
  const { hits, misses, hit_rate, fallbacks, fallback_errors, sets, refreshes, invalidation_count } = stats;
  assert.deepEqual(
    { hits, misses, hit_rate, fallbacks, fallback_errors, sets, refreshes, invalidation_count },
    {
      hits: 1,
      misses: 2,
      hit_rate: 1 / 3,
      fallbacks: 3,
      fallback_errors: 1,
      sets: 2,
      refreshes: 1,
      invalidation_count: 1,
    },
  );
  assert.equal(stats.breaker, 'closed');
  assert.ok(stats.p99_ms >= stats.p50_ms && stats.p50_ms > 0);
});

test('an unknown event and an observer that cannot be called are refused', () => {
  const cache = new CacheManager();
  for (const verb of ['on', 'off'] as const) {
    const wrong = () => cache[verb]('cache.hits' as EventName, () => {});
    assert.throws(wrong, (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^event='cache\.hits' is not an event; the events are cache\.hit, .*a right example/);
      return true;
    });
  }
  assert.throws(() => cache.on('cache.hit', 5 as never), /^ConfigError: observer=5 is not callable; a right example/);
});
