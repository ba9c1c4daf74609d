/** What stands in an entry, told apart by its type; and why a value is not written. */

import { types } from 'node:util';
import { shown } from './key.js';
import { limits } from './native.js';

/** JSON text that holds integers beyond 2^53, which come back as bigints. */
export class BigText {
  constructor(readonly text: string) {}
}

/** Bytes of msgpack. */
export class Packed {
  constructor(readonly bytes: Uint8Array) {}
}

/** One field of a value, as the native half has it: what stands in the store, or what is to be stored. */
export interface Field {
  readonly name: string;
  readonly state: 'fresh' | 'stale' | 'new';
  readonly payload: Single;
}

/** A value that is split over fields. */
export class Fields {
  constructor(readonly list: readonly Field[]) {}
}

/** JSON text, msgpack, the bytes themselves of the codec `raw`; null for a null. */
export type Single = string | BigText | Packed | Uint8Array | null;
/** One, or several. */
export type Payload = Single | Fields;

/** A value that its codec cannot write: where in it, and why. */
export class Unencodable extends Error {}

/** Lists and objects within one another, at the most. */
export const DEPTH_MAX = limits().depth;

/** Up to here every whole number is a number of its own. */
export const LARGEST_EXACT = 2 ** 53;

export function narrowed(value: bigint): number | bigint {
  return value >= -LARGEST_EXACT && value <= LARGEST_EXACT ? Number(value) : value;
}

/** What a codec's own writing of a value comes to; `Unencodable` for whatever else is thrown on the way. */
export function written<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    if (error instanceof Unencodable) throw error;
    // A getter, a proxy or a toJSON of the user's.
    throw new Unencodable(`$ cannot be written: ${error instanceof Error ? error.message : shown(error)}`, {
      cause: error,
    });
  }
}

/** What is said of a value that a codec cannot write, at its place. */
export function refusal(value: unknown, path: string, codec: string): string {
  if (typeof value === 'string') return `${path} is a text with a lone surrogate, which no other language can read`;
  const kind = kindOf(value);
  const help = HELP[kind] ?? (codec === 'JSON' && isBytes(value) ? "codec: 'msgpack' holds bytes" : undefined);
  return `${path} is a ${kind}, which ${codec} cannot hold${help === undefined ? '' : `: ${help}`}`;
}

/** What to do about a value of such a kind. */
const HELP: Readonly<Record<string, string>> = {
  Map: 'give Object.fromEntries(map)',
  Set: 'give [...set]',
  Promise: 'did you forget await?',
  function: 'give an object of data alone, without methods',
};

function isBytes(value: unknown): boolean {
  return types.isUint8Array(value) || types.isArrayBuffer(value);
}

export function kindOf(value: unknown): string {
  return typeof value === 'object' ? (value?.constructor?.name ?? 'object') : typeof value;
}

export function tooDeep(path: string): string {
  return `${path.slice(0, 80)}… is nested deeper than ${DEPTH_MAX} levels`;
}

export function circular(path: string, codec: string): string {
  return `${path} is what it stands in: the value contains itself, which ${codec} cannot hold`;
}

/** Whose own properties tell nothing of what it holds. */
const LOSSY =
  /^\[object (?:Map|Set|WeakMap|WeakSet|WeakRef|Promise|RegExp|Error|ArrayBuffer|SharedArrayBuffer|DataView|.*Array)\]$/;

export function isLossy(value: object): boolean {
  if (Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== Object.prototype && prototype !== null && LOSSY.test(Object.prototype.toString.call(value));
}

/** Bytes in memory that nobody else has: a small `Buffer` else shares its memory with others. */
export function copied(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
