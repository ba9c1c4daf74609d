/** The steps of a scenario that are about fields of a key. */
import assert from 'node:assert/strict';
import type { CacheManager } from 'tidegate';
import { Boom, type Make, type Seen, type Step, show } from './gate.js';
import { check } from './seen.js';
import { named, text } from './step.js';

/** What a step about fields may say besides. */
export const FIELDS_WORDS: readonly string[] = ['fields', 'names', 'fetches', 'asked', 'found', 'nulls'];

/** What a step does; `asked` gets the fields that its fetch is asked for. */
export function callOfFields(manager: CacheManager, step: Step, asked: string[]): Make {
  const [key, names, options] = [text(step, 'fields'), (step.names ?? []) as string[], named(step.with)];
  const fetch = (missing: string[]): Step => {
    asked.push(...missing);
    if ('fails' in step) throw new Boom(text(step, 'fails'));
    return step.fetches as Step;
  };
  switch (step.do) {
    case 'get':
      if ('fetches' in step || 'fails' in step) return () => manager.getFields(key, names, fetch, options);
      return () => manager.getFields(key, names);
    case 'set':
      return () => manager.setFields(key, step.to as Step, options);
    case 'invalidate':
      return () => manager.invalidateField(key, names);
    default:
      throw new Error(`${show(step)}: fields know no ${step.do}`);
  }
}

export function checkFields(step: Step, seen: Seen, asked: readonly string[]): void {
  const nulls = ((step.nulls ?? []) as string[]).map((name) => [name, null]);
  const due = { ...(step.found as Step), ...Object.fromEntries(nulls) };
  check('found' in step ? { value: due } : step, seen);
  if ('asked' in step) assert.deepEqual(asked, step.asked, `${show(step)}: the fetch was asked for ${asked}`);
}
