/** Hits of tenants in this process, which the engine is told of now and then. */

import type { Cache, Terms } from './native.js';

// Of so many tenants before the engine is told.
const WAITING_MAX = 256;

/** The hits of one tenant's views that the engine has not been told of. */
export class Tally {
  #count = 0;
  readonly #waiting: Tallies;

  constructor(
    readonly terms: Terms,
    waiting: Tallies,
  ) {
    this.#waiting = waiting;
  }

  add(): void {
    if (this.#count === 0) this.#waiting.add(this);
    this.#count += 1;
  }

  take(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }
}

/** Those of one manager. A view that is let go meanwhile has its hits counted all the same. */
export class Tallies {
  readonly #waiting = new Set<Tally>();
  readonly #native: Cache;

  constructor(native: Cache) {
    this.#native = native;
  }

  add(tally: Tally): void {
    this.#waiting.add(tally);
    if (this.#waiting.size > WAITING_MAX) this.tell(tally);
  }

  /** Tells the engine of all, but of one that is about to count. */
  tell(counting?: Tally): void {
    for (const tally of this.#waiting) if (tally !== counting) this.#native.countL1Hits(tally.take(), tally.terms);
    this.#waiting.clear();
    if (counting !== undefined) this.#waiting.add(counting);
  }
}
