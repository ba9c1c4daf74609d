/** What the port hands out to be settled: a lease, a write, the place of a caller who may be leased one behind. */

import type { Failed, Hit } from './hit.js';
import type { Cache } from './native.js';

/** The port, as those see it that it hands out. They are told by the number of their call. */
interface Origin {
  readonly native: Cache;
  stale(id: number): Hit | undefined;
  older(id: number): { version: number; hit: Hit } | undefined;
  fill<T>(id: number, verb: (id: number) => boolean, given: () => T): Promise<T>;
  fail(id: number, error: unknown): Hit | undefined;
  share(id: number, value: unknown, refusal: Error | null): void;
  giveBack(id: number): void;
  commit(id: number, keeps: boolean): Promise<boolean>;
}

/** The order to run the fallback. Settled exactly once; what is done to it afterwards does nothing. */
export class Lease {
  /** Its number at the native half. */
  readonly id: number;
  readonly #port: Origin;
  #isSettled = false;
  #isUpgraded = false;
  #served: Hit | undefined;
  #end: Hit | Failed | undefined;
  #onServed: ((hit: Hit) => void) | undefined;
  #onEnd: ((end: Hit | Failed) => void) | undefined;

  constructor(
    port: Origin,
    id: number,
    /** Something stands in the store that is not fresh: else nobody is ever served before the end. */
    readonly hasStale: boolean,
  ) {
    this.#port = port;
    this.id = id;
  }

  /** Calls `served` at the soft timeout, with the stale value that the caller is to be given. */
  onServed(served: (hit: Hit) => void): void {
    this.#onServed = served;
    if (this.#served !== undefined) served(this.#served);
  }

  /** Calls `ended` at the hard timeout (or at the manager's end), with the failure or a stale value instead. */
  onEnd(ended: (end: Hit | Failed) => void): void {
    this.#onEnd = ended;
    if (this.#end !== undefined) ended(this.#end);
  }

  /** The port has got what a lease gets at the soft timeout. */
  serve(hit: Hit): void {
    this.#served = hit;
    this.#onServed?.(hit);
  }

  /** The port has got the answer that a lease gets at the hard timeout. */
  end(end: Hit | Failed): void {
    this.#end = end;
    this.#onEnd?.(end);
  }

  /** What stands in the store and is not fresh, while this is not settled; undefined for nothing. */
  stale(): Hit | undefined {
    return this.#isSettled ? undefined : this.#port.stale(this.id);
  }

  /** What an older version of the service holds, while this is not settled; undefined for nothing. */
  older(): { version: number; hit: Hit } | undefined {
    return this.#isSettled ? undefined : this.#port.older(this.id);
  }

  /** What fills it is made of that, and goes on with its times and tags. */
  useOlder(): void {
    this.#isUpgraded = true;
  }

  /** Stores the payload (null is a null) under this lease; settled with what `given` gives when the store has answered. */
  fill<T>(
    given: () => T,
    payload: string | Uint8Array | null,
    codec: number,
    ttlMs: number | null,
    tags: string[] | null,
  ): Promise<T> {
    const { native } = this.#port;
    return this.#fill(given, (id) =>
      this.#isUpgraded ? native.fillUpgraded(id, payload, codec) : native.fill(id, payload, codec, ttlMs, tags),
    );
  }

  /** The same of what stands there, which is stored anew. */
  notModified<T>(given: () => T, ttlMs: number | null, tags: string[] | null): Promise<T> {
    return this.#fill(given, (id) => this.#port.native.notModified(id, ttlMs, tags));
  }

  #fill<T>(given: () => T, verb: (id: number) => boolean): Promise<T> {
    return this.#settle() ? this.#port.fill(this.id, verb, given) : Promise.resolve().then(given);
  }

  /** The fallback failed: those who wait get its error, unchanged. Gives the stale value that is served instead. */
  fail(error: unknown): Hit | undefined {
    return this.#settle() ? this.#port.fail(this.id, error) : undefined;
  }

  /** The value cannot be stored: those who wait get it, or are refused, as this caller is. */
  share(value: unknown, refusal: Error | null): void {
    if (this.#settle()) this.#port.share(this.id, value, refusal);
  }

  /** The caller went away: the lease passes on. */
  giveBack(): void {
    if (this.#settle()) this.#port.giveBack(this.id);
  }

  #settle(): boolean {
    const isFirst = !this.#isSettled;
    this.#isSettled = true;
    return isFirst;
  }
}

/** The place of a caller who has been served and may be asked to compute behind. */
export class Place {
  readonly #arrived: Promise<Lease | null>;
  #arrive: (lease: Lease | null) => void = () => {};

  constructor() {
    this.#arrived = new Promise((resolve) => {
      this.#arrive = resolve;
    });
  }

  /** The port has got what comes to this place. */
  take(lease: Lease | null): void {
    this.#arrive(lease);
  }

  /** The order to compute behind; null where nothing is to be computed. */
  next(): Promise<Lease | null> {
    return this.#arrived;
  }

  /** Nobody is there to compute. */
  leave(): void {
    void this.#arrived.then((lease) => lease?.giveBack());
  }
}

/** A write that has begun. It keeps its number, and the process, until it is ended, once. */
export class Write {
  readonly #port: Origin;
  readonly #id: number;

  constructor(port: Origin, id: number) {
    this.#port = port;
    this.#id = id;
  }

  /** `persist` has done its work: whether the store holds the value. With `keeps` false it is to hold nothing instead. */
  commit(keeps: boolean): Promise<boolean> {
    return this.#port.commit(this.#id, keeps);
  }
}
