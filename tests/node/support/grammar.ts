/** What a step of a scenario may say. */
import { FIELDS_WORDS } from './fields.js';
import { type Step, show } from './gate.js';
import { QUEUE_WORDS } from './queues.js';

const ENDS = ['value', 'null', 'error', 'unstorable', 'large'];
export const SIGHTS = [...ENDS, 'code', 'absent', 'confirmed'];
/** What names a view of a manager. */
const VIEW = ['tenant', 'tenant_with', 'namespace'];
/** The kinds of steps, by the word that tells them (the first that stands in a step), and what else a step may say. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  queue: QUEUE_WORDS,
  start: ['close', 'manager', 'do', 'key', 'fields', 'names', 'fallback', 'callers', 'with', 'to', 'persist', ...VIEW],
  running: ['times', 'sees_stale', 'asked'],
  finish: [...ENDS, 'says'],
  await: SIGHTS,
  pending: [],
  cancel: [],
  pass: [],
  store: [],
  eventually: [],
  stats: ['manager', ...VIEW],
  stats_least: ['manager', ...VIEW],
  events: ['manager'],
  held: ['manager', ...VIEW],
  push: [],
  on_event: ['manager', 'max_attempts', 'on_gap'],
  off_event: ['manager'],
  handled: ['manager', 'times'],
  close: [],
  raw_lease: ['exclusive_ms'],
  do: [
    ...['manager', ...VIEW, 'key', 'computes', 'computes_null', 'to', 'ttl', 'with', 'says', 'runs', 'sees_stale'],
    ...['tag', 'tags', 'version', 'to_large', 'to_unstorable', 'fails', ...SIGHTS],
    ...['event', 'data', 'max_len', 'callers', ...FIELDS_WORDS],
  ],
};

/** The word that tells a step's kind; throws for a step that says anything unknown. */
export function wordOf(step: Step): string {
  const word = Object.keys(WORDS).find((name) => name in step);
  if (word === undefined) throw new Error(`no step like ${show(step)}`);
  const strange = Object.keys(step).filter((name) => name !== word && !WORDS[word]?.includes(name));
  if (strange.length > 0) throw new Error(`${show(step)}: a ${word} step does not know ${strange.join(', ')}`);
  return word;
}
