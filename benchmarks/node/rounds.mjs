/** How a round is measured. */

import { setTimeout as sleep } from 'node:timers/promises';

/**
 * `callers` concurrent loops of calls, for about `seconds`; `one(at)` makes a call. Over keys whose number is a multiple
 * of `callers`, no two callers ever ask for the same: where callers share flights, those who once met would go on in
 * step, and all but one be served for nothing.
 *
 * @param {number} callers
 * @param {number} seconds
 * @param {(at: number) => Promise<unknown>} one
 */
export function loops(callers, seconds, one) {
  return measured(async () => {
    const end = performance.now() + seconds * 1_000;
    const caller = async (first) => {
      let count = 0;
      while (performance.now() < end) {
        await one(first + count * callers);
        count += 1;
      }
      return count;
    };
    const counts = await Promise.all(Array.from({ length: callers }, (_, first) => caller(first)));
    return counts.reduce((sum, count) => sum + count);
  });
}

/** How many calls `round` made, in how many seconds, with how many seconds of CPU in all threads. */
export async function measured(round) {
  const cpu = process.cpuUsage();
  const began = performance.now();
  const count = await round();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { count, seconds, cpu: (user + system) / 1e6 };
}

/** Measures how late a ticker of 1 ms is; `stop` gives all that it measured, in milliseconds. */
export function ticking() {
  const lagsMs = [];
  let isOn = true;
  const tick = async () => {
    while (isOn) {
      const began = performance.now();
      await sleep(1);
      lagsMs.push(performance.now() - began - 1);
    }
  };
  void tick();
  return {
    stop() {
      isOn = false;
      return lagsMs;
    },
  };
}

/** Of numbers: the one below which lies that share of them. */
export function percentile(numbers, share) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
