/** What a scrape is told, on `prom-client`. (`tests/python/test_prometheus.py` reads its text back, beside the others'.) */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { AggregatorRegistry, Counter, register as ownRegister, Registry } from 'prom-client';
import { CacheManager, ConfigError, type MetricFamily } from 'tidegate';
import { instrument } from 'tidegate/prometheus';
import { KEY } from './support/stage.js';

interface Told {
  name: string;
  type: string;
  values: { labels: Record<string, string>; value: number; metricName?: string }[];
}

async function told(register: Registry): Promise<Told[]> {
  return (await register.getMetricsAsJSON()) as unknown as Told[];
}

/** The one value of `tidegate_name` that has these labels. */
async function value(register: Registry, name: string, labels: Record<string, string> = {}): Promise<number> {
  const all = (await told(register)).flatMap((metric) =>
    metric.values.map((one) => ({ ...one, metricName: one.metricName ?? metric.name })),
  );
  const found = all.filter(
    (one) =>
      one.metricName === `tidegate_${name}` &&
      Object.entries(labels).every(([label, text]) => one.labels[label] === text),
  );
  assert.equal(found.length, 1, `${name} ${JSON.stringify(labels)}: ${JSON.stringify(found)}`);
  return found[0]?.value as number;
}

async function computed(): Promise<string> {
  return 'Ada';
}

test('a manager and its views are one, and what they count is what stats() counts', async () => {
  const register = new Registry();
  const cache = new CacheManager({ service: 'billing', l1: '1MB' });
  const tenant = cache.tenant('acme');
  for (const one of [cache, tenant, cache.namespace('catalog'), cache]) instrument(one, { register });
  for (let times = 0; times < 4; times += 1) {
    await cache.get(KEY, computed);
    await tenant.get(KEY, computed);
  }
  await cache.get('user:profile:7', { default: null });
  await cache.invalidate(KEY);
  assert.equal(await value(register, 'requests_total', { outcome: 'l1' }), 4);
  assert.equal(await value(register, 'requests_total', { outcome: 'hit' }), 2);
  assert.equal(await value(register, 'requests_total', { outcome: 'miss' }), 3);
  assert.equal(await value(register, 'request_duration_seconds_count', { outcome: 'miss' }), 3);
  assert.equal(await value(register, 'request_duration_seconds_bucket', { outcome: 'hit', le: '+Inf' }), 2);
  assert.equal(await value(register, 'fallback_duration_seconds_count', { outcome: 'ok' }), 2);
  const confirmed = { operation: 'key', outcome: 'confirmed' };
  assert.equal(await value(register, 'invalidations_total', confirmed), 1);
  const stats = cache.stats();
  assert.deepEqual([stats.hits, stats.l1_hits, stats.misses], [6, 4, 3]);
  assert.equal(await value(register, 'l1_entries'), stats.l1_entries);
  assert.equal(await value(register, 'l1_bytes'), stats.l1_bytes);
  assert.ok(!(await register.metrics()).includes('acme'));
  await cache.close();
});

test('what the index lets go of for want of room is counted', async () => {
  const register = new Registry();
  const cache = new CacheManager({ l1: { maxEntries: 10 } });
  instrument(cache, { register });
  for (let number = 0; number < 40; number += 1) {
    for (let times = 0; times < 2; times += 1) await cache.get(`user:profile:${number}`, computed);
  }
  assert.equal(await value(register, 'l1_entries'), 10);
  assert.equal(await value(register, 'l1_evictions_total'), 30);
  await cache.close();
});

test('managers of one registry are told of together, and one that is closed leaves', async () => {
  const register = new Registry();
  const [one, two, again] = ['one', 'two', 'two'].map((service) => new CacheManager({ service })) as [
    CacheManager,
    CacheManager,
    CacheManager,
  ];
  for (const cache of [one, two, again]) {
    instrument(cache, { register });
    await cache.get(KEY, computed);
  }
  assert.equal(await value(register, 'requests_total', { service: 'one', outcome: 'miss' }), 1);
  // Nothing tells two managers of one service apart: their samples are one, or Prometheus would refuse the scrape.
  assert.equal(await value(register, 'requests_total', { service: 'two', outcome: 'miss' }), 2);
  assert.equal(await value(register, 'request_duration_seconds_count', { service: 'two', outcome: 'miss' }), 2);
  await again.close();
  assert.equal(await value(register, 'requests_total', { service: 'two', outcome: 'miss' }), 1);
  await two.close();
  const services = (await told(register)).flatMap(({ values }) => values.map(({ labels: { service } }) => service));
  assert.deepEqual([...new Set(services)], ['one']);
  await one.close();
});

test('what is taken off may be put on again, and leaves others alone', async () => {
  const register = new Registry();
  const cache = new CacheManager();
  const first = instrument(cache, { register });
  first.close();
  assert.deepEqual(await told(register), []);
  first.close();
  {
    using _ = instrument(cache, { register });
    assert.equal(await value(register, 'sets_total'), 0);
  }
  assert.deepEqual(await told(register), []);
  const other = new Registry();
  const [here, there] = [instrument(cache, { register }), instrument(cache, { register: other })];
  here.close();
  assert.equal(await value(other, 'sets_total'), 0);
  // A registry that was cleared meanwhile has another metric of the name: it is not ours to remove.
  other.clear();
  const taken = new Counter({ name: 'tidegate_sets_total', help: 'h', registers: [other] });
  there.close();
  assert.equal(other.getSingleMetric('tidegate_sets_total'), taken);
  assert.throws(() => instrument(cache, { register: other }), ConfigError);
  assert.equal((await told(other)).length, 1, 'nothing is left behind');
  await cache.close();
});

test('a registry keeps no manager alive', () => {
  const program = `
    import { Registry } from 'prom-client';
    import { CacheManager } from 'tidegate';
    import { instrument } from 'tidegate/prometheus';
    const register = new Registry();
    (() => { instrument(new CacheManager(), { register }); })();
    const values = async () => (await register.getMetricsAsJSON()).flatMap((metric) => metric.values).length;
    const before = await values();
    for (let times = 0; times < 50 && (await values()) > 0; times += 1) {
      await new Promise(setImmediate);
      gc();
    }
    console.log(before > 0, await values());
  `;
  const given = ['--expose-gc', '--input-type=module', '-e', program];
  assert.equal(execFileSync(process.execPath, given, { encoding: 'utf8', timeout: 30_000 }), 'true 0\n');
});

test('workers of a cluster are added, and of what all of them tell the largest is taken', async () => {
  const workers = await Promise.all(
    [0, 1].map(async () => {
      const register = new Registry();
      const cache = new CacheManager({ service: 'billing' });
      instrument(cache, { register });
      await cache.get(KEY, computed);
      const queue = cache.writeBehind('counters', null);
      await queue.put('page:views:7', 1);
      // As it comes from another process.
      const sent = JSON.parse(JSON.stringify(await register.getMetricsAsJSON()));
      await cache.close();
      return sent;
    }),
  );
  const all = AggregatorRegistry.aggregate(workers) as Registry;
  const text = await all.metrics();
  const has = (line: string) => assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  has('tidegate_requests_total{service="billing",role="cache",outcome="miss"} 2');
  has('tidegate_fallback_duration_seconds_bucket{service="billing",role="cache",outcome="ok",le="+Inf"} 2');
  has('tidegate_queue_pending{service="billing",role="cache"} 1');
  has('tidegate_breaker_state{service="billing",role="cache"} 0');
});

test('a registry of OpenMetrics has its names', async () => {
  const register = new Registry();
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  const cache = new CacheManager({ service: 'billing' });
  const on = instrument(cache, { register });
  const text = await register.metrics();
  assert.ok(
    text.includes('# TYPE tidegate_sets counter\ntidegate_sets_total{service="billing",role="cache"} 0\n'),
    text,
  );
  assert.ok(text.includes('outcome="hit",le="1.0"} 0\n'), text);
  on.close();
  assert.equal(await register.metrics(), '\n# EOF\n');
  await cache.close();
});

test('the default is the registry that everybody scrapes; `require` gives the same', async () => {
  const required: typeof import('tidegate/prometheus') = createRequire(import.meta.url)('tidegate/prometheus');
  assert.equal(required.instrument, instrument);
  const cache = new CacheManager();
  using _ = instrument(cache);
  assert.equal(await value(ownRegister, 'sets_total'), 0);
  await cache.close();
});

test('what is no manager or no registry is refused', async () => {
  const cache = new CacheManager();
  for (const given of [null, undefined, {}, 'memory://']) {
    assert.throws(() => instrument(given as never), ConfigError);
    if (given !== undefined) assert.throws(() => instrument(cache, { register: given as never }), ConfigError);
  }
  await cache.close();
});

test('the families as data are those of the text', async () => {
  const cache = new CacheManager({ service: 'billing' });
  const families: MetricFamily[] = cache.metrics();
  const typed = families.map(({ name, kind }) => `# TYPE ${name} ${kind}`);
  assert.deepEqual(cache.prometheusText().match(/^# TYPE .*$/gm), typed);
  for (const { kind, samples } of families) {
    for (const { labels, value, buckets } of samples) {
      const { service } = labels;
      assert.equal(service, 'billing');
      assert.equal(kind === 'histogram' ? buckets?.length : typeof value, kind === 'histogram' ? 17 : 'number');
    }
  }
  await cache.close();
});
