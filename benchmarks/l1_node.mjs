// What a hit in the process costs beside an `async` function over a Map, and what an entry takes beside its value.
//   node --expose-gc benchmarks/l1_node.mjs        (after `make build PROFILE=release`)
import { CacheManager } from 'tidegate';

const KEYS = 10_000;
const CALLS = 200_000;
const ROUNDS = 15;
const HELD = 100_000;

const valueFor = (id) => ({
  id,
  name: `user ${id}`,
  mail: `user${id}@example.org`,
  text: 'x'.repeat(900),
  list: [1, 2, 3],
});
const keys = Array.from({ length: KEYS }, (_, id) => `user:profile:${id}`);
const median = (figures) => [...figures].sort((one, other) => one - other)[figures.length >> 1];
const spread = (figures) => `${Math.min(...figures).toFixed(0)}–${Math.max(...figures).toFixed(0)}`;

async function filled(options) {
  const cache = new CacheManager({ l1: '256MB', maxValueBytes: 1 << 20, ...options });
  for (const [id, key] of keys.entries()) await cache.set(key, valueFor(id));
  for (let round = 0; round < 2; round += 1) for (const key of keys) await cache.get(key, { default: null });
  return cache;
}

async function hits() {
  const objects = new Map(keys.map((key, id) => [key, valueFor(id)]));
  const texts = new Map(keys.map((key, id) => [key, JSON.stringify(valueFor(id))]));
  const shared = await filled({ shareValues: true });
  const own = await filled({});
  const fallback = () => {
    throw new Error('it is held');
  };
  const wrapped = shared.wrap(fallback, { key: (key) => key });
  const ways = {
    'async over a Map': async (key) => objects.get(key),
    'get, shareValues': (key) => shared.get(key, fallback),
    'wrap, shareValues': (key) => wrapped(key),
    'get, shareValues, { ttl, tags: [] }': (key) => shared.get(key, fallback, { ttl: 60_000, tags: [] }),
    'async over a Map of JSON text': async (key) => JSON.parse(texts.get(key)),
    'get, own copies': (key) => own.get(key, fallback),
  };
  const figures = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  const order = Object.entries(ways);
  for (let round = -3; round < ROUNDS; round += 1) {
    order.push(order.shift());
    for (const [name, way] of order) {
      const began = process.hrtime.bigint();
      for (let call = 0; call < CALLS; call += 1) await way(keys[(call * 7919) % KEYS]);
      if (round >= 0) figures[name].push(Number(process.hrtime.bigint() - began) / CALLS);
    }
  }
  for (const [name, ns] of Object.entries(figures)) {
    const beside = median(
      figures[name.includes('own') || name.includes('JSON') ? 'async over a Map of JSON text' : 'async over a Map'],
    );
    console.log(
      `${name.padEnd(36)} ${median(ns).toFixed(0).padStart(6)} ns (${spread(ns)})  ${(beside / median(ns)).toFixed(2)} of the rate`,
    );
  }
  const { l1_hits } = shared.stats();
  if (l1_hits < CALLS * ROUNDS) throw new Error(`${l1_hits} hits only`);
  await Promise.all([shared.close(), own.close()]);
}

async function memory(length) {
  const { setTimeout: pass } = await import('node:timers/promises');
  const url = process.env.TIDEGATE_URL ?? 'memory://of-the-writer';
  const service = 'bench';
  const writer = new CacheManager({ url, service });
  const cache = new CacheManager({ url, service, l1: { maxBytes: '1GB', maxEntries: 1_000_000 } });
  const ids = Array.from({ length: HELD }, (_, id) => `user:profile:${id}`);
  const text = (id) => [`${id}`.padEnd(length, 'x')];
  for (const [id, key] of ids.entries()) await writer.set(key, text(id));
  await cache.get(ids[0], { default: null });
  await pass(1500);
  const before = await settled();
  for (const key of ids) await cache.get(key, { default: null });
  const after = await settled();
  const { l1_entries, l1_bytes } = cache.stats();
  const payload = JSON.stringify(text(0)).length;
  const per = (name) => ((after[name] - before[name]) / l1_entries - payload).toFixed(0);
  console.log(
    `${l1_entries} entries of ${payload} bytes: over the payload, heap ${per('heapUsed')}, process ${per('rss')}, ` +
      `as counted ${(l1_bytes / l1_entries - payload).toFixed(0)} bytes an entry`,
  );
  await Promise.all([writer.close(), cache.close()]);
}

async function settled() {
  for (let turns = 0; turns < 10; turns += 1) {
    globalThis.gc?.();
    await new Promise((go) => setImmediate(go));
  }
  return process.memoryUsage();
}

if (process.argv[2] === 'memory') await memory(Number(process.argv[3] ?? 100));
else await hits();
