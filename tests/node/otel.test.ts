/** Spans and metrics, by OpenTelemetry's own SDK. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { type Attributes, context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { CacheManager, ConfigError, HardTimeout, key as keyOf } from 'tidegate';
import { type InstrumentOptions, instrument } from 'tidegate/otel';
import { node } from './support/program.js';
import { eventually, Held, KEY, onBoth, onRedis, rejection } from './support/stage.js';

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = tracerProvider.getTracer('user');
afterEach(() => exporter.reset());

const options = (more: InstrumentOptions = {}): InstrumentOptions => ({ tracerProvider, ...more });
const spans = () => exporter.getFinishedSpans();
const named = (name: string) => spans().filter((span) => span.name === name);
function one(name: string): ReadableSpan {
  const found = named(name);
  assert.equal(found.length, 1, `${name} among ${spans().map((span) => span.name)}`);
  return found[0] as ReadableSpan;
}
const id = (span: ReadableSpan | undefined) => span?.spanContext().spanId;
const parent = (span: ReadableSpan | undefined) => span?.parentSpanContext?.spanId;
const links = (span: ReadableSpan | undefined) => span?.links.map((link) => link.context.spanId);
const said = (span: ReadableSpan | undefined, ...names: string[]) =>
  names.map((name) => span?.attributes[`tidegate.${name}`]);
const fails = (error: unknown) => () => Promise.reject(error);
const within = <T>(name: string, work: () => Promise<T>) =>
  tracer.startActiveSpan(name, async (span) => {
    try {
      return await work();
    } finally {
      span.end();
    }
  });

onBoth('a miss has its fallback under it, and the user’s spans under that', async ({ cache, url }) => {
  instrument(cache, options());
  const fetch = () => pass(1).then(() => within('SELECT', async () => 1));
  await within('request', async () => {
    const request = trace.getActiveSpan();
    assert.equal(await cache.get(KEY, fetch), 1);
    assert.equal(trace.getActiveSpan(), request);
    assert.equal(await cache.get(KEY, fetch), 1);
  });
  const [miss, hit] = named('cache.get');
  const [fallback, select, request] = [one('cache.fallback'), one('SELECT'), one('request')];
  assert.deepEqual([miss, hit, fallback, select].map(parent), [id(request), id(request), id(miss), id(fallback)]);
  assert.deepEqual(said(miss, 'outcome', 'source'), ['miss', undefined]);
  assert.deepEqual(said(hit, 'outcome', 'source'), ['hit', url.startsWith('memory') ? 'memory' : 'redis']);
  assert.deepEqual(new Set([miss, hit, fallback].map((span) => span?.kind)), new Set([SpanKind.INTERNAL]));
  const names = spans().flatMap((span) => Object.keys(span.attributes));
  assert.ok(!names.includes('tidegate.key') && !names.includes('tidegate.tenant'), `${names}`);
});

onBoth('each caller of a flight has a span of its own, linked to the leader’s fallback', async ({ cache }) => {
  instrument(cache, options());
  const held = new Held<string>();
  const calls = ['leader', 'follower', 'other'].map((name) => within(name, () => cache.get(KEY, held.fallback)));
  await held.entered;
  held.give('value');
  assert.deepEqual(await Promise.all(calls), ['value', 'value', 'value']);
  const fallback = one('cache.fallback');
  const of = (name: string) => named('cache.get').find((span) => parent(span) === id(one(name)));
  assert.equal(parent(fallback), id(of('leader')));
  assert.deepEqual(links(of('leader')), []);
  for (const name of ['follower', 'other']) {
    assert.deepEqual(links(of(name)), [id(fallback)]);
    assert.deepEqual(said(of(name), 'outcome', 'source'), ['hit', 'flight']);
    assert.notEqual(of(name)?.spanContext().traceId, fallback.spanContext().traceId);
  }
});

onBoth('what a fallback throws is the caller’s, and is told once', async ({ cache }) => {
  instrument(cache, options());
  const error = new RangeError('no such row');
  assert.equal(await rejection(cache.get(KEY, fails(error))), error);
  const [call, fallback] = [one('cache.get'), one('cache.fallback')];
  for (const span of [call, fallback]) {
    assert.equal(span.attributes['error.type'], 'RangeError');
    assert.equal(span.status.code, SpanStatusCode.ERROR);
  }
  assert.deepEqual(
    fallback.events.map((event) => event.name),
    ['exception'],
  );
  assert.deepEqual(call.events, []);
  assert.deepEqual(said(call, 'outcome'), ['miss']);
  await rejection(cache.get('flat', () => 1));
  assert.equal(named('cache.get')[1]?.attributes['error.type'], 'KeyFormatError');
  assert.throws(() => cache.wrap(async () => 1, { key: 5 as never }), ConfigError);
});

onBoth('a refresh behind a stale value is a trace of its own, linked to the call', async (stage) => {
  const cache = stage.make({ staleWhileRevalidate: '1h' });
  instrument(cache, options());
  await cache.set(KEY, 'old', { ttl: 20 });
  await pass(100);
  await within('request', () => cache.get(KEY, () => within('SELECT', async () => 'new')));
  await eventually(() => named('cache.refresh').length === 1);
  const [stale, refresh, fallback, select] = ['cache.get', 'cache.refresh', 'cache.fallback', 'SELECT'].map(one);
  assert.deepEqual(said(stale, 'outcome'), ['stale']);
  assert.deepEqual([parent(refresh), links(refresh)], [undefined, [id(stale)]]);
  assert.deepEqual([parent(fallback), parent(select)], [id(refresh), id(fallback)]);
  assert.notEqual(refresh?.spanContext().traceId, stale?.spanContext().traceId);
});

onBoth('what is served when a fallback fails, or is slow, or too slow', async (stage) => {
  const cache = stage.make({ staleIfError: '1h', errorBackoff: 0 });
  instrument(cache, options());
  await cache.set(KEY, 'old');
  await cache.expire(KEY);
  assert.equal(await cache.get(KEY, fails(new RangeError('no'))), 'old');
  const held = new Held<string>();
  assert.equal(await cache.get(KEY, held.fallback, { softTimeout: 20 }), 'old');
  assert.deepEqual(
    named('cache.get').map((span) => said(span, 'outcome')),
    [['stale'], ['stale']],
  );
  assert.equal(named('cache.fallback').length, 1);
  held.give('new');
  await eventually(() => named('cache.fallback').length === 2);
  const slow = () => pass(30_000, 1, { ref: false });
  assert.ok((await rejection(cache.get('user:profile:2', slow, { hardTimeout: 20 }))) instanceof HardTimeout);
  assert.equal(named('cache.get')[2]?.attributes['error.type'], 'HardTimeout');
});

onBoth('who goes away has his span ended', async ({ cache }) => {
  instrument(cache, options());
  const leave = new AbortController();
  const held = new Held<number>();
  const call = cache.get(KEY, held.fallback, { signal: leave.signal });
  await held.entered;
  leave.abort();
  await rejection(call);
  assert.equal(one('cache.get').attributes['error.type'], 'AbortError');
  assert.equal(one('cache.get').status.code, SpanStatusCode.UNSET);
  held.give(1);
  await eventually(() => named('cache.fallback').length === 1);
});

onBoth('functions, views and keys', async ({ cache }) => {
  instrument(cache, options({ keys: true }));
  const square = cache.wrap(async (number: number) => number ** 2, { key: (number) => keyOf`square:of:${number}` });
  assert.deepEqual(
    [await square(3), await square(3), await square.refresh(3), await square.getCached(3)],
    [9, 9, 9, 9],
  );
  await square.invalidate(3);
  await cache
    .tenant('acme')
    .namespace('shop')
    .get(KEY, () => 1);
  const calls = spans().filter((span) => span.name !== 'cache.fallback');
  assert.deepEqual(
    calls.map((span) => [span.name, ...said(span, 'key', 'tenant', 'outcome')]),
    [
      ['cache.get', 'square:of:3', undefined, 'miss'],
      ['cache.get', 'square:of:3', undefined, 'hit'],
      ['cache.refresh', 'square:of:3', undefined, 'miss'],
      ['cache.get', 'square:of:3', undefined, 'hit'],
      ['cache.invalidate', 'square:of:3', undefined, 'confirmed'],
      ['cache.get', KEY, 'acme', 'miss'],
    ],
  );
});

onBoth('a template instead of keys', async ({ cache }) => {
  instrument(
    cache,
    options({ keys: (key) => (key.startsWith('secret') ? undefined : key.slice(0, key.lastIndexOf(':'))) }),
  );
  await cache.get(KEY, () => 1);
  await cache.get('secret:of:1', () => 1);
  assert.deepEqual(
    named('cache.get').map((span) => said(span, 'key')),
    [['user:profile'], [undefined]],
  );
});

onBoth('every call has its span', async ({ cache }) => {
  instrument(cache, options());
  const view = cache.namespace('shop');
  await view.set(KEY, 1);
  await view.setMany({ [KEY]: 1, 'user:profile:2': 2 });
  await view.getEntry(KEY);
  await view.exists('user:profile:3');
  await view.get(KEY, { default: null });
  await view.get('user:profile:3', { default: null });
  await view.getMany([KEY, 'user:profile:3'], (keys) => new Map(keys.map((key) => [key, 1])));
  await view.writeThrough(KEY, 2, async () => {});
  await view.refresh(KEY, () => 3);
  await view.setFields('user:profile:4', { name: 'Ada' });
  await view.getFields('user:profile:4', ['name'], () => ({}));
  await view.invalidateField('user:profile:4', 'name');
  await view.expire(KEY);
  await view.invalidate(KEY);
  await view.invalidateTag('users');
  await view.clear();
  await view.disabled(() => view.get(KEY, () => 1));
  const calls = spans().map((span) => [span.name.slice('cache.'.length), said(span, 'outcome')[0]]);
  assert.deepEqual(
    calls.filter(([name]) => name !== 'fallback' && name !== 'persist'),
    [
      ['set', 'confirmed'],
      ['set_many', 'confirmed'],
      ['get_entry', 'hit'],
      ['exists', 'miss'],
      ['get', 'hit'],
      ['get', 'miss'],
      ['get_many', 'miss'],
      ['write_through', 'confirmed'],
      ['refresh', 'miss'],
      ['set_fields', 'confirmed'],
      ['get_fields', 'hit'],
      ['invalidate_field', 'confirmed'],
      ['expire', 'confirmed'],
      ['invalidate', 'confirmed'],
      ['invalidate_tag', 'confirmed'],
      ['clear', 'confirmed'],
      ['get', 'uncached'],
    ],
  );
  assert.deepEqual(said(one('cache.get_many'), 'keys.count', 'keys.fetched'), [2, 1]);
  assert.equal(parent(one('cache.persist')), id(one('cache.write_through')));
});

onRedis('a span names the server by its conventions, and a hit in this process', async (stage) => {
  const cache = stage.make({ l1: '1MB', role: 'session' });
  instrument(cache, options());
  await eventually(async () => {
    await cache.get(KEY, () => 1);
    return said(named('cache.get').at(-1), 'outcome')[0] === 'l1';
  });
  const { attributes } = named('cache.get')[0] as ReadableSpan;
  assert.equal(attributes['db.system.name'], 'redis');
  assert.equal(attributes['server.address'], '127.0.0.1');
  assert.equal(attributes['server.port'], Number(new URL(stage.url).port));
  assert.deepEqual(said(named('cache.get')[0], 'service', 'role'), [stage.service, 'session']);
});

onBoth('metrics', async ({ cache, service }) => {
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 2 ** 30 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const points = async () => {
    metricExporter.reset();
    await reader.forceFlush();
    const metrics = metricExporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? [];
    const counted = (value: unknown) => (typeof value === 'number' ? value : (value as { count: number }).count);
    const pairs = metrics.map(({ descriptor, dataPoints }) => {
      const told = dataPoints.map(({ attributes, value }) => [attributes, counted(value)] as [Attributes, number]);
      return [descriptor.name, told] as const;
    });
    return new Map(pairs);
  };
  const instrumentation = instrument(cache, options({ meterProvider }));
  await cache.get(KEY, () => 1);
  await cache.get(KEY, () => 1);
  await rejection(cache.get('user:profile:2', fails(new RangeError('no'))));
  await cache.invalidate(KEY);
  const told = await points();
  const common = { 'tidegate.service': service, 'tidegate.role': 'cache' };
  assert.deepEqual(told.get('tidegate.hits'), [[common, 1]]);
  assert.deepEqual(told.get('tidegate.misses'), [[common, 2]]);
  assert.deepEqual(told.get('tidegate.breaker.state'), [[common, 0]]);
  assert.deepEqual(
    told.get('tidegate.operation.duration')?.map(([at, count]) => [...Object.values(at).slice(2), count]),
    [
      ['get', 'miss', 1],
      ['get', 'hit', 1],
      ['get', 'miss', 'RangeError', 1],
      ['invalidate', 'confirmed', 1],
    ],
  );
  assert.deepEqual(
    told.get('tidegate.fallback.duration')?.map(([at, count]) => [at['tidegate.outcome'], count]),
    [
      ['ok', 1],
      ['error', 1],
    ],
  );
  instrumentation.uninstrument();
  await cache.get('user:profile:3', () => 1);
  await cache.get('user:profile:3', () => 1);
  assert.deepEqual((await points()).get('tidegate.hits') ?? [[common, 1]], [[common, 1]]);
  await meterProvider.shutdown();
});

onBoth('uninstrument', async ({ cache }) => {
  const before = Object.getPrototypeOf(cache);
  const instrumentation = instrument(cache, options());
  const view = cache.tenant('acme');
  assert.ok(cache instanceof CacheManager && view instanceof CacheManager);
  assert.throws(() => instrument(cache, options()), /is instrumented already/);
  const held = new Held<number>();
  const underWay = cache.get(KEY, held.fallback);
  await held.entered;
  instrumentation.uninstrument();
  instrumentation.uninstrument();
  held.give(1);
  assert.equal(await underWay, 1);
  assert.deepEqual(
    spans()
      .map((span) => span.name)
      .sort(),
    ['cache.fallback', 'cache.get'],
  );
  assert.deepEqual([Object.getPrototypeOf(cache), Object.getPrototypeOf(view)], [before, before]);
  await cache.get('user:profile:2', () => 1);
  await view.get(KEY, () => 1);
  assert.equal(spans().length, 2);
});

test('what is no manager is refused, and tidegate itself loads nothing of OpenTelemetry', async () => {
  assert.throws(() => instrument(5 as never), /cache=5 is no CacheManager/);
  assert.throws(
    () => instrument(new CacheManager(), { keys: 'all' as never }),
    /keys='all' is neither true, false nor/,
  );
  const program = `require('tidegate'); process.exitCode = Object.keys(require.cache).some((name) => name.includes('opentelemetry')) ? 1 : 0`;
  assert.equal((await node(['-e', program])).code, 0);
});
