/**
 * Panics of the native half: a bug of tidegate's ends neither the process, nor the manager, nor anybody's waiting.
 *
 * `provokePanic` makes them on purpose; where it can is listed in `core/src/panics.rs`. What is the core's own part is looked
 * at closer by `tests/python/test_panics.py`.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { CacheManager, HardTimeout, InternalError, type Options, TidegateError } from 'tidegate';
import { RedisServer } from './support/redis-server.js';
import { eventually, watched } from './support/stage.js';

type Provoke = (place: string, times: number) => void;
const { provokePanic } = createRequire(import.meta.url)('../../dist/native/index.cjs') as { provokePanic: Provoke };

const SOON_MS = 2_000;
/** Compressed on a thread of its own. */
const LONG = 'long, and like itself '.repeat(20_000);

const server = new RedisServer();
before(() => server.start());
after(() => server.stop());
afterEach(() => provokePanic('verb', 0));

let services = 0;

async function withCache(kind: string, options: Options, body: (cache: CacheManager) => Promise<void>): Promise<void> {
  services += 1;
  const url = kind === 'memory' ? `memory://panics${services}` : server.url;
  const cache = new CacheManager({ url, service: `panics${services}`, commandTimeout: '5s', ...options });
  try {
    await body(cache);
  } finally {
    await cache.close({ timeout: 1_000 });
  }
}

/** Fails when it is not there soon. */
async function soon<T>(call: Promise<T>): Promise<T> {
  const late = pass(SOON_MS, undefined, { ref: true }).then(() => assert.fail('it was not answered'));
  return Promise.race([call, late]);
}

async function worksAgain(cache: CacheManager): Promise<void> {
  await eventually(async () => {
    let runs = 0;
    const fallback = () => {
      runs += 1;
      return 'stored';
    };
    assert.equal(await soon(cache.get('user:again:1', fallback)), 'stored');
    return runs === 0;
  });
}

function told(cache: CacheManager): () => boolean {
  const events = watched(cache, 'cache.error');
  return () => events.some(({ reason, message }) => reason === 'panic' && /on purpose/.test(String(message)));
}

test('a panic in a native function is an error of its own class, and the process goes on', async () => {
  await withCache('memory', {}, async (cache) => {
    assert.throws(() => provokePanic('verb', 1), { code: 'ERR_TIDEGATE_INTERNAL', message: /on purpose, at Verb/ });
    assert.equal(await cache.get('user:profile:1', () => 1), 1);
  });
  const error = new InternalError('a bug');
  assert.ok(error instanceof TidegateError);
  assert.deepEqual([error.name, error.code], ['InternalError', 'ERR_TIDEGATE_INTERNAL']);
});

for (const kind of ['memory', 'redis']) {
  describe(kind, { concurrency: 1 }, () => {
    for (const place of ['answer', 'serving', 'handing']) {
      for (const times of [1, 50]) {
        test(`callers are served or told when ${place} panics, ${times} times`, async () => {
          await withCache(kind, {}, async (cache) => {
            const isTold = told(cache);
            await cache.get('user:profile:0', () => 'value');
            provokePanic(place, times);
            const keys = Array.from({ length: 60 }, (_, number) => `user:profile:${number % 7}`);
            const given = await soon(Promise.allSettled(keys.map((key) => cache.get(key, () => 'value'))));
            const refused = given.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
            for (const reason of refused) assert.ok(reason instanceof InternalError, String(reason));
            assert.ok(refused.length <= times, `${refused.length} of ${given.length}`);
            if (place === 'answer') {
              assert.equal(refused.length, 0);
              await eventually(async () => isTold());
            }
            provokePanic('verb', 0);
            await worksAgain(cache);
          });
        });
      }
    }

    test('deadlines are kept after one that panicked', async () => {
      await withCache(kind, { hardTimeout: 100 }, async (cache) => {
        const slow = (number: number) => soon(cache.get(`user:profile:${number}`, () => pass(300, 'late')));
        let ends = 'in time';
        // Another deadline, of whichever manager in this process, may pass by there first.
        for (let number = 0; number < 10 && ends !== 'late'; number++) {
          provokePanic('time', 1);
          ends = await slow(number).catch((error) =>
            error instanceof HardTimeout ? 'in time' : Promise.reject(error),
          );
        }
        assert.equal(ends, 'late');
        await assert.rejects(slow(10), HardTimeout);
      });
    });

    test('an invalidation that broke off is owed', async () => {
      await withCache(kind, {}, async (cache) => {
        await cache.set('user:profile:1', 'old');
        assert.equal(await cache.get('user:profile:1', () => 'new'), 'old');
        provokePanic('answer', 1);
        await assert.rejects(soon(cache.invalidate('user:profile:1')), InternalError);
        assert.equal(await cache.get('user:profile:1', () => 'new'), 'new');
      });
    });
  });
}

for (const place of ['driver', 'reply']) {
  test(`the ${place} answers and connects anew`, async () => {
    await withCache('redis', {}, async (cache) => {
      const isTold = told(cache);
      await cache.get('user:profile:1', () => 1);
      provokePanic(place, 10);
      for (let number = 0; number < 20; number++) {
        assert.equal(await soon(cache.get(`user:profile:${number}`, () => 1)), 1);
      }
      await eventually(async () => isTold());
      provokePanic('verb', 0);
      await worksAgain(cache);
    });
  });
}

test('what cannot be compressed is stored as it is', async () => {
  await withCache('redis', {}, async (cache) => {
    const isTold = told(cache);
    provokePanic('aside', 1);
    assert.equal(await soon(cache.get('user:profile:1', () => LONG)), LONG);
    await eventually(async () => isTold());
    assert.equal(await cache.get('user:profile:1', { default: null }), LONG);
  });
});
