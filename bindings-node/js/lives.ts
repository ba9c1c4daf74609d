/** How long entries live, by their options: for whoever tells HTTP clients of it. The engine reads them by itself. */

import { translated } from './errors.js';
import { durationMs } from './native.js';
import type { Duration } from './options.js';

/** In milliseconds. */
export interface Lives {
  readonly ttl: number;
  readonly staleWhileRevalidate: number;
}

type Given = { readonly [K in keyof Lives]?: Duration | undefined };

/** The engine's defaults. */
export const LIVES: Lives = { ttl: 300_000, staleWhileRevalidate: 0 };

/** What is said, else what was said before. */
export function livesOf(before: Lives, given: Given): Lives {
  const lives: Record<string, number> = { ...before };
  for (const name of Object.keys(LIVES) as (keyof Lives)[]) {
    const said = given[name];
    if (said !== undefined && said !== null) lives[name] = translated(() => durationMs(name, said));
  }
  return lives as unknown as Lives;
}

const known = new WeakMap<object, Lives>();

/** Has a manager, or a view of one, known by how long its entries live. */
export function knowLives(manager: object, lives: Lives): void {
  known.set(manager, lives);
}

/** How long the entry of a call lives. */
export function livesIn(manager: object, given: Given): Lives {
  return livesOf(known.get(manager) ?? LIVES, given);
}
