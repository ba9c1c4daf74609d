/** What a call is answered with, told apart by its type. */

import { open } from './codec.js';
import type { DeadEvent } from './dead-events.js';
import { ownError } from './errors.js';
import { unpacked } from './fields-bytes.js';
import { Looked } from './health.js';
import type { Stamp } from './l1.js';
import type { Lease, Place } from './lease.js';
import type { Entry } from './options.js';
import { BigText, Fields, Packed, type Payload, type Single } from './payload.js';
import type { Write } from './write.js';
import type { DeadLetter } from './write-behind.js';

/** There is no entry, or none that counts. */
export const ABSENT = Symbol('absent');
/** Somebody else computes the key. */
export const BUSY = Symbol('busy');
/** A fill has been answered. */
export const SETTLED = Symbol('settled');
/** Nothing is to be computed behind. */
export const OVER = Symbol('over');

/** A hit that JavaScript cannot read: why. */
export class Unreadable {
  constructor(readonly why: string) {}
}

/** A hit that may be held in the process. */
export class Holdable {
  constructor(
    readonly payload: Single,
    readonly stamp: Stamp,
  ) {}
}

/** A value that is held in the process: what its payload holds. */
export class Opened {
  constructor(readonly value: unknown) {}
}

/** A value: its payload, null for a cached null. */
export type Hit = Payload | Unreadable | Holdable | Opened;
/** One that comes from the native half. */
export type Told = Payload | Unreadable;

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
    readonly head: Head,
  ) {}
}

interface Head extends Omit<Entry<never>, 'value'> {
  /** The word that the value alone would have. */
  word: Word;
}

/** What another caller's fallback gave and could not be stored; `refusal` where that is thrown. */
export class Shared {
  constructor(
    readonly value: unknown,
    readonly refusal: Error | null,
  ) {}
}

/** No value: what to throw. */
export class Failed {
  constructor(readonly error: unknown) {}
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
  readonly word: Word;
  readonly text: string;
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

/** What a record of the mailbox is: the numbers of `word.rs`. */
export enum Word {
  Text = 1,
  BigText = 2,
  Null = 3,
  Unreadable = 4,
  Detailed = 5,
  Absent = 6,
  Busy = 7,
  Lease = 8,
  Shared = 9,
  FailedHost = 10,
  FailedOwn = 11,
  Settled = 12,
  Confirmed = 13,
  Unconfirmed = 14,
  Over = 15,
  Write = 16,
  Batch = 17,
  Put = 18,
  Letters = 19,
  Count = 20,
  Published = 24,
  EventLetters = 25,
  Raw = 26,
  Packed = 27,
  Fields = 28,
  Health = 29,
}

/** Added to the word of a record whose text is to be fetched by itself. */
export const LARGE = 0x100;
/** Added where more comes under the same number. */
export const SERVED = 0x200;
/** Added where the hit may be held, with what it may be held under before its text. */
export const HELD = 0x400;
/** Added to a value that is served though it is not fresh. */
export const STALE = 0x800;
/** Added to what another caller's fallback in this process gave. */
export const OF_FLIGHT = 0x1000;
export const FLAGS = LARGE | SERVED | HELD | STALE | OF_FLIGHT;

/** Whether a record has bytes instead of a text. */
export function isOfBytes(flagged: number): boolean {
  const word: Word = flagged & ~FLAGS;
  return word === Word.Raw || word === Word.Packed || word === Word.Fields;
}

/** The outcome of a record of bytes. */
export function outcomeOfBytes(flagged: number, bytes: Uint8Array): Told {
  switch (flagged & ~FLAGS) {
    case Word.Raw:
      return bytes;
    case Word.Fields:
      return unpacked(bytes);
    default:
      return new Packed(bytes);
  }
}

/** The outcome of a record of text, for those that say all by themselves. */
export function outcomeOf(word: Word, text: string): Exclude<Outcome, Lease | Served | Write> {
  switch (word) {
    case Word.Text:
    case Word.BigText:
    case Word.Null:
    case Word.Unreadable:
      return hitOf(word, text);
    case Word.Detailed:
      return detailed(text);
    case Word.Absent:
      return ABSENT;
    case Word.Busy:
      return BUSY;
    case Word.FailedOwn: {
      const [code, message] = parted(text);
      return new Failed(ownError(code, message));
    }
    case Word.Settled:
      return SETTLED;
    case Word.Confirmed:
      return true;
    case Word.Unconfirmed:
      return false;
    case Word.Over:
      return OVER;
    case Word.Published:
    case Word.Put:
      return text;
    case Word.Letters:
      return new Letters(lettersOf(text));
    case Word.Count:
      return Number(text);
    case Word.EventLetters:
      return new DeadEvents(JSON.parse(text));
    case Word.Health:
      return new Looked(JSON.parse(text));
    default:
      throw new Error(`the native module gave a record of an unknown kind: ${word}`);
  }
}

/** The items of a batch's record. */
export function itemsOf(text: string): Item[] {
  const views: (Omit<Item, 'payload'> & { word: Word; text: string })[] = JSON.parse(text);
  return views.map(({ word, text, ...item }) => ({ ...item, payload: hitOf(word, text) }));
}

function lettersOf(text: string): Letter[] {
  const views: (Omit<Letter, 'payload'> & { word: Word; text: string })[] = JSON.parse(text);
  return views.map(({ word, text, ...letter }) => ({ ...letter, payload: hitOf(word, text) }));
}

/** The hit of a record, or of what the native half tells by itself: there each byte of what is no text is a letter. */
export function hitOf(word: Word, text: string): Told {
  switch (word) {
    case Word.Text:
      return text;
    case Word.BigText:
      return new BigText(text);
    case Word.Null:
      return null;
    case Word.Raw:
    case Word.Packed:
    case Word.Fields:
      return outcomeOfBytes(word, Buffer.from(text, 'latin1'));
    default:
      return new Unreadable(text);
  }
}

/** What stands in a hit; throws for one that cannot be read. */
export function valueIn(hit: Hit): unknown {
  if (hit instanceof Opened) return hit.value;
  if (hit instanceof Unreadable) throw new Error(hit.why);
  return open(hit instanceof Holdable ? hit.payload : hit);
}

export function isHit(outcome: Outcome): outcome is Hit {
  if (typeof outcome === 'string' || outcome === null) return true;
  return (
    outcome instanceof BigText ||
    outcome instanceof Packed ||
    outcome instanceof Fields ||
    outcome instanceof Uint8Array ||
    outcome instanceof Holdable ||
    outcome instanceof Unreadable ||
    outcome instanceof Opened
  );
}

function detailed(text: string): Detailed {
  const [head, payload] = parted(text);
  const known: Head = JSON.parse(head);
  return new Detailed(hitOf(known.word, payload), known);
}

function parted(text: string): [string, string] {
  const at = text.indexOf('\n');
  return [text.slice(0, at), text.slice(at + 1)];
}
