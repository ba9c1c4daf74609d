/** What is over is let go: memory does not grow with the number of calls, however they end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './support/program.js';
import { freshService, sharedServer } from './support/stage.js';

const ROUND = 20_000;
const TEST_MS = 240_000;
// Each call holds 2 KB: one of eight that leaves something behind would be more.
const HEAP_BYTES_A_CALL = 60;
// The native side, whose allocator keeps some of what was used at once.
const RSS_BYTES_A_CALL = 1_500;

const GROWTH = `
  import { CacheManager } from 'tidegate';
  const [url, service, round] = process.argv.slice(1);
  process.on('unhandledRejection', (reason) => { console.log('unhandled', reason); process.exit(3); });
  const cache = new CacheManager({ url, service, commandTimeout: '20s', lease: '25s' });
  const hasty = new CacheManager({ url, service, commandTimeout: '20s', lease: '25s', hardTimeout: 30 });
  for (const manager of [cache, hasty]) manager.on('cache.error', () => {});
  const life = new AbortController();
  const { signal } = life;
  const turn = () => new Promise((go) => setImmediate(go));
  const leaves = (key, fallback) => {
    const leaving = new AbortController();
    const call = cache.get(key, fallback, { signal: leaving.signal });
    setImmediate(() => leaving.abort());
    return call;
  };
  // Whatever is kept of a call keeps its weight: fallbacks, errors and values alike.
  function calls(key, way) {
    const weight = new Array(250).fill(way);
    const never = () => new Promise((go) => go.weight === weight && go());
    const fails = async () => { throw Object.assign(new Error('no'), { weight }); };
    const unstorable = async () => ({ weight, symbol: Symbol('x') });
    const slow = async () => turn().then(() => weight);
    switch (way) {
      case 0: return [cache.get(key, fails), cache.get(key, fails, { signal })];
      case 1: return [leaves(key, never), leaves(key, never)];
      case 2: return [hasty.get(key, never, { signal }), hasty.get(key, never)];
      case 3: return [cache.get(key, unstorable), cache.get(key, unstorable, { signal })];
      case 4: return [cache.get(key, slow), cache.getMany([key, 'user:profile:x'], () => ({}), { signal })];
      case 5: return [cache.get(key, slow, { signal }), cache.invalidate(key)];
      case 6: return [cache.refresh(key, slow, { signal }), cache.set(key, weight)];
      default: return [cache.get(key, { default: weight, signal }), cache.get('flat', fails, { signal })];
    }
  }
  async function run(count) {
    for (let done = 0; done < count; ) {
      const batch = [];
      for (; batch.length < 800; done += 2) batch.push(...calls('user:profile:' + (done % 5000), (done / 2) % 8));
      await Promise.allSettled(batch);
    }
    for (let turns = 0; turns < 5; turns += 1) { gc(); await turn(); }
    return process.memoryUsage();
  }
  await run(round / 4);
  const before = await run(round / 4);
  const after = await run(round);
  const grown = (name) => (after[name] - before[name]) / round;
  console.log(JSON.stringify({ heap: grown('heapUsed'), rss: grown('rss') }));
`;

const BEHIND = `
  import { CacheManager } from 'tidegate';
  const [url, service, round] = process.argv.slice(1);
  process.on('unhandledRejection', (reason) => { console.log('unhandled', reason); process.exit(3); });
  const stale = { ttl: 1, ttlJitter: 0, staleWhileRevalidate: '1h', errorBackoff: 0, softTimeout: 1 };
  const cache = new CacheManager({ url, service, commandTimeout: '20s', lease: '25s', l1: '200kB', ...stale });
  cache.on('cache.error', () => {}).on('cache.hit', () => {});
  const turn = () => new Promise((go) => setImmediate(go));
  const later = (ms) => new Promise((go) => setTimeout(go, ms));
  function call(number) {
    const key = 'user:profile:' + (number % 500);
    const weight = new Array(250).fill(number);
    const fails = async () => { throw Object.assign(new Error('no'), { weight }); };
    switch (number % 5) {
      case 0: return cache.get(key, async () => weight);
      case 1: return cache.get(key, async () => turn().then(() => weight), { tags: ['user:' + (number % 500)] });
      case 2: return cache.get(key, fails);
      case 3: return cache.getMany([key, 'user:profile:x'], fails);
      default: return cache.get(key, (ctx) => (ctx.stale === null ? weight : ctx.notModified()), { ttl: '1s' });
    }
  }
  async function run(count) {
    for (let done = 0; done < count; await later(2)) {
      const batch = [];
      for (; batch.length < 400; done += 1) batch.push(call(done));
      await Promise.allSettled(batch);
    }
    await later(50);
    for (let turns = 0; turns < 5; turns += 1) { gc(); await turn(); }
    return process.memoryUsage();
  }
  await run(round / 4);
  const before = await run(round / 4);
  const after = await run(round);
  const grown = (name) => (after[name] - before[name]) / round;
  const { stale_served } = cache.stats();
  console.log(JSON.stringify({ heap: grown('heapUsed'), rss: grown('rss'), stale_served }));
  await cache.close();
`;

for (const store of ['memory', 'redis']) {
  test(`${ROUND} calls with refreshes behind and entries held leave nothing behind (${store})`, {
    timeout: TEST_MS,
  }, async () => {
    const url = store === 'memory' ? 'memory://' : (await sharedServer()).url;
    const { code, out, err } = await program(BEHIND, url, freshService(), `${ROUND}`);
    assert.deepEqual([code, err], [0, ''], out);
    const { heap, rss, stale_served } = JSON.parse(out) as { heap: number; rss: number; stale_served: number };
    assert.ok(stale_served > ROUND / 10, `${stale_served} were stale`);
    assert.ok(heap < HEAP_BYTES_A_CALL, `the heap grew by ${heap} bytes a call`);
    assert.ok(rss < RSS_BYTES_A_CALL, `the process grew by ${rss} bytes a call`);
  });
}

for (const store of ['memory', 'redis']) {
  const name = `${ROUND} calls that fail, are left, time out or cannot be stored leave nothing behind (${store})`;
  test(name, { timeout: TEST_MS }, async () => {
    const url = store === 'memory' ? 'memory://' : (await sharedServer()).url;
    const { code, out, err } = await program(GROWTH, url, freshService(), `${ROUND}`);
    assert.deepEqual([code, err], [0, ''], out);
    const { heap, rss } = JSON.parse(out) as { heap: number; rss: number };
    assert.ok(heap < HEAP_BYTES_A_CALL, `the heap grew by ${heap} bytes a call`);
    assert.ok(rss < RSS_BYTES_A_CALL, `the process grew by ${rss} bytes a call`);
  });
}
