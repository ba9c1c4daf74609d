/**
 * Hits per second on Redis, in Node: tidegate beside ioredis with JSON and beside the hand-written manager.
 *
 *     python -m benchmarks.l2 --language node
 *     node benchmarks/l2.mjs redis://127.0.0.1:6379/0
 *
 * The counterpart of `l2.py`, which says how it is measured: same record, same keys, same rounds. `ioredis + JSON` is
 * GET and `JSON.parse` on one connection; auto-pipelined, ioredis gathers the commands of one turn of the event loop
 * into one write. Neither has any cache logic.
 */

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { openContender } from '../tests/support/contenders.mjs';

const CALLERS = [1, 16, 64];
const KEYS = Array.from({ length: 100 }, (_, number) => `bench:item:${number}`);
const PEER = 'ioredis + JSON';

/** An order as a service would cache it: 1 KB of JSON. */
function record(number) {
  const order = {
    id: number,
    customer: { id: 90_000 + number, name: `Customer ${number}`, email: `customer${number}@example.com` },
    paid: number % 3 === 0,
    total: Math.round(1999 * ((number % 7) + 1)) / 100,
    lines: Array.from({ length: 9 }, (_, line) => ({
      sku: `SKU-${String(number).padStart(5, '0')}-${String(line).padStart(2, '0')}`,
      title: `Article number ${line}`,
      count: line + 1,
      price: 19.99,
    })),
    note: '',
  };
  order.note = 'x'.repeat(1024 - JSON.stringify(order).length);
  return order;
}

/** The fallback of a call that must be a hit. */
async function absent() {
  throw new Error('a miss was measured as a hit');
}

/** Hits through a cache manager that holds every key. */
async function manager(name, url) {
  const cache = await openContender(name, url);
  for (const [number, key] of KEYS.entries()) await cache.get(key, async () => record(number));
  return { hit: (key) => cache.get(key, absent), close: () => cache.close() };
}

/** GET and `JSON.parse`. */
async function plain(url, options) {
  const redis = new Redis(url, options);
  for (const [number, key] of KEYS.entries()) await redis.set(`plain:${key}`, JSON.stringify(record(number)));
  return { hit: async (key) => JSON.parse(await redis.get(`plain:${key}`)), close: () => redis.quit() };
}

/** Hits per second that `callers` concurrent callers get in about `seconds`. */
async function rate(hit, callers, seconds) {
  const began = performance.now();
  const end = began + seconds * 1000;

  async function call(first) {
    let count = 0;
    while (performance.now() < end) {
      await hit(KEYS[(first + count) % KEYS.length]);
      count += 1;
    }
    return count;
  }

  const counts = await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  return (counts.reduce((sum, count) => sum + count) * 1000) / (performance.now() - began);
}

/** The rates of every contender and number of callers, one per round, as rows. */
async function measure(contenders, rounds, seconds) {
  for (const { hit } of contenders.values()) {
    assert.equal((await hit(KEYS[1])).id, 1);
    await rate(hit, Math.max(...CALLERS), seconds); // compiles
  }
  const rows = [];
  for (const callers of CALLERS) {
    const rates = new Map(Array.from(contenders.keys(), (name) => [name, []]));
    for (let turn = 0; turn < rounds; turn += 1) {
      const names = turn % 2 === 0 ? [...contenders.keys()] : [...contenders.keys()].reverse();
      for (const name of names) rates.get(name).push(await rate(contenders.get(name).hit, callers, seconds));
    }
    const peer = median(rates.get(PEER));
    const those = Array.from(rates, ([name, each]) => ({ callers, name, rates: each, ratio: median(each) / peer }));
    rows.push(...those.sort((one, other) => other.ratio - one.ratio));
  }
  return rows;
}

function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle) - 1]) / 2;
}

/** The rates as Markdown. */
function table(rows) {
  const whole = (number) => Math.round(number).toLocaleString('en-US');
  const lines = [`| callers | contender | hits/s | spread | beside ${PEER} |`, '|--:|---|--:|--:|--:|'];
  for (const { callers, name, rates, ratio } of rows) {
    const spread = `${whole(Math.min(...rates))} – ${whole(Math.max(...rates))}`;
    lines.push(`| ${callers} | ${name} | ${whole(median(rates))} | ${spread} | ${ratio.toFixed(2)} × |`);
  }
  return lines.join('\n');
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '0.7' } },
});
const [url] = positionals;
assert(url, 'which redis-server? node benchmarks/l2.mjs redis://127.0.0.1:6379/0');

const contenders = new Map([
  ['tidegate', await manager('tidegate', url)],
  [PEER, await plain(url)],
  ['ioredis auto-pipelined + JSON', await plain(url, { enableAutoPipelining: true })],
  ['naive manager', await manager('naive', url)],
]);
const rows = await measure(contenders, Number(values.rounds), Number(values.seconds));
for (const { close } of contenders.values()) await close();

const setting = `Node ${process.versions.node}, 1 KB JSON, ${values.rounds} rounds of ${values.seconds} s`;
console.log(`### L2 hits per second (${setting})\n\n${table(rows)}`);
