/** Runs a scenario of `tests/conformance` (its README is the grammar) against the manager for Node. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn, setTimeout as pass } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { CacheManager, TidegateError } from 'tidegate';
import type { RedisServer } from './support/redis-server.js';

export type Step = Readonly<Record<string, unknown>>;

export interface ScenarioFile {
  proves: string;
  stores?: string[];
  options?: Record<string, unknown>;
  steps: Step[];
}

type Options = NonNullable<ConstructorParameters<typeof CacheManager>[0]>;
type Seen = { value: unknown } | { error: unknown };
type Make = (signal?: AbortSignal) => Promise<unknown>;

const PATIENCE_MS = 10_000;
const ABSENT = Symbol('absent');
/** JSON has no symbols. */
const UNSTORABLE = Object.freeze({ what: Symbol('unstorable') });

const ENDS = ['value', 'null', 'error', 'unstorable', 'large'];
const SIGHTS = [...ENDS, 'code', 'absent', 'confirmed'];
/** The kinds of steps, by the word that tells them (the first that stands in a step), and what else a step may say. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  start: ['close', 'manager', 'do', 'key', 'fallback', 'callers'],
  running: ['times'],
  finish: ENDS,
  await: SIGHTS,
  pending: [],
  cancel: [],
  pass: [],
  store: [],
  eventually: [],
  stats: ['manager'],
  close: [],
  raw_lease: ['exclusive_ms'],
  do: ['manager', 'key', 'computes', 'computes_null', 'to', 'ttl', 'runs', ...SIGHTS],
};

const RAW_LEASE = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
`;

/** A fallback's own error. */
class Boom extends Error {}

interface Run {
  readonly signal: AbortSignal;
  end(end: Seen): void;
}

/** A fallback that a scenario holds and lets go. */
class Gate {
  #entered = 0;
  #inside: Run[] = [];
  readonly #ends: Seen[] = [];
  readonly #gone: Run[] = [];
  readonly #watchers: (() => void)[] = [];

  /** Takes no notice of its signal: in JavaScript nothing ends a function from outside. */
  readonly fallback = ({ signal }: { signal: AbortSignal }): Promise<unknown> => {
    this.#entered += 1;
    for (const look of this.#watchers) look();
    return new Promise((resolve, reject) => {
      const run = { signal, end: (end: Seen) => ('error' in end ? reject(end.error) : resolve(end.value)) };
      const end = this.#ends.shift();
      if (end) run.end(end);
      else this.#inside.push(run);
    });
  };

  /** Waits until the fallback has been entered so many times. */
  async running(times: number): Promise<boolean> {
    const entered = new Promise<boolean>((resolve) => {
      const look = () => {
        if (this.#entered >= times) resolve(true);
      };
      this.#watchers.push(look);
      look();
    });
    return within(entered, PATIENCE_MS / 2, false);
  }

  /** Lets one run end that somebody still wants; the next to begin when there is none. */
  finish(end: Seen): void {
    this.#gone.push(...this.#inside.filter((run) => run.signal.aborted));
    this.#inside = this.#inside.filter((run) => !run.signal.aborted);
    const run = this.#inside.shift();
    if (run) run.end(end);
    else this.#ends.push(end);
  }

  /** Ends what still runs. */
  release(): void {
    for (const run of [...this.#inside, ...this.#gone]) run.end({ error: new Boom('the scenario is over') });
  }
}

/** A call under way; what it comes to is looked at later. */
class Call {
  readonly #controller = new AbortController();
  readonly #seen: Promise<Seen>;
  isDone = false;

  constructor(make: Make) {
    this.#seen = this.#run(make);
  }

  async #run(make: Make): Promise<Seen> {
    try {
      return { value: await make(this.#controller.signal) };
    } catch (error) {
      return { error };
    } finally {
      this.isDone = true;
    }
  }

  seen(): Promise<Seen> {
    return within(this.#seen, PATIENCE_MS, { error: new Error(`a call has not ended within ${PATIENCE_MS} ms`) });
  }

  async cancel(): Promise<void> {
    const reason = new Error('cancelled by the scenario');
    this.#controller.abort(reason);
    const seen = await this.seen();
    assert.ok('error' in seen && seen.error === reason, `a cancelled call came to ${show(seen)}`);
  }
}

/** Plays the steps; an `AssertionError` names the step that did not hold. */
export class Scenario {
  readonly #options: Options & { service: string };
  readonly #server: RedisServer | undefined;
  readonly #managers = new Map<string, CacheManager>();
  readonly #gates = new Map<string, Gate>();
  readonly #calls = new Map<string, Call[]>();

  constructor(url: string, service: string, options: Record<string, unknown>, server: RedisServer | undefined) {
    const named = Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value]));
    // A busy machine is no outage.
    this.#options = { url, service, commandTimeout: '5s', ...named };
    this.#server = server;
  }

  async play(steps: Step[]): Promise<void> {
    try {
      for (const step of steps) await this.#step(step);
    } finally {
      for (const gate of this.#gates.values()) gate.release();
      for (const manager of this.#managers.values()) await manager.close({ timeout: 1_000 });
    }
  }

  async #step(step: Step): Promise<void> {
    const word = wordOf(step);
    switch (word) {
      case 'start':
        return this.#start(step);
      case 'running':
        assert.ok(
          await this.#gate(text(step, word)).running(number(step, 'times', 1)),
          `${show(step)}: it does not run`,
        );
        return;
      case 'finish':
        return this.#gate(text(step, word)).finish(endOf(step));
      case 'await':
        for (const call of this.#take(text(step, word))) check(step, await call.seen());
        return;
      case 'pending':
        await settle();
        assert.ok(!this.#named(text(step, word)).some((call) => call.isDone), `${show(step)}: it has ended`);
        return;
      case 'cancel':
        return this.#cancel(step);
      case 'pass':
        return pass(milliseconds(text(step, word)));
      case 'store':
        return this.#store(text(step, word));
      case 'eventually':
        return this.#eventually(step[word] as Step);
      case 'stats':
        return this.#stats(step);
      case 'close':
        await this.#manager(text(step, word)).close();
        return;
      case 'raw_lease':
        return this.#rawLease(text(step, word), number(step, 'exclusive_ms'));
      case 'do':
        return this.#do(step);
      default:
        throw new Error(`no step like ${show(step)}`);
    }
  }

  async #start(step: Step): Promise<void> {
    const make = 'close' in step ? this.#closing(text(step, 'close')) : this.#heldCall(step);
    const calls = Array.from({ length: number(step, 'callers', 1) }, () => new Call(make));
    this.#calls.set(text(step, 'start'), calls);
    await settle();
  }

  #closing(name: string): Make {
    const manager = this.#manager(name);
    return () => manager.close();
  }

  #heldCall(step: Step): Make {
    const [manager, key] = [this.#manager(text(step, 'manager')), text(step, 'key')];
    const { fallback } = this.#gate(text(step, 'fallback'));
    switch (step.do) {
      case 'get':
        return (signal) => manager.get(key, fallback, signal ? { signal } : {});
      case 'refresh':
        return (signal) => manager.refresh(key, fallback, signal ? { signal } : {});
      default:
        throw new Error(`${show(step)}: no held call is a ${step.do}`);
    }
  }

  async #cancel(step: Step): Promise<void> {
    for (const call of this.#take(text(step, 'cancel'))) {
      assert.ok(!call.isDone, `${show(step)}: it has ended`);
      await call.cancel();
    }
    await settle();
  }

  async #do(step: Step): Promise<void> {
    let ran = false;
    const seen = await new Call(
      this.#callOf(step, () => {
        ran = true;
      }),
    ).seen();
    if (SIGHTS.some((name) => name in step)) check(step, seen);
    else assert.ok(!('error' in seen), `${show(step)}: saw ${show(seen)}`);
    if ('runs' in step) assert.equal(ran, step.runs, `${show(step)}: the fallback ran: ${ran}`);
  }

  #callOf(step: Step, onRun: () => void): Make {
    const [manager, key] = [this.#manager(text(step, 'manager')), text(step, 'key')];
    const hasFallback = 'computes' in step || 'computes_null' in step;
    const fallback = () => {
      onRun();
      return 'computes_null' in step ? null : step.computes;
    };
    switch (step.do) {
      case 'get':
        return hasFallback ? () => manager.get(key, fallback) : () => manager.get(key, { default: ABSENT });
      case 'refresh':
        return () => manager.refresh(key, fallback);
      case 'set':
        return () => manager.set(key, step.to, 'ttl' in step ? { ttl: text(step, 'ttl') } : {});
      case 'invalidate':
        return () => manager.invalidate(key);
      case 'expire':
        return () => manager.expire(key);
      case 'exists':
        return () => manager.exists(key);
      default:
        throw new Error(`${show(step)}: there is no ${step.do}`);
    }
  }

  async #eventually(step: Step): Promise<void> {
    assert.equal(wordOf(step), 'do');
    const deadline = performance.now() + PATIENCE_MS / 2;
    while (true) {
      try {
        return await this.#do(step);
      } catch (error) {
        if (!(error instanceof assert.AssertionError) || performance.now() > deadline) throw error;
      }
      await pass(20);
    }
  }

  #stats(step: Step): void {
    const stats: Readonly<Record<string, unknown>> = { ...this.#manager(text(step, 'manager')).stats() };
    for (const [name, figure] of Object.entries(step.stats as Step)) {
      assert.equal(stats[name], figure, `${show(step)}: saw ${show(stats)}`);
    }
  }

  async #store(state: string): Promise<void> {
    assert.ok(this.#server, 'only scenarios for Redis alone touch their store');
    switch (state) {
      case 'hang':
        return this.#server.pause();
      case 'run':
        return this.#server.resume();
      case 'kill':
        return this.#server.kill();
      case 'start':
        return this.#server.start();
      default:
        throw new Error(`a store does not ${state}`);
    }
  }

  async #rawLease(key: string, exclusiveMs: number): Promise<void> {
    assert.ok(this.#server, 'only Redis has raw leases');
    const client = new Redis(this.#server.url);
    await client.eval(RAW_LEASE, 1, `{${this.#options.service}:v1:${key}}:lease`, exclusiveMs);
    client.disconnect();
  }

  #manager(name: string): CacheManager {
    return made(this.#managers, name, () => new CacheManager(this.#options));
  }

  #gate(name: string): Gate {
    return made(this.#gates, name, () => new Gate());
  }

  #named(name: string): Call[] {
    const calls = this.#calls.get(name);
    if (!calls) throw new Error(`no call is named ${name}`);
    return calls;
  }

  #take(name: string): Call[] {
    const calls = this.#named(name);
    this.#calls.delete(name);
    return calls;
  }
}

function check(step: Step, seen: Seen): void {
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

function endOf(step: Step): Seen {
  return 'error' in step ? { error: new Boom(text(step, 'error')) } : { value: valueIn(step) };
}

function valueIn(step: Step): unknown {
  if ('null' in step) return null;
  if ('unstorable' in step) return UNSTORABLE;
  if ('large' in step) return 'x'.repeat(number(step, 'large'));
  if ('value' in step) return step.value;
  throw new Error(`which value does ${show(step)} mean?`);
}

/** The word that tells a step's kind; throws for a step that says anything unknown. */
function wordOf(step: Step): string {
  const word = Object.keys(WORDS).find((name) => name in step);
  if (word === undefined) throw new Error(`no step like ${show(step)}`);
  const strange = Object.keys(step).filter((name) => name !== word && !WORDS[word]?.includes(name));
  if (strange.length > 0) throw new Error(`${show(step)}: a ${word} step does not know ${strange.join(', ')}`);
  return word;
}

/** Lets begin what was called, and end what can end without the store. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await nextTurn();
}

async function within<T>(promise: Promise<T>, ms: number, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, ms, late);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function made<T>(all: Map<string, T>, name: string, make: () => T): T {
  const one = all.get(name) ?? make();
  all.set(name, one);
  return one;
}

function text(step: Step, name: string): string {
  const value = step[name];
  if (typeof value !== 'string') throw new Error(`${show(step)}: ${name} is no text`);
  return value;
}

function number(step: Step, name: string, otherwise?: number): number {
  const value = step[name] ?? otherwise;
  if (typeof value !== 'number') throw new Error(`${show(step)}: ${name} is no number`);
  return value;
}

function milliseconds(duration: string): number {
  if (!/^\d+ms$/.test(duration)) throw new Error(`${duration} is no number of ms`);
  return Number.parseInt(duration, 10);
}

function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

function show(what: Step | Seen): string {
  if ('error' in what && what.error instanceof Error) return `${what.error.name}: ${what.error.message}`;
  return JSON.stringify(what, (_, value) =>
    typeof value === 'symbol' || typeof value === 'bigint' ? `${String(value)}` : value,
  );
}
