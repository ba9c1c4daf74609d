/** What a step of a scenario gives, and what it is to see. */

import assert from 'node:assert/strict';
import { TidegateError } from 'tidegate';
import { Boom, type End, type Seen, type Step, show } from './gate.js';
import { number, text } from './step.js';

export const ABSENT = Symbol('absent');
/** JSON has no symbols. */
export const UNSTORABLE = Object.freeze({ what: Symbol('unstorable') });

export function check(step: Step, seen: Seen): void {
  const said = `${show(step)}: saw ${show(seen)}`;
  if ('code' in step) {
    assert.ok('error' in seen && seen.error instanceof TidegateError, said);
    assert.equal(seen.error.code, step.code, said);
  } else if ('error' in step) {
    assert.ok('error' in seen && seen.error instanceof Boom, said);
    assert.equal(seen.error.message, step.error, said);
  } else {
    assert.ok('value' in seen, said);
    const due = 'absent' in step ? ABSENT : 'confirmed' in step ? step.confirmed : valueIn(step);
    // The object itself where nothing was stored: nobody can have decoded it.
    if (due === UNSTORABLE) assert.equal(seen.value, due, said);
    else assert.deepEqual(seen.value, due, said);
  }
}

export function endOf(step: Step): End {
  const says = (step.says ?? {}) as Step;
  if ('error' in step) return { seen: { error: new Boom(text(step, 'error')) }, says };
  return { seen: { value: says.not_modified === true ? undefined : valueIn(step) }, says };
}

/** What a step writes. */
export function toOf(step: Step): unknown {
  if ('to_unstorable' in step) return UNSTORABLE.what;
  return 'to_large' in step ? 'x'.repeat(number(step, 'to_large')) : step.to;
}

/** A `persist` that ends at once. */
export function persisting(step: Step, ran: unknown[]): (value: unknown) => void {
  return (value) => {
    assert.equal(value, toOf(step));
    ran.push(value);
    if ('fails' in step) throw new Boom(text(step, 'fails'));
  };
}

export function staleIn(step: Step): unknown {
  return step.sees_stale === 'none' ? null : step.sees_stale;
}

function valueIn(step: Step): unknown {
  if ('null' in step) return null;
  if ('unstorable' in step) return UNSTORABLE;
  if ('large' in step) return 'x'.repeat(number(step, 'large'));
  if ('value' in step) return step.value;
  throw new Error(`which value does ${show(step)} mean?`);
}
