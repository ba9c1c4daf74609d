/**
 * A small service with a cache and `/metrics`, in Node. `service.py` says how.
 *
 *     node tests/observability/service.mjs URL ROLE
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { CacheManager, StoreUnavailable } from 'tidegate';
import { instrument } from 'tidegate/prometheus';

const SERVICE = 'shop';
const HOT_KEYS = 60;
const TICK_MS = 20;
const TICKS_OF_CHORES = 5;
const OPTIONS = {
  ttl: '2s',
  staleWhileRevalidate: '500ms',
  staleIfError: '5s',
  earlyRefresh: true,
  l1: { maxEntries: 20 },
  commandTimeout: '1s', // a busy machine is no outage
  health: { interval: '1s' },
};
const [url, role] = process.argv.slice(2);
const settings = { reads: 0, new: 0, fallback_ms: 15, failing: 0 };

class Down extends Error {}

const cache = new CacheManager({ url, service: SERVICE, role, ...OPTIONS });
cache.on('cache.error', () => {}); // faults are meant, and counted
const register = new Registry();
instrument(cache, { register });
const save = async (items) => items.filter(({ value }) => value === 'poison').map(({ id }) => id);
const queue = cache.writeBehind('views', save, { maxAttempts: 2, maxDelay: '50ms' });
let newKeys = 0;

async function fallback() {
  await sleep(settings.fallback_ms);
  if (Math.random() < settings.failing) throw new Down();
  return 'value';
}

const hot = () => `item:hot:${Math.floor(HOT_KEYS * Math.random() ** 2)}`;

async function suppressed(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Down || error instanceof StoreUnavailable)) throw error;
  }
}

async function read() {
  newKeys += 1;
  const key = Math.random() < settings.new ? `item:${role}:${newKeys}` : hot();
  await suppressed(() => cache.get(key, fallback, { tags: ['items'] }));
}

async function chores(turn) {
  await suppressed(async () => {
    await cache.invalidate(hot());
    await cache.expire(hot());
    await cache.refresh(hot(), fallback);
    await cache.set(hot(), 'set', { tags: ['items'] });
    if (turn % 50 === 0) await cache.invalidateTag('items');
    await queue.put(`views:${role}:${turn % 9}`, turn % 40 === 5 ? 'poison' : 'fine');
  });
}

let tick = 0;
setInterval(() => {
  tick += 1;
  for (let i = 0; i < settings.reads; i += 1) read();
  if (settings.reads && tick % TICKS_OF_CHORES === 0) chores(tick / TICKS_OF_CHORES);
}, TICK_MS).unref();

const server = createServer(async (_, response) => {
  response.setHeader('Content-Type', register.contentType);
  response.end(await register.metrics());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(JSON.stringify({ port: server.address().port }));
for await (const line of createInterface({ input: process.stdin })) {
  Object.assign(settings, JSON.parse(line));
  console.log(JSON.stringify(cache.stats()));
}
process.exit(0);
