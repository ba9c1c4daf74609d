/** What a record of the mailbox is, and the outcome that it tells. */

import { ownError } from './errors.js';
import { unpacked } from './fields-bytes.js';
import { Looked } from './health.js';
import { Failed, type Told, Unreadable } from './hit.js';
import type { Lease, Write } from './lease.js';
import { ABSENT, BUSY, DeadEvents, Detailed, Letters, type Outcome, OVER, SETTLED, type Served } from './outcome.js';
import { BigText, Packed } from './payload.js';

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
/** Added to a lease where something stands in the store that is not fresh. */
export const HAS_STALE = 0x4000;
export const FLAGS = LARGE | SERVED | HELD | STALE | OF_FLIGHT | HAS_STALE;

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
      return new Letters(toldIn(text));
    case Word.Count:
      return Number(text);
    case Word.EventLetters:
      return new DeadEvents(toldIn(text));
    case Word.Health:
      return new Looked(JSON.parse(text));
    default:
      throw new Error(`the native module gave a record of an unknown kind: ${word}`);
  }
}

/** The items of a batch's record, or what was set aside: each with what is told of it, and its payload. */
export function toldIn<T extends { readonly payload: Told }>(text: string): T[] {
  const views: { word: Word; text: string }[] = JSON.parse(text);
  return views.map(({ word, text, ...known }) => ({ ...known, payload: hitOf(word, text) }) as unknown as T);
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

function detailed(text: string): Detailed {
  const [head, payload] = parted(text);
  // The word is the one that the value alone would have.
  const { word, ...known } = JSON.parse(head);
  return new Detailed(hitOf(word, payload), known);
}

function parted(text: string): [string, string] {
  const at = text.indexOf('\n');
  return [text.slice(0, at), text.slice(at + 1)];
}
