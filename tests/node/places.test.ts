/**
 * Clusters, Sentinels, TLS and accounts as users of Node meet them, mistakes in the set-up included.
 *
 * What holds in every place is in the scenarios; `tests/python/test_places.py` looks closer at what is the core's.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, describe, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { CacheManager, type Options } from 'tidegate';
import { type Kind, Place } from './support/place.js';
import { eventually, Held, watched } from './support/stage.js';

const TEST_MS = 60_000;
/** Keys that lie in so many slots that every node has some. */
const MANY = Array.from({ length: 300 }, (_, number) => `user:profile:${number}`);
const PATIENT: Options = { commandTimeout: '5s', connectTimeout: '5s' };

const opened = new Map<Kind, Promise<Place>>();
after(async () => {
  for (const place of opened.values()) await (await place).close();
});

function shared(kind: Kind): Promise<Place> {
  const place = opened.get(kind) ?? Place.open(kind);
  opened.set(kind, place);
  return place;
}

let services = 0;

/** Runs with so many managers of one service. */
async function withManagers(
  { url, options, service }: Pick<Place, 'url' | 'options' | 'service'>,
  more: Options,
  body: (...managers: [CacheManager, CacheManager]) => Promise<void>,
): Promise<void> {
  services += 1;
  const all = { ...PATIENT, ...options, url, service: service ?? `places${services}`, ...more };
  const managers: [CacheManager, CacheManager] = [new CacheManager(all), new CacheManager(all)];
  try {
    await body(...managers);
  } finally {
    for (const manager of managers) await manager.close({ timeout: 1_000 });
  }
}

/** What a manager tells of faults, as one text. */
function faultsOf(cache: CacheManager): () => string {
  const events = watched(cache, 'cache.error', 'cache.connection');
  return () => events.map((event) => JSON.stringify(event)).join('\n');
}

async function servesAndTells(url: string, words: RegExp, options: Options = {}): Promise<string> {
  let told = '';
  const soon: Options = { commandTimeout: '500ms', connectTimeout: '1s' };
  await withManagers({ url, options, service: null }, soon, async (cache) => {
    const faults = faultsOf(cache);
    assert.equal(await cache.get('user:profile:1', () => 1), 1);
    await eventually(() => words.test(faults()));
    told = faults();
  });
  return told;
}

function tlsOf({ options }: Place): Record<string, string> {
  return (options as { tls?: Record<string, string> }).tls ?? {};
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

const none = () => assert.fail('nothing is missing');
const ofAll = (value: unknown) => new Map(MANY.map((key) => [key, value]));

for (const kind of ['cluster', 'cluster-tls-acl', 'sentinel-tls-acl'] satisfies Kind[]) {
  describe(kind, { concurrency: 1 }, () => {
    test('reads, writes, tags and namespaces reach every node', { timeout: TEST_MS }, async () => {
      const place = await shared(kind);
      await place.empty();
      await withManagers(place, {}, async (one, other) => {
        assert.equal(await one.setMany(ofAll(1), { tags: ['all'] }), true);
        assert.deepEqual(await other.getMany(MANY, none), ofAll(1));
        assert.equal(await other.invalidateTag('all'), true);
        assert.deepEqual(await one.getMany(MANY, (missing) => new Map(missing.map((key) => [key, 2]))), ofAll(2));
        assert.deepEqual(
          await Promise.all(MANY.map((key) => other.get(key, () => 3))),
          MANY.map(() => 2),
        );
        assert.equal(await one.invalidate(MANY), true);
        assert.equal((await Promise.all(MANY.map((key) => other.exists(key)))).includes(true), false);

        const shop = one.namespace('shop');
        await shop.setMany(ofAll(1));
        await one.setMany(ofAll(2));
        assert.equal(await other.namespace('shop').clear(), true);
        assert.equal((await Promise.all(MANY.map((key) => shop.exists(key)))).includes(true), false);
        assert.equal((await Promise.all(MANY.map((key) => one.exists(key)))).includes(false), false);
      });
    });

    test('a waiter is woken, not late by a poll', { timeout: TEST_MS }, async () => {
      const place = await shared(kind);
      await place.empty();
      await withManagers(place, {}, async (one, other) => {
        const lateMs: number[] = [];
        for (const key of MANY.slice(0, 6)) {
          const held = new Held<string>();
          const leader = one.get(key, held.fallback);
          await held.entered;
          const follower = other.get(key, () => 'another');
          await pass(1_200); // polling has slowed down meanwhile
          held.give('value');
          assert.equal(await leader, 'value');
          const ended = performance.now();
          assert.equal(await follower, 'value');
          lateMs.push(performance.now() - ended);
        }
        assert.ok((lateMs.sort((a, b) => a - b)[3] ?? 0) < 50, `${lateMs}`);
      });
    });

    test('L1 follows changes on every node', { timeout: TEST_MS }, async () => {
      const place = await shared(kind);
      await place.empty();
      await withManagers(place, { l1: '16MB' }, async (one, other) => {
        const keys = MANY.slice(0, 60);
        await one.setMany(new Map(keys.map((key) => [key, 1])), { tags: ['all'] });
        const read = () => Promise.all(keys.map((key) => other.get(key, { default: null })));
        const areHeld = async () => {
          const before = other.stats().l1_hits;
          await read();
          return other.stats().l1_hits === before + keys.length;
        };
        await eventually(areHeld);
        for (const key of keys.slice(0, 30)) await one.set(key, 2, { tags: ['all'] });
        await pass(250);
        assert.deepEqual(
          await read(),
          keys.map((_, at) => (at < 30 ? 2 : 1)),
        );
        await eventually(areHeld);
        await one.invalidateTag('all');
        await pass(250);
        assert.deepEqual(
          await read(),
          keys.map(() => null),
        );
      });
    });

    if (kind.endsWith('acl')) {
      test('the rights of the page were enough', { timeout: TEST_MS }, async () => {
        const place = await shared(kind);
        assert.deepEqual(await place.denials(), []);
      });
    }
  });
}

describe('set-ups', { concurrency: 1 }, () => {
  test('a seed that is down costs nothing', { timeout: TEST_MS }, async () => {
    const [cluster, sentinel] = [await shared('cluster'), await shared('sentinel')];
    const dead = `127.0.0.1:${await freePort()}`;
    for (const { url } of [cluster, sentinel]) {
      const seeds = url.replace(/:\/\/[^,]*,/, `://${dead},`);
      await withManagers({ url: seeds, options: {}, service: null }, {}, async (one, other) => {
        assert.equal(await one.set('user:profile:1', 1), true);
        assert.equal(await other.get('user:profile:1', () => 2), 1);
      });
    }
  });

  test('a planned failover is followed', { timeout: TEST_MS }, async () => {
    const place = await Place.open('sentinel');
    try {
      await withManagers(place, {}, async (one, other) => {
        assert.equal(await one.set('user:profile:1', 1), true);
        await place.failover();
        await eventually(() => one.set('user:profile:2', 2));
        assert.equal(await other.get('user:profile:2', () => 9), 2);
      });
    } finally {
      await place.close();
    }
  });

  test('a wrong master name, a server that is no cluster or Sentinel: told', { timeout: TEST_MS }, async () => {
    const [server, sentinel] = [await shared('redis'), await shared('sentinel')];
    const address = new URL(server.url).host;
    await servesAndTells(sentinel.url.replace('/main', '/primary'), /primary/);
    await servesAndTells(`redis-cluster://${address}`, /cluster/i);
    await servesAndTells(`redis-sentinel://${address}/main`, /sentinel/i);
  });

  test('wrong certificates, and TLS on one side only: told without secrets', { timeout: TEST_MS }, async () => {
    const [plain, secure, other] = [await shared('redis'), await shared('tls'), await shared('tls-acl')];
    const password = 's3cret-of-the-test';
    const from = (url: string) => url.replace('://', `://user:${password}@`);
    const [tls, foreign] = [tlsOf(secure), tlsOf(other)];
    const told = [
      await servesAndTells(from(secure.url), /certificate/i, { tls: { ...tls, ca: foreign.ca } } as Options),
      await servesAndTells(from(secure.url), /certificate/i, { tls: { ca: tls.ca } } as Options),
      await servesAndTells(from(secure.url.replace('rediss:', 'redis:')), /TLS/),
      await servesAndTells(from(plain.url.replace('redis:', 'rediss:')), /TLS/, { tls } as Options),
    ];
    assert.ok(!told.join().includes(password));
  });
});
