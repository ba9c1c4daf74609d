import type { Failed } from './outcome.js';
import type { Port } from './port.js';

/** The order to run the fallback. Settled exactly once; what is done to it afterwards does nothing. */
export class Lease {
  readonly #port: Port;
  readonly #id: number;
  #isSettled = false;
  #late: Failed | undefined;
  #onLate: ((failed: Failed) => void) | undefined;

  constructor(port: Port, id: number) {
    this.#port = port;
    this.#id = id;
  }

  /** The port has got the answer that a lease gets at the hard timeout. */
  expire(failed: Failed): void {
    this.#late = failed;
    this.#onLate?.(failed);
  }

  /** Settled at the hard timeout, and never before; one caller may ask. */
  expired(): Promise<Failed> {
    return new Promise((resolve) => {
      if (this.#late === undefined) this.#onLate = resolve;
      else resolve(this.#late);
    });
  }

  /** Stores the payload (null is a null) under this lease; settled when the store has answered. */
  async fill(payload: string | null, ttlMs: number | null): Promise<void> {
    if (this.#settle()) await this.#port.fill(this.#id, payload, ttlMs);
  }

  /** The fallback failed: those who wait get its error, unchanged. */
  fail(error: unknown): void {
    if (this.#settle()) this.#port.fail(this.#id, error);
  }

  /** The value cannot be stored: those who wait get it, or are refused, as this caller is. */
  share(value: unknown, refusal: Error | null): void {
    if (this.#settle()) this.#port.share(this.#id, value, refusal);
  }

  /** The caller went away: the lease passes on. */
  giveBack(): void {
    if (this.#settle()) this.#port.giveBack(this.#id);
  }

  #settle(): boolean {
    const isFirst = !this.#isSettled;
    this.#isSettled = true;
    return isFirst;
  }
}
