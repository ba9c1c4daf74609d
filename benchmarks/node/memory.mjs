/** What an entry takes in this process beside its value. */

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { record } from './records.mjs';

const FILLERS = 64;
const CHUNK = 5_000;
const CONNECTED_MS = 1_500; // until the first connections, and what they took, stand

/**
 * Holds `keys` entries and tells what one takes over its payload of `bytes` bytes: of the process (`bytes_each`) and of
 * the heap (`heap_each`). Keys are texts that the caller has anyway. Start Node with `--expose-gc`.
 *
 * @param {import('./adapters.mjs').Contender} contender
 * @param {import('./adapters.mjs').Cache} cache
 */
export async function heldBytes(contender, cache, { keys, bytes }) {
  if (contender.tier === 'redis') return { skipped: 'it holds nothing in the process' };
  const names = Array.from({ length: keys }, (_, number) => `bench:held-${bytes}:item:${number}`);
  const valueFor = (number) => JSON.parse(JSON.stringify(record(number, bytes))); // as it comes from elsewhere
  const read = (number) => cache.get(names[number], async () => valueFor(number));
  if (contender.tier === 'both') await fillElsewhere(contender, names, valueFor);
  await read(0);
  await sleep(CONNECTED_MS);
  for (let number = 0; number < keys; number += 1) valueFor(number); // the heap has the room that garbage takes
  const before = await settled();
  for (let from = 0; from < keys; from += CHUNK) {
    await each(from, Math.min(from + CHUNK, keys), read);
    globalThis.gc?.(); // the heap shall not grow for what is dropped on the way
  }
  const after = await settled();
  const over = (figure) => (after[figure] - before[figure]) / (keys - 1) - bytes;
  return { entries: keys, bytes_each: over('rss'), heap_each: over('heapUsed') };
}

/** So that what this process takes is for reading, as in a fleet, and not for having stored. */
async function fillElsewhere(contender, names, valueFor) {
  const writer = await contender.open();
  await each(0, names.length, (number) => writer.get(names[number], async () => valueFor(number)));
  await writer.close?.();
}

async function each(from, to, one) {
  let next = from;
  const caller = async () => {
    while (next < to) await one(next++);
  };
  await Promise.all(Array.from({ length: FILLERS }, caller));
}

/** Memory when nothing is left to collect. */
async function settled() {
  for (let turns = 0; turns < 10; turns += 1) {
    globalThis.gc?.();
    await turn();
  }
  return process.memoryUsage();
}
