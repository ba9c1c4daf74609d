/** The events that a service has set aside. */

import { checkName, wholeFrom1 } from './domain.js';
import { Failed, valueIn } from './hit.js';
import { limits } from './native.js';
import { checkOptions, type DeadEvent } from './options.js';
import { DeadEvents, type Outcome } from './outcome.js';
import type { Port } from './port.js';

const LIMIT = 100;
// No more are kept, about.
const ALL = limits().deadEvents;

/** The events of one name that this service has set aside. */
export class EventDeadLetters<T = unknown> {
  readonly #port: Port;
  readonly #name: string;

  /** @internal */
  constructor(port: Port, name: string) {
    checkName('event', name);
    this.#port = port;
    this.#name = name;
  }

  /** The oldest of them (100), the oldest first; `StoreUnavailable`. */
  async list(options?: { limit?: number | undefined }): Promise<DeadEvent<T>[]> {
    checkOptions(options, ['limit']);
    const limit = wholeFrom1('limit', options?.limit ?? LIMIT, '100');
    const outcome = taken(await this.#port.call((id) => this.#port.native.eventLetters(id, this.#name, limit)));
    const records = outcome instanceof DeadEvents ? outcome.records : [];
    return records.map(({ payload, ...event }) => ({ ...event, data: read(() => valueIn(payload) as T) }));
  }

  /** Has one, or without an id all, handled again, by this service alone and as new events: how many. */
  retry(id?: string): Promise<number> {
    return this.#take(id, true);
  }

  /** Forgets one, or without an id all: how many. */
  drop(id?: string): Promise<number> {
    return this.#take(id, false);
  }

  async #take(which: string | undefined, again: boolean): Promise<number> {
    const ids = which === undefined ? (await this.list({ limit: ALL })).map((event) => event.id) : [String(which)];
    const { native } = this.#port;
    const take = (letter: string) => this.#port.call((id) => native.takeEventLetter(id, this.#name, letter, again));
    const outcomes = await Promise.all(ids.map(take));
    return outcomes.filter((outcome) => taken(outcome) === true).length;
  }
}

function read<T>(value: () => T): T | null {
  try {
    return value();
  } catch {
    // That may be why it is here.
    return null;
  }
}

function taken(outcome: Outcome): Outcome {
  if (outcome instanceof Failed) throw outcome.error;
  return outcome;
}
