/**
 * A process whose callers are cancelled at random, in Node.
 *
 *     node tests/faults/canceller.mjs URL CANCELS SEED
 *
 * `canceller.py` is the same in Python, and says what is done; here callers are cancelled by their AbortSignal.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager } from 'tidegate';

const LANES = 16;
const KEYS = 64;
const CALLERS = 6;
const FALLBACK_MS = 30;
const CANCEL_WITHIN_MS = 40;

const [url, cancels, seed] = process.argv.slice(2);
const cache = new CacheManager({ url, service: 'race', lease: '20s', wait: '30s', commandTimeout: '5s' });
const seen = { cancelled: 0, leading: 0, served: 0, wrong: 0, longest_ms: 0 };

let state = Number(seed);
/** Numbers in [0, 1) from the seed. */
function chance() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

async function caller(key, isVictim) {
  const controller = new AbortController();
  const isToLead = chance() < 1 / 3; // cancelled once it does
  const fallback = async ({ signal }) => {
    if (isVictim && isToLead) setTimeout(() => controller.abort(), chance() * FALLBACK_MS);
    try {
      await sleep(chance() * FALLBACK_MS, undefined, { signal });
      return key;
    } catch (error) {
      seen.leading += 1;
      throw error;
    }
  };
  if (isVictim && !isToLead) setTimeout(() => controller.abort(), chance() * CANCEL_WITHIN_MS);
  const began = performance.now();
  try {
    const value = await cache.get(key, fallback, { signal: controller.signal });
    seen[value === key ? 'served' : 'wrong'] += 1;
    seen.longest_ms = Math.max(seen.longest_ms, performance.now() - began);
  } catch (error) {
    seen[isVictim && error.name === 'AbortError' ? 'cancelled' : 'wrong'] += 1;
  }
}

async function lane() {
  while (seen.cancelled < Number(cancels)) {
    const key = `cancelled:row:${Math.floor(chance() * KEYS)}`;
    await cache.invalidate(key);
    const victims = 1 + Math.floor(chance() * (CALLERS - 1));
    const order = Array.from({ length: CALLERS }, (_, at) => at < victims).sort(() => chance() - 0.5);
    await Promise.all(order.map((isVictim) => caller(key, isVictim)));
  }
}

await Promise.all(Array.from({ length: LANES }, lane));
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.stdin.resume().on('end', () => cache.close());
