/** The steps of a scenario that are about queues of write-behind. */
import assert from 'node:assert/strict';
import { setTimeout as pass } from 'node:timers/promises';
import { type CacheManager, TidegateError, type WriteBehind, type WriteItem } from 'tidegate';
import { PATIENCE_MS, type Step, show } from './gate.js';
import { named, number, text } from './step.js';

/** What a step about a queue may say. */
export const QUEUE_WORDS: readonly string[] = [
  ...['manager', 'namespace', 'opens', 'sink', 'sunk', 'sunk_first', 'letters', 'holds', 'do', 'key', 'to', 'to_large'],
  ...['to_unstorable', 'with', 'operation', 'again', 'timeout', 'confirmed', 'count', 'code'],
];

/** Keeps what it has dealt with, and fails as it is told. */
class Sink {
  #fails: unknown[] = [];
  #breaks: unknown[] = [];
  readonly sunk: unknown[] = [];

  set({ fails = [], breaks = [] }: { fails?: unknown[]; breaks?: unknown[] }): void {
    this.#fails = fails;
    this.#breaks = breaks;
  }

  take = (items: WriteItem[]): string[] => {
    const isInOrder = items.every(({ order: [ms, sequence] }, at) => {
      const [beforeMs, before] = items[at - 1]?.order ?? [0, 0];
      return ms > beforeMs || (ms === beforeMs && sequence > before);
    });
    assert.ok(isInOrder, show({ items }));
    if (items.some(({ value }) => this.#breaks.includes(value))) throw new Error('the database is away');
    const failed = items.filter(({ value }) => this.#fails.includes(value));
    for (const item of items) if (!failed.includes(item)) this.sunk.push([item.key, item.value]);
    return failed.map(({ id }) => id);
  };
}

export class Queues {
  readonly #open = new Map<string, WriteBehind>();
  readonly #sinks = new Map<string, Sink>();
  readonly #ids = new Map<string, string>();

  async play(step: Step, manager: CacheManager): Promise<void> {
    const place = `${text(step, 'manager')} ${text(step, 'queue')}`;
    if ('opens' in step) return this.#opens(place, step, manager);
    const queue = this.#open.get(place);
    assert.ok(queue, `${show(step)}: it is not open`);
    if ('sink' in step) this.#sinks.get(place)?.set(step.sink as Step);
    else if ('sunk' in step) await eventually(step, async () => this.#sinks.get(place)?.sunk, step.sunk);
    else if ('sunk_first' in step) {
      const expected = step.sunk_first as unknown[];
      await eventually(step, async () => this.#sinks.get(place)?.sunk.slice(0, expected.length), expected);
    } else if ('letters' in step) await eventually(step, () => letters(queue), step.letters);
    else if ('holds' in step) assert.equal(queue.pending, step.holds, show(step));
    else await this.#do(step, queue);
  }

  async #opens(place: string, step: Step, manager: CacheManager): Promise<void> {
    const sink = new Sink();
    if ('sink' in step) sink.set(step.sink as Step);
    await seen(step, async () => {
      const take = 'sink' in step ? sink.take : null;
      this.#open.set(place, manager.writeBehind(text(step, 'queue'), take, named(step.opens)));
      this.#sinks.set(place, sink);
    });
  }

  async #do(step: Step, queue: WriteBehind): Promise<void> {
    const answer = await seen(step, () => this.#call(step, queue));
    for (const name of ['confirmed', 'count']) {
      if (name in step) assert.equal(answer, step[name], `${show(step)}: saw ${answer}`);
    }
  }

  #call(step: Step, queue: WriteBehind): Promise<unknown> {
    const timeout = 'timeout' in step ? text(step, 'timeout') : '10s';
    switch (step.do) {
      case 'put':
        return this.#put(step, queue);
      case 'flush':
        return queue.flush({ timeout });
      case 'close':
        return queue.close({ timeout });
      case 'retry':
        return queue.deadLetters.retry();
      case 'drop':
        return queue.deadLetters.drop();
      default:
        throw new Error(`${show(step)}: there is no ${step.do}`);
    }
  }

  async #put(step: Step, queue: WriteBehind): Promise<void> {
    const unstorable = { what: Symbol('unstorable') };
    const large = 'to_large' in step ? 'x'.repeat(number(step, 'to_large')) : step.to;
    const options = { ...named(step.with), ...('operation' in step ? { operationId: text(step, 'operation') } : {}) };
    const id = await queue.put(text(step, 'key'), 'to_unstorable' in step ? unstorable : large, options);
    const name = text(step, 'queue');
    const before = this.#ids.get(name);
    this.#ids.set(name, id);
    assert.equal(before === id, step.again === true, `${show(step)}: ${id} after ${before}`);
  }
}

async function letters(queue: WriteBehind): Promise<unknown[]> {
  const all = await queue.deadLetters.list();
  return all.map(({ key, value, reason, attempts }) => ({ key, value, reason, attempts }));
}

/** What a call gives; where its step says a code it has to fail with that. */
async function seen(step: Step, call: () => Promise<unknown>): Promise<unknown> {
  try {
    const answer = await call();
    assert.ok(!('code' in step), `${show(step)}: saw ${answer}`);
    return answer;
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    assert.equal(error.code, step.code, `${show(step)}: ${error.message}`);
    return undefined;
  }
}

async function eventually(step: Step, look: () => Promise<unknown>, expected: unknown): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (true) {
    const found = await look();
    try {
      assert.deepEqual(found, expected, `${show(step)}: saw ${JSON.stringify(found)}`);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pass(20);
  }
}
