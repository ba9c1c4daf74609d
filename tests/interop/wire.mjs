/** Values on the line, as `wire.py` has them. */

import { z } from 'zod';

const FLOATS = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY, '-0': -0 };

/** A value as JSON can carry it; of another type than these only its name. */
export function toWire(value) {
  if (typeof value === 'bigint') return { $int: `${value}` };
  if (typeof value === 'number') return floatToWire(value);
  if (typeof value === 'function' || typeof value === 'symbol') return { $other: typeof value };
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(toWire);
  if (Buffer.isBuffer(value)) return { $bytes: value.toString('hex') };
  if (value instanceof Date) return { $time: value.toISOString().replace('Z', '000Z') };
  // One whose prototype a name in it has changed is no plain object.
  if (Object.getPrototypeOf(value) !== Object.prototype) return { $other: value.constructor?.name ?? 'object' };
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toWire(item)]));
}

function floatToWire(value) {
  if (Number.isNaN(value)) return { $float: 'nan' };
  if (Object.is(value, -0)) return { $float: '-0' };
  return Number.isFinite(value) ? value : { $float: value > 0 ? 'inf' : '-inf' };
}

/** The value that was sent. */
export function fromWire(value) {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(fromWire);
  if (typeof value.$int === 'string') return BigInt(value.$int);
  if (typeof value.$float === 'string') return FLOATS[value.$float];
  if (typeof value.$bytes === 'string') return Buffer.from(value.$bytes, 'hex');
  if (typeof value.$time === 'string') return new Date(value.$time);
  if (typeof value.$make === 'string') return MAKERS[value.$make](fromWire(value.of));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fromWire(item)]));
}

class Point {
  constructor(x) {
    this.x = x;
  }
}

/** What only Node has, by its name. */
const MAKERS = {
  undefined: () => undefined,
  BigInt: (digits) => BigInt(digits),
  Number: (value) => new Number(value),
  Uint8Array: (bytes) => new Uint8Array(bytes),
  ArrayBuffer: (bytes) => new Uint8Array(bytes).buffer,
  Float64Array: (list) => new Float64Array(list),
  Date: (ms) => new Date(Number(ms)),
  Map: (pairs) => new Map(Object.entries(pairs)),
  Set: (list) => new Set(list),
  RegExp: (text) => new RegExp(text),
  symbol: (text) => Symbol(text),
  function: () => () => undefined,
  holes: (length) => new Array(length),
  Point: (x) => new Point(x),
  toJSON: (value) => ({ toJSON: () => value }),
};

/** What a call may want its value as. */
export const KINDS = {
  time: z.coerce.date(),
  uuid: z.uuid(),
  decimal: z.string().regex(/^-?\d+\.\d+$/),
  bytes: z.instanceof(Uint8Array),
  colour: z.enum(['red', 'green']),
  user: z.object({ name: z.string(), born: z.coerce.date() }),
};
