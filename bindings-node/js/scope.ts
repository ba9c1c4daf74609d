/** What a call inherits from where it was made: the fallbacks that it is inside of, and the blocks without a cache. */

import { AsyncLocalStorage } from 'node:async_hooks';

interface Mark {
  readonly manager: object;
  /** The key whose fallback runs here; null for a block in which the manager is disabled. */
  readonly key: string | null;
  readonly outer: Mark | undefined;
}

const marks = new AsyncLocalStorage<Mark | undefined>();

function isMarked(manager: object, key: string | null): boolean {
  for (let mark = marks.getStore(); mark !== undefined; mark = mark.outer) {
    if (mark.manager === manager && mark.key === key) return true;
  }
  return false;
}

/** Whether this call comes from inside the fallback of the same key. */
export function leads(manager: object, key: string): boolean {
  return isMarked(manager, key);
}

export function isDisabled(manager: object): boolean {
  return isMarked(manager, null);
}

/** Runs a fallback, and what it starts, as the one of these keys. */
export function leading<T>(manager: object, keys: readonly string[], run: () => T): T {
  let mark = marks.getStore();
  for (const key of keys) mark = { manager, key, outer: mark };
  return marks.run(mark, run);
}

/** Runs a block, and what it starts, without the cache. */
export function disabled<T>(manager: object, run: () => T): T {
  return marks.run({ manager, key: null, outer: marks.getStore() }, run);
}
