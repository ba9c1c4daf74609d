/**
 * One `getMany`. Nobody waits while it holds a lease that it has not filled: first come the keys that are there or
 * leased, then `fetchMissing` runs once for all that are leased, and only when those are filled the batch waits for the
 * keys that others are computing. A key whose stale value is served has its refresh run behind, by `fetchMissing` too.
 */

import { types } from 'node:util';
import { onAbort } from './abort.js';
import { type Awaitable, isThenable } from './awaitable.js';
import { nextTurn } from './behind.js';
import { Context } from './context.js';
import { ConfigError } from './errors.js';
import { Caller, type Flow, sharedValue } from './flow.js';
import { Failed, Opened } from './hit.js';
import { shown } from './key.js';
import { NOT_HELD } from './l1.js';
import { Lease, type Place } from './lease.js';
import { BUSY, type Outcome, Served, Shared } from './outcome.js';
import { leads } from './scope.js';
import type { Call } from './terms.js';

/** Fetches what is missing: a Map or an object from key to value; a key that it leaves out is cached as null. */
export type FetchMissing<T> = (
  keys: string[],
  context: { readonly signal: AbortSignal },
) => Awaitable<ReadonlyMap<string, T> | Readonly<Record<string, T>>>;

// A key whose other holder failed is begun again so many times before its error is thrown.
const TRIES = 2;

let batches = 0;

export class Batch {
  /** By which its keys are one fallback where the store is away. */
  readonly #number = ++batches;
  readonly #flow: Flow;
  readonly #fetchMissing: FetchMissing<unknown>;
  readonly #call: Call;
  readonly #keys: readonly string[];
  readonly #results = new Map<string, unknown>();
  readonly #leases = new Map<string, Lease>();
  /** Others compute these. */
  #busy: string[] = [];
  /** Their entries cannot be read: to be computed anew. */
  readonly #unreadable: string[] = [];
  /** Fetched, and stored nowhere: this call comes from inside their fallback, or what stands there is never readable. */
  #alone: string[] = [];
  readonly #failures = new Map<string, number>();
  /** To be refreshed behind: what comes within one turn is fetched together. */
  #renewals: [string, Lease][] = [];
  #renewing: Promise<unknown> | undefined;

  constructor(flow: Flow, keys: Iterable<string>, fetchMissing: FetchMissing<unknown>, call: Call) {
    this.#flow = flow;
    this.#keys = [...new Set(keys)];
    this.#fetchMissing = fetchMissing;
    this.#call = call;
  }

  async run(): Promise<Map<string, unknown>> {
    if (this.#keys.length === 0) return new Map();
    const nested = this.#keys.filter((key) => leads(this.#flow.port, this.#flow.scope, key));
    for (const key of nested) this.#flow.reportNested(key);
    this.#alone = nested;
    try {
      const held: Promise<void>[] = [];
      const begun = this.#keys.filter((key) => !nested.includes(key) && !this.#isHeld(key, held));
      if (held.length > 0) await Promise.all(held);
      const outcomes = await this.#all(begun.map((key) => this.#flow.begin(key, this.#number, this.#call)));
      await this.#takeAll(begun, outcomes);
      await this.#fetch();
      while (this.#busy.length > 0) await this.#join();
      for (let key = this.#unreadable.pop(); key !== undefined; key = this.#unreadable.pop()) {
        await this.#take(key, await this.#flow.refresh(key, this.#call));
        await this.#fetch();
      }
    } catch (error) {
      this.#giveBack();
      throw error;
    }
    return this.#inOrder();
  }

  /** The results of a `fetchMissing` that is called for all keys, with nothing stored. */
  async uncached(): Promise<Map<string, unknown>> {
    const context = this.#context();
    const caller = new Caller(this.#call.signal);
    const end = await this.#flow.run([], context, this.#asking([...this.#keys], context), caller);
    if ('error' in end) throw end.error;
    const found = end.value;
    const pairs = this.#keys.map(
      async (key) => [key, await this.#flow.same(key, found.get(key), this.#call.coder)] as const,
    );
    return new Map(await Promise.all(pairs));
  }

  /** Whether a key is held in this process; then that is its result, where its coder decodes once `taken` has ended. */
  #isHeld(key: string, taken: Promise<void>[]): boolean {
    const value = this.#flow.held(key, this.#call.tags);
    if (value === NOT_HELD) return false;
    if (this.#call.coder.decode === undefined) this.#results.set(key, value);
    else taken.push(this.#take(key, new Opened(value)) ?? Promise.resolve());
    return true;
  }

  /** All outcomes; when one is cancelled, what the others were leased is given back. */
  async #all(calls: readonly Promise<Outcome>[]): Promise<Outcome[]> {
    const ended = await Promise.allSettled(calls);
    const failed = ended.find((end) => end.status === 'rejected');
    const outcomes: Outcome[] = [];
    for (const end of ended) if (end.status === 'fulfilled') outcomes.push(end.value);
    if (failed === undefined) return outcomes;
    for (const outcome of outcomes) {
      if (outcome instanceof Lease) outcome.giveBack();
      if (outcome instanceof Served) outcome.place.leave();
    }
    throw failed.reason;
  }

  /** Sorts many outcomes; none of their leases is lost when one of them throws. */
  async #takeAll(keys: readonly string[], outcomes: readonly Outcome[]): Promise<void> {
    const pairs = keys.map((key, at) => [key, outcomes[at] as Outcome] as const);
    for (const [key, outcome] of pairs) if (outcome instanceof Lease) this.#leases.set(key, outcome);
    const taken: Promise<void>[] = [];
    for (const [key, outcome] of pairs) {
      const taking = this.#take(key, outcome);
      if (taking !== undefined) taken.push(taking);
    }
    await Promise.all(taken);
  }

  /** A promise only where the coder decodes. */
  #take(key: string, outcome: Outcome): Promise<void> | undefined {
    if (outcome instanceof Lease) {
      this.#leases.set(key, outcome);
    } else if (outcome === BUSY) {
      this.#busy.push(key);
    } else if (outcome instanceof Shared) {
      this.#results.set(key, sharedValue(outcome));
    } else if (outcome instanceof Failed) {
      if (this.#isLastTry(key)) throw outcome.error;
      this.#busy.push(key);
    } else {
      const reading = this.#flow.read(key, outcome instanceof Served ? outcome.hit : outcome, this.#call.coder);
      if (isThenable(reading)) return reading.then((read) => this.#keep(key, outcome, read));
      this.#keep(key, outcome, reading);
    }
    return undefined;
  }

  #keep(key: string, outcome: Outcome, read: { readonly value: unknown } | undefined): void {
    if (outcome instanceof Served) {
      if (read === undefined) outcome.place.leave();
      else this.#renew(key, outcome.place);
    }
    if (read !== undefined) this.#results.set(key, read.value);
    else if (this.#isLastTry(key)) this.#alone.push(key);
    else this.#unreadable.push(key);
  }

  #isLastTry(key: string): boolean {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    return failures >= TRIES;
  }

  /** Calls `fetchMissing` for what is leased at this moment, and fills it. */
  async #fetch(): Promise<void> {
    const leases = [...this.#leases];
    const alone = this.#alone;
    if (leases.length === 0 && alone.length === 0) return;
    this.#leases.clear();
    this.#alone = [];
    const caller = new Caller(this.#call.signal);
    const whole = this.#complete(leases, alone, caller, false);
    const { coder } = this.#call;
    // What is stored nowhere is never stale, so its callers wait for it.
    const results = alone.length > 0 ? whole : this.#flow.untilServed(leases, caller, coder, whole, (values) => values);
    for (const [key, value] of await results) this.#results.set(key, value);
  }

  /** Calls `fetchMissing` for what is leased, and fills it; what each key comes to. */
  async #complete(
    leases: readonly [string, Lease][],
    alone: readonly string[],
    caller: Caller,
    isBehind: boolean,
  ): Promise<Map<string, unknown>> {
    const keys = [...leases.map(([key]) => key), ...alone];
    const context = this.#context();
    const { native, upgrades } = this.#flow;
    const ask = upgrades.overMany(native, leases, keys, (missing) => this.#asking(missing, context)());
    const end = await this.#flow.run(leases, context, ask, caller, isBehind);
    const results = new Map<string, unknown>();
    if ('error' in end) {
      for (const key of keys) {
        const stale = end.stale.get(key);
        const read = stale === undefined ? undefined : await this.#flow.read(key, stale, this.#call.coder);
        if (read === undefined) throw end.error;
        results.set(key, read.value);
      }
      return results;
    }
    const found = end.value;
    const { coder } = this.#call;
    for (const key of alone) results.set(key, await this.#flow.same(key, found.get(key), coder));
    const fills = leases.map(async ([key, lease]) => {
      results.set(key, await this.#flow.fill(lease, key, found.get(key), this.#context(key, lease), coder));
    });
    // Each is settled before the first that refuses its value throws.
    const failed = (await Promise.allSettled(fills)).find((end) => end.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return results;
  }

  /** Has a key refreshed behind its value, which has been served. */
  #renew(key: string, place: Place): void {
    const gather = (lease: Lease | null) => {
      if (lease === null) return undefined;
      this.#renewals.push([key, lease]);
      this.#renewing ??= nextTurn().then(() => {
        const leases = this.#renewals;
        this.#renewals = [];
        this.#renewing = undefined;
        return this.#complete(leases, [], new Caller(undefined), true);
      });
      return this.#renewing;
    };
    this.#flow.behind.add(place.next().then(gather));
  }

  #context(key = '', lease: Lease | null = null): Context {
    return new Context(key, this.#flow.native, this.#call.terms, lease);
  }

  #asking(keys: string[], context: Context): () => Promise<ReadonlyMap<string, unknown>> {
    const ask = {
      get signal() {
        return context.signal;
      },
    };
    return async () => asMap(await this.#fetchMissing(keys, ask));
  }

  /**
   * Waits for the keys that others compute. What is leased to us because they failed is fetched at once, whatever else
   * is being fetched: a lease is never held while something else is waited for.
   */
  async #join(): Promise<void> {
    const keys = this.#busy;
    this.#busy = [];
    const { terms, signal } = this.#call;
    signal?.throwIfAborted();
    const leave = new AbortController();
    const forget = onAbort(signal, () => leave.abort(signal?.reason));
    const call = async (key: string): Promise<void> => {
      const outcome = await this.#flow.begin(key, null, { terms, signal: leave.signal });
      if (!leave.signal.aborted) {
        await this.#take(key, outcome);
        await this.#fetch();
      } else if (outcome instanceof Lease) {
        outcome.giveBack();
      } else if (outcome instanceof Served) {
        outcome.place.leave();
      }
    };
    try {
      await Promise.all(keys.map(call));
    } catch (error) {
      leave.abort(error);
      throw error;
    } finally {
      forget();
    }
  }

  #giveBack(): void {
    for (const lease of this.#leases.values()) lease.giveBack();
    this.#leases.clear();
  }

  #inOrder(): Map<string, unknown> {
    return new Map(this.#keys.map((key) => [key, this.#results.get(key)]));
  }
}

function asMap(found: unknown): ReadonlyMap<string, unknown> {
  if (types.isMap(found)) return found as Map<string, unknown>;
  if (typeof found === 'object' && found !== null && !(Symbol.iterator in found)) return new Map(Object.entries(found));
  throw new ConfigError(
    `fetchMissing gave ${shown(found)}; it takes an array of keys and gives a Map or an object: { [key]: value }`,
  );
}
