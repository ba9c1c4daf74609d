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
