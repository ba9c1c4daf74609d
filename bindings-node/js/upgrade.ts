/** Entries of an older version of the service, taken over: the functions that make the new value of the old one. */

import type { Awaitable } from './awaitable.js';
import { ConfigError } from './errors.js';
import { valueIn } from './hit.js';
import { shown } from './key.js';
import type { Lease } from './lease.js';
import type { Cache } from './native.js';
import type { Upgrade } from './options.js';

const RIGHT = 'a right example: { version: 2, upgrade: { 1: renameFields } }';

/** The functions of one manager, each by the version whose values it takes. */
export class Upgrades {
  readonly #functions = new Map<number, Upgrade>();

  constructor(given: unknown) {
    if (given === undefined || given === null) return;
    if (typeof given !== 'object' || Array.isArray(given)) {
      throw new ConfigError(`upgrade=${shown(given)} is no object of functions; ${RIGHT}`);
    }
    for (const [name, step] of Object.entries(given)) {
      const version = Number(name);
      if (!Number.isSafeInteger(version))
        throw new ConfigError(`upgrade has ${shown(name)}, which is no version; ${RIGHT}`);
      if (typeof step !== 'function') throw new ConfigError(`upgrade[${name}]=${shown(step)} is no function; ${RIGHT}`);
      this.#functions.set(version, step as Upgrade);
    }
  }

  get versions(): number[] {
    return [...this.#functions.keys()];
  }

  /** What is run under a lease: the functions, where an older version holds something, else `run`. */
  over<T>(native: Cache, key: string, lease: Lease, run: () => Awaitable<T>): () => Awaitable<T | unknown> {
    const older = this.#functions.size === 0 ? undefined : lease.older();
    if (older === undefined) return run;
    return async () => {
      try {
        let value = valueIn(older.hit);
        // A null is a null in every version.
        if (value !== null) {
          for (let at = older.version; ; at++) {
            const step = this.#functions.get(at);
            if (step === undefined) break;
            value = await step(value);
          }
        }
        lease.useOlder();
        return value;
      } catch (error) {
        const message = `what version ${older.version} holds at ${JSON.stringify(key)} is not taken over: ${error}`;
        native.report(key, 'upgrade', message, null);
        return run();
      }
    };
  }

  /** The same for a `fetchMissing`, which is called for what no older version holds. */
  overMany(
    native: Cache,
    leases: readonly (readonly [string, Lease])[],
    keys: readonly string[],
    fetch: (keys: string[]) => Awaitable<ReadonlyMap<string, unknown>>,
  ): () => Awaitable<ReadonlyMap<string, unknown>> {
    const held = this.#functions.size === 0 ? [] : leases.filter(([, lease]) => lease.older() !== undefined);
    if (held.length === 0) return () => fetch([...keys]);
    return async () => {
      const found = new Map<string, unknown>();
      for (const [key, lease] of held) {
        const value = await this.over(native, key, lease, () => NOTHING)();
        if (value !== NOTHING) found.set(key, value);
      }
      const rest = keys.filter((key) => !found.has(key));
      const more = rest.length > 0 ? await fetch(rest) : [];
      return new Map([...more, ...found]);
    };
  }
}

const NOTHING = Symbol('nothing');
