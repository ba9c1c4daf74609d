/** Reads without a fallback. */

import { throwIfAborted } from './abort.js';
import { ConfigError } from './errors.js';
import type { Flow } from './flow.js';
import { checkKeyText, shown } from './key.js';
import { NOT_HELD } from './l1.js';
import { checkOptions, type DefaultOptions } from './options.js';
import { ABSENT, Detailed, Failed, type Outcome } from './outcome.js';
import { isDisabled } from './scope.js';
import type { Call } from './terms.js';

const DEFAULT_OPTIONS = ['default', 'signal'] as const;

export async function getOrDefault(
  flow: Flow,
  key: string,
  plain: Call,
  options: DefaultOptions<unknown>,
): Promise<unknown> {
  const isObject = typeof options === 'object' && options !== null;
  if (isObject) checkOptions(options, DEFAULT_OPTIONS);
  if (!isObject || !('default' in options)) {
    throw new ConfigError(
      `get(${shown(key)}) has neither a fallback nor a default; a right example: ` +
        "cache.get('user:profile:42', fetch), or cache.get('user:profile:42', { default: null })",
    );
  }
  return peekOr(flow, key, { ...plain, signal: options.signal }, options.default);
}

/** The cached value, or `absent`. */
export async function peekOr(flow: Flow, key: string, call: Call, absent: unknown): Promise<unknown> {
  checkKeyText(key);
  throwIfAborted(call.signal);
  if (isDisabled(flow.port)) return absent;
  const held = flow.held(key, call.tags);
  if (held !== NOT_HELD) return held;
  const outcome = await peeked(flow, key, false, call);
  if (outcome === ABSENT) return absent;
  const read = flow.read(key, outcome);
  return read === undefined ? absent : read.value;
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
