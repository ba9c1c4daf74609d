/**
 * Where calls meet their outcomes. Each call has a number and a slot here; the native half rings once per batch, and
 * everything that is ready is read from the mailbox, a buffer that both sides keep (`wake.rs` has its layout).
 */

import { onAbort } from './abort.js';
import { translated } from './errors.js';
import { Lease } from './lease.js';
import { Cache } from './native.js';
import { Failed, LARGE, type Outcome, outcomeOf, Shared, Word } from './outcome.js';

type Slot = ((outcome: Outcome) => void) | Lease;

const MAILBOX_BYTES = 128 * 1024;
const HEAD_BYTES = 16;

// Ports with calls under way: nobody else may hold them, and their callers wait.
const busy = new Set<Port>();

/** One manager's way to its engine. */
export class Port {
  readonly native: Cache;
  readonly #mailbox = Buffer.alloc(MAILBOX_BYTES);
  readonly #numbers = new Float64Array(this.#mailbox.buffer, this.#mailbox.byteOffset, MAILBOX_BYTES / 8);
  readonly #words = new Uint32Array(this.#mailbox.buffer, this.#mailbox.byteOffset, MAILBOX_BYTES / 4);
  readonly #slots = new Map<number, Slot>();
  /** Objects on their way through the engine to other callers. */
  readonly #kept = new Map<number, Shared | Failed>();
  readonly #onEvents: () => void;
  #nextCall = 1;
  #nextObject = 1;

  /** `onEvents` is called when events or faults wait. */
  constructor(url: string, options: object, onEvents: () => void) {
    this.#onEvents = onEvents;
    this.native = open(url, options, this.#mailbox, new WeakRef(this));
  }

  /** Makes a call: `verb` hands its number over. `signal` takes the caller away while it waits. */
  call(verb: (id: number, canCancel: boolean) => boolean, signal?: AbortSignal): Promise<Outcome> {
    if (signal !== undefined) return this.#cancellable(verb, signal);
    return new Promise((resolve) => {
      const id = this.#open(resolve);
      if (verb(id, false)) this.#drain();
    });
  }

  /** Makes `count` calls with numbers in a row. */
  callMany(count: number, verb: (first: number) => boolean): Promise<Outcome[]> {
    const first = this.#nextCall;
    const outcomes = Array.from({ length: count }, () => new Promise<Outcome>((resolve) => this.#open(resolve)));
    if (verb(first)) this.#drain();
    return Promise.all(outcomes);
  }

  fill(id: number, payload: string | null, ttlMs: number | null): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#slots.set(id, resolve);
      if (this.native.fill(id, payload, ttlMs)) this.#drain();
    });
  }

  fail(id: number, error: unknown): void {
    this.native.fail(id, this.#keep(new Failed(error)));
    this.#close(id);
    this.#letGo();
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

  #cancellable(verb: (id: number, canCancel: boolean) => boolean, signal: AbortSignal): Promise<Outcome> {
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
        resolve(outcome);
      });
      if (verb(id, true)) this.#drain();
    });
  }

  #open(slot: Slot): number {
    const id = this.#nextCall++;
    if (this.#slots.size === 0) {
      busy.add(this);
      this.native.setRef(true);
    }
    this.#slots.set(id, slot);
    return id;
  }

  #close(id: number): void {
    if (this.#slots.delete(id) && this.#slots.size === 0) {
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
      const from = at + HEAD_BYTES;
      const to = from + (this.#words[at / 4 + 3] ?? 0);
      const inline = from === to ? '' : this.#mailbox.toString('utf8', from, to);
      const text = word & LARGE ? this.native.takeLarge(id) : inline;
      this.#deliver(id, word & ~LARGE, text);
      at = (to + 7) & ~7;
    }
  }

  #deliver(id: number, word: Word, text: string): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) {
      // Its caller went away while the answer was on its way.
      if (word === Word.Lease) this.native.leave(id);
    } else if (word === Word.Lease && !(slot instanceof Lease)) {
      const lease = new Lease(this, id);
      // From here on the number is the lease's, until that is settled.
      this.#slots.set(id, lease);
      slot(lease);
    } else {
      const outcome = word === Word.Shared || word === Word.FailedHost ? this.#found(text) : outcomeOf(word, text);
      if (!(slot instanceof Lease)) {
        this.#close(id);
        slot(outcome);
      } else if (outcome instanceof Failed) {
        slot.expire(outcome);
      }
    }
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

/**
 * The native half holds the function that it rings for as long as it lives, and with it the whole scope that the
 * function was made in: here that is nothing but a weak reference, so that a manager which nobody holds is let go.
 */
function open(url: string, options: object, mailbox: Buffer, port: WeakRef<Port>): Cache {
  return translated(() => new Cache(url, options, mailbox, () => port.deref()?.rung()));
}
