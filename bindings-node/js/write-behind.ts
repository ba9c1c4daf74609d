/** Write-behind: a put is durable in a queue, and a sink of some process's is given the writes later, in batches. */

import type { Awaitable } from './awaitable.js';
import type { Coder } from './codec.js';
import { ConfigError, translated } from './errors.js';
import { encoded, type Flow } from './flow.js';
import { timeoutOf } from './given.js';
import { Failed } from './hit.js';
import { checkKeyText, shown } from './key.js';
import type { Behind } from './native.js';
import {
  type BehindOptions,
  type CloseOptions,
  checkOptions,
  type DeadLetter,
  type FlushOptions,
  type LettersOptions,
  type PutOptions,
} from './options.js';
import { ItemBatch, type Letter, type Letters, type Outcome } from './outcome.js';
import type { Port } from './port.js';
import type { MaybeSchema } from './schema.js';
import { outside } from './scope.js';
import type { View } from './terms.js';
import { looksOtherwise, warnIfUntyped } from './untyped.js';

/** One write, as a sink is given it. */
export interface WriteItem<T = unknown> {
  /** What it was put under. */
  readonly key: string;
  /** What was put. */
  readonly value: T;
  /** `ms-sequence`. It only grows: a later write of a key has a larger one. Compare by `order`, not as text. */
  readonly id: string;
  /** The two numbers of the id, which compare as the writes came: what a row keeps, to refuse an older write. */
  readonly order: readonly [ms: number, sequence: number];
  /** 1 the first time. */
  readonly attempt: number;
}

/**
 * Writes a batch to the database. It gives nothing when all is done, or the ids of those that failed; what it throws is a
 * failure of all.
 */
export type Sink<T = unknown> =
  | ((items: WriteItem<T>[]) => Awaitable<Iterable<string> | null | undefined>)
  | ((items: WriteItem<T>[]) => Awaitable<void>);

const BEHIND_OPTIONS = [
  'batch',
  'maxDelay',
  'maxPending',
  'maxAttempts',
  'partitions',
  'coalesce',
  'schema',
] as const satisfies readonly (keyof BehindOptions)[];
const PUT_OPTIONS = ['ttl', 'operationId'] as const satisfies readonly (keyof PutOptions)[];
const LIMIT = 100;
const LIMIT_MAX = 10_000;

/** A queue of writes. Made by `CacheManager.writeBehind`; with a schema `T` is what that takes. */
export class WriteBehind<T = unknown> {
  readonly #flow: Flow;
  readonly #view: View;
  readonly #name: string;
  readonly #sink: Sink | null;
  readonly #coder: Coder;
  readonly #native: Behind;

  /** @internal */
  constructor(
    flow: Flow,
    view: View,
    name: string,
    sink: Sink | null | undefined,
    options: BehindOptions<MaybeSchema> = {},
  ) {
    if (typeof name !== 'string') {
      throw new ConfigError(`name=${shown(name)} is not a text; a right example: cache.writeBehind('counters', save)`);
    }
    checkKeyText(name);
    if (sink !== null && sink !== undefined && typeof sink !== 'function') {
      throw new ConfigError(
        `sink=${shown(sink)} is not callable; it takes an array of writes, or is null in a process that only puts; ` +
          "a right example: cache.writeBehind('counters', save)",
      );
    }
    checkOptions(options, BEHIND_OPTIONS);
    const { schema, ...rest } = options;
    this.#flow = flow;
    this.#view = view;
    this.#name = name;
    this.#sink = sink ?? null;
    this.#coder = view.lookingUp({ schema }).coder;
    this.#native = translated(() => flow.port.native.behind(name, view.plain.terms, rest, this.#sink !== null));
    // Whatever fallback this is called in: nobody in there waits for the work.
    outside(() => this.#native.feeds.forEach((feed) => void this.#work(feed)));
  }

  get #port(): Port {
    return this.#flow.port;
  }

  /**
   * Puts a write: durable in the queue, and the value set for readers, when this resolves. Gives the write's id.
   *
   * Within five minutes a second put of the same `operationId` and key does nothing and is answered as the first was.
   * `QueueFull` with `maxPending` writes pending; `StoreUnavailable` when the store does not confirm (it may have taken the
   * write all the same: an `operationId` makes a second try safe); `EncodeError`; `ValueTooLarge`; `ConfigError` for a server
   * that would drop a queue when its memory is short.
   */
  async put(key: string, value: T, options?: PutOptions): Promise<string> {
    checkKeyText(key);
    checkOptions(options, PUT_OPTIONS);
    const { ttl, operationId } = options ?? {};
    if (operationId !== undefined && typeof operationId !== 'string') {
      throw new ConfigError(
        `operationId=${shown(operationId)} is not a text; it names what is put, so that a second put of it does nothing; ` +
          "a right example: { operationId: 'order-1234' }",
      );
    }
    const { terms, coder } = this.#view.write(ttl === undefined ? undefined : { ttl });
    const payload = encoded(key, value, coder);
    // Elsewhere is the sink that a queue without one puts for, with a schema of its own.
    if (this.#sink !== null && looksOtherwise(value)) {
      warnIfUntyped(this.#port, key, value, coder.encode(value), this.#coder);
    }
    const { native } = this.#port;
    const put = (id: number) => native.put(id, this.#native, key, payload, coder.codec, operationId ?? null, terms);
    return taken<string>(await this.#port.call(put));
  }

  /**
   * Waits until everything that is pending now has been dealt with, by this process or another, or was set aside.
   *
   * False: not within `timeout`. What waits only for its batch to fill does not wait any longer.
   */
  async flush(options?: FlushOptions): Promise<boolean> {
    const timeout = timeoutOf(options);
    return taken<boolean>(await this.#port.call((id) => this.#port.native.flush(id, this.#native, timeout)));
  }

  /** How many writes are pending, as last heard from the store: by a put, by the work on the queue, by a flush. */
  get pending(): number {
    return this.#native.pending;
  }

  /** What was set aside since it failed again and again. */
  get deadLetters(): DeadLetters<T> {
    return new DeadLetters<T>(this.#flow, this.#native, this.#view.plain.coder);
  }

  /**
   * Deals with what is pending now, for up to `timeout`, then stops the work; another process takes over at once. True: all
   * of it was dealt with, or this process does not work on the queue.
   *
   * Puts reject with `ClosedError` from now on. The manager's `close` does this for all of its queues.
   */
  async close(options?: CloseOptions): Promise<boolean> {
    const timeout = timeoutOf(options);
    this.#native.shut();
    const port = this.#port;
    const ends = this.#native.feeds.map((feed) => port.call((id) => port.native.feedClose(id, feed, timeout)));
    return (await Promise.all(ends)).every((clean) => clean === true);
  }

  /** Feeds the sink, until nothing comes any more. A batch in the sink keeps the process, waiting for one does not. */
  async #work(feed: number): Promise<void> {
    const port = this.#port;
    while (true) {
      const batch = await port.quietly((id) => port.native.feedNext(id, feed));
      if (!(batch instanceof ItemBatch)) return;
      await port.during(async () => {
        const failed = await this.#sunk(batch);
        await port.call((id) => port.native.settleBatch(id, batch.given, failed));
      });
    }
  }

  /** The ids that are to be handed out again; null is all of them. */
  async #sunk(batch: ItemBatch): Promise<string[] | null> {
    const items: WriteItem[] = [];
    const unread: string[] = [];
    for (const { id, key, attempt, payload } of batch.items) {
      const read = await this.#flow.read(key ?? '', payload, this.#coder);
      if (read === undefined) unread.push(id);
      else items.push({ key: key ?? '', value: read.value, id, order: orderOf(id), attempt });
    }
    try {
      if (items.length === 0 || this.#sink === null) return unread;
      const sunk: unknown = this.#sink(items);
      return [...unread, ...this.#named(items, await sunk)];
    } catch (error) {
      const why = error instanceof Error ? `${error.name}: ${error.message}` : shown(error);
      // One that fails alone is named: it may be the one that is set aside in the end.
      const alone = items.length === 1 ? items[0]?.key : undefined;
      const writes = items.length === 1 ? '1 write' : `${items.length} writes`;
      const message = `the sink of the queue ${shown(this.#name)} failed on ${writes}: ${why}`;
      this.#port.native.report(alone ?? '', 'sink', message, this.#view.plain.terms);
      return null;
    }
  }

  #named(items: readonly WriteItem[], given: unknown): string[] {
    if (given === null || given === undefined) return [];
    const known = new Set(items.map((item) => item.id));
    const named = typeof given === 'string' ? [given] : isIterable(given) ? [...given] : [undefined];
    if (named.every((one): one is string => typeof one === 'string' && known.has(one))) return named;
    throw new ConfigError(
      `the sink of ${shown(this.#name)} gave ${shown(given)}: it gives nothing when all is done, or the ids of the writes ` +
        'that failed; a right example: return failed.map((item) => item.id)',
    );
  }
}

/** What was set aside of a queue. */
export class DeadLetters<T = unknown> {
  readonly #flow: Flow;
  readonly #native: Behind;
  readonly #coder: Coder;

  /** `coder` is one that gives what is stored. @internal */
  constructor(flow: Flow, native: Behind, coder: Coder) {
    this.#flow = flow;
    this.#native = native;
    this.#coder = coder;
  }

  /** The oldest of them, the oldest first; `StoreUnavailable`. */
  async list(options?: LettersOptions): Promise<DeadLetter<T>[]> {
    checkOptions(options, ['limit']);
    const limit = options?.limit ?? LIMIT;
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
      throw new ConfigError(
        `limit=${shown(limit)} is not accepted: limit takes a whole number from 1 to ${LIMIT_MAX}; ` +
          'a right example: { limit: 100 }',
      );
    }
    const { port } = this.#flow;
    const letters = await port.call((id) => port.native.letters(id, this.#native, limit));
    return Promise.all(taken<Letters>(letters).list.map((letter) => this.#seen(letter)));
  }

  /** Puts one, or without an id all, at the end of the queue again, under the id that the sink knows: how many. */
  retry(id?: string): Promise<number> {
    return this.#act(false, id);
  }

  /** Forgets one, or without an id all: how many. */
  drop(id?: string): Promise<number> {
    return this.#act(true, id);
  }

  async #act(drops: boolean, which: string | undefined): Promise<number> {
    if (which !== undefined) checkKeyText(which);
    const { port } = this.#flow;
    return taken<number>(await port.call((id) => port.native.actOnLetters(id, this.#native, drops, which ?? null)));
  }

  async #seen({ payload, ...letter }: Letter): Promise<DeadLetter<T>> {
    const read = await this.#flow.read(letter.key, payload, this.#coder);
    return { ...letter, value: (read?.value ?? null) as T };
  }
}

/** The two numbers of an id. */
function orderOf(id: string): [number, number] {
  const at = id.indexOf('-');
  return [Number(id.slice(0, at)), Number(id.slice(at + 1))];
}

function isIterable(given: unknown): given is Iterable<string> {
  return typeof (given as Partial<Iterable<string>>)[Symbol.iterator] === 'function';
}

/** The outcome of a call, or what it failed with, thrown. */
function taken<T>(outcome: Outcome): T {
  if (outcome instanceof Failed) throw outcome.error;
  return outcome as T;
}
