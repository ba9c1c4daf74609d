/** What the manager's calls were given, checked; and what they give. */

import { ConfigError } from './errors.js';
import { checkKeyText, shown } from './key.js';
import type { InvalidateOptions } from './options.js';
import { Failed, type Outcome } from './outcome.js';

/** Whether the store confirmed them all; throws the first that failed. */
export function confirmed(outcomes: readonly Outcome[]): boolean {
  for (const outcome of outcomes) {
    if (outcome instanceof Failed) throw outcome.error;
  }
  return outcomes.every((outcome) => outcome === true);
}

export function isRequired(options: InvalidateOptions | undefined): boolean {
  const required: unknown = options?.required ?? false;
  if (typeof required === 'boolean') return required;
  throw new ConfigError(`required=${shown(required)} is neither true nor false; a right example: { required: true }`);
}

export function checkFallback(fallback: unknown, verb: string): void {
  if (typeof fallback === 'function') return;
  throw new ConfigError(
    `fallback=${shown(fallback)} is not callable; a right example: cache.${verb}('user:profile:42', fetch)`,
  );
}

/** One name or many, as an array. */
export function listOf(keys: string | Iterable<string>, example: string, what = 'key'): string[] {
  if (typeof keys !== 'string' && typeof keys?.[Symbol.iterator] !== 'function') {
    throw new ConfigError(
      `${what}s=${shown(keys)} is neither a ${what} nor a list of ${what}s; a right example: cache.${example}`,
    );
  }
  const list = typeof keys === 'string' ? [keys] : [...keys];
  list.forEach(checkKeyText);
  return list;
}

export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');
}
