/** What a read comes to, told apart by its type: a hit, which may be held or be unreadable; or a failure. */

import { open } from './codec.js';
import type { Stamp } from './l1.js';
import { BigText, Fields, Packed, type Payload, type Single } from './payload.js';

/** A hit that JavaScript cannot read: why. */
export class Unreadable {
  constructor(readonly why: string) {}
}

/** A hit that may be held in the process. */
export class Holdable {
  constructor(
    readonly payload: Single,
    readonly stamp: Stamp,
  ) {}
}

/** A value that is held in the process: what its payload holds. */
export class Opened {
  constructor(readonly value: unknown) {}
}

/** A value: its payload, null for a cached null. */
export type Hit = Payload | Unreadable | Holdable | Opened;
/** One that comes from the native half. */
export type Told = Payload | Unreadable;

/** No value: what to throw. */
export class Failed {
  constructor(readonly error: unknown) {}
}

export function isHit(outcome: unknown): outcome is Hit {
  if (typeof outcome === 'string' || outcome === null) return true;
  return (
    outcome instanceof BigText ||
    outcome instanceof Packed ||
    outcome instanceof Fields ||
    outcome instanceof Uint8Array ||
    outcome instanceof Holdable ||
    outcome instanceof Unreadable ||
    outcome instanceof Opened
  );
}

/** What stands in a hit; throws for one that cannot be read. */
export function valueIn(hit: Hit): unknown {
  if (hit instanceof Opened) return hit.value;
  if (hit instanceof Unreadable) throw new Error(hit.why);
  return open(hit instanceof Holdable ? hit.payload : hit);
}
