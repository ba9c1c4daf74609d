/** What behaviour tests stand on: managers on memory and on a real Redis, fallbacks that can be held, things seen. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as pass, setImmediate as turn } from 'node:timers/promises';
import { type CacheEvents, CacheManager, type Context, type EventName, type Options } from 'tidegate';
import { RedisServer } from './redis-server.js';

export const KEY = 'user:profile:1';

const TEST_MS = 60_000;
const PATIENCE_MS = 10_000;
const CLOSE_MS = 1_000;
// A machine that is busy is no fault of the store.
export const PATIENT: Options = { commandTimeout: '10s', connectTimeout: '10s', lease: '12s' };

let numbers = 0;
let shared: Promise<RedisServer> | undefined;

after(async () => (await shared)?.stop());

/** Managers that meet on one store; each test has a service of its own, so nobody sees anybody else's entries. */
export class Stage {
  readonly #managers: CacheManager[] = [];

  constructor(
    readonly url: string,
    readonly service: string,
    private readonly options: Options = {},
  ) {}

  /** The first manager. */
  get cache(): CacheManager {
    return this.#managers[0] ?? this.make();
  }

  make(options: Options = {}): CacheManager {
    const manager = new CacheManager({ url: this.url, service: this.service, ...this.options, ...options });
    this.#managers.push(manager);
    return manager;
  }

  async close(): Promise<void> {
    await Promise.all(this.#managers.map((manager) => manager.close({ timeout: CLOSE_MS })));
  }
}

/** Two tests: on memory, then on a server that all tests of the file share. */
export function onBoth(name: string, body: (stage: Stage) => Promise<void>): void {
  test(`${name} (memory)`, { timeout: TEST_MS }, () => {
    const service = freshService();
    return played(new Stage(`memory://${service}`, service), body);
  });
  onRedis(name, body);
}

/** A test on the server that all tests of the file share. */
export function onRedis(name: string, body: (stage: Stage) => Promise<void>): void {
  test(`${name} (redis)`, { timeout: TEST_MS }, async () => {
    return played(new Stage((await sharedServer()).url, freshService(), PATIENT), body);
  });
}

/** A test with a server that it may pause and kill. */
export function onOwnServer(name: string, body: (stage: Stage, server: RedisServer) => Promise<void>): void {
  test(`${name} (a server of its own)`, { timeout: TEST_MS }, async () => {
    const server = await started();
    try {
      await played(new Stage(server.url, freshService()), (stage) => body(stage, server));
    } finally {
      await server.stop();
    }
  });
}

export function sharedServer(): Promise<RedisServer> {
  shared ??= started();
  return shared;
}

/** A name that no other test of this file uses; each file has a server of its own. */
export function freshService(): string {
  numbers += 1;
  return `test${numbers}`;
}

async function started(): Promise<RedisServer> {
  const server = new RedisServer();
  await server.start();
  return server;
}

async function played(stage: Stage, body: (stage: Stage) => Promise<void>): Promise<void> {
  try {
    await body(stage);
  } finally {
    await stage.close();
  }
}

/** A promise with its ends in hand. */
export function deferred<T = void>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** A fallback that counts its runs, tells when it is entered, and is held until it is let go. */
export class Held<T> {
  runs = 0;
  /** What its runs were given. */
  readonly contexts: Context[] = [];
  readonly #entered = deferred();
  readonly #end = deferred<T>();

  get entered(): Promise<void> {
    return this.#entered.promise;
  }

  readonly fallback = (context: Context): Promise<T> => {
    this.runs += 1;
    this.contexts.push(context);
    this.#entered.resolve();
    return this.#end.promise;
  };

  give(value: T): void {
    this.#end.resolve(value);
  }

  fail(error: unknown): void {
    this.#end.reject(error);
  }
}

/** Asks until it holds. */
export async function eventually(holds: () => unknown): Promise<void> {
  for (const began = Date.now(); !(await holds()); await pass(10)) {
    assert.ok(Date.now() - began < PATIENCE_MS, `not in time: ${holds}`);
  }
}

/** Lets everything that can go on go on. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 5; turns += 1) await turn();
}

/** The events of these names, from now on. */
export function watched<K extends EventName>(cache: CacheManager, ...names: K[]): CacheEvents[K][] {
  const events: CacheEvents[K][] = [];
  for (const name of names) cache.on(name, (event) => events.push(event));
  return events;
}

/** The reasons of the faults that a manager has told of, once it is closed. */
export async function reasonsAtTheEnd(cache: CacheManager, faults: CacheEvents['cache.error'][]): Promise<string[]> {
  await cache.close();
  return faults.map((fault) => fault.reason);
}

/** The process warnings that come while `body` runs, which are not printed. */
export async function warningsOf(
  body: () => Promise<unknown>,
): Promise<(Error & { code?: string; detail?: string })[]> {
  const warnings: Error[] = [];
  const printers = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', (warning) => warnings.push(warning));
  try {
    await body();
    await settled();
  } finally {
    process.removeAllListeners('warning');
    for (const printer of printers) process.on('warning', printer);
  }
  return warnings;
}

/** What a promise is rejected with; the very object. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const [end] = await Promise.allSettled([promise]);
  assert.ok(end.status === 'rejected', 'it was not rejected');
  return end.reason;
}
