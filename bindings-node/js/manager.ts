import { inspect } from 'node:util';
import { throwIfAborted } from './abort.js';
import { Batch, type FetchMissing } from './batch.js';
import type { Fallback } from './context.js';
import { EventDeadLetters } from './dead-events.js';
import { type EventHandler, type EventOptions, type PublishOptions, publish, Subscription } from './domain.js';
import { translated } from './errors.js';
import { encoded, type Flow } from './flow.js';
import {
  checkFallback,
  checkFetch,
  confirmed,
  isRequired,
  listOf,
  pairsOf,
  timeoutOf,
  withoutPassword,
} from './given.js';
import { Opened } from './hit.js';
import { House } from './house.js';
import { checkKeyText, type KeyPart, shown } from './key.js';
import { NOT_HELD } from './l1.js';
import { checkKeys, type Terms } from './native.js';
import { Observed } from './observed.js';
import type {
  AnyDefaultOptions,
  AnyGetOptions,
  BehindOptions,
  CloseOptions,
  DefaultOptions,
  Entry,
  EntryOptions,
  GetOptions,
  Given,
  InvalidateOptions,
  Options,
  SetOptions,
  TenantOptions,
  WriteThroughOptions,
} from './options.js';
import { entryOf, getOrDefault, peekEntry, peekOr } from './peek.js';
import type { Port } from './port.js';
import type { AnySchema, InputOf, Made, MaybeSchema, OutputOf } from './schema.js';
import { disabled, isDisabled, isOutside, leads } from './scope.js';
import { type Call, View } from './terms.js';
import { decorator, type MethodDecorator, type WrapOptions, type Wrapped, wrap } from './wrap.js';
import { type Persist, writeThrough } from './write.js';
import { type Sink, WriteBehind } from './write-behind.js';

/**
 * A cache in front of a slow source. Opens no connection and starts no thread before its first use, and keeps no
 * process alive but for calls that are under way. What is computed behind a value that was served is such a call: the
 * process stays for it, for up to `hardTimeout`.
 *
 * ```ts
 * const cache = new CacheManager({ url: 'memory://', service: 'billing', ttl: '5m' });
 * const user = await cache.get('user:profile:42', async () => ({ id: 42 }));
 * ```
 */
export class CacheManager extends Observed {
  readonly #house: House;
  readonly #view: View;
  readonly #port: Port;
  readonly #flow: Flow;
  readonly #isTenants: boolean;

  constructor(options: Options = {}) {
    // A view is made on what its manager is made of.
    const given: unknown = options;
    const house = given instanceof Inside ? given.house : new House(options);
    const view = given instanceof Inside ? given.view : new View(house.port.native);
    const flow = house.flowOf(view.plain.terms);
    super(house, flow, view);
    this.#house = house;
    this.#view = view;
    this.#port = house.port;
    this.#flow = flow;
    this.#isTenants = flow.scope !== '';
  }

  // --- reads ---------------------------------------------------------------------------------------------------------

  /**
   * The cached value; else what `fallback` gives, computed once however many ask, and stored for `ttl`.
   *
   * What `fallback` throws is thrown unchanged; `undefined` is null. Instead of a fallback, `{ default }` is what is
   * given where there is no entry. An aborted `signal` rejects this call with its reason; the store being away does not.
   * With a `schema` the value is what that makes of what is stored; an entry that does not fit is computed anew. What the
   * fallback gives and does not fit is given as it is, and not stored (`cache.error`, reason `schema`).
   */
  get<T, S extends MaybeSchema = undefined>(
    key: string,
    run: Fallback<T>,
    options?: GetOptions<S>,
  ): Promise<Given<T, S>>;
  get<T = unknown, D = T | null | undefined, S extends MaybeSchema = undefined>(
    key: string,
    options: DefaultOptions<D, S>,
  ): Promise<(S extends AnySchema ? OutputOf<S> | null : T) | D>;
  async get(key: string, second: Fallback<unknown> | AnyDefaultOptions, options?: AnyGetOptions): Promise<unknown> {
    if (options === undefined && typeof second === 'function' && this.#port.index !== undefined && isOutside()) {
      const { tags } = this.#view.plain;
      const held = this.#isTenants ? this.#flow.held(key, tags) : this.#port.index.get(key, tags);
      if (held !== NOT_HELD) return held;
    }
    checkKeyText(key);
    if (typeof second !== 'function') return getOrDefault(this.#flow, key, this.#view, second);
    const got = this.getBy(key, second, this.#view.read(options));
    // Awaited, not given as it is: that would take two turns of the microtasks more.
    return got instanceof Promise ? await got : got;
  }

  /** @internal */
  readBy(options: AnyGetOptions | undefined): Call {
    return this.#view.read(options);
  }

  /** The times and bounds of such a read: for who tells others of them, or keeps them himself. @internal */
  termsBy(options: AnyGetOptions): Terms {
    return this.#view.terms(options);
  }

  /** The value, or a promise of it: for callers who are promises themselves. @internal */
  getBy(key: string, fallback: Fallback<unknown>, call: Call): unknown {
    checkKeyText(key);
    throwIfAborted(call.signal);
    if (!isOutside()) {
      if (isDisabled(this.#port)) return this.#flow.alone(key, fallback, call);
      if (leads(this.#port, this.#flow.scope, key)) {
        this.#flow.reportNested(key);
        return this.#flow.alone(key, fallback, call);
      }
    }
    const held = this.#flow.held(key, call.tags);
    if (held === NOT_HELD) return this.#flow.settle(this.#flow.begin(key, null, call), key, fallback, call);
    if (call.coder.decode === undefined) return held;
    return this.#flow.settle(new Opened(held), key, fallback, call);
  }

  /** The value with what is known of its entry; null when there is none, `StoreUnavailable` with the store away. */
  async getEntry<T = unknown, S extends MaybeSchema = undefined>(
    key: string,
    options: EntryOptions<S> = {},
  ): Promise<Entry<Made<T, S>> | null> {
    return (await entryOf(this.#flow, key, this.#view, options)) as Entry<Made<T, S>> | null;
  }

  /** Whether there is an entry, a cached null included; `StoreUnavailable` with the store away. */
  async exists(key: string): Promise<boolean> {
    return (await peekEntry(this.#flow, key, this.#view.plain)) !== null;
  }

  /**
   * The values of many keys, in their order; `fetchMissing(keys)` is called once, for all that nobody has or computes.
   *
   * A key that it leaves out is cached as null. It is called again only for keys that another caller was computing and
   * failed to.
   */
  async getMany<T, S extends MaybeSchema = undefined>(
    keys: Iterable<string>,
    fetchMissing: FetchMissing<T>,
    options?: GetOptions<S>,
  ): Promise<Map<string, Given<T, S> | null>> {
    const call = this.#view.read(options);
    throwIfAborted(call.signal);
    const asked = listOf(keys, 'getMany([key1, key2], fetch)');
    // All of them before anything is fetched or stored.
    translated(() => checkKeys(asked));
    checkFetch(fetchMissing);
    const batch = new Batch(this.#flow, asked, fetchMissing, call);
    return (await (isDisabled(this.#port) ? batch.uncached() : batch.run())) as Map<string, Given<T, S> | null>;
  }

  // --- writes --------------------------------------------------------------------------------------------------------

  /**
   * Stores a value, whatever stands there. False: the store did not confirm it, so the key is invalidated.
   *
   * `ValueTooLarge` for one over `maxValueBytes`, `EncodeError` for one that its codec cannot hold.
   */
  async set(key: string, value: unknown, options?: SetOptions): Promise<boolean> {
    return this.setMany(new Map([[key, value]]), options);
  }

  /** Stores many values, of a Map or an object. True: the store confirmed them all. */
  async setMany(
    values: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>,
    options?: SetOptions,
  ): Promise<boolean> {
    const { terms, coder } = this.#view.write(options);
    const pairs = pairsOf(values);
    const keys = pairs.map(([key]) => key);
    if (isDisabled(this.#port)) return false;
    const payloads = pairs.map(([key, value]) => encoded(key, value, coder));
    const { native } = this.#port;
    const set = (first: number) => native.set(first, keys, payloads, coder.codec, terms);
    return confirmed(await this.#port.callMany(keys.length, set));
  }

  /**
   * Has `persist(value)` write to the database, and stores the value, so that no reader is left with the old one.
   *
   * True: the store holds the value. False: the row is written and the cache holds nothing for the key, since another
   * writer or an invalidation came between, or the store is away (then an invalidation is journalled). Nor does it where
   * `persist` throws, which is thrown unchanged. Meanwhile readers wait for up to their `wait`, then compute without storing.
   * Before `persist` is called: `EncodeError`, `ValueTooLarge`; with `onStoreDown: 'refuse'` `StoreUnavailable`.
   *
   * ```ts
   * const rows = new Map<number, unknown>();
   * const save = async (user: { id: number }) => rows.set(user.id, user);
   * await cache.writeThrough('user:profile:42', { id: 42 }, save, { ttl: '1h' });
   * ```
   */
  async writeThrough<T>(key: string, value: T, persist: Persist<T>, options?: WriteThroughOptions): Promise<boolean> {
    const call = this.#view.writeThrough(options);
    checkKeyText(key);
    throwIfAborted(call.signal);
    return writeThrough(this.#flow, key, value, persist, call, !isDisabled(this.#port));
  }

  /**
   * A queue: `put` resolves once a write is durable and readable; `sink` is given the writes later, in batches.
   *
   * `sink(items)` is called by one process at a time for each partition. Writes of a key reach it in their order, each at
   * least once: it applies one only where its row is of a smaller `order`. Without a sink (null) this process only puts.
   *
   * ```ts
   * cache.on('cache.error', console.log); // of memory:// that a queue in it ends with the process
   * const rows = new Map<string, unknown>();
   * const behind = cache.writeBehind<number>('counters', (items) => {
   *   for (const { key, value } of items) rows.set(key, value);
   * });
   * await behind.put('page:views:7', 42);
   * await behind.flush();
   * ```
   */
  writeBehind<S extends AnySchema>(
    name: string,
    sink: Sink<OutputOf<S>> | null,
    options: BehindOptions<S> & { schema: S },
  ): WriteBehind<InputOf<S>>;
  writeBehind<T = unknown>(name: string, sink?: Sink<T> | null, options?: BehindOptions): WriteBehind<T>;
  writeBehind(name: string, sink?: Sink<never> | null, options?: BehindOptions<MaybeSchema>): WriteBehind<never> {
    return new WriteBehind(this.#flow, this.#view, name, sink as Sink | null, options);
  }

  /**
   * Removes entries, here and for everybody; a fill that is under way will not bring them back.
   *
   * True: the store confirmed it. False: it is away; this process serves none of the keys until it has been told.
   */
  async invalidate(keys: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    const required = isRequired(options, 'invalidate');
    const list = listOf(keys, 'invalidate(key1), or cache.invalidate([key1, key2])');
    const call = (first: number) => this.#port.native.invalidate(first, list, required, this.#view.plain.terms);
    return confirmed(await this.#port.callMany(list.length, call));
  }

  /** As `invalidate`, but what stands there is kept for callers who accept stale values. */
  async expire(keys: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    const required = isRequired(options, 'expire');
    const list = listOf(keys, 'expire(key1), or cache.expire([key1, key2])');
    const call = (first: number) => this.#port.native.expire(first, list, required, this.#view.plain.terms);
    return confirmed(await this.#port.callMany(list.length, call));
  }

  /** Runs `fallback` now, whatever is cached, stores what it gives, and gives it. */
  async refresh<T, S extends MaybeSchema = undefined>(
    key: string,
    fallback: Fallback<T>,
    options?: GetOptions<S>,
  ): Promise<Given<T, S>> {
    return (await this.refreshBy(key, fallback, this.#view.read(options))) as Given<T, S>;
  }

  /** As `getBy`. @internal */
  refreshBy(key: string, fallback: Fallback<unknown>, call: Call): Promise<unknown> {
    checkKeyText(key);
    throwIfAborted(call.signal);
    checkFallback(fallback, 'refresh');
    if (isDisabled(this.#port)) return this.#flow.alone(key, fallback, call);
    return this.#flow.settle(this.#flow.refresh(key, call), key, fallback, call);
  }

  // --- tags and namespaces -------------------------------------------------------------------------------------------

  /**
   * From now on no entry that carries one of these tags counts, here or for anybody, however many they are. Answers as
   * `invalidate` does: false means that this process serves none of them until the store has been told.
   */
  async invalidateTag(tags: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    const required = isRequired(options, 'invalidateTag', 'tag');
    const list = listOf(tags, "invalidateTag('user:42'), or cache.invalidateTag(['user:42', 'users'])", 'tag');
    const call = (first: number) => this.#port.native.invalidateTags(first, list, required, this.#view.plain.terms);
    return confirmed(await this.#port.callMany(list.length, call));
  }

  /**
   * A view of this manager whose entries share a tag of their own, so that `clear` ends them all at once. The keys are the
   * same, as are connections, figures, observers and the end: to close a view is to close its manager.
   */
  namespace(name: string): CacheManager {
    return new CacheManager(new Inside(this.#house, this.#view.within(name)) as object);
  }

  /**
   * The view of one tenant: its calls mean the tenant's own keys, tags and namespaces, and `stats` is its own. The name
   * comes from data: any text that is not empty, of 100 bytes at most once it is escaped as a part of a key is, or a whole
   * number. `options`: what its calls go by that say nothing of their own, and `maxFallbacks`. A namespace's view gives
   * that namespace of the tenant's; `ConfigError` for a tenant of a tenant.
   *
   * ```ts
   * const acme = cache.tenant('acme', { ttl: '1h' });
   * await acme.set('user:profile:42', 'Ada');
   * await cache.exists('user:profile:42'); // false
   * ```
   */
  tenant(name: KeyPart, options: TenantOptions = {}): CacheManager {
    return new CacheManager(new Inside(this.#house, this.#view.ofTenant(name, options)) as object);
  }

  /** Ends every entry of this namespace and of those within it, here and for everybody. Answers as `invalidate` does. */
  async clear(options?: InvalidateOptions): Promise<boolean> {
    const required = isRequired(options);
    const { innermost, plain } = this.#view;
    const call = (id: number) => this.#port.native.clear(id, innermost, required, plain.terms);
    return confirmed(await this.#port.callMany(1, call));
  }

  // --- events between services ---------------------------------------------------------------------------------------

  /** Tells every service that handles events of this name. Its id, once the store has it; else `StoreUnavailable`. */
  async publishEvent(name: string, data: unknown, options?: PublishOptions): Promise<string> {
    return publish(this.#port, name, data, options);
  }

  /**
   * Calls `handler` with each event of this name, one at a time, and invalidates the keys and tags that it gives. Each goes
   * to one process of the service, at least once: a handler that throws is called again.
   */
  onEvent<T = unknown>(name: string, handler: EventHandler<T>, options?: EventOptions): Subscription {
    return new Subscription(this.#port, this.#view.plain.terms, name, handler, options);
  }

  /** The events of this name that this service has set aside. */
  eventDeadLetters<T = unknown>(name: string): EventDeadLetters<T> {
    return new EventDeadLetters<T>(this.#port, name);
  }

  // --- functions and methods -----------------------------------------------------------------------------------------

  /**
   * A function that answers from the cache, with `.invalidate(…)`, `.refresh(…)`, `.getCached(…)` and `.key(…)`, which
   * take its arguments; all but `refresh` are content with what `key` takes.
   *
   * ```ts
   * const fetchUser = async (id: number) => ({ id });
   * const getUser = cache.wrap(fetchUser, { key: (id) => key`user:profile:${id}`, ttl: '5m' });
   * await getUser(42);
   * await getUser.invalidate(42);
   * ```
   */
  wrap<
    F extends (...args: never[]) => unknown,
    S extends MaybeSchema = undefined,
    K extends (...args: Parameters<F>) => string = (...args: Parameters<F>) => string,
  >(
    fn: F,
    options: Omit<WrapOptions<Parameters<F>, S>, 'key' | 'tags'> & { key: K; tags?: readonly string[] | undefined },
  ): Wrapped<F, Given<Awaited<ReturnType<F>>, S>, Parameters<K>>;
  wrap<
    F extends (...args: never[]) => unknown,
    S extends MaybeSchema = undefined,
    K extends (...args: Parameters<F>) => string = (...args: Parameters<F>) => string,
  >(
    fn: F,
    options: Omit<WrapOptions<Parameters<F>, S>, 'key'> & { key: K },
  ): Wrapped<F, Given<Awaited<ReturnType<F>>, S>, Parameters<K>, Parameters<F>>;
  wrap(fn: (...args: never[]) => unknown, options: WrapOptions<never, MaybeSchema>): unknown {
    return wrap(this, fn as never, options as never);
  }

  /**
   * A method decorator, of the standard (TC39) and of TypeScript's `experimentalDecorators`. The helpers of `wrap` are
   * `helpersOf(object, 'method')`.
   *
   * ```ts
   * class Users {
   *   @cache.cached({ key: (id: number) => key`user:profile:${id}` })
   *   async getUser(id: number) { return { id }; }
   * }
   * ```
   */
  cached<A extends readonly unknown[], S extends MaybeSchema = undefined>(
    options: WrapOptions<A, S>,
  ): MethodDecorator<A, Made<never, S>> {
    return decorator(this, options);
  }

  /** Runs a block in which, and in what it starts, every `get` runs its fallback and nothing is stored. */
  disabled<T>(block: () => T): T {
    return disabled(this.#port, block);
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /**
   * Lets what is under way end, refreshes behind included, for up to `timeout`; then aborts what still runs and lets go of
   * the store. Invalidations that the store has not confirmed are sent again until it does, or `timeout` has passed. Later
   * calls reject with `ClosedError`.
   *
   * True: all had ended and nothing is owed to the store.
   */
  async close(options?: CloseOptions): Promise<boolean> {
    return this.#house.close(timeoutOf(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  [inspect.custom](): string {
    return `CacheManager(${shown(withoutPassword(this.#house.url))}, service=${shown(this.#port.native.service)})`;
  }

  /** The cached value under these terms, or `absent`. @internal */
  peekBy(key: string, call: Call, absent: unknown): Promise<unknown> {
    return peekOr(this.#flow, key, call, absent);
  }
}

/** What a view is made on. */
class Inside {
  constructor(
    readonly house: House,
    readonly view: View,
  ) {}
}
