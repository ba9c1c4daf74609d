/** Write-through: the row and the entry move together. */

import { onAbort } from './abort.js';
import { isThenable } from './awaitable.js';
import { ConfigError } from './errors.js';
import { encoded, type Flow } from './flow.js';
import { Failed } from './hit.js';
import { shown } from './key.js';
import type { Write } from './lease.js';
import type { Outcome } from './outcome.js';
import { leading } from './scope.js';
import type { Call } from './terms.js';

/** Writes a value to the database. What it throws is thrown to its caller unchanged; what it gives does not matter. */
export type Persist<T> = (value: T, context: { readonly signal: AbortSignal }) => unknown;

/** Begin, persist, commit. */
export async function writeThrough<T>(
  flow: Flow,
  key: string,
  value: T,
  persist: Persist<T>,
  { terms, signal, coder }: Call,
  keeps: boolean,
): Promise<boolean> {
  if (typeof persist !== 'function') {
    throw new ConfigError(
      `persist=${shown(persist)} is not callable; it takes the value and writes it to the database; ` +
        "a right example: cache.writeThrough('user:profile:42', user, save)",
    );
  }
  const payload = encoded(key, value, coder);
  const { port } = flow;
  const verb = (id: number, canCancel: boolean) =>
    port.native.beginWrite(id, key, payload, coder.codec, terms, canCancel);
  const begun: Outcome = await port.call(verb, signal);
  if (begun instanceof Failed) throw begun.error;
  const write = begun as Write;
  const context = { signal: signal ?? new AbortController().signal };
  const run = async (): Promise<boolean> => {
    try {
      signal?.throwIfAborted();
      const { value: ended, end } = leading(port, flow.scope, [key], () => persist(value, context), false);
      try {
        if (isThenable(ended)) await ended;
      } finally {
        end();
      }
      signal?.throwIfAborted();
    } catch (error) {
      // Nobody knows what became of the row: when the caller hears of it, nothing that stood there is left.
      await write.commit(false);
      throw error;
    }
    return write.commit(keeps);
  };
  return untilAborted(flow, run(), signal);
}

/**
 * Settled with what a write comes to, or rejected when its signal is aborted. `persist` may go on after that: the write is
 * ended behind its caller, for until `persist` has ended nobody may store what stood there before.
 */
async function untilAborted<T>(flow: Flow, whole: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const stay = onAbort(signal, () => {
      flow.behind.add(whole);
      reject(signal?.reason);
    });
    whole.then(resolve, reject).finally(stay);
  });
}
