/** What is over is let go: memory does not grow with the number of calls, however they end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './support/program.js';
import { freshService, sharedServer } from './support/stage.js';

const ROUND = 20_000;
const TEST_MS = 120_000;
// One small object kept of each call would be more.
const HEAP_BYTES_A_CALL = 40;
// The native side, whose allocator keeps some of what was used at once.
const RSS_BYTES = 48 * 1024 * 1024;

const GROWTH = `
  import { CacheManager } from 'tidegate';
  const [url, service, round] = process.argv.slice(1);
  process.on('unhandledRejection', (reason) => { console.log('unhandled', reason); process.exit(3); });
  const cache = new CacheManager({ url, service, commandTimeout: '20s' });
  const hasty = new CacheManager({ url, service, commandTimeout: '20s', hardTimeout: 30 });
  for (const manager of [cache, hasty]) manager.on('cache.error', () => {});
  const life = new AbortController();
  const { signal } = life;
  const never = () => new Promise(() => {});
  const fails = async () => { throw new Error('no'); };
  const turn = () => new Promise((go) => setImmediate(go));
  const leaves = (key, fallback) => {
    const leaving = new AbortController();
    const call = cache.get(key, fallback, { signal: leaving.signal });
    setImmediate(() => leaving.abort());
    return call;
  };
  const ways = [
    (key) => [cache.get(key, fails), cache.get(key, fails, { signal })],
    (key) => [leaves(key, never), leaves(key, never)],
    (key) => [hasty.get(key, never, { signal }), hasty.get(key, never)],
    (key) => [cache.get(key, () => Symbol('unstorable')), cache.get(key, async () => Symbol('unstorable'))],
    (key) => [cache.get(key, turn), cache.getMany([key, 'user:profile:0'], () => ({}), { signal })],
    (key) => [cache.get(key, turn, { signal }), cache.invalidate(key)],
    (key) => [cache.refresh(key, async () => 1, { signal }), cache.set(key, 1)],
    (key) => [cache.get(key, { default: 1, signal }), cache.get('flat', fails)],
  ];
  async function run(count) {
    for (let done = 0; done < count; ) {
      const calls = [];
      for (; calls.length < 800; done += 2) calls.push(...ways[(done / 2) % ways.length]('user:profile:' + (done % 5000)));
      await Promise.allSettled(calls);
    }
    for (let turns = 0; turns < 5; turns += 1) { gc(); await turn(); }
    return process.memoryUsage();
  }
  await run(round / 4);
  const before = await run(round / 4);
  const after = await run(Number(round));
  console.log(JSON.stringify({ heap: after.heapUsed - before.heapUsed, rss: after.rss - before.rss }));
`;

for (const store of ['memory', 'redis']) {
  const name = `${ROUND} calls that fail, are left, time out or cannot be stored leave nothing behind (${store})`;
  test(name, { timeout: TEST_MS }, async () => {
    const url = store === 'memory' ? 'memory://' : (await sharedServer()).url;
    const { code, out, err } = await program(GROWTH, url, freshService(), `${ROUND}`);
    assert.deepEqual([code, err], [0, ''], out);
    const { heap, rss } = JSON.parse(out) as { heap: number; rss: number };
    assert.ok(heap < ROUND * HEAP_BYTES_A_CALL, `the heap grew by ${heap} bytes`);
    assert.ok(rss < RSS_BYTES, `the process grew by ${rss} bytes`);
  });
}
