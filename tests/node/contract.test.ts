/**
 * Errors, events, figures and options are the same in every language. The pages in `docs/` stand between them: each
 * language holds itself to the pages, in both directions (`tests/docs`, `core/tests/contract.rs`, and here).
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import type {
  BehindOptions,
  CacheEvents,
  ErrorCode,
  GetOptions,
  Options,
  SetOptions,
  Stats,
  TenantOptions,
  WriteThroughOptions,
} from 'tidegate';
import * as tidegate from 'tidegate';

const native = createRequire(import.meta.url)('../../dist/native/index.cjs');

// The compiler holds each of these to its type, so that no name can be missing or too many.
const CODES: Record<ErrorCode, true> = {
  ERR_TIDEGATE_CONFIG: true,
  ERR_TIDEGATE_KEY_FORMAT: true,
  ERR_TIDEGATE_VALUE_TOO_LARGE: true,
  ERR_TIDEGATE_ENCODE: true,
  ERR_TIDEGATE_QUEUE_FULL: true,
  ERR_TIDEGATE_CLOSED: true,
  ERR_TIDEGATE_HARD_TIMEOUT: true,
  ERR_TIDEGATE_STORE_UNAVAILABLE: true,
  ERR_TIDEGATE_INTERNAL: true,
};
const EVENTS: Record<keyof CacheEvents, true> = {
  'cache.hit': true,
  'cache.miss': true,
  'cache.set': true,
  'cache.invalidate': true,
  'cache.stale': true,
  'cache.wait': true,
  'cache.refresh': true,
  'cache.error': true,
  'cache.fallback_error': true,
  'cache.breaker': true,
  'cache.connection': true,
  'cache.health': true,
};
type Optional<T> = { [F in keyof T]-?: T extends Record<F, T[F]> ? never : [T[F]] extends [undefined] ? never : F };
type Always<T> = { [F in keyof T]-?: T extends Record<F, T[F]> ? F : never }[keyof T];
type Sometimes<T> = Optional<T>[keyof T];
/** For each event: the fields that it always has, and those that it may have. */
const FIELDS: {
  [K in keyof CacheEvents]: [Record<Always<CacheEvents[K]>, true>, Record<Sometimes<CacheEvents[K]>, true>];
} = {
  'cache.hit': [
    { type: true, timestamp: true, service: true, key: true, source: true, duration_ms: true },
    { version: true, tenant: true },
  ],
  'cache.miss': [
    { type: true, timestamp: true, service: true, key: true, source: true, duration_ms: true },
    { tenant: true },
  ],
  'cache.set': [
    { type: true, timestamp: true, service: true, key: true, source: true, duration_ms: true, version: true },
    { tenant: true },
  ],
  'cache.invalidate': [
    { type: true, timestamp: true, service: true, duration_ms: true, reason: true, state: true },
    { key: true, tag: true, tenant: true },
  ],
  'cache.stale': [
    { type: true, timestamp: true, service: true, key: true, source: true, duration_ms: true, reason: true },
    { version: true, tenant: true },
  ],
  'cache.wait': [{ type: true, timestamp: true, service: true, key: true, duration_ms: true }, { tenant: true }],
  'cache.refresh': [
    { type: true, timestamp: true, service: true, key: true, duration_ms: true, reason: true },
    { tenant: true },
  ],
  'cache.error': [
    { type: true, timestamp: true, service: true, reason: true, message: true },
    { key: true, tenant: true },
  ],
  'cache.fallback_error': [
    { type: true, timestamp: true, service: true, key: true, duration_ms: true },
    { reason: true, tenant: true },
  ],
  'cache.breaker': [{ type: true, timestamp: true, service: true, state: true }, { node: true }],
  'cache.connection': [
    { type: true, timestamp: true, service: true, source: true, state: true },
    { node: true, reason: true, message: true },
  ],
  'cache.health': [
    { type: true, timestamp: true, service: true, reason: true, message: true, state: true },
    { node: true, value: true, limit: true },
  ],
};
const EVENT_FIELDS: Record<keyof CacheEvents['cache.health'], true> = {
  type: true,
  timestamp: true,
  service: true,
  key: true,
  source: true,
  duration_ms: true,
  reason: true,
  message: true,
  version: true,
  state: true,
  tag: true,
  node: true,
  tenant: true,
  value: true,
  limit: true,
};
const FIGURES: Record<keyof Stats, true> = {
  hits: true,
  misses: true,
  hit_rate: true,
  miss_rate: true,
  unavailable: true,
  avg_latency_ms: true,
  p50_ms: true,
  p99_ms: true,
  sets: true,
  invalidation_count: true,
  waits: true,
  avg_wait_ms: true,
  stale_served: true,
  refreshes: true,
  early_refreshes: true,
  l1_hits: true,
  l1_entries: true,
  l1_bytes: true,
  fallbacks: true,
  fallback_errors: true,
  errors: true,
  events_dropped: true,
  breaker: true,
};
const OPTIONS: Record<keyof Options, true> = {
  url: true,
  metricsEmitter: true,
  store: true,
  service: true,
  version: true,
  upgrade: true,
  role: true,
  ttl: true,
  ttlJitter: true,
  nullTtl: true,
  staleIfError: true,
  staleWhileRevalidate: true,
  errorBackoff: true,
  earlyRefresh: true,
  settle: true,
  lease: true,
  wait: true,
  softTimeout: true,
  hardTimeout: true,
  maxFallbacks: true,
  commandTimeout: true,
  connectTimeout: true,
  breaker: true,
  tls: true,
  journal: true,
  l1: true,
  shareValues: true,
  codec: true,
  compression: true,
  compressOver: true,
  maxValueBytes: true,
  signingKeys: true,
  strict: true,
  health: true,
  fleetReport: true,
};

const READ_OPTIONS: Record<keyof GetOptions, true> = {
  ttl: true,
  tags: true,
  codec: true,
  nullTtl: true,
  staleIfError: true,
  staleWhileRevalidate: true,
  errorBackoff: true,
  earlyRefresh: true,
  wait: true,
  softTimeout: true,
  hardTimeout: true,
  schema: true,
  signal: true,
};
const TENANT_OPTIONS: Record<keyof TenantOptions, true> = {
  ttl: true,
  tags: true,
  codec: true,
  nullTtl: true,
  staleIfError: true,
  staleWhileRevalidate: true,
  errorBackoff: true,
  earlyRefresh: true,
  wait: true,
  softTimeout: true,
  hardTimeout: true,
  maxFallbacks: true,
};
const WRITE_OPTIONS: Record<keyof SetOptions, true> = {
  ttl: true,
  tags: true,
  codec: true,
  staleIfError: true,
  staleWhileRevalidate: true,
};
const BEHIND_OPTIONS: Record<keyof BehindOptions, true> = {
  batch: true,
  maxDelay: true,
  maxPending: true,
  maxAttempts: true,
  partitions: true,
  coalesce: true,
  schema: true,
};
const WRITE_THROUGH_OPTIONS: Record<keyof WriteThroughOptions, true> = {
  ...WRITE_OPTIONS,
  onStoreDown: true,
  signal: true,
};

test('the options of a call are those of the core, and a signal', async () => {
  const cache = new tidegate.CacheManager();
  assert.deepEqual(Object.keys(READ_OPTIONS), [...native.callOptions('read'), 'schema', 'signal']);
  assert.deepEqual(Object.keys(WRITE_OPTIONS), native.callOptions('write'));
  assert.deepEqual(Object.keys(WRITE_THROUGH_OPTIONS), [...native.callOptions('write_through'), 'signal']);
  assert.deepEqual(Object.keys(TENANT_OPTIONS), native.callOptions('tenant'));
  for (const [names, call] of [
    [READ_OPTIONS, (options: object) => cache.get('a:b', () => 1, options)],
    [WRITE_OPTIONS, (options: object) => cache.set('a:b', 1, options)],
    [WRITE_THROUGH_OPTIONS, (options: object) => cache.writeThrough('a:b', 1, () => {}, options)],
  ] as const) {
    await assert.rejects(call({ zzzzzz: 1 }), (error: Error) => {
      assert.deepEqual(error.message.split('the options are ')[1]?.split(', '), Object.keys(names));
      return true;
    });
  }
});

test('the errors of the page are the errors there are', () => {
  const listed = [...page('errors').matchAll(/\| `(\w+)` \| `(ERR_\w+)` \|/g)].map(
    ([, name, code]) => `${name}=${code}`,
  );
  assert.deepEqual(listed, native.errorCodes());
  const classes = Object.values(tidegate).filter(
    (value) => typeof value === 'function' && value.prototype instanceof tidegate.TidegateError,
  ) as unknown as (new (
    message: string,
  ) => tidegate.TidegateError)[];
  const known = classes.map((Kind) => `${new Kind('').name}=${new Kind('').code}`);
  assert.deepEqual(known.sort(), listed.sort());
  assert.deepEqual(Object.keys(CODES).sort(), classes.map((Kind) => new Kind('').code).sort());
  assert.ok(classes.every((Kind) => Kind.name === new Kind('').name));
});

test('the events of the page are the events there are', () => {
  const listed = [...page('events').matchAll(/^\| `(cache\.\w+)`/gm)].map(([, name]) => name);
  assert.deepEqual(listed, native.eventTypes());
  assert.deepEqual(
    listed,
    Object.keys(EVENTS).filter((name) => listed.includes(name)),
  );
  const fields = section('events', 'Each event has', 'The names are');
  const values = ['l1', 'memory', 'redis', 'flight'];
  assert.deepEqual(
    words(fields)
      .filter((word) => !values.includes(word))
      .sort(),
    Object.keys(EVENT_FIELDS).sort(),
  );
});

test('the fields of each event on the page are the fields of its type', () => {
  const rows = [...page('events').matchAll(/^\| `(cache\.\w+)` \|.*\| ([^|]+) \|$/gm)];
  const listed = rows.map(([, name, cell = '']) => [name, cell.split(';').map((part) => words(part).sort())]);
  const known = rows.map(([, name]) => {
    const [always, sometimes] = FIELDS[name as keyof CacheEvents];
    const more = Object.keys(always).filter((field) => !['type', 'timestamp', 'service'].includes(field));
    return [name, [more.sort(), Object.keys(sometimes).sort()]];
  });
  assert.ok(rows.length >= 11);
  assert.deepEqual(listed, known);
});

test('the figures of the page are the figures there are', () => {
  const states = ['closed', 'open', 'half_open'];
  const text = page('events');
  const listed = words(text.slice(text.indexOf('`stats()` gives')));
  const figures = listed.filter((word) => !states.includes(word)).sort();
  assert.deepEqual(Object.keys(new tidegate.CacheManager().stats()).sort(), figures);
  assert.deepEqual(Object.keys(FIGURES).sort(), figures);
});

test('the options of a queue are the options there are', () => {
  const listed = [...section('write-behind', '## Options', '## What it costs').matchAll(/^\| `(\w+)`/gm)];
  const ours = listed.map(([, name = '']) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()));
  assert.deepEqual([...ours, 'schema'], Object.keys(BEHIND_OPTIONS));
  const refused = () => new tidegate.CacheManager().writeBehind('counters', null, { zzzzzz: 1 } as BehindOptions);
  assert.throws(refused, (error: Error) => {
    assert.deepEqual(error.message.split('the options are ')[1]?.split(', '), Object.keys(BEHIND_OPTIONS));
    return true;
  });
});

test('the options of the page are the options there are', () => {
  const listed = [...page('options').matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name);
  const ours = listed.map((name) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()));
  assert.deepEqual([...ours, 'url', 'metricsEmitter', 'store'].sort(), Object.keys(OPTIONS).sort());
  const refused = (): unknown => new tidegate.CacheManager({ zzzzzz: 1 } as Options);
  assert.throws(refused, (error: Error) => {
    const known = error.message.split('the options are ')[1]?.split(', ');
    assert.deepEqual(known?.sort(), Object.keys(OPTIONS).sort());
    return true;
  });
});

function page(name: string): string {
  return readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
}

function section(name: string, from: string, to: string): string {
  const text = page(name);
  return text.slice(text.indexOf(from), text.indexOf(to));
}

function words(text: string): string[] {
  return [...text.matchAll(/`(\w+)`/g)].map(([, word = '']) => word);
}
