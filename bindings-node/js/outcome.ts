/** What a call is answered with, told apart by its type. */

import type { Looked } from './health.js';
import type { Failed, Hit, Told } from './hit.js';
import type { Lease, Place, Write } from './lease.js';
import type { DeadEvent, DeadLetter, Entry } from './options.js';

/** There is no entry, or none that counts. */
export const ABSENT = Symbol('absent');
/** Somebody else computes the key. */
export const BUSY = Symbol('busy');
/** A fill has been answered. */
export const SETTLED = Symbol('settled');
/** Nothing is to be computed behind. */
export const OVER = Symbol('over');

/** A value for the caller now; what comes more, comes to the place. */
export class Served {
  constructor(
    readonly hit: Hit,
    readonly place: Place,
  ) {}
}

/** A hit with all that is known of it. */
export class Detailed {
  constructor(
    readonly payload: Hit,
    readonly known: Omit<Entry<never>, 'value'>,
  ) {}
}

/** What another caller's fallback gave and could not be stored; `refusal` where that is thrown. */
export class Shared {
  constructor(
    readonly value: unknown,
    readonly refusal: Error | null,
  ) {}
}

/** One item of a stream, as the native half tells it. */
export interface Item {
  /** `ms-sequence`. */
  readonly id: string;
  readonly key: string | null;
  readonly topic: string | null;
  readonly attempt: number;
  readonly publishedAt: number;
  /** Of an event: whose manager published it. */
  readonly service: string | null;
  /** It is no event, but its payload tells how many are gone. */
  readonly isGap: boolean;
  readonly payload: Told;
}

/** Items of a stream for a sink or a handler. Settled once, by the number of the call that they came to. */
export class ItemBatch {
  constructor(
    readonly given: number,
    readonly items: readonly Item[],
  ) {}
}

/** An event that was set aside, as the native half tells it. */
export interface DeadRecord extends Omit<DeadEvent, 'data'> {
  readonly payload: Told;
}

export class DeadEvents {
  constructor(readonly records: readonly DeadRecord[]) {}
}

/** A write that was set aside, as the native half tells it. */
export interface Letter extends Omit<DeadLetter, 'value'> {
  readonly payload: Told;
}

/** What was set aside. */
export class Letters {
  constructor(readonly list: readonly Letter[]) {}
}

/** A boolean says whether the store confirmed, a number how many; the id of a put is a text as a hit's is. */
export type Outcome =
  | Hit
  | boolean
  | number
  | Letters
  | Served
  | Detailed
  | Shared
  | Failed
  | Lease
  | Write
  | ItemBatch
  | DeadEvents
  | Looked
  | typeof ABSENT
  | typeof BUSY
  | typeof SETTLED
  | typeof OVER;

/** Told of an outcome, with the flags of its record. */
export type Seen = (outcome: Outcome, flags: number) => void;
