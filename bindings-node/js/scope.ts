/** What a call inherits from where it was made: the fallbacks that it is inside of, and the blocks without a cache. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from './context.js';
import { ConfigError } from './errors.js';

interface Mark {
  readonly manager: object;
  /** Of a tenant's key its `@tenant:`. */
  readonly scope: string;
  /**
   * The key whose fallback runs here; null for a block in which the manager is disabled, undefined for a fallback that
   * nobody waits for.
   */
  readonly key: string | null | undefined;
  /** That of the fallback, where it has one. */
  readonly context?: Context | undefined;
  readonly outer: Mark | undefined;
  /** The fallback has ended: what it started and left running is inside of nothing any more. */
  isOver: boolean;
}

const marks = new AsyncLocalStorage<Mark | undefined>();

function isMarked(manager: object, scope: string, key: string | null): boolean {
  for (let mark = marks.getStore(); mark !== undefined; mark = mark.outer) {
    if (mark.manager === manager && mark.key === key && mark.scope === scope && !mark.isOver) return true;
  }
  return false;
}

/** Whether this call comes from inside no fallback and no block: then none of the questions below need be asked. */
export function isOutside(): boolean {
  return marks.getStore() === undefined;
}

/** Whether this call comes from inside the fallback of the same key. */
export function leads(manager: object, scope: string, key: string): boolean {
  return isMarked(manager, scope, key);
}

export function isDisabled(manager: object): boolean {
  return isMarked(manager, '', null);
}

/** The same blocks without a cache, inside of no fallback. */
function withoutKeys(mark: Mark | undefined): Mark | undefined {
  if (mark === undefined) return undefined;
  const outer = withoutKeys(mark.outer);
  return mark.key === null && !mark.isOver ? { ...mark, outer } : outer;
}

/**
 * Runs a fallback, and what it awaits, as the one of these keys; `end` is to be called when it has ended. One that runs
 * behind is inside of nothing: no fallback waits for it.
 */
export function leading<T>(
  manager: object,
  scope: string,
  keys: readonly string[],
  run: () => T,
  isBehind: boolean,
  context?: Context,
): { value: T; end: () => void } {
  const outer = isBehind ? withoutKeys(marks.getStore()) : marks.getStore();
  const own: Mark[] = [];
  const end = () => {
    for (const mark of own) mark.isOver = true;
  };
  // One that runs for its caller alone leads no key, and is a fallback all the same.
  const led = keys.length === 0 ? [undefined] : keys;
  for (const key of led) own.push({ manager, scope, key, context, outer: own.at(-1) ?? outer, isOver: false });
  try {
    return { value: marks.run(own.at(-1) ?? outer, run), end };
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * The context of the fallback that runs here: for cached functions, whose arguments are their callers'. Also in what a
 * fallback calls and starts, until it has ended. `ConfigError` outside of one, and in what has none: a `fetchMissing` of
 * `getMany` (it is called for many keys, and a ttl, tags, what stands there are each key's own), and `persist`.
 *
 * ```ts
 * const getUser = cache.wrap(
 *   async (id: number) => {
 *     const row = { id, team: 7 };
 *     currentContext().tags = [key`team:${row.team}`];
 *     return row;
 *   },
 *   { key: (id) => key`user:profile:${id}` },
 * );
 * ```
 */
export function currentContext(): Context {
  let mark = marks.getStore();
  while (mark?.key === null) mark = mark.outer;
  if (mark?.context !== undefined && !mark.isOver) return mark.context;
  throw new ConfigError(
    'currentContext() outside of a fallback: it gives the context of the one that runs here, which a get, a refresh or a ' +
      'cached function has until it ends (a fetchMissing of getMany and persist have none); ' +
      'a right example: call it in the function that cache.wrap is given',
  );
}

/** Runs a block, and what it starts, inside of no fallback and no block. */
export function outside<T>(run: () => T): T {
  return marks.run(undefined, run);
}

/** Runs a block, and what it starts, without the cache. */
export function disabled<T>(manager: object, run: () => T): T {
  return marks.run({ manager, scope: '', key: null, outer: marks.getStore(), isOver: false }, run);
}
