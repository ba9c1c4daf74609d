/** One call's way: begin, (wait), fallback, fill. */

import { onAbort } from './abort.js';
import { type BigText, decode, encode, textOf, Unencodable } from './codec.js';
import { Context } from './context.js';
import { EncodeError } from './errors.js';
import { shown } from './key.js';
import { Lease } from './lease.js';
import type { Awaitable, Fallback } from './options.js';
import { Failed, type Outcome, Shared, Unreadable } from './outcome.js';
import type { Port } from './port.js';
import { leading } from './scope.js';

/** What `get`, `refresh` and `getMany` share. */
export class Flow {
  readonly port: Port;

  constructor(port: Port) {
    this.port = port;
  }

  get native(): Port['native'] {
    return this.port.native;
  }

  begin(key: string, patient: boolean, signal?: AbortSignal): Promise<Outcome> {
    return this.port.call((id, canCancel) => this.native.begin(id, key, patient, canCancel), signal);
  }

  refresh(key: string, signal?: AbortSignal): Promise<Outcome> {
    return this.port.call((id, canCancel) => this.native.refresh(id, key, canCancel), signal);
  }

  /** From an outcome to the value. `get` and `refresh` both end here. */
  async settle(
    begun: Promise<Outcome>,
    key: string,
    fallback: Fallback<unknown>,
    ttlMs: number | null,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    let outcome = await begun;
    for (let isMended = false; ; isMended = true) {
      if (outcome instanceof Lease) return this.#lead(outcome, key, fallback, ttlMs, signal);
      if (outcome instanceof Failed) throw outcome.error;
      if (outcome instanceof Shared) return sharedValue(outcome);
      const read = this.read(key, outcome);
      if (read !== undefined) return read.value;
      if (isMended) return this.alone(key, fallback, signal);
      // Computed anew and overwritten: what stands there counts as a miss.
      outcome = await this.refresh(key, signal);
    }
  }

  /** Runs the fallback for this caller only; nothing is stored. */
  async alone(key: string, fallback: Fallback<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
    const context = new Context(key, null);
    return same(await this.run([], context, () => fallback(context), signal));
  }

  /** The value of a hit; undefined, and reported, for one that cannot be read and counts as a miss. */
  read(key: string, outcome: Outcome): { value: unknown } | undefined {
    if (outcome instanceof Unreadable) {
      this.native.report(key, 'decode', `the entry of ${JSON.stringify(key)} ${outcome.why}`);
      return undefined;
    }
    try {
      return { value: decode(outcome as string | BigText | null) };
    } catch (error) {
      const why = `the entry of ${JSON.stringify(key)} cannot be read: ${(error as Error).message}`;
      this.native.report(key, 'decode', why);
      return undefined;
    }
  }

  /** A `get` from inside its own fallback: nobody waits for oneself. */
  reportNested(key: string): void {
    this.native.report(key, 'nested', `get(${JSON.stringify(key)}) inside its own fallback: runs it at once, uncached`);
  }

  /**
   * Runs a fallback under its leases. Its caller is freed when it takes too long, or when `signal` is aborted; what it
   * does later is nobody's.
   */
  async run<T>(
    leases: readonly (readonly [string, Lease])[],
    context: Context,
    fallback: () => Awaitable<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const keys = leases.map(([key]) => key);
    try {
      if (signal?.aborted) throw new Gone(signal.reason);
      const { value, end } = leading(this.port, keys, fallback);
      try {
        return isThenable(value) ? await inTime(value, leases[0]?.[1], signal) : value;
      } finally {
        end();
      }
    } catch (error) {
      const isGone = error instanceof Gone;
      const reason = isGone ? error.reason : error;
      if (isGone) context.end(reason);
      for (const [, lease] of leases) {
        // Cancelled: one of those who wait takes over. So it is where the fallback failed because of that.
        if (isGone || signal?.aborted) lease.giveBack();
        else lease.fail(reason);
      }
      throw reason;
    }
  }

  /** Hands a fallback's value to the engine; settled with the value as a later hit gives it. */
  async fill(lease: Lease, key: string, value: unknown, context: Context): Promise<unknown> {
    if (context.isSkipped) {
      lease.share(value, null);
      return value;
    }
    let payload: string | BigText | null;
    try {
      payload = encode(value);
    } catch (error) {
      const refusal = this.#unstorable(key, error);
      lease.share(value, refusal);
      if (refusal !== null) throw refusal;
      return value;
    }
    await lease.fill(textOf(payload), context.ttl);
    return decode(payload);
  }

  async #lead(
    lease: Lease,
    key: string,
    fallback: Fallback<unknown>,
    ttlMs: number | null,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const context = new Context(key, ttlMs);
    const value = await this.run([[key, lease]], context, () => fallback(context), signal);
    return this.fill(lease, key, value, context);
  }

  /** Reports a value that cannot be stored; gives what to throw where the manager is strict. */
  #unstorable(key: string, error: unknown): EncodeError | null {
    const message = refused(key, error);
    this.native.report(key, 'encode', message);
    return this.native.strict ? new EncodeError(message, { cause: error }) : null;
  }
}

/** The payload of a value that is to be stored; `EncodeError` for one that cannot be. */
export function encoded(key: string, value: unknown): string | null {
  try {
    return textOf(encode(value));
  } catch (error) {
    throw new EncodeError(refused(key, error), { cause: error });
  }
}

/** A value as a hit would give it, though it is not stored. */
export function same(value: unknown): unknown {
  try {
    return decode(encode(value));
  } catch (error) {
    if (error instanceof Unencodable) return value; // told where it is stored
    throw error;
  }
}

/** The value of another caller's fallback that could not be stored. */
export function sharedValue(shared: Shared): unknown {
  if (shared.refusal !== null) throw shared.refusal;
  return shared.value;
}

/** The caller went away before its fallback had ended. */
class Gone {
  constructor(readonly reason: unknown) {}
}

/** `lease` is undefined for a fallback that nothing is stored of, which may take its time. */
async function inTime<T>(value: PromiseLike<T>, lease: Lease | undefined, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const stay = onAbort(signal, () => reject(new Gone(signal?.reason)));
    if (signal?.aborted) reject(new Gone(signal.reason));
    void lease?.expired().then((failed) => {
      stay();
      reject(new Gone(failed.error));
    });
    value.then(
      (result) => {
        stay();
        resolve(result);
      },
      (error) => {
        stay();
        reject(error);
      },
    );
  });
}

export function isThenable<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

function refused(key: string, error: unknown): string {
  const why = error instanceof Error ? error.message : shown(error);
  return `the value of ${JSON.stringify(key)} is not stored: ${why}`;
}
