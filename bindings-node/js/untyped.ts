/** The warning of a value that comes back as something else, since its call names no schema. */

import { types } from 'node:util';
import { type Coder, open } from './codec.js';
import { Fields, kindOf, type Payload } from './payload.js';

const SEGMENTS = 2;
// What is beyond so many kinds of keys and types is not told of.
const TOLD_MAX = 1_024;
const RAW = 0;

/** Kinds of keys and types that have been told of, by the manager that it was. */
const told = new WeakMap<object, Set<string>>();

/** Warns, once for each kind of key and type, where what callers get is none of what was given. */
export function warnIfUntyped(
  manager: object,
  key: string,
  value: unknown,
  payload: Payload,
  coder: Coder,
  field?: string,
): void {
  // No schema would make of what `raw` holds anything but bytes; fields are told of one by one.
  if (coder.decode !== undefined || coder.codec === RAW || payload instanceof Fields) return;
  const found = lookedAt(value, payload);
  if (found === undefined) return;
  const known = told.get(manager) ?? new Set();
  told.set(manager, known);
  const name = `${key.split(':', SEGMENTS).join(':')} ${found.given}`;
  if (known.has(name) || known.size >= TOLD_MAX) return;
  known.add(name);
  const place = field === undefined ? '' : `field ${JSON.stringify(field)} of `;
  process.emitWarning(
    `${place}${JSON.stringify(key)} names no schema, so its ${found.given} comes back as ${found.comes}, on hits and misses ` +
      'alike; write { schema: … } of what is stored, or have the fallback give what is wanted: a plain object, a text',
    { type: 'TidegateWarning', code: 'TIDEGATE_UNTYPED' },
  );
}

function lookedAt(value: unknown, payload: Payload): ReturnType<typeof difference> {
  try {
    return looksOtherwise(value) ? difference(value, open(payload)) : undefined;
  } catch {
    return undefined; // A getter or a proxy that does not like to be asked twice.
  }
}

/** Whether a value may come back as something else, by itself and by the first of what is in it. */
export function looksOtherwise(value: unknown): boolean {
  if (!isGroup(value)) return isOther(value);
  for (const inner of firstOf(value)) return isOther(inner);
  return false;
}

function isOther(value: unknown): boolean {
  return typeof value === 'bigint' || (typeof value === 'object' && value !== null && !isGroup(value));
}

/** An object or an array of no class of its own, of whichever realm. */
function isGroup(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  const base: unknown = Array.isArray(value) && prototype !== null ? Object.getPrototypeOf(prototype) : prototype;
  return base === null || Object.getPrototypeOf(base) === null;
}

function firstOf(group: object): unknown[] {
  if (Array.isArray(group)) return group.slice(0, 1);
  for (const name in group) return [(group as Record<string, unknown>)[name]];
  return [];
}

function difference(value: unknown, held: unknown): { given: string; comes: string } | undefined {
  if (!isGroup(value)) return isSame(value, held) ? undefined : { given: named(value), comes: `a ${named(held)}` };
  const [inner] = firstOf(value);
  const [back] = firstOf(held as object);
  if (isSame(inner, back)) return undefined;
  const group = Array.isArray(value) ? 'array' : 'object';
  return { given: `${group} of ${named(inner)}`, comes: `one of ${named(back)}` };
}

function isSame(value: unknown, held: unknown): boolean {
  if (typeof value !== typeof held || held === null) return held === null;
  if (typeof value !== 'object' || types.isUint8Array(value)) return true;
  return Object.getPrototypeOf(value) === Object.getPrototypeOf(held);
}

function named(value: unknown): string {
  if (Array.isArray(value) && isGroup(value)) return 'plain array';
  if (isGroup(value)) return 'plain object';
  return typeof value === 'string' ? 'text' : kindOf(value);
}
