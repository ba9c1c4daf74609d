/** How servers are said to be. Each finding, and the fleet's reports, are tested in `core/tests/health.rs`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CacheEvents, CacheManager, ClosedError, ConfigError, type Health } from 'tidegate';
import { eventually, onOwnServer, onRedis, rejection } from './support/stage.js';

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
