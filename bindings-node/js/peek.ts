/** Reads without a fallback. */

import { types } from 'node:util';
import { throwIfAborted } from './abort.js';
import { ConfigError } from './errors.js';
import type { Flow } from './flow.js';
import { Failed, Opened } from './hit.js';
import { checkKeyText, shown } from './key.js';
import { NOT_HELD } from './l1.js';
import { type AnyDefaultOptions, checkOptions, type Entry, type EntryOptions } from './options.js';
import { ABSENT, Detailed, type Outcome } from './outcome.js';
import type { MaybeSchema } from './schema.js';
import { isDisabled } from './scope.js';
import type { Call, View } from './terms.js';

const ENTRY_OPTIONS = ['schema'] as const;
const DEFAULT_OPTIONS = ['default', 'schema', 'signal'] as const;

export async function getOrDefault(flow: Flow, key: string, view: View, options: AnyDefaultOptions): Promise<unknown> {
  const isObject = typeof options === 'object' && options !== null;
  if (isObject) checkOptions(options, DEFAULT_OPTIONS);
  if (!isObject || !('default' in options)) {
    throw new ConfigError(
      `get(${shown(key)}) has neither a fallback nor a default${types.isPromise(options) ? `, but ${shown(options)}` : ''}; ` +
        'a right example: ' +
        "cache.get('user:profile:42', fetch), or cache.get('user:profile:42', { default: null })",
    );
  }
  return peekOr(flow, key, view.lookingUp(options), options.default);
}

/** The cached value, or `absent`. */
export async function peekOr(flow: Flow, key: string, call: Call, absent: unknown): Promise<unknown> {
  checkKeyText(key);
  throwIfAborted(call.signal);
  if (isDisabled(flow.port)) return absent;
  const held = flow.held(key, call.tags);
  const { coder } = call;
  if (held !== NOT_HELD && coder.decode === undefined) return held;
  const outcome = held === NOT_HELD ? await peeked(flow, key, false, call) : new Opened(held);
  if (outcome === ABSENT) return absent;
  const read = await flow.read(key, outcome, coder);
  return read === undefined ? absent : read.value;
}

/** The store's own entry, with all that is known of it; null for none, or none that can be read. */
export async function entryOf(
  flow: Flow,
  key: string,
  view: View,
  options: EntryOptions<MaybeSchema>,
): Promise<Entry<unknown> | null> {
  checkOptions(options, ENTRY_OPTIONS);
  const call = view.lookingUp(options);
  const found = await peekEntry(flow, key, call);
  const read = found === null ? undefined : await flow.read(key, found.payload, call.coder);
  if (found === null || read === undefined) return null;
  return { value: read.value, ...found.known };
}

/** The store's own entry; null for none. */
export async function peekEntry(flow: Flow, key: string, plain: Call): Promise<Detailed | null> {
  checkKeyText(key);
  if (isDisabled(flow.port)) return null;
  const outcome = await peeked(flow, key, true, plain);
  return outcome instanceof Detailed ? outcome : null;
}

async function peeked({ port, native }: Flow, key: string, required: boolean, call: Call): Promise<Outcome> {
  const { terms, signal } = call;
  const outcome = await port.call((id, canCancel) => native.peek(id, key, terms, required, canCancel), signal);
  if (outcome instanceof Failed) throw outcome.error;
  return outcome;
}
