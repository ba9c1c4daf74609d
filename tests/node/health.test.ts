/** How servers are said to be. Each finding, and the fleet's reports, are tested in `core/tests/health.rs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { type CacheEvents, CacheManager, ClosedError, ConfigError, type Health } from 'tidegate';
import { eventually, KEY, onOwnServer, onRedis, rejection } from './support/stage.js';

const IN_NO_HURRY = { roundTrip: '10s', interval: null };

onRedis('a server is looked at, and a view asks for its manager', async (stage) => {
  const cache = stage.make({ health: IN_NO_HURRY });
  const health: Health = await cache.health();
  assert.deepEqual([health.status, health.store, health.breaker, health.findings], ['ok', 'redis', 'closed', []]);
  const [node] = health.nodes;
  assert.ok(node?.reachable && node.role === 'master' && (node.round_trip_ms ?? 0) > 0, JSON.stringify(node));
  assert.match(node.version ?? '', /^\d/);
  assert.equal((await cache.tenant('acme').health()).nodes[0]?.node, node.node);
  await cache.close();
  assert.ok((await rejection(cache.health())) instanceof ClosedError);
});

onOwnServer('a server that is gone is told to who listens', async (stage, server) => {
  const cache = stage.make({ health: { roundTrip: '10s', interval: 100 } });
  const events: CacheEvents['cache.health'][] = [];
  cache.on('cache.health', (event) => events.push(event));
  await cache.get('user:profile:1', () => 1);
  await server.kill();
  await eventually(() => events.length === 1);
  assert.equal((await cache.health()).status, 'down');
  await server.start();
  await eventually(() => events.length === 2);
  assert.deepEqual(
    events.map((event) => [event.reason, event.state, event.key, event.value]),
    [
      ['unreachable', 'warning', undefined, undefined],
      ['unreachable', 'ok', undefined, undefined],
    ],
  );
  assert.ok(server.url.includes(events[0]?.node ?? '?'));
});

onRedis('a process tells operators of itself, and of what it holds itself', async (stage) => {
  const cache = stage.make({ fleetReport: 200, l1: '1MB', role: 'session' });
  await cache.get(KEY, () => 1);
  await eventually(async () => {
    await cache.get(KEY, () => 1);
    return cache.stats().l1_hits > 0;
  });
  const redis = new Redis(stage.url);
  try {
    const fleet = `${stage.service}:~fleet`;
    const said = async () => (await redis.hvals(fleet)).map((row) => JSON.parse(row.slice(row.indexOf(' ') + 1)));
    await eventually(async () => (await said())[0]?.l1_bytes > 0 && (await said())[0]?.l1_hits > 0);
    const [row] = await said();
    assert.deepEqual([row.language, row.role, row.pid, row.l1_entries], ['node', 'session', process.pid, 1]);
    await cache.close();
    assert.deepEqual(await said(), []);
  } finally {
    redis.disconnect();
  }
});

test('limits that make no sense are refused', () => {
  const refusal = (health: object) => {
    try {
      new CacheManager({ health });
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message;
    }
    return assert.fail('taken');
  };
  assert.match(refusal({ fragmentation: 0.5 }), /^health\.fragmentation=0\.5/);
  assert.match(refusal({ fragmentationByte: 1 }), /did you mean "fragmentationBytes"/);
  assert.match(refusal({ interval: -1 }), /^health\.interval=-1/);
});
