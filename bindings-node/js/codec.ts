/** Values as JSON and back. What a miss returns takes the same way as what a later hit returns. */

import { parse, stringify } from 'lossless-json';
import { shown } from './key.js';

/** JSON text that holds integers beyond 2^53, which come back as bigints. */
export class BigText {
  constructor(readonly text: string) {}
}

/** A value that cannot be written as JSON: where in it, and why. */
export class Unencodable extends Error {}

const DEPTH_MAX = 64;
const LARGEST_EXACT = 2 ** 53;
// From here on JavaScript itself writes an exponent.
const LARGEST_IN_DIGITS = 1e21;

enum Look {
  Plain,
  /** Has numbers that `JSON` would write or read wrongly. */
  Wide,
  Refused,
}

// What `JSON.stringify` would silently write as an empty object.
const LOSSY =
  /^\[object (?:Map|Set|WeakMap|WeakSet|WeakRef|Promise|RegExp|Error|ArrayBuffer|SharedArrayBuffer|DataView|.*Array)\]$/;

/** The JSON text of a value; null for null and undefined, which are stored without one. Throws `Unencodable`. */
export function encode(value: unknown): string | BigText | null {
  if (value === undefined || value === null) return null;
  try {
    const look = lookAt(value, DEPTH_MAX);
    if (look === Look.Refused) throw new Unencodable(locate(value, '$', DEPTH_MAX));
    const text = look === Look.Wide ? stringify(value, undefined, undefined, [LARGE_NUMBERS]) : JSON.stringify(value);
    // Its own toJSON() gave undefined.
    if (text === undefined || text === 'null') return null;
    return look === Look.Wide ? new BigText(text) : text;
  } catch (error) {
    if (error instanceof Unencodable) throw error;
    // A getter, a proxy or a toJSON of the user's.
    throw new Unencodable(`$ cannot be written: ${error instanceof Error ? error.message : shown(error)}`, {
      cause: error,
    });
  }
}

export function decode(payload: string | BigText | null): unknown {
  if (payload === null) return null;
  if (typeof payload === 'string') return JSON.parse(payload);
  return parse(payload.text, undefined, { parseNumber: exactly, onDuplicateKey: ({ newValue }) => newValue });
}

/** The text of a payload, for the core, which sees for itself what is inside. */
export function textOf(payload: string | BigText | null): string | null {
  return payload instanceof BigText ? payload.text : payload;
}

// Python reads digits as an int, of any size; a number beyond 2^53 is a double, and is written as one.
const LARGE_NUMBERS = {
  test: (value: unknown) => (typeof value === 'number' || value instanceof Number) && isLarge(Number(value)),
  stringify: (value: unknown) => Number(value).toExponential(),
};

function isLarge(value: number): boolean {
  const size = Math.abs(value);
  return size > LARGEST_EXACT && size < LARGEST_IN_DIGITS && Number.isInteger(value);
}

function exactly(digits: string): number | bigint {
  const value = Number(digits);
  return Math.abs(value) >= LARGEST_EXACT && /^-?\d+$/.test(digits) ? narrowed(BigInt(digits)) : value;
}

function narrowed(value: bigint): number | bigint {
  return value >= -LARGEST_EXACT && value <= LARGEST_EXACT ? Number(value) : value;
}

function lookAt(value: unknown, depth: number): Look {
  switch (typeof value) {
    case 'number':
      return isLarge(value) ? Look.Wide : Look.Plain;
    case 'bigint':
      return Look.Wide;
    case 'string':
      // Half of a character, which no other language can read.
      return value.isWellFormed() ? Look.Plain : Look.Refused;
    case 'function':
    case 'symbol':
      return Look.Refused;
    case 'object':
      return value === null ? Look.Plain : lookInto(value, depth);
    default:
      return Look.Plain;
  }
}

function lookInto(value: object, depth: number): Look {
  if (depth === 0) return Look.Refused;
  const given = asJson(value);
  if (given !== value) return lookAt(given, depth - 1);
  if (isLossy(value)) return Look.Refused;
  if (value instanceof Number) return lookAt(Number(value), depth);
  let worst = Look.Plain;
  for (const [name, child] of Object.entries(value)) {
    worst = Math.max(worst, lookAt(child, depth - 1), lookAt(name, depth));
    if (worst === Look.Refused) break;
  }
  return worst;
}

/** What `toJSON` gives, for what has one. A Buffer's is of no use to any other language. */
function asJson(value: object): unknown {
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === 'function' && !ArrayBuffer.isView(value) ? toJSON.call(value, '') : value;
}

function isLossy(value: object): boolean {
  if (Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== Object.prototype && prototype !== null && LOSSY.test(Object.prototype.toString.call(value));
}

/** Where in a value the first thing is that cannot be written. */
function locate(value: unknown, path: string, depth: number): string {
  if (typeof value === 'object' && value !== null && depth > 0 && asJson(value) === value && !isLossy(value)) {
    for (const [name, child] of Object.entries(value)) {
      const step = Array.isArray(value) ? `[${name}]` : `.${name}`;
      if (lookAt(name, depth) === Look.Refused) return locate(name, `${path}: the name ${shown(name)}`, depth);
      if (lookAt(child, depth - 1) === Look.Refused) return locate(child, path + step, depth - 1);
    }
  }
  if (depth === 0) return `${path.slice(0, 80)}… is nested deeper than ${DEPTH_MAX} levels, or in itself`;
  if (typeof value === 'string') return `${path} is a text with a lone surrogate, which no other language can read`;
  const kind = typeof value === 'object' ? (value?.constructor?.name ?? 'object') : typeof value;
  return `${path} is a ${kind}, which JSON cannot hold`;
}
