import { inspect, types } from 'node:util';
import { KeyFormatError, translated } from './errors.js';
import { buildKey, checkTemplate, keyPart, type KeyPart as NativePart, refuseKey } from './native.js';

/** What a key may be built of: what every language writes alike. */
export type KeyPart = string | number | bigint | boolean;

const RIGHT_TEMPLATE = 'key`user:profile:${id}`';

// A template is checked at its first use; the array of its texts is the same object every time.
const checked = new WeakSet<TemplateStringsArray>();
// What needs no escape.
const PLAIN = /^[\w.-]+$/;

/**
 * Builds a key, each part escaped so that data never makes a segment of its own; `KeyFormatError` for other parts.
 *
 * ```ts
 * key`user:profile:${42}`;        // 'user:profile:42'
 * key('file', 'a:b/c d');         // 'file:a%3Ab/c%20d'
 * ```
 */
export function key(...parts: readonly KeyPart[]): string;
// TypeScript shows what is wrong by the last one, and most keys are templates.
export function key(texts: TemplateStringsArray, ...parts: readonly KeyPart[]): string;
export function key(first?: TemplateStringsArray | KeyPart, ...rest: readonly KeyPart[]): string {
  if (!isTemplate(first)) {
    const parts = first === undefined && rest.length === 0 ? [] : [first, ...rest];
    return translated(() => buildKey(parts.map(describe)));
  }
  if (!checked.has(first)) {
    const text = first.raw.join('${…}');
    if (first.some((piece) => piece === undefined)) {
      throw new KeyFormatError(
        `template ${shown(text)} has a \\ that begins no escape; a right example: ${RIGHT_TEMPLATE}`,
      );
    }
    translated(() => checkTemplate(text, [...first], RIGHT_TEMPLATE));
    checked.add(first);
  }
  let built = first[0] ?? '';
  for (const [at, part] of rest.entries()) built += escaped(part, at) + (first[at + 1] ?? '');
  return built;
}

/** Whether a function was called as the tag of a template. @internal */
export function isTemplate(value: unknown): value is TemplateStringsArray {
  return Array.isArray(value) && 'raw' in value;
}

/** A part for its place. @internal */
export function escaped(part: KeyPart, at: number): string {
  if (typeof part === 'string' && PLAIN.test(part)) return part;
  if (typeof part === 'number' && Number.isSafeInteger(part)) return String(part);
  return translated(() => keyPart(`value ${at + 1}`, describe(part)));
}

/** A part as native code takes it. */
export function describe(part: unknown): NativePart {
  switch (typeof part) {
    case 'string':
      if (part.isWellFormed()) return { kind: 'text', text: part };
      break;
    case 'bigint':
    case 'boolean':
      return { kind: typeof part === 'bigint' ? 'integer' : 'bool', text: String(part) };
    case 'number':
      // One beyond 2^53 has been rounded already: as a bigint it would not be.
      if (Number.isSafeInteger(part)) return { kind: 'integer', text: String(part) };
      break;
    default:
  }
  return { kind: 'other', text: shown(part) };
}

/** Refuses what is no text at all, or cannot be written by another language; the core checks the rest. */
export function checkKeyText(given: unknown): asserts given is string {
  if (typeof given === 'string' && given.isWellFormed()) return;
  const why =
    typeof given === 'string'
      ? 'has a lone surrogate, which no other language can write'
      : `is a ${given === null ? 'null' : typeof given}, not a text`;
  translated(() => refuseKey(shown(given), why));
}

/** A value as its user would recognize it, in one line. */
export function shown(value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 100 });
  return types.isPromise(value) ? `${text} (is a Promise: did you forget await?)` : text;
}
