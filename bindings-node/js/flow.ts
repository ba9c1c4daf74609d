/** One call's way: begin, (wait), fallback, fill. */

import { onAbort } from './abort.js';
import { type Awaitable, isThenable } from './awaitable.js';
import { Behind } from './behind.js';
import { bare, type Coder, open } from './codec.js';
import { Context, type Fallback } from './context.js';
import { EncodeError, HardTimeout } from './errors.js';
import { Failed, type Hit, Holdable, Unreadable, valueIn } from './hit.js';
import { shown } from './key.js';
import { NOT_HELD } from './l1.js';
import { Lease, type Place } from './lease.js';
import { hardTimeoutMessage } from './native.js';
import { type Outcome, Served, Shared } from './outcome.js';
import { type Payload, Unencodable } from './payload.js';
import type { Port } from './port.js';
import { Misfit } from './schema.js';
import { leading } from './scope.js';
import type { Tally } from './tally.js';
import type { Call } from './terms.js';
import { warnIfUntyped } from './untyped.js';
import type { Upgrades } from './upgrade.js';

/** A caller while a fallback runs for him: he may go away, or be served before its end and leave it behind. */
export class Caller {
  #signal: AbortSignal | undefined;
  #stay: () => void = () => {};

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get isGone(): boolean {
    return this.#signal?.aborted === true;
  }

  get reason(): unknown {
    return this.#signal?.reason;
  }

  onGone(leave: () => void): void {
    this.#stay = onAbort(this.#signal, leave);
    if (this.isGone) leave();
  }

  /** From here on his going away is of no account. */
  served(): void {
    this.#stay();
    this.#signal = undefined;
  }

  /** The fallback has ended. */
  stay(): void {
    this.#stay();
  }
}

/** What became of a fallback: its value; or an error, and the stale values that are served instead of it, by key. */
export type End<T> = { readonly value: T } | Ill;
interface Ill {
  readonly error: unknown;
  readonly stale: ReadonlyMap<string, Hit>;
}
/** What a caller is given. */
interface Read {
  readonly value: unknown;
}
type Leases = readonly (readonly [string, Lease])[];

/** What `get`, `refresh` and `getMany` share: of the manager and its namespaces, or of a tenant's views. */
export class Flow {
  readonly port: Port;
  readonly behind: Behind;
  readonly upgrades: Upgrades;
  /** Before a tenant's keys: `@tenant:`. */
  readonly scope: string;
  readonly #tenant: Tally | undefined;

  constructor(port: Port, upgrades: Upgrades, behind = new Behind(), tenant?: Tally) {
    this.port = port;
    this.upgrades = upgrades;
    this.behind = behind;
    this.scope = tenant?.terms.scope ?? '';
    this.#tenant = tenant;
  }

  get native(): Port['native'] {
    return this.port.native;
  }

  /** The value where this process holds it (a null is one), else `NOT_HELD`. */
  held(key: string, tags: readonly string[]): unknown {
    const { index } = this.port;
    if (index === undefined) return NOT_HELD;
    if (this.#tenant === undefined) return index.get(key, tags);
    const value = index.getOf(this.scope, key, tags);
    if (value !== NOT_HELD) this.#tenant.add();
    return value;
  }

  /** As part of a batch, by its number, a key that somebody else computes is busy. */
  begin(
    key: string,
    batch: number | null,
    { terms, signal, seen }: Pick<Call, 'terms' | 'signal' | 'seen'>,
  ): Promise<Outcome> {
    return this.port.call((id, canCancel) => this.native.begin(id, key, terms, batch, canCancel), signal, seen);
  }

  refresh(key: string, { terms, signal }: Call): Promise<Outcome> {
    return this.port.call((id, canCancel) => this.native.refresh(id, key, terms, canCancel), signal);
  }

  /** From an outcome to the value. `get` and `refresh` both end here. */
  async settle(begun: Awaitable<Outcome>, key: string, fallback: Fallback<unknown>, call: Call): Promise<unknown> {
    let outcome = await begun;
    for (let isMended = false; ; isMended = true) {
      // Awaited, not given as it is: that would take two turns of the microtasks more, and a promise.
      if (outcome instanceof Lease) return await this.#lead(outcome, key, fallback, call);
      if (outcome instanceof Failed) throw outcome.error;
      if (outcome instanceof Shared) return sharedValue(outcome);
      const reading = this.read(key, outcome instanceof Served ? outcome.hit : outcome, call.coder);
      const read = isThenable(reading) ? await reading : reading;
      if (outcome instanceof Served) {
        if (read === undefined) outcome.place.leave();
        else this.#goOn(outcome.place, key, fallback, call);
      }
      if (read !== undefined) return read.value;
      if (isMended) return this.alone(key, fallback, call);
      // Computed anew and overwritten: what stands there counts as a miss.
      outcome = await this.refresh(key, call);
    }
  }

  /** Runs the fallback for this caller only; nothing is stored. */
  async alone(key: string, fallback: Fallback<unknown>, { terms, signal, coder }: Call): Promise<unknown> {
    const context = new Context(key, this.native, terms, null);
    const end = await this.run([], context, () => fallback(context), new Caller(signal));
    if ('value' in end) return this.same(key, end.value, coder);
    throw end.error;
  }

  /**
   * What a caller is given of a hit; undefined, and reported, for one that cannot be read or does not fit, and counts as a
   * miss. A promise only where the coder decodes.
   */
  read(key: string, outcome: Outcome, { decode }: Coder): Read | undefined | Promise<Read | undefined> {
    const hit = outcome as Hit;
    let value: unknown;
    try {
      value = valueIn(hit);
      if (hit instanceof Holdable) this.port.index?.hold(this.scope + key, hit.payload, hit.stamp);
    } catch (error) {
      const why = hit instanceof Unreadable ? hit.why : `cannot be read: ${(error as Error).message}`;
      this.#report(key, 'decode', `the entry of ${JSON.stringify(key)} ${why}`);
      return undefined;
    }
    return decode === undefined ? { value } : this.#decoded(key, value, decode);
  }

  async #decoded(key: string, stored: unknown, decode: NonNullable<Coder['decode']>): Promise<Read | undefined> {
    try {
      return { value: await decode(stored) };
    } catch (error) {
      this.#report(key, reasonOf(error, 'decode'), `the entry of ${JSON.stringify(key)}: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** A `get` from inside its own fallback, or `persist`: nobody waits for oneself. */
  reportNested(key: string): void {
    const message = `get(${JSON.stringify(key)}) inside its own fallback or persist: runs at once, uncached`;
    this.#report(key, 'nested', message);
  }

  #report(key: string, reason: string, message: string): void {
    this.native.report(key, reason, message, this.#tenant?.terms ?? null);
  }

  /**
   * Runs a fallback under its leases, to its end or until nobody waits for it: it takes too long, or its caller went
   * away. What it does then is nobody's.
   */
  async run<T>(
    leases: Leases,
    context: Context,
    fallback: () => Awaitable<T>,
    caller: Caller,
    isBehind = false,
  ): Promise<End<T>> {
    if (caller.isGone) return given(leases, context, caller.reason);
    const keys = leases.map(([key]) => key);
    let started: { value: Awaitable<T>; end: () => void };
    try {
      // A batch's is of no key.
      const own = context.key === '' ? undefined : context;
      started = leading(this.port, this.scope, keys, fallback, isBehind, own);
    } catch (error) {
      return failed(leases, context, error, caller);
    }
    const { value, end } = started;
    try {
      const ended = isPromised(value) ? await inTime(value, leases, caller) : { value };
      if ('value' in ended) return ended;
      if (ended.isOver) return given(leases, context, ended.error, ended.stale);
      return failed(leases, context, ended.error, caller);
    } finally {
      caller.stay();
      end();
    }
  }

  /** Settled with what `whole` comes to; or, once all leases have been told to serve their callers, with `served`. */
  untilServed<T>(
    leases: Leases,
    caller: Caller,
    coder: Coder,
    whole: Promise<T>,
    served: (values: Map<string, unknown>) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const values = new Map<string, unknown>();
      const take = (key: string, read: Read | undefined) => {
        if (read !== undefined) values.set(key, read.value);
        if (values.size < leases.length) return;
        caller.served();
        this.behind.add(whole);
        resolve(served(values));
      };
      for (const [key, lease] of leases) {
        lease.onServed((hit) => {
          const reading = this.read(key, hit, coder);
          if (isThenable(reading)) void reading.then((read) => take(key, read));
          else take(key, reading);
        });
      }
      whole.then(resolve, reject);
    });
  }

  /** Hands a fallback's value to the engine; what comes of it is the value as a later hit gives it. */
  fill(lease: Lease, key: string, value: unknown, context: Context, coder: Coder): Awaitable<unknown> {
    if (context.isSkipped) {
      lease.share(value, null);
      return value;
    }
    const { unmodified } = context;
    let payload: Payload = null;
    try {
      if (unmodified === undefined) payload = coder.encode(value);
    } catch (error) {
      return this.#refuse(lease, key, value, context, error);
    }
    const stored = () => (unmodified === undefined ? open(payload) : valueIn(unmodified));
    const { decode } = coder;
    if (decode !== undefined) {
      return this.#fillDecoded(lease, key, value, payload, context, coder, async () => decode(stored()));
    }
    if (unmodified === undefined) warnIfUntyped(this.port, key, value, payload, coder);
    return store(lease, payload, context, coder, stored);
  }

  async #fillDecoded(
    lease: Lease,
    key: string,
    value: unknown,
    payload: Payload,
    context: Context,
    coder: Coder,
    decoded: () => Promise<unknown>,
  ): Promise<unknown> {
    let given: unknown;
    try {
      given = await untilEnd(lease, key, decoded());
    } catch (error) {
      if (!(error instanceof TooLate)) return this.#refuse(lease, key, value, context, error);
      lease.giveBack();
      throw error.cause;
    }
    return await store(lease, payload, context, coder, () => given);
  }

  /** What cannot be stored is its caller's, and theirs who wait with him; where the manager is strict, they are refused. */
  #refuse(lease: Lease, key: string, value: unknown, { unmodified }: Context, error: unknown): unknown {
    const refusal = this.#unstorable(key, error);
    const own = unmodified === undefined ? value : valueIn(unmodified);
    lease.share(own, refusal);
    if (refusal !== null) throw refusal;
    return own;
  }

  /** A value as a hit would give it, though it is not stored. */
  async same(key: string, value: unknown, coder: Coder): Promise<unknown> {
    try {
      const payload = coder.encode(value);
      warnIfUntyped(this.port, key, value, payload, coder);
      const stored = open(payload);
      return coder.decode === undefined ? stored : await coder.decode(stored);
    } catch (error) {
      if (error instanceof Unencodable || error instanceof Misfit) return value; // told where it is stored
      throw error;
    }
  }

  /** Computes, when that is asked for, behind a value that has been served. What the call inherits, that does too. */
  #goOn(place: Place, key: string, fallback: Fallback<unknown>, call: Call): void {
    const run = (lease: Lease | null) =>
      lease && this.#complete(lease, key, fallback, call, new Caller(undefined), true);
    this.behind.add(place.next().then(run));
  }

  #lead(lease: Lease, key: string, fallback: Fallback<unknown>, call: Call): Promise<unknown> {
    const caller = new Caller(call.signal);
    const whole = this.#complete(lease, key, fallback, call, caller, false);
    if (!lease.hasStale) return whole;
    return this.untilServed([[key, lease]], caller, call.coder, whole, (values) => values.get(key));
  }

  async #complete(
    lease: Lease,
    key: string,
    fallback: Fallback<unknown>,
    { terms, coder }: Call,
    caller: Caller,
    isBehind: boolean,
  ): Promise<unknown> {
    const context = new Context(key, this.native, terms, lease);
    const run = this.upgrades.over(this.native, key, lease, () => fallback(context));
    const end = await this.run([[key, lease]], context, run, caller, isBehind);
    if ('value' in end) return await this.fill(lease, key, end.value, context, coder);
    const stale = end.stale.get(key);
    const read = stale === undefined ? undefined : await this.read(key, stale, coder);
    if (read === undefined) throw end.error;
    return read.value;
  }

  /** Reports a value that cannot be stored; gives what to throw where the manager is strict. */
  #unstorable(key: string, error: unknown): EncodeError | null {
    const message = refused(key, error);
    this.#report(key, reasonOf(error, 'encode'), message);
    return this.native.strict ? new EncodeError(message, { cause: error }) : null;
  }
}

/** The payload of a value that is to be stored; `EncodeError` for one that cannot be. */
export function encoded(key: string, value: unknown, coder: Coder): string | Uint8Array | null {
  try {
    return bare(coder.encode(value));
  } catch (error) {
    throw new EncodeError(refused(key, error), { cause: error });
  }
}

/** Settled with what `given` gives once the store has answered. */
function store<T>(lease: Lease, payload: Payload, context: Context, coder: Coder, given: () => T): Promise<T> {
  if (context.unmodified !== undefined) return lease.notModified(given, ...context.made);
  return lease.fill(given, bare(payload), coder.codec, ...context.made);
}

function reasonOf(error: unknown, otherwise: string): string {
  return error instanceof Misfit ? 'schema' : otherwise;
}

/** The value of another caller's fallback that could not be stored. */
export function sharedValue(shared: Shared): unknown {
  if (shared.refusal !== null) throw shared.refusal;
  return shared.value;
}

const NO_STALE: ReadonlyMap<string, Hit> = new Map();

/** Nobody waits for the fallback any more: what is leased passes on. */
function given(leases: Leases, context: Context, error: unknown, stale = NO_STALE): Ill {
  context.end(error);
  for (const [, lease] of leases) lease.giveBack();
  return { error, stale };
}

/** The fallback failed: those who wait get its error, or stale values instead. */
function failed(leases: Leases, context: Context, error: unknown, caller: Caller): Ill {
  // Because its caller went away: one of those who wait takes over.
  if (caller.isGone) return given(leases, context, error);
  const stale = new Map<string, Hit>();
  for (const [key, lease] of leases) {
    const hit = lease.fail(error);
    if (hit !== undefined) stale.set(key, hit);
  }
  return { error, stale };
}

/** Whether a fallback's value is to be awaited; where that cannot be asked (a getter, a proxy), awaiting it tells why. */
function isPromised<T>(value: Awaitable<T>): value is PromiseLike<T> {
  try {
    return isThenable(value);
  } catch {
    return true;
  }
}

type Ended<T> =
  | { readonly value: T }
  | { readonly error: unknown; readonly isOver: boolean; readonly stale?: ReadonlyMap<string, Hit> };

/** A fallback under no lease may take its time. */
function inTime<T>(value: PromiseLike<T>, leases: Leases, caller: Caller): Promise<Ended<T>> {
  return new Promise((resolve) => {
    const stale = new Map<string, Hit>();
    caller.onGone(() => resolve({ error: caller.reason, isOver: true }));
    for (const [key, lease] of leases) {
      lease.onEnd((end) => {
        if (end instanceof Failed) return resolve({ error: end.error, isOver: true });
        // A stale value for this one. The others' time is over within the same moment.
        stale.set(key, end);
        if (stale.size === leases.length) {
          resolve({ error: new HardTimeout(hardTimeoutMessage(key)), isOver: true, stale });
        }
      });
    }
    const fail = (error: unknown) => resolve({ error, isOver: false });
    try {
      value.then((result) => resolve({ value: result }), fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** What was being made of a fallback's value when its time was over. */
class TooLate extends Error {}

/** Settled with what is made of a fallback's value, which is a part of its time. */
function untilEnd<T>(lease: Lease, key: string, made: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    lease.onEnd((end) => {
      const cause = end instanceof Failed ? end.error : new HardTimeout(hardTimeoutMessage(key));
      reject(new TooLate('', { cause }));
    });
    made.then(resolve, reject);
  });
}

export function refused(key: string, error: unknown): string {
  const why = error instanceof Error ? error.message : shown(error);
  return `the value of ${JSON.stringify(key)} is not stored: ${why}`;
}
