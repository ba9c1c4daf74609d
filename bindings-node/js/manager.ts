import { inspect, types } from 'node:util';
import { throwIfAborted } from './abort.js';
import { Batch, type FetchMissing } from './batch.js';
import { ConfigError, translated } from './errors.js';
import { type EventName, type Observer, Observers } from './events.js';
import { encoded, Flow } from './flow.js';
import { checkKeyText, shown } from './key.js';
import { checkKeys, durationMs } from './native.js';
import {
  type CloseOptions,
  checkObject,
  checkOptions,
  type DefaultOptions,
  type Entry,
  type Fallback,
  type GetOptions,
  type InvalidateOptions,
  type Options,
  type SetOptions,
  type Stats,
  type Stored,
  ttlMs,
} from './options.js';
import { ABSENT, Detailed, Failed, type Outcome } from './outcome.js';
import { Port } from './port.js';
import { disabled, isDisabled, leads } from './scope.js';
import { decorator, type MethodDecorator, type WrapOptions, type Wrapped, wrap } from './wrap.js';

const GET_OPTIONS = ['ttl', 'signal'] as const;
const DEFAULT_OPTIONS = ['default', 'signal'] as const;
const SET_OPTIONS = ['ttl'] as const;
const INVALIDATE_OPTIONS = ['required'] as const;
const CLOSE_OPTIONS = ['timeout'] as const;
const CLOSE_MS = 30_000;

/**
 * A cache in front of a slow source. Opens no connection and starts no thread before its first use, and keeps no
 * process alive.
 *
 * ```ts
 * const cache = new CacheManager({ url: 'memory://', service: 'billing', ttl: '5m' });
 * const user = await cache.get('user:profile:42', async () => ({ id: 42 }));
 * ```
 */
export class CacheManager {
  readonly #url: string;
  readonly #port: Port;
  readonly #flow: Flow;
  readonly #observers: Observers;

  constructor(options: Options = {}) {
    checkObject(options, "{ url: 'redis://localhost:6379/0', service: 'billing' }");
    const { url = 'memory://', metricsEmitter, ...rest } = options;
    if (typeof url !== 'string') {
      throw new ConfigError(`url=${shown(url)} is not a text; a right example: "redis://localhost:6379/0"`);
    }
    if (metricsEmitter !== undefined && !isEmitter(metricsEmitter)) {
      throw new ConfigError(
        `metricsEmitter=${shown(metricsEmitter)} is not an EventEmitter; ` +
          'a right example: metricsEmitter: new EventEmitter()',
      );
    }
    this.#url = url;
    const observers = new Observers(metricsEmitter);
    const port: Port = new Port(url, rest, () => observers.deliver(port.native));
    this.#observers = observers;
    this.#port = port;
    this.#flow = new Flow(port);
    if (!observers.isEmpty) port.native.listen(true);
  }

  // --- reads ---------------------------------------------------------------------------------------------------------

  /**
   * The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.
   *
   * What `fallback` throws is thrown unchanged; `undefined` is null. Instead of a fallback, `{ default }` is what is
   * given where there is no entry. An aborted `signal` rejects this call with its reason. The store being away throws
   * nothing.
   */
  get<T>(key: string, fallback: Fallback<T>, options?: GetOptions): Promise<Stored<T>>;
  get<T = unknown, D = T | null | undefined>(key: string, options: DefaultOptions<D>): Promise<T | D>;
  async get(key: string, second: Fallback<unknown> | DefaultOptions<unknown>, options?: GetOptions): Promise<unknown> {
    checkKeyText(key);
    if (typeof second !== 'function') return this.#getOrDefault(key, second);
    checkOptions(options, GET_OPTIONS);
    const life = ttlMs(options?.ttl);
    const signal = options?.signal;
    if (isDisabled(this.#port)) return this.#flow.alone(key, second, signal);
    if (leads(this.#port, key)) {
      this.#flow.reportNested(key);
      return this.#flow.alone(key, second, signal);
    }
    return this.#flow.settle(this.#flow.begin(key, true, signal), key, second, life, signal);
  }

  /** The value with what is known of its entry; null when there is none, `StoreUnavailable` with the store away. */
  async getEntry<T = unknown>(key: string): Promise<Entry<T> | null> {
    const found = await this.#peek(key);
    if (found === null) return null;
    const read = this.#flow.read(key, found.payload);
    if (read === undefined) return null;
    const { word: _, ...known } = found.head;
    return { value: read.value as T | null, ...known };
  }

  /** Whether there is an entry, a cached null included; `StoreUnavailable` with the store away. */
  async exists(key: string): Promise<boolean> {
    return (await this.#peek(key)) !== null;
  }

  /**
   * The values of many keys, in their order; `fetchMissing(keys)` is called once, for all that nobody has or computes.
   *
   * A key that it leaves out is cached as null. It is called again only for keys that another caller was computing and
   * failed to.
   */
  async getMany<T>(
    keys: Iterable<string>,
    fetchMissing: FetchMissing<T>,
    options?: GetOptions,
  ): Promise<Map<string, Stored<T> | null>> {
    checkOptions(options, GET_OPTIONS);
    throwIfAborted(options?.signal);
    const life = ttlMs(options?.ttl);
    const asked = listOf(keys, 'getMany([key1, key2], fetch)');
    // All of them before anything is fetched or stored.
    translated(() => checkKeys(asked));
    if (typeof fetchMissing !== 'function') {
      throw new ConfigError(
        `fetchMissing=${shown(fetchMissing)} is not a function; it takes an array of keys and gives a Map or an object; ` +
          'a right example: cache.getMany([key1, key2], fetch)',
      );
    }
    const batch = new Batch(this.#flow, asked, fetchMissing, life, options?.signal);
    const values = isDisabled(this.#port) ? batch.uncached() : batch.run();
    return (await values) as Map<string, Stored<T> | null>;
  }

  // --- writes --------------------------------------------------------------------------------------------------------

  /**
   * Stores a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.
   *
   * `ValueTooLarge` for one over `maxValueBytes`, `EncodeError` for one that JSON cannot hold.
   */
  async set(key: string, value: unknown, options?: SetOptions): Promise<boolean> {
    return this.setMany(new Map([[key, value]]), options);
  }

  /** Stores many values, of a Map or an object. True: the store confirmed them all. */
  async setMany(
    values: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>,
    options?: SetOptions,
  ): Promise<boolean> {
    checkOptions(options, SET_OPTIONS);
    const life = ttlMs(options?.ttl);
    // A list, or a Set, has no names; a Map may be of another realm.
    const isMap = types.isMap(values);
    if (typeof values !== 'object' || values === null || (!isMap && Symbol.iterator in values)) {
      throw new ConfigError(
        `values=${shown(values)} is neither a Map nor an object; a right example: cache.setMany({ [key1]: value1 })`,
      );
    }
    const pairs: [string, unknown][] = isMap ? [...values] : Object.entries(values);
    const keys = pairs.map(([key]) => key);
    keys.forEach(checkKeyText);
    if (isDisabled(this.#port)) return false;
    const payloads = pairs.map(([key, value]) => encoded(key, value));
    const outcomes = this.#port.callMany(keys.length, (first) => this.#port.native.set(first, keys, payloads, life));
    return confirmed(await outcomes);
  }

  /**
   * Removes entries, here and for everybody; a fill that is under way will not bring them back.
   *
   * True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
   */
  async invalidate(keys: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    checkOptions(options, INVALIDATE_OPTIONS);
    const list = listOf(keys, 'invalidate(key1), or cache.invalidate([key1, key2])');
    const required = isRequired(options);
    const call = (first: number) => this.#port.native.invalidate(first, list, required);
    return confirmed(await this.#port.callMany(list.length, call));
  }

  /** As `invalidate`, but what stands there is kept for callers who accept stale values. */
  async expire(keys: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    checkOptions(options, INVALIDATE_OPTIONS);
    const list = listOf(keys, 'expire(key1), or cache.expire([key1, key2])');
    const required = isRequired(options);
    const call = (first: number) => this.#port.native.expire(first, list, required);
    return confirmed(await this.#port.callMany(list.length, call));
  }

  /** Runs `fallback` now, whatever is cached, stores what it gives, and gives it. */
  async refresh<T>(key: string, fallback: Fallback<T>, options?: GetOptions): Promise<Stored<T>> {
    checkKeyText(key);
    checkOptions(options, GET_OPTIONS);
    throwIfAborted(options?.signal);
    const life = ttlMs(options?.ttl);
    checkFallback(fallback, 'refresh');
    const signal = options?.signal;
    if (isDisabled(this.#port)) return (await this.#flow.alone(key, fallback, signal)) as Stored<T>;
    return (await this.#flow.settle(this.#flow.refresh(key, signal), key, fallback, life, signal)) as Stored<T>;
  }

  // --- functions and methods -----------------------------------------------------------------------------------------

  /**
   * A function that answers from the cache, with `.invalidate(…)`, `.refresh(…)`, `.getCached(…)` and `.key(…)`, which
   * take its arguments.
   *
   * ```ts
   * const fetchUser = async (id: number) => ({ id });
   * const getUser = cache.wrap(fetchUser, { key: (id) => key`user:profile:${id}`, ttl: '5m' });
   * await getUser(42);
   * await getUser.invalidate(42);
   * ```
   */
  wrap<F extends (...args: never[]) => unknown>(fn: F, options: WrapOptions<Parameters<F>>): Wrapped<F> {
    return wrap(this, fn as never, options);
  }

  /**
   * A method decorator, of the standard (TC39) and of TypeScript's `experimentalDecorators`. The helpers of `wrap` are
   * `helpersOf(object, 'method')`.
   *
   * ```ts
   * class Users {
   *   \@cache.cached({ key: (id: number) => key`user:profile:${id}` })
   *   async getUser(id: number) { return { id }; }
   * }
   * ```
   */
  cached<A extends readonly unknown[]>(options: WrapOptions<A>): MethodDecorator<A> {
    return decorator(this, options);
  }

  /** Runs a block in which, and in what it starts, every `get` runs its fallback and nothing is stored. */
  disabled<T>(block: () => T): T {
    return disabled(this.#port, block);
  }

  // --- observers -----------------------------------------------------------------------------------------------------

  /**
   * Calls `observer` with each event of this name, in batches, never on a caller's path.
   *
   * What an observer throws becomes a process warning. Events are kept only while somebody observes.
   */
  on<K extends EventName>(event: K, observer: Observer<K>): this {
    this.#observers.add(event, observer as Observer<never>);
    this.#port.native.listen(true);
    return this;
  }

  /** Stops calling `observer`; does nothing when it was not called. */
  off<K extends EventName>(event: K, observer: Observer<K>): this {
    this.#observers.remove(event, observer as Observer<never>);
    if (this.#observers.isEmpty) this.#port.native.listen(false);
    return this;
  }

  /** The figures since this manager was made. */
  stats(): Stats {
    return JSON.parse(this.#port.native.stats());
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /**
   * Lets what is under way end, for up to `timeout`, then lets go of the store; later calls reject with `ClosedError`.
   *
   * True: all had ended and nothing is owed to the store.
   */
  async close(options?: CloseOptions): Promise<boolean> {
    checkOptions(options, CLOSE_OPTIONS);
    const timeout = options?.timeout;
    const patience = timeout === undefined ? CLOSE_MS : translated(() => durationMs('timeout', timeout));
    const drained = await this.#port.call((id) => this.#port.native.close(id, patience));
    this.#observers.deliver(this.#port.native);
    return drained === true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [inspect.custom](): string {
    return `CacheManager(${shown(withoutPassword(this.#url))}, service=${shown(this.#port.native.service)})`;
  }

  // --- a read without a fallback -------------------------------------------------------------------------------------

  async #getOrDefault(key: string, options: DefaultOptions<unknown>): Promise<unknown> {
    const isObject = typeof options === 'object' && options !== null;
    if (isObject) checkOptions(options, DEFAULT_OPTIONS);
    if (!isObject || !('default' in options)) {
      throw new ConfigError(
        `get(${shown(key)}) has neither a fallback nor a default; a right example: ` +
          "cache.get('user:profile:42', fetch), or cache.get('user:profile:42', { default: null })",
      );
    }
    throwIfAborted(options.signal);
    if (isDisabled(this.#port)) return options.default;
    const outcome = await this.#peeked(key, false, options.signal);
    if (outcome === ABSENT) return options.default;
    const read = this.#flow.read(key, outcome);
    return read === undefined ? options.default : read.value;
  }

  async #peek(key: string): Promise<Detailed | null> {
    checkKeyText(key);
    if (isDisabled(this.#port)) return null;
    const outcome = await this.#peeked(key, true, undefined);
    return outcome instanceof Detailed ? outcome : null;
  }

  async #peeked(key: string, required: boolean, signal: AbortSignal | undefined): Promise<Outcome> {
    const { native } = this.#port;
    const outcome = await this.#port.call((id, canCancel) => native.peek(id, key, required, canCancel), signal);
    if (outcome instanceof Failed) throw outcome.error;
    return outcome;
  }
}

/** What delivers events asks both. */
function isEmitter(given: { emit?: unknown; listenerCount?: unknown } | null): boolean {
  return typeof given?.emit === 'function' && typeof given.listenerCount === 'function';
}

/** Whether the store confirmed them all; throws the first that failed. */
function confirmed(outcomes: readonly Outcome[]): boolean {
  for (const outcome of outcomes) {
    if (outcome instanceof Failed) throw outcome.error;
  }
  return outcomes.every((outcome) => outcome === true);
}

function isRequired(options: InvalidateOptions | undefined): boolean {
  const required: unknown = options?.required ?? false;
  if (typeof required === 'boolean') return required;
  throw new ConfigError(`required=${shown(required)} is neither true nor false; a right example: { required: true }`);
}

function checkFallback(fallback: unknown, verb: string): void {
  if (typeof fallback === 'function') return;
  throw new ConfigError(
    `fallback=${shown(fallback)} is not callable; a right example: cache.${verb}('user:profile:42', fetch)`,
  );
}

/** One key or many, as an array. */
function listOf(keys: string | Iterable<string>, example: string): string[] {
  if (typeof keys !== 'string' && typeof keys?.[Symbol.iterator] !== 'function') {
    throw new ConfigError(`keys=${shown(keys)} is neither a key nor a list of keys; a right example: cache.${example}`);
  }
  const list = typeof keys === 'string' ? [keys] : [...keys];
  list.forEach(checkKeyText);
  return list;
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');
}
