/** What a call is answered with, told apart by its type. */

import { BigText } from './codec.js';
import { ownError } from './errors.js';
import type { Lease } from './lease.js';
import type { Entry } from './options.js';

/** There is no entry, or none that counts. */
export const ABSENT = Symbol('absent');
/** Somebody else computes the key. */
export const BUSY = Symbol('busy');
/** A fill has been answered. */
export const SETTLED = Symbol('settled');

/** A hit that JavaScript cannot read: why. */
export class Unreadable {
  constructor(readonly why: string) {}
}

/** A hit with all that is known of it. */
export class Detailed {
  constructor(
    readonly payload: string | BigText | Unreadable | null,
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

/** Text is the JSON of a hit, null a cached null, a boolean whether the store confirmed. */
export type Outcome =
  | string
  | null
  | boolean
  | BigText
  | Unreadable
  | Detailed
  | Shared
  | Failed
  | Lease
  | typeof ABSENT
  | typeof BUSY
  | typeof SETTLED;

/** What a record of the mailbox is: the numbers of `convert.rs`. */
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
}

/** Added to the word of a record whose text is to be fetched by itself. */
export const LARGE = 0x100;

/** The outcome of a record, for those that say all by themselves. */
export function outcomeOf(word: Word, text: string): Outcome {
  switch (word) {
    case Word.Text:
      return text;
    case Word.BigText:
      return new BigText(text);
    case Word.Null:
      return null;
    case Word.Unreadable:
      return new Unreadable(text);
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
    default:
      throw new Error(`the native module gave a record of an unknown kind: ${word}`);
  }
}

function detailed(text: string): Detailed {
  const [head, payload] = parted(text);
  const known: Head = JSON.parse(head);
  return new Detailed(outcomeOf(known.word, payload) as Detailed['payload'], known);
}

function parted(text: string): [string, string] {
  const at = text.indexOf('\n');
  return [text.slice(0, at), text.slice(at + 1)];
}
