/** Values as JSON and back. */

import { parse, stringify } from 'lossless-json';
import { shown } from './key.js';
import {
  BigText,
  circular,
  DEPTH_MAX,
  isLossy,
  LARGEST_EXACT,
  narrowed,
  refusal,
  tooDeep,
  Unencodable,
  written,
} from './payload.js';

// From here on JavaScript itself writes an exponent.
const LARGEST_IN_DIGITS = 1e21;

// What half of a character begins with, as JavaScript itself writes it.
const HALF = '\\ud';

enum Look {
  Plain,
  /** Has numbers that `JSON` would write or read wrongly. */
  Wide,
  Refused,
}

/** The JSON text of a value; null for null and undefined, which are stored without one. Throws `Unencodable`. */
export function toJson(value: unknown): string | BigText | null {
  if (value === undefined || value === null) return null;
  return written(() => {
    const look = lookAt(value, DEPTH_MAX);
    if (look === Look.Refused) throw new Unencodable(locate(value, '$', DEPTH_MAX));
    const text = look === Look.Wide ? stringify(value, undefined, undefined, [LARGE_NUMBERS]) : JSON.stringify(value);
    // `JSON` writes half of a character as an escape: only what has one that may be that is looked through.
    const isInDoubt = look === Look.Wide || text?.includes(HALF) === true;
    if (isInDoubt && hasHalves(value)) throw new Unencodable(locate(value, '$', DEPTH_MAX));
    // Its own toJSON() gave undefined.
    if (text === undefined || text === 'null') return null;
    return look === Look.Wide ? new BigText(text) : text;
  });
}

/** The value of a text with integers beyond 2^53. */
export function fromWideJson(text: string): unknown {
  return parse(text, undefined, { parseNumber: exactly, onDuplicateKey: ({ newValue }) => newValue });
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

function lookAt(value: unknown, depth: number): Look {
  switch (typeof value) {
    case 'number':
      return isLarge(value) ? Look.Wide : Look.Plain;
    case 'bigint':
      return Look.Wide;
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
  const given = asJson(value);
  // A text that an object gives of itself is no level.
  if (given !== value && (typeof given !== 'object' || given === null)) return lookAt(given, depth);
  if (depth === 0) return Look.Refused;
  if (given !== value) return lookAt(given, depth - 1);
  if (isLossy(value)) return Look.Refused;
  if (value instanceof Number) return lookAt(Number(value), depth);
  let worst = Look.Plain;
  for (const child of Object.values(value)) {
    worst = Math.max(worst, lookAt(child, depth - 1));
    if (worst === Look.Refused) break;
  }
  return worst;
}

/** Whether there is a text in a value, otherwise right, that ends or begins in the middle of a character: no other language can read it. */
function hasHalves(value: unknown): boolean {
  if (typeof value === 'string') return !value.isWellFormed();
  if (typeof value !== 'object' || value === null) return false;
  const given = asJson(value);
  if (given !== value) return hasHalves(given);
  if (value instanceof String) return hasHalves(String(value));
  return Object.entries(value).some(([name, child]) => hasHalves(name) || hasHalves(child));
}

/** What `toJSON` gives, for what has one. A Buffer's is of no use to any other language. */
function asJson(value: object): unknown {
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === 'function' && !ArrayBuffer.isView(value) ? toJSON.call(value, '') : value;
}

/** Where in a value the first thing is that cannot be written. */
function locate(value: unknown, path: string, depth: number, around: readonly unknown[] = []): string {
  if (around.includes(value) && typeof value === 'object') return circular(path, 'JSON');
  if (typeof value === 'object' && value !== null && depth > 0 && asJson(value) === value && !isLossy(value)) {
    for (const [name, child] of Object.entries(value)) {
      const step = Array.isArray(value) ? `[${name}]` : `.${name}`;
      if (hasHalves(name)) return locate(name, `${path}: the name ${shown(name)}`, depth);
      if (lookAt(child, depth - 1) === Look.Refused || hasHalves(child))
        return locate(child, path + step, depth - 1, [...around, value]);
    }
  }
  return depth === 0 && typeof value === 'object' ? tooDeep(path) : refusal(value, path, 'JSON');
}
