/** Domain events: publishing, and handlers that name what is to be invalidated. */

import type { Awaitable } from './awaitable.js';
import { ConfigError, EncodeError, translated } from './errors.js';
import { timeoutGiven, timeoutOf } from './given.js';
import { Failed, valueIn } from './hit.js';
import { toJson } from './json.js';
import { checkKeyText, escaped, isTemplate, type KeyPart, key, shown } from './key.js';
import { checkLabel, limits, positiveMs, type Terms } from './native.js';
import { type CloseOptions, checkOptions, type Duration, type StartedOptions } from './options.js';
import { type Item, ItemBatch } from './outcome.js';
import { BigText, Unencodable } from './payload.js';
import type { Port } from './port.js';
import { leading } from './scope.js';

const PUBLISH_OPTIONS = ['maxLen', 'operationId'] as const satisfies readonly (keyof PublishOptions)[];
const HANDLER_OPTIONS = ['onGap', 'maxAttempts', 'redeliverAfter'] as const satisfies readonly (keyof EventOptions)[];
const { eventsKept, eventAttempts, eventRedeliverMs } = limits();
const RIGHT = "cache.onEvent('user.updated', (e) => [key`user:profile:${e.id}`, tag`user:${e.id}`])";

/** The name of a tag, told apart from a key by its type. */
export class Tag {
  constructor(
    /** As it was written, with its parts escaped. */
    readonly name: string,
  ) {}

  /** The name. */
  toString(): string {
    return this.name;
  }
}

/**
 * A tag, for what a handler of events gives: a template whose parts are escaped as `key` does, or one text as it is.
 *
 * ```ts
 * tag`user:${42}`.name;          // 'user:42'
 * tag('file', 'a:b').name;       // 'file:a%3Ab'
 * ```
 */
export function tag(...parts: readonly KeyPart[]): Tag;
export function tag(texts: TemplateStringsArray, ...parts: readonly KeyPart[]): Tag;
export function tag(first?: TemplateStringsArray | KeyPart, ...rest: readonly KeyPart[]): Tag {
  let name: string;
  if (isTemplate(first)) {
    name = first[0] ?? '';
    for (const [at, part] of rest.entries()) name += escaped(part, at) + (first[at + 1] ?? '');
  } else if (typeof first === 'string' && rest.length === 0) {
    name = first;
  } else {
    name = key('tag', ...(first === undefined ? [] : [first]), ...rest).slice('tag:'.length);
  }
  checkName('tag', name);
  return new Tag(name);
}

/** What is to be invalidated: keys (texts) and tags, one or many, or nothing. */
export type Named = string | Tag | Iterable<string | Tag> | null | undefined;

/** What is known of an event besides its data. */
export interface EventDetails {
  /** In its stream; it only grows. */
  readonly id: string;
  /** What it was published under. */
  readonly name: string;
  /** By the server's clock, in ms since the epoch. */
  readonly publishedAt: number;
  /** How often a process of this service has been given it, this time included. */
  readonly attempt: number;
  /** Whose manager published it. */
  readonly service: string;
}

// A handler that gives nothing may be one that says nothing of what it gives.
/** What is done with an event: it gives what is to be invalidated, or nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: as TypeScript has it for functions without a return
export type EventHandler<T> = (data: T, details: EventDetails) => Awaitable<Named | void>;

/** What `onEvent` takes. */
export interface EventOptions {
  /** Called when events are gone that the service had not read, with how many (0: nobody knows). */
  // biome-ignore lint/suspicious/noConfusingVoidType: as above
  onGap?: ((missed: number) => Awaitable<Named | void>) | undefined;
  /** An event that has been handed out so often is set aside when it fails again (10). */
  maxAttempts?: number | undefined;
  /** What a process held that is silent for so long goes to another (30 s). */
  redeliverAfter?: Duration | undefined;
}

/** What `publishEvent` takes. */
export interface PublishOptions {
  /** About so many events are kept (100,000). */
  maxLen?: number | undefined;
  /** Within ten minutes a second event of this service with the same id is the first one. */
  operationId?: string | undefined;
}

/** Publishes an event; its id once the store has it. */
export async function publish(port: Port, name: string, data: unknown, options?: PublishOptions): Promise<string> {
  checkOptions(options, PUBLISH_OPTIONS);
  checkName('event', name);
  const maxLen = wholeFrom1('maxLen', options?.maxLen ?? eventsKept, '100_000');
  const operationId: unknown = options?.operationId ?? null;
  if (operationId !== null && typeof operationId !== 'string') {
    throw new ConfigError(`operationId=${shown(operationId)} is not a text; a right example: { operationId: row.id }`);
  }
  const payload = payloadOf(name, data);
  const outcome = await port.call((id) => port.native.publishEvent(id, name, payload, maxLen, operationId));
  if (outcome instanceof Failed) throw outcome.error;
  return outcome as string;
}

function payloadOf(name: string, data: unknown): string | null {
  try {
    const payload = toJson(data);
    return payload instanceof BigText ? payload.text : payload;
  } catch (error) {
    if (!(error instanceof Unencodable)) throw error;
    throw new EncodeError(`the data of event ${shown(name)} is not published: ${error.message}`, { cause: error });
  }
}

/** A handler of domain events at work. It keeps no process alive while it waits, and a manager for as long as it works. */
export class Subscription {
  /** What is handled. */
  readonly name: string;
  readonly #port: Port;
  readonly #handler: EventHandler<never>;
  readonly #onGap: EventOptions['onGap'];
  readonly #feed: number;

  /** @internal */
  constructor(
    port: Port,
    view: Terms | null,
    name: string,
    handler: EventHandler<never>,
    options: EventOptions | undefined,
  ) {
    checkOptions(options, HANDLER_OPTIONS);
    checkFunction('handler', handler, RIGHT);
    const { onGap, redeliverAfter } = options ?? {};
    if (onGap !== undefined) checkFunction('onGap', onGap, "{ onGap: () => tag('users') }");
    const attempts = wholeFrom1('maxAttempts', options?.maxAttempts ?? eventAttempts, '10');
    const silence = translated(() => positiveMs('redeliverAfter', redeliverAfter ?? eventRedeliverMs));
    checkName('event', name);
    this.name = name;
    this.#port = port;
    this.#handler = handler;
    this.#onGap = onGap;
    this.#feed = translated(() => port.native.subscribe(name, attempts, silence, onGap !== undefined, view));
    // In the context of its beginning, but inside of no fallback that may run here.
    void leading(port, '', [], () => this.#run(), true);
  }

  async #run(): Promise<void> {
    for (;;) {
      const batch = await this.#port.quietly((id) => this.#port.native.feedNext(id, this.#feed));
      if (!(batch instanceof ItemBatch)) return;
      const [item] = batch.items;
      await this.#port.during(async () => {
        const { keys, tags, error } = await this.#handled(item);
        await this.#port.call((id) => this.#port.native.settleEvent(id, batch.given, keys, tags, error));
      });
    }
  }

  async #handled(item: Item | undefined): Promise<{ keys: string[]; tags: string[]; error: string | null }> {
    try {
      return { ...sorted(item === undefined ? null : await this.#call(item)), error: null };
    } catch (error) {
      return { keys: [], tags: [], error: error instanceof Error ? `${error.name}: ${error.message}` : shown(error) };
    }
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: as a handler gives it
  #call({ id, topic, publishedAt, attempt, service, isGap, payload }: Item): Awaitable<Named | void> {
    if (isGap) return this.#onGap?.(Number(payload));
    const details = { id, name: topic ?? '', publishedAt, attempt, service: service ?? '' };
    return this.#handler(valueIn(payload) as never, details);
  }

  /**
   * Waits until the service's group is there: what is published from then on is for it, here or elsewhere. That is for as
   * long as the store is away, or for `timeout`: a service that has to start without it handles all the same. False when the
   * time was over, or the subscription ended, before that.
   */
  async started(options?: StartedOptions): Promise<boolean> {
    const patience = timeoutGiven(options);
    return (await this.#port.call((id) => this.#port.native.subscriptionStarted(id, this.#feed, patience))) === true;
  }

  /**
   * Ends it: an event that is being handled is finished, for up to `timeout` (30 s); others are given the rest. True: all
   * that had begun has ended. To be awaited outside of its own handler.
   */
  async close(options?: CloseOptions): Promise<boolean> {
    const patience = timeoutOf(options);
    return (await this.#port.call((id) => this.#port.native.feedClose(id, this.#feed, patience))) === true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Keys and tags. */
function sorted(named: unknown): { keys: string[]; tags: string[] } {
  const found: { keys: string[]; tags: string[] } = { keys: [], tags: [] };
  if (named === null || named === undefined) return found;
  const isOne = typeof named === 'string' || named instanceof Tag;
  if (!isOne && typeof (named as Iterable<unknown>)[Symbol.iterator] !== 'function') {
    throw new TypeError(`the handler gave ${shown(named)}; it gives keys, tags, or nothing; a right example: ${RIGHT}`);
  }
  for (const one of isOne ? [named] : (named as Iterable<unknown>)) {
    if (one instanceof Tag) found.tags.push(one.name);
    else if (typeof one === 'string') found.keys.push(one);
    else throw new TypeError(`the handler named ${shown(one)}, which is no key and no tag; a right example: ${RIGHT}`);
  }
  return found;
}

/** Refuses what is no name of a `tag` or an `event`. @internal */
export function checkName(what: string, name: unknown): void {
  if (typeof name !== 'string') {
    throw new ConfigError(`${what}=${shown(name)} is not a text; a right example: ${RIGHT}`);
  }
  checkKeyText(name);
  translated(() => checkLabel(what, name));
}

function checkFunction(name: string, given: unknown, example: string): void {
  if (typeof given === 'function') return;
  throw new ConfigError(`${name}=${shown(given)} is not callable; a right example: ${example}`);
}

/** @internal */
export function wholeFrom1(name: string, given: unknown, example: string): number {
  if (typeof given === 'number' && Number.isSafeInteger(given) && given > 0) return given;
  throw new ConfigError(`${name}=${shown(given)} is no whole number from 1; a right example: { ${name}: ${example} }`);
}
