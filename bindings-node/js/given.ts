/** What the manager's calls were given, checked; and what they give. */

import { types } from 'node:util';
import { ConfigError, translated } from './errors.js';
import { Failed } from './hit.js';
import { checkKeyText, shown } from './key.js';
import { checkBatch, durationMs } from './native.js';
import { type CloseOptions, checkOptions, type Duration, type InvalidateOptions } from './options.js';
import type { Outcome } from './outcome.js';

const TIMEOUT_MS = 30_000;

/** Whether the store confirmed them all; throws the first that failed. */
export function confirmed(outcomes: readonly Outcome[]): boolean {
  for (const outcome of outcomes) {
    if (outcome instanceof Failed) throw outcome.error;
  }
  return outcomes.every((outcome) => outcome === true);
}

export function isRequired(options: InvalidateOptions | undefined, verb?: string, what = 'key'): boolean {
  if (verb !== undefined && typeof options === 'string') {
    throw new ConfigError(
      `options=${shown(options)} is not an object; several ${what}s are a list; a right example: cache.${verb}([${what}1, ${what}2])`,
    );
  }
  checkOptions(options, ['required']);
  const required: unknown = options?.required ?? false;
  if (typeof required === 'boolean') return required;
  throw new ConfigError(`required=${shown(required)} is neither true nor false; a right example: { required: true }`);
}

/** How long the end of something may take, in ms. */
export function timeoutOf(options: CloseOptions | undefined): number {
  return timeoutGiven(options) ?? TIMEOUT_MS;
}

/** The timeout that was asked for, in ms. */
export function timeoutGiven(options: { timeout?: Duration | undefined } | undefined): number | undefined {
  checkOptions(options, ['timeout']);
  const timeout = options?.timeout;
  return timeout === undefined ? undefined : translated(() => durationMs('timeout', timeout));
}

export function checkFallback(fallback: unknown, verb: string): void {
  if (typeof fallback === 'function') return;
  throw new ConfigError(
    `fallback=${shown(fallback)} is not callable; a right example: cache.${verb}('user:profile:42', fetch)`,
  );
}

export function checkFetch(fetchMissing: unknown, example = 'cache.getMany([key1, key2], fetch)'): void {
  if (typeof fetchMissing === 'function') return;
  throw new ConfigError(
    `fetchMissing=${shown(fetchMissing)} is not a function; it takes an array of keys and gives a Map or an object; ` +
      `a right example: ${example}`,
  );
}

/** Keys with their values. */
export function pairsOf(
  values: unknown,
  example = 'cache.setMany({ [key1]: value1 })',
  what = 'values',
): [string, unknown][] {
  // A list, or a Set, has no names; a Map may be of another realm.
  const isMap = types.isMap(values);
  if (typeof values !== 'object' || values === null || (!isMap && Symbol.iterator in values)) {
    throw new ConfigError(`${what}=${shown(values)} is neither a Map nor an object; a right example: ${example}`);
  }
  const pairs = isMap ? [...values] : Object.entries(values);
  checkCount('values', pairs);
  for (const [key] of pairs) checkKeyText(key);
  return pairs as [string, unknown][];
}

/** One name or many, as an array. */
export function listOf(keys: string | Iterable<string>, example: string, what = 'key'): string[] {
  if (typeof keys !== 'string' && typeof keys?.[Symbol.iterator] !== 'function') {
    throw new ConfigError(
      `${what}s=${shown(keys)} is neither a ${what} nor a list of ${what}s; a right example: cache.${example}`,
    );
  }
  const list = typeof keys === 'string' ? [keys] : [...keys];
  checkCount(`${what}s`, list);
  list.forEach(checkKeyText);
  return list;
}

/** Refuses more than one call takes. */
function checkCount(name: string, list: readonly unknown[]): void {
  translated(() => checkBatch(name, list.length));
}

export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');
}
