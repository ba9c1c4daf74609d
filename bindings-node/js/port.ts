/**
 * Where calls meet their outcomes. Each call has a number and a slot here; the native half rings once per batch, and
 * everything that is ready is read from the mailbox, a buffer that both sides keep (`wake.rs` has its layout).
 */

import { onAbort } from './abort.js';
import type { Awaitable } from './awaitable.js';
import { translated } from './errors.js';
import { Failed, type Hit, Holdable, isHit } from './hit.js';
import { Index, type Stamp } from './l1.js';
import { Lease, Place, Write } from './lease.js';
import { Cache } from './native.js';
import type { TestStore } from './options.js';
import { ItemBatch, type Outcome, type Seen, Served, Shared } from './outcome.js';
import { copied, type Single } from './payload.js';
import {
  FLAGS,
  HAS_STALE,
  HELD,
  hitOf,
  isOfBytes,
  LARGE,
  outcomeOf,
  outcomeOfBytes,
  SERVED,
  toldIn,
  Word,
} from './word.js';

/** The place of a lease that is being settled: what was on its way to it before is of no account. */
class Ending {
  constructor(readonly done: (outcome: Outcome) => void) {}
}

type Slot = ((outcome: Outcome) => void) | Lease | Place | Ending | Write;

const MAILBOX_BYTES = 128 * 1024;
const HEAD_BYTES = 16;
const STAMP_BYTES = 40;

// Ports with calls under way: nobody else may hold them, and their callers wait.
const busy = new Set<Port>();
// Ports that wait for work: the same, though the process does not stay for them.
const working = new Set<Port>();

/** One manager's way to its engine. */
export class Port {
  readonly native: Cache;
  /** What is held in this process, where there is such a tier. */
  readonly index: Index | undefined;
  readonly #mailbox = Buffer.alloc(MAILBOX_BYTES);
  readonly #numbers = new Float64Array(this.#mailbox.buffer, this.#mailbox.byteOffset, MAILBOX_BYTES / 8);
  readonly #words = new Uint32Array(this.#mailbox.buffer, this.#mailbox.byteOffset, MAILBOX_BYTES / 4);
  readonly #slots = new Map<number, Slot>();
  /** Those of the slots that keep no process alive. */
  readonly #quiet = new Set<number>();
  /** How many reasons there are for the process to stay. */
  #reasons = 0;
  /** Objects on their way through the engine to other callers. */
  readonly #kept = new Map<number, Shared | Failed>();
  readonly #onEvents: () => void;
  /** Called before each call. */
  onCall: (() => void) | undefined;
  /** Of the record that is being handed out. */
  #flags = 0;
  #nextCall = 1;
  #nextObject = 1;

  /** `onEvents` is called when events or faults wait. */
  constructor(url: string, options: object, onEvents: () => void, store?: TestStore) {
    this.#onEvents = onEvents;
    this.native = open(url, options, this.#mailbox, new WeakRef(this), store);
    const { l1 } = this.native;
    const words = l1 === null ? null : this.native.l1Words();
    if (l1 !== null && words !== null) {
      this.index = new Index(this.native, l1, words, store?.clock !== undefined);
    }
  }

  /** Makes a call: `verb` hands its number over. `signal` takes the caller away while it waits. */
  call(verb: (id: number, canCancel: boolean) => boolean, signal?: AbortSignal, seen?: Seen): Promise<Outcome> {
    if (signal !== undefined) return this.#cancellable(verb, signal, seen);
    return new Promise((resolve) => {
      const id = this.#open(seen === undefined ? resolve : this.#telling(resolve, seen));
      this.#begin(id, () => verb(id, false));
    });
  }

  /** Makes `count` calls with numbers in a row. */
  callMany(count: number, verb: (first: number) => boolean): Promise<Outcome[]> {
    const first = this.#nextCall;
    const outcomes = Array.from({ length: count }, () => new Promise<Outcome>((resolve) => this.#open(resolve)));
    try {
      if (verb(first)) this.#drain();
    } catch (error) {
      for (let id = first; id < first + count; id++) this.#close(id);
      throw error;
    }
    return Promise.all(outcomes);
  }

  /** Ends the write of this number. */
  async commit(write: number, keeps: boolean): Promise<boolean> {
    const answered = this.call((id) => this.native.commit(id, write, keeps));
    this.#close(write);
    return (await answered) === true;
  }

  /** `verb` settles the lease of this number; settled with what `given` gives when that is answered. */
  fill<T>(id: number, verb: (id: number) => boolean, given: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = () => {
        try {
          resolve(given());
        } catch (error) {
          reject(error);
        }
      };
      this.#slots.set(id, new Ending(done));
      this.#begin(id, () => verb(id));
    });
  }

  /** Gives the stale value that is served instead of the error. */
  fail(id: number, error: unknown): Hit | undefined {
    let stale: Hit | undefined;
    const take = (outcome: Outcome) => {
      stale = outcome as Hit;
    };
    this.#slots.set(id, new Ending(take));
    if (this.native.fail(id, this.#keep(new Failed(error)))) this.#drain();
    this.#close(id);
    this.#letGo();
    return stale;
  }

  /** What an older version holds, and which; undefined for nothing. */
  older(id: number): { version: number; hit: Hit } | undefined {
    const version = this.native.olderVersion(id);
    const told = version === null ? null : this.native.older(id);
    return version === null || told === null ? undefined : { version, hit: hitOf(told.word, told.text) };
  }

  /** What a fallback may look at; undefined for nothing. */
  stale(id: number): Hit | undefined {
    const told = this.native.stale(id);
    return told === null ? undefined : hitOf(told.word, told.text);
  }

  share(id: number, value: unknown, refusal: Error | null): void {
    this.native.share(id, this.#keep(new Shared(value, refusal)));
    this.#close(id);
    this.#letGo();
  }

  /** The caller of this number went away. */
  giveBack(id: number): void {
    this.native.leave(id);
    this.#close(id);
  }

  #telling(resolve: (outcome: Outcome) => void, seen: Seen): (outcome: Outcome) => void {
    return (outcome) => {
      seen(outcome, this.#flags);
      resolve(outcome);
    };
  }

  #cancellable(
    verb: (id: number, canCancel: boolean) => boolean,
    signal: AbortSignal,
    seen: Seen | undefined,
  ): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const stay = onAbort(signal, () => {
        this.giveBack(id);
        reject(signal.reason);
      });
      const id = this.#open((outcome) => {
        stay();
        seen?.(outcome, this.#flags);
        resolve(outcome);
      });
      this.#begin(id, () => verb(id, true));
    });
  }

  /**
   * A call that waits for work and keeps no process alive. While one is out the manager lives, though nobody holds it:
   * somebody has told it to work.
   */
  quietly(verb: (id: number) => boolean): Promise<Outcome> {
    return new Promise((resolve) => {
      const id = this.#nextCall++;
      this.#quiet.add(id);
      working.add(this);
      this.#slots.set(id, resolve);
      this.#begin(id, () => verb(id));
    });
  }

  /** Keeps the process alive for as long as `work` takes: what was handed to the host is to be settled. */
  async during<T>(work: () => Awaitable<T>): Promise<T> {
    this.#stay(1);
    try {
      return await work();
    } finally {
      this.#stay(-1);
    }
  }

  /** A verb that throws will not be answered. */
  #begin(id: number, verb: () => boolean): void {
    try {
      if (verb()) this.#drain();
    } catch (error) {
      this.#close(id);
      throw error;
    }
  }

  #open(slot: Slot): number {
    this.onCall?.();
    const id = this.#nextCall++;
    this.#stay(1);
    this.#slots.set(id, slot);
    return id;
  }

  #close(id: number): void {
    if (!this.#slots.delete(id)) return;
    if (this.#quiet.delete(id)) {
      if (this.#quiet.size === 0) working.delete(this);
    } else {
      this.#stay(-1);
    }
  }

  /** One reason more, or less, for the process to stay. */
  #stay(change: 1 | -1): void {
    const before = this.#reasons;
    this.#reasons += change;
    if (before === 0) {
      busy.add(this);
      this.native.setRef(true);
    } else if (this.#reasons === 0) {
      this.native.setRef(false);
      busy.delete(this);
    }
  }

  /** The native half has rung: outcomes or events wait. */
  rung(): void {
    this.#drain();
    if (this.native.takeEventsFlag()) this.#onEvents();
  }

  #drain(): void {
    for (let size = this.native.drain(); size > 0; size = this.native.drain()) this.#read(size);
    if (this.#kept.size > 0) this.#letGo();
  }

  #read(size: number): void {
    let at = 0;
    while (at < size) {
      const id = this.#numbers[at / 8] ?? 0;
      const word = this.#words[at / 4 + 2] ?? 0;
      this.#flags = word & FLAGS;
      const length = this.#words[at / 4 + 3] ?? 0;
      at += HEAD_BYTES;
      let stamp: Stamp | undefined;
      if (word & HELD) {
        stamp = this.#stampAt(at);
        at = (at + STAMP_BYTES + 4 * stamp.tagWords.length + (this.#words[at / 4 + 8] ?? 0) + 7) & ~7;
      }
      if (isOfBytes(word)) {
        // The mailbox is written to again.
        const inline = () => copied(this.#mailbox.subarray(at, at + length));
        const bytes = word & LARGE ? this.native.takeLargeBytes() : inline();
        const slot = this.#slots.get(id);
        if (slot !== undefined) this.#hand(id, slot, word, outcomeOfBytes(word, bytes), stamp);
      } else {
        const inline = length === 0 ? '' : this.#mailbox.toString('utf8', at, at + length);
        const text = word & LARGE ? this.native.takeLarge() : inline;
        this.#deliver(id, word, text, stamp);
      }
      at = (at + length + 7) & ~7;
    }
  }

  /** What a hit may be held under, as `record.rs` writes it. */
  #stampAt(at: number): Stamp {
    const [number, word] = [at / 8, at / 4];
    const count = 2 * (this.#words[word + 7] ?? 0);
    const names = at + STAMP_BYTES + 4 * count;
    return {
      expiresUs: this.#numbers[number] ?? 0,
      version: this.#numbers[number + 1] ?? 0,
      all: (this.#words[word + 4] ?? 0) | 0,
      word: this.#words[word + 5] ?? 0,
      generation: (this.#words[word + 6] ?? 0) | 0,
      bytes: this.#words[word + 9] ?? 0,
      tagWords: count === 0 ? NONE : Array.from(this.#words.subarray(word + 10, word + 10 + count), (half) => half | 0),
      tags: this.index?.tagsOf(this.#mailbox.toString('utf8', names, names + (this.#words[word + 8] ?? 0))) ?? [],
    };
  }

  #deliver(id: number, flagged: number, text: string, stamp: Stamp | undefined): void {
    const word: Word = flagged & ~FLAGS;
    const slot = this.#slots.get(id);
    if (slot === undefined) {
      // Its caller went away while the answer was on its way.
      if (word === Word.Lease || word === Word.Write || word === Word.Batch) this.native.leave(id);
      return;
    }
    if (word === Word.Batch) {
      this.#end(id, slot, new ItemBatch(id, toldIn(text)));
      return;
    }
    if (word === Word.Lease) {
      const lease = new Lease(this, id, (flagged & HAS_STALE) !== 0);
      // From here on the number is the lease's, until that is settled.
      this.#slots.set(id, lease);
      if (typeof slot === 'function') slot(lease);
      else if (slot instanceof Place) slot.take(lease);
      return;
    }
    if (word === Word.Write) {
      const write = new Write(this, id);
      this.#slots.set(id, write);
      if (typeof slot === 'function') slot(write);
      return;
    }
    const isHost = word === Word.Shared || word === Word.FailedHost;
    const told = isHost ? this.#found(text) : outcomeOf(word, text);
    this.#hand(id, slot, flagged, told, stamp);
  }

  #hand(id: number, slot: Slot, flagged: number, told: Outcome, stamp: Stamp | undefined): void {
    const outcome = stamp === undefined ? told : new Holdable(told as Single, stamp);
    if (flagged & SERVED) this.#serve(id, slot, outcome as Hit);
    else this.#end(id, slot, outcome);
  }

  /** A value, behind which more comes. */
  #serve(id: number, slot: Slot, hit: Hit): void {
    if (typeof slot === 'function') {
      const place = new Place();
      this.#slots.set(id, place);
      slot(new Served(hit, place));
    } else if (slot instanceof Lease) {
      slot.serve(hit);
    }
  }

  #end(id: number, slot: Slot, outcome: Outcome): void {
    if (slot instanceof Write) return;
    if (slot instanceof Lease) {
      // It keeps its number until it is settled.
      if (outcome instanceof Failed || isHit(outcome)) slot.end(outcome);
      return;
    }
    this.#close(id);
    if (typeof slot === 'function') slot(outcome);
    else if (slot instanceof Place) slot.take(null);
    else slot.done(outcome);
  }

  #keep(object: Shared | Failed): number {
    // Numbers are 32 bits wide there; none lives for four billion failures.
    const id = this.#nextObject;
    this.#nextObject = (id + 1) >>> 0;
    this.#kept.set(id, object);
    return id;
  }

  #found(text: string): Shared | Failed {
    return this.#kept.get(Number(text)) ?? new Failed(new Error(`the object ${text} was let go too early`));
  }

  #letGo(): void {
    for (const id of this.native.takeLetGo()) this.#kept.delete(id);
  }
}

const NONE: readonly number[] = [];

/**
 * The native half holds the function that it rings for as long as it lives, and with it the whole scope that the
 * function was made in: here that is nothing but a weak reference, so that a manager which nobody holds is let go.
 */
function open(url: string, options: object, mailbox: Buffer, port: WeakRef<Port>, store?: TestStore): Cache {
  return translated(() => new Cache(url, options, mailbox, () => port.deref()?.rung(), store?.native ?? null));
}
