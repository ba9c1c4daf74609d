/** Calls that go on while the orchestrator does something to Redis. */

import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { record } from './records.mjs';

const KEYS = 100;
const BYTES = 1_024;
const FALLBACK_MS = 1;
const ANSWERS_MAX = 20_000;
const GRACE_MS = 10_000; // a call that takes longer past the end is answered as `error:Unanswered`

/**
 * Each call as [when it began, in seconds from here on; the milliseconds that it took; who answered it].
 *
 * @param {import('./adapters.mjs').Cache} cache
 */
export async function serve(cache, { callers, seconds, pause_ms: pauseMs }) {
  const began = performance.now();
  const since = (from) => performance.now() - from;
  const values = Array.from({ length: KEYS }, (_, number) => record(number, BYTES));
  const keys = values.map((_, number) => `bench:hot:item:${number}`);
  await Promise.all(keys.map((key, number) => cache.get(key, async () => values[number])));

  const calls = [];
  const underWay = new Map(); // by caller: when its call began
  const caller = async (_, first) => {
    for (let at = first; since(began) < seconds * 1_000; at += 1) {
      const from = performance.now();
      underWay.set(first, from);
      const how = await outcomeOf(cache, keys[at % KEYS], values[at % KEYS]);
      underWay.delete(first);
      calls.push([(from - began) / 1_000, since(from), how]);
      await sleep(pauseMs);
    }
  };
  await Promise.race([
    Promise.all(Array.from({ length: callers }, caller)),
    sleep(seconds * 1_000 + GRACE_MS, undefined, { ref: false }),
  ]);
  for (const from of underWay.values()) calls.push([(from - began) / 1_000, since(from), 'error:Unanswered']);
  return { calls: thinned(calls) };
}

/** How one call was served; never throws. */
async function outcomeOf(cache, key, value) {
  let how = 'hit';
  try {
    const given = await cache.get(key, async () => {
      how = 'fallback';
      await sleep(FALLBACK_MS);
      return value;
    });
    return isDeepStrictEqual(given, value) ? how : 'error:WrongValue';
  } catch (error) {
    return `error:${error?.constructor?.name ?? typeof error}`;
  }
}

/** No more than may be answered, evenly taken. */
function thinned(calls) {
  const each = Math.ceil(calls.length / ANSWERS_MAX);
  return calls.filter((_, at) => at % each === 0);
}
