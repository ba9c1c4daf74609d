import { translated } from './errors.js';
import { positiveMs } from './native.js';
import type { Duration } from './options.js';

/** What a fallback may ask for and say. */
export class Context {
  /** The key that is computed. */
  readonly key: string;
  #ttlMs: number | null;
  #isSkipped = false;
  #controller: AbortController | undefined;
  #ended: { readonly reason: unknown } | undefined;

  /** @internal */
  constructor(key: string, ttlMs: number | null) {
    this.key = key;
    this.#ttlMs = ttlMs;
  }

  /** How long the value will live, in milliseconds; null for the manager's default. May be set, to a `Duration`. */
  get ttl(): number | null {
    return this.#ttlMs;
  }

  set ttl(ttl: Duration) {
    this.#ttlMs = translated(() => positiveMs('ctx.ttl', ttl));
  }

  /** Do not store this value: it goes to those who wait for it, and to nobody else. */
  skip(): void {
    this.#isSkipped = true;
  }

  /** Aborted when nobody waits for this run any more: at the hard timeout, or when its caller was cancelled. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended.reason);
    }
    return this.#controller.signal;
  }

  /** @internal */
  get isSkipped(): boolean {
    return this.#isSkipped;
  }

  /** @internal */
  end(reason: unknown): void {
    this.#ended = { reason };
    this.#controller?.abort(reason);
  }
}
