/** A user's tests under vitest. `testing.test.ts` runs it. */
import type { CacheManager } from 'tidegate';
import { testCache } from 'tidegate/testing';
import { expect, test, vi } from 'vitest';

const KEY = 'user:name:42';
const closed: CacheManager[] = [];

test('time goes by', async ({ onTestFinished }) => {
  const { cache, clock, events } = testCache({ onTestFinished }, { ttl: '1m' });
  closed.push(cache);
  const fetch = vi.fn(async () => 'Ada');
  await cache.get(KEY, fetch);
  clock.advance('59s');
  await cache.get(KEY, fetch);
  expect(fetch).toHaveBeenCalledTimes(1);
  clock.advance('1s');
  await cache.get(KEY, fetch);
  expect(fetch).toHaveBeenCalledTimes(2);
  expect((await events.settled()).of('cache.hit')).toHaveLength(1);
});

test('it was closed when its test had ended', async () => {
  await expect(closed[0]?.get(KEY, () => 'Ada')).rejects.toMatchObject({ code: 'ERR_TIDEGATE_CLOSED' });
});

test("faults pass, with vitest's own fake timers too", async (context) => {
  const { cache, store, events } = testCache(context);
  vi.useFakeTimers();
  try {
    for (const fault of ['down', 'hang', 'lost-reply'] as const) {
      store.fail(fault);
      expect(await cache.get(KEY, () => 'Ada')).toBe('Ada');
    }
    expect((await events.settled()).of('cache.error').length).toBeGreaterThan(0);
  } finally {
    vi.useRealTimers();
  }
});

test('a manager that its test disposes of', async () => {
  const kit = testCache();
  expect(await kit.cache.set(KEY, 'Ada')).toBe(true);
  await kit[Symbol.asyncDispose]();
  await expect(kit.cache.set(KEY, 'Ada')).rejects.toMatchObject({ code: 'ERR_TIDEGATE_CLOSED' });
});
