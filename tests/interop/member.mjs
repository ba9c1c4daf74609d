/**
 * A process with one manager in Node, told by JSON lines what to do (see README.md); `member.py` is the same in Python.
 *
 *     node tests/interop/member.mjs
 */
import { createInterface } from 'node:readline';
import { CacheManager, key, tag } from 'tidegate';
import { fromWire, KINDS, toWire } from './wire.mjs';

const ABSENT = Symbol('absent');

/** One line to the parent. */
function say(message) {
  process.stdout.write(`${JSON.stringify(toWire(message))}\n`);
}

/** A fallback's own error. */
class Boom extends Error {
  name = 'Boom';
}

/** What one call computes: a value at once (`gives`), or what the parent says once it says so. */
class Fallback {
  hasRun = false;

  constructor(running, how) {
    this.run = () => {
      this.hasRun = true;
      if ('gives' in how) return how.gives;
      return new Promise((resolve, reject) => {
        running.set(how.fallback, [...(running.get(how.fallback) ?? []), { resolve, reject }]);
        say({ entered: how.fallback });
      });
    };
  }
}

/** The methods are what a request may ask to be done. */
class Member {
  cache = new CacheManager();
  running = new Map();
  handled = {};
  missed = [];
  behind;
  given = [];

  async open({ url, options: { upgrade = [], ...options } }) {
    const steps = Object.fromEntries(upgrade.map((version) => [version, takeOver]));
    const cache = new CacheManager({ url, ...named(options), upgrade: steps });
    await this.cache.close({ timeout: '1s' });
    this.cache = cache;
    this.given = [];
    this.handled = {};
    this.missed = [];
  }

  /** From here on it is that tenant's. */
  async tenant({ name }) {
    this.cache = this.cache.tenant(name);
  }

  async get({ key, kind, ...how }) {
    const schema = kind && KINDS[kind];
    if (Object.keys(how).length === 0) {
      const value = await this.cache.get(key, given({ default: ABSENT, schema }));
      return value === ABSENT ? { absent: true } : { value, ...namedType(value, kind) };
    }
    const { fallback, options } = this.computing(how);
    const value = await this.cache.get(key, fallback.run, given({ ...options, schema }));
    return { value, ran: fallback.hasRun, ...namedType(value, kind) };
  }

  async refresh({ key, ...how }) {
    const { fallback, options } = this.computing(how);
    return { value: await this.cache.refresh(key, fallback.run, options), ran: fallback.hasRun };
  }

  /** What a request has a call compute, and the options that it gives. */
  computing({ gives, fallback, ...options }) {
    const how = fallback === undefined ? { gives } : { fallback };
    return { fallback: new Fallback(this.running, how), options: named(options) };
  }

  async finish({ fallback, gives }) {
    this.running.get(fallback).shift().resolve(gives);
  }

  async fail({ fallback, error }) {
    this.running.get(fallback).shift().reject(new Boom(error));
  }

  set({ key, value, ...options }) {
    return this.cache.set(key, value, named(options));
  }

  /** Which fields the fallback was asked for is answered beside their values. */
  async get_fields({ key, names, ...how }) {
    if (Object.keys(how).length === 0) return { value: await this.cache.getFields(key, names) };
    const { fallback, options } = this.computing(how);
    const asked = [];
    const fetch = (missing) => {
      asked.push(...missing);
      return fallback.run();
    };
    return { value: await this.cache.getFields(key, names, fetch, options), asked };
  }

  set_fields({ key, values, ...options }) {
    return this.cache.setFields(key, values, named(options));
  }

  invalidate_field({ key, names }) {
    return this.cache.invalidateField(key, names);
  }

  write_through({ key, value, persist }) {
    return this.cache.writeThrough(key, value, new Fallback(this.running, { fallback: persist }).run);
  }

  async get_entry({ key }) {
    const entry = await this.cache.getEntry(key);
    if (entry === null) return null;
    const { createdAt, freshUntil, staleUntil, ...rest } = entry;
    return { ...rest, created_at: createdAt, fresh_until: freshUntil, stale_until: staleUntil };
  }

  exists({ key }) {
    return this.cache.exists(key);
  }

  invalidate({ key, ...options }) {
    return this.cache.invalidate(key, options);
  }

  invalidate_tag({ tag }) {
    return this.cache.invalidateTag(tag);
  }

  expire({ key, ...options }) {
    return this.cache.expire(key, options);
  }

  async key({ parts }) {
    return key(...parts);
  }

  async stats() {
    return { ...this.cache.stats() };
  }

  async observe({ events }) {
    const observer = (event) => {
      const fields = Object.entries(event).filter(([, value]) => value !== null && value !== undefined);
      say({ event: Object.fromEntries(fields) });
    };
    for (const event of events) this.cache.on(event, observer);
  }

  async on_event({ event, gap, ...options }) {
    const onGap = (missed) => {
      this.missed.push(missed);
      return gap.map((name) => tag(name));
    };
    const handler = async ({ id, holds, keys = [], tags = [] }, { attempt }) => {
      this.handled[id] = [nowUs(), attempt];
      say({ entered: event });
      if (holds && attempt === 1) await new Promise((go) => setTimeout(go, 3_600_000));
      return [...keys, ...tags.map((name) => tag(name))];
    };
    return this.cache.onEvent(event, handler, given({ ...named(options), onGap: gap && onGap })).started();
  }

  publish_event({ event, data, max_len: maxLen }) {
    return this.cache.publishEvent(event, data, given({ maxLen }));
  }

  /** Events that name a key each, 50 at a time. */
  async publish_many({ event, first, count, key, max_len: maxLen }) {
    for (let start = first; start < first + count; start += 50) {
      const ids = Array.from({ length: Math.min(50, first + count - start) }, (_, at) => start + at);
      const publish = (id) => this.cache.publishEvent(event, { id, keys: [`${key}:${id}`] }, given({ maxLen }));
      await Promise.all(ids.map(publish));
    }
  }

  /** When each was published, and when what it names was gone for everybody: microseconds of the machine. */
  async publish_timed({ event, count, key }) {
    const times = [];
    for (let id = 0; id < count; id += 1) {
      const name = `${key}:${id}`;
      await this.cache.set(name, id);
      const published = nowUs();
      await this.cache.publishEvent(event, { id, keys: [name] });
      while (await this.cache.exists(name));
      times.push([published, nowUs()]);
      await new Promise((go) => setTimeout(go, 2));
    }
    return times;
  }

  /** When each event was handled, at which attempt; what `onGap` was told. */
  async told() {
    return { handled: this.handled, missed: this.missed };
  }

  /** A queue; with `works` what its sink is given is kept, for `sunk`. Each write fails once whose value is one of `fails`. */
  async queue({ name, works = false, fails = [], ...options }) {
    const sink = (items) => {
      const failed = items.filter(({ value, attempt }) => attempt === 1 && fails.includes(value));
      const done = items.filter((item) => !failed.includes(item));
      this.given.push(...done.map(({ key, value, id, attempt }) => ({ key, value, id, attempt })));
      return failed.map(({ id }) => id);
    };
    this.behind = this.cache.writeBehind(name, works ? sink : null, named(options));
  }

  put({ key, value, operation }) {
    return this.behind.put(key, value, given({ operationId: operation }));
  }

  flush() {
    return this.behind.flush({ timeout: '10s' });
  }

  async sunk() {
    return this.given;
  }

  async letters() {
    const letters = await this.behind.deadLetters.list();
    return letters.map(({ key, value, reason, attempts, writeId }) => ({
      ...{ key, value, reason, attempts },
      write_id: writeId,
    }));
  }

  close() {
    return this.cache.close();
  }
}

/** The options that a request gives. */
function given(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Of a value that a kind was asked for its type, since the line has not got all of them. */
function namedType(value, kind) {
  return kind === undefined ? {} : { type: value?.constructor?.name ?? typeof value };
}

/** The clock that all processes of the machine share. */
function nowUs() {
  return Number(process.hrtime.bigint() / 1000n);
}

/** Version 1's numbers are larger by 100 in version 2. */
function takeOver(old) {
  if (typeof old !== 'number' && typeof old !== 'bigint') throw new TypeError('no number');
  return typeof old === 'bigint' ? old + 100n : old + 100;
}

/** Options under Node's names. */
function named(options) {
  const inCamelCase = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [inCamelCase(name), value]));
}

/** Does what one request asks for, and says what came of it. */
async function answer(member, { id, do: verb, ...request }) {
  try {
    say({ id, answer: (await member[verb](request)) ?? null });
  } catch ({ name, code = null, message }) {
    say({ id, error: { name, code, message } });
  }
}

const member = new Member();
for await (const line of createInterface({ input: process.stdin })) answer(member, fromWire(JSON.parse(line)));
await member.cache.close({ timeout: '1s' });
