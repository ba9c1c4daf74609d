/** Runs a scenario of `tests/conformance` (its README is the grammar) against the manager for Node. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn, setTimeout as pass } from 'node:timers/promises';
import { type CacheEvent, CacheManager, type Context, type EventName, StoreUnavailable } from 'tidegate';
import { callOfFields, checkFields } from './support/fields.js';
import { Call, Gate, type Make, PATIENCE_MS, type Seen, type Step, say, show } from './support/gate.js';
import { SIGHTS, wordOf } from './support/grammar.js';
import { Handlers } from './support/handlers.js';
import type { Place } from './support/place.js';
import { Queues } from './support/queues.js';
import { ABSENT, check, endOf, persisting, staleIn, toOf } from './support/seen.js';
import { milliseconds, named, number, text } from './support/step.js';

export interface ScenarioFile {
  proves: string;
  stores?: string[];
  options?: Record<string, unknown>;
  managers?: Record<string, Record<string, unknown>>;
  observes?: boolean;
  steps: Step[];
}

type Options = NonNullable<ConstructorParameters<typeof CacheManager>[0]>;
// One of three nodes has none of so many keys once in a hundred thousand times.
const KEYS_OF_EVERY_NODE = 30;
const EVENTS: EventName[] = [
  'cache.hit',
  'cache.miss',
  'cache.set',
  'cache.invalidate',
  'cache.stale',
  'cache.wait',
  'cache.refresh',
  'cache.error',
  'cache.fallback_error',
];
const RAW_LEASE = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
`;

/** Plays the steps; an `AssertionError` names the step that did not hold. */
export class Scenario {
  readonly #options: Options & { service: string };
  /** Of single managers, by name. */
  readonly #optionsOf: Record<string, Record<string, unknown>>;
  readonly #place: Place | undefined;
  /** A command may not take long here. */
  readonly #isHasty: boolean;
  #isUp = true;
  readonly #managers = new Map<string, CacheManager>();
  readonly #gates = new Map<string, Gate>();
  readonly #calls = new Map<string, Call[]>();
  readonly #observes: boolean;
  /** By manager: what has been observed since the last step that looked. */
  readonly #seen = new Map<string, CacheEvent[]>();
  /** By key: the version at the last `get_entry`. */
  readonly #versions = new Map<string, number>();
  readonly #handlers = new Handlers();
  readonly #queues = new Queues();

  constructor(
    url: string,
    service: string,
    { options = {}, managers = {}, observes = false }: ScenarioFile,
    place?: Place,
  ) {
    // A busy machine is no outage.
    const patient = { commandTimeout: '5s', connectTimeout: '5s' };
    this.#options = { ...patient, ...place?.options, ...named(options), url, service };
    this.#optionsOf = managers;
    this.#observes = observes;
    this.#place = place;
    this.#isHasty = place !== undefined && 'command_timeout' in options;
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
    await this.#warmUp(step);
    switch (word) {
      case 'queue':
        return this.#queues.play(step, this.#view(step));
      case 'start':
        return this.#start(step);
      case 'running':
        return this.#running(step, this.#gate(text(step, word)));
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
      case 'stats_least':
        return this.#statsLeast(step);
      case 'events':
        return this.#observed(text(step, 'manager'), step.events as Step[]);
      case 'held':
        return this.#held(this.#view(step), text(step, word));
      case 'push':
        return this.#killPush();
      case 'on_event':
        return this.#handlers.add(this.#manager(text(step, 'manager')), step);
      case 'off_event':
        return this.#handlers.remove(step);
      case 'handled': {
        const { count } = this.#handlers.of(step);
        await inTime(async () => count() >= number(step, 'times'));
        return assert.equal(count(), step.times, show(step));
      }
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
    const [manager, options] = [this.#view(step), named(step.with)];
    const key = text(step, 'fields' in step ? 'fields' : 'key');
    if (step.do === 'write_through') {
      const { persist } = this.#gate(text(step, 'persist'));
      return (signal) => manager.writeThrough(key, step.to, persist, signal ? { ...options, signal } : options);
    }
    const { fallback, fetch } = this.#gate(text(step, 'fallback'));
    if ('fields' in step) {
      const names = step.names as string[];
      return (signal) => manager.getFields(key, names, fetch, signal ? { ...options, signal } : options);
    }
    switch (step.do) {
      case 'get':
        return (signal) => manager.get(key, fallback, signal ? { ...options, signal } : options);
      case 'refresh':
        return (signal) => manager.refresh(key, fallback, signal ? { ...options, signal } : options);
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

  async #running(step: Step, gate: Gate): Promise<void> {
    assert.ok(await gate.running(number(step, 'times', 1)), `${show(step)}: it does not run`);
    if ('sees_stale' in step)
      assert.deepEqual(gate.stale, staleIn(step), `${show(step)}: saw ${show({ value: gate.stale })}`);
    if ('asked' in step) assert.deepEqual(gate.asked, step.asked, show(step));
  }

  async #do(step: Step): Promise<void> {
    if ('fields' in step) {
      const asked: string[] = [];
      return checkFields(step, await new Call(callOfFields(this.#view(step), step, asked)).seen(), asked);
    }
    const ran: unknown[] = [];
    // Of many that are answered alike the last one is looked at.
    const calls = Array.from({ length: number(step, 'callers', 1) }, () => new Call(this.#callOf(step, ran)).seen());
    const seen = (await Promise.all(calls)).at(-1) as Seen;
    if (step.do === 'get_entry') return this.#checkEntry(step, seen);
    if (SIGHTS.some((name) => name in step)) check(step, seen);
    else assert.ok(!('error' in seen), `${show(step)}: saw ${show(seen)}`);
    if ('runs' in step) assert.equal(ran.length > 0, step.runs, `${show(step)}: the fallback ran ${ran.length} times`);
    if ('sees_stale' in step)
      assert.deepEqual(ran, [staleIn(step)], `${show(step)}: the fallback saw ${show({ ran })}`);
  }

  #callOf(step: Step, ran: unknown[]): Make {
    const manager = this.#view(step);
    const key = typeof step.key === 'string' ? step.key : '';
    const options = named(step.with);
    const hasFallback = 'computes' in step || 'computes_null' in step;
    const fallback = (context: Context) => {
      ran.push(context.stale);
      return say(context, (step.says ?? {}) as Step, 'computes_null' in step ? null : step.computes);
    };
    switch (step.do) {
      case 'get':
        return hasFallback ? () => manager.get(key, fallback, options) : () => manager.get(key, { default: ABSENT });
      case 'refresh':
        return () => manager.refresh(key, fallback, options);
      case 'set':
        return () => manager.set(key, step.to, 'ttl' in step ? { ...options, ttl: text(step, 'ttl') } : options);
      case 'write_through':
        return () => manager.writeThrough(key, toOf(step), persisting(step, ran), options);
      case 'invalidate':
        return () => manager.invalidate(key);
      case 'expire':
        return () => manager.expire(key);
      case 'exists':
        return () => manager.exists(key);
      case 'get_entry':
        return () => manager.getEntry(key);
      case 'invalidate_tag':
        return () => manager.invalidateTag(text(step, 'tag'));
      case 'clear':
        return () => manager.clear();
      case 'publish_event':
        return () =>
          manager.publishEvent(
            text(step, 'event'),
            step.data,
            'max_len' in step ? { maxLen: number(step, 'max_len') } : {},
          );
      default:
        throw new Error(`${show(step)}: there is no ${step.do}`);
    }
  }

  #checkEntry(step: Step, seen: Seen): void {
    if ('error' in seen || seen.value === null) {
      check(step, 'error' in seen ? seen : { value: ABSENT });
      return;
    }
    const entry = seen.value as { value: unknown; tags: string[]; version: number };
    const said = `${show(step)}: saw ${show(seen)}`;
    assert.ok(!('absent' in step), said);
    const [key, before] = [text(step, 'key'), this.#versions.get(text(step, 'key')) ?? 0];
    this.#versions.set(key, entry.version);
    if ('value' in step || 'null' in step) check(step, { value: entry.value });
    if ('tags' in step) assert.deepEqual([...entry.tags].sort(), step.tags, said);
    if ('version' in step) assert.ok(before > 0 && before < entry.version, `${said} after ${before}`);
  }

  /** Reads until L1 answers. */
  async #held(manager: CacheManager, key: string): Promise<void> {
    const before = manager.stats().l1_hits;
    const isHeld = async () => {
      await manager.get(key, { default: ABSENT });
      return manager.stats().l1_hits > before;
    };
    assert.ok(await inTime(isHeld), `L1 does not hold ${key}`);
  }

  /** Waits until each of these has been observed since the last time. */
  async #observed(name: string, expected: Step[]): Promise<void> {
    this.#manager(name);
    const seen = this.#seen.get(name) ?? [];
    const isLike = (fields: Step) => (event: CacheEvent) =>
      Object.entries(fields).every(([field, value]) => (event as unknown as Step)[field] === value);
    const missing = () => expected.filter((fields) => !seen.some(isLike(fields)));
    assert.ok(await inTime(async () => missing().length === 0), `not seen: ${show({ missing: missing(), seen })}`);
    seen.length = 0;
  }

  async #killPush(): Promise<void> {
    assert.ok(this.#place, 'only Redis has connections');
    await this.#place.killPushes();
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
    const stats: Readonly<Record<string, unknown>> = { ...this.#view(step).stats() };
    for (const [name, figure] of Object.entries(step.stats as Step)) {
      assert.equal(stats[name], figure, `${show(step)}: saw ${show(stats)}`);
    }
  }

  #statsLeast(step: Step): void {
    const stats: Readonly<Record<string, unknown>> = { ...this.#view(step).stats() };
    for (const [name, least] of Object.entries(step.stats_least as Step)) {
      assert.ok(Number(stats[name]) >= Number(least), `${show(step)}: saw ${show(stats)}`);
    }
  }

  async #store(state: string): Promise<void> {
    const place = this.#place;
    assert.ok(place, 'only scenarios for Redis alone touch their store');
    const verbs = { hang: place.pause, run: place.resume, kill: place.kill, start: place.start };
    if (!(state in verbs)) throw new Error(`a store does not ${state}`);
    await verbs[state as keyof typeof verbs]();
    this.#isUp = state === 'run' || state === 'start';
  }

  /** Until a new manager has a connection to every node: where a command may not take long, its first would have to pay for them. */
  async #warmUp(step: Step): Promise<void> {
    const name = step.manager ?? step.close;
    if (!this.#isHasty || !this.#isUp || typeof name !== 'string' || this.#managers.has(name)) return;
    const manager = this.#manager(name);
    for (let number = 0; number < KEYS_OF_EVERY_NODE; number++) {
      const isAnswered = () =>
        manager.exists(`warm:up:${number}`).then(
          () => true,
          (error) => {
            if (error instanceof StoreUnavailable) return false;
            throw error;
          },
        );
      assert.ok(await inTime(isAnswered), `no answer about key ${number}`);
    }
  }

  async #rawLease(key: string, exclusiveMs: number): Promise<void> {
    assert.ok(this.#place, 'only Redis has raw leases');
    await this.#place.evaluate(RAW_LEASE, `{${this.#options.service}:v1:${key}}:lease`, exclusiveMs);
  }

  #manager(name: string): CacheManager {
    return made(this.#managers, name, () => {
      const { upgrade, ...own } = this.#optionsOf[name] ?? {};
      const manager = new CacheManager({ ...this.#options, ...named(own), upgrade: upgrades(upgrade) });
      if (this.#observes) {
        const seen: CacheEvent[] = [];
        this.#seen.set(name, seen);
        for (const event of EVENTS) manager.on(event, (told) => seen.push(told));
      }
      return manager;
    });
  }

  /** The manager of a step, or a view of it. */
  #view(step: Step): CacheManager {
    let manager = this.#manager(text(step, 'manager'));
    if ('tenant' in step) manager = manager.tenant(text(step, 'tenant'), named(step.tenant_with));
    if (!('namespace' in step)) return manager;
    return text(step, 'namespace')
      .split(':')
      .reduce((view, name) => view.namespace(name), manager);
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

async function inTime(holds: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS / 2;
  while (!(await holds())) {
    if (performance.now() > deadline) return false;
    await pass(20);
  }
  return true;
}

/** Lets begin what was called, and end what can end without the store. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await nextTurn();
}

function made<T>(all: Map<string, T>, name: string, make: () => T): T {
  const one = all.get(name) ?? make();
  all.set(name, one);
  return one;
}

/** A function for each version that has one: it adds 100 to a number. */
function upgrades(versions: unknown): Options['upgrade'] {
  const addHundred = (old: unknown): number => {
    assert.equal(typeof old, 'number');
    return (old as number) + 100;
  };
  return Array.isArray(versions) ? Object.fromEntries(versions.map((version) => [version, addHundred])) : undefined;
}
