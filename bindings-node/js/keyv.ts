/**
 * A storage adapter for Keyv, and so for what is built on it: cache-manager from 6 on, cacheable.
 *
 * ```ts
 * import Keyv from 'keyv';
 * import { TidegateStore } from 'tidegate/keyv';
 *
 * const users = new Keyv({ store: new TidegateStore(cache), namespace: 'users' });
 * await users.set('42', { name: 'Ada' }, 60_000);
 * await users.get('42');
 * ```
 *
 * @packageDocumentation
 */

import { EventEmitter } from 'node:events';
import { ConfigError, StoreUnavailable, translated } from './errors.js';
import { key as built, shown } from './key.js';
import { CacheManager } from './manager.js';
import { positiveMs } from './native.js';
import { checkOptions, type Duration, type Options } from './options.js';

/** What a `TidegateStore` takes besides its manager. */
export interface TidegateStoreOptions {
  /** The first segment of its keys (`'keyv'`). */
  prefix?: string | undefined;
  /** How long an entry lives that is set without a ttl (30 days): nothing stands in a cache for ever. */
  ttl?: Duration | undefined;
  /** What `namespace` is at first; Keyv sets it. */
  namespace?: string | undefined;
}

/** One of what `setMany` takes. */
export interface KeyvPair {
  /** As Keyv has it, without the namespace. */
  key: string;
  /** What Keyv has made of the value. */
  value: unknown;
  /** In milliseconds. */
  ttl?: number | undefined;
}

/**
 * Where a Keyv keeps its entries.
 *
 * The entry of `key` in `namespace` is at `keyv:{namespace}:{key}`, both escaped as the builder `key` does, so any text that is
 * not empty is a key. `clear` is one command, however many entries there are. With the store away reads are misses, `set` and
 * `delete` give false, and nothing throws. There is no `iterator`: a cache cannot list its keys (`docs/frameworks/keyv.md`).
 */
export class TidegateStore extends EventEmitter {
  /** What it was made with, as Keyv's adapters show it. */
  readonly opts: Record<string, unknown>;
  /** Its manager. */
  readonly cache: CacheManager;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #isOwn: boolean;
  #namespace: string | undefined;
  #view: CacheManager | undefined;

  /** `cache`: a manager, which its user closes, or the options of one that `disconnect` closes. */
  constructor(cache: CacheManager | Options = {}, options: TidegateStoreOptions = {}) {
    super();
    checkOptions(options, ['prefix', 'ttl', 'namespace']);
    const { prefix = 'keyv', ttl = '30d', namespace } = options;
    if (typeof prefix !== 'string') {
      throw new ConfigError(`prefix=${shown(prefix)} is not a text; a right example: { prefix: 'keyv' }`);
    }
    this.#isOwn = !(cache instanceof CacheManager);
    this.cache = cache instanceof CacheManager ? cache : new CacheManager(cache);
    this.#prefix = prefix;
    // Refused here, where it stands.
    built(prefix, 'x');
    this.#ttlMs = translated(() => positiveMs('ttl', ttl));
    this.#namespace = namespace;
    this.opts = { dialect: 'tidegate', url: '', prefix, ttl: this.#ttlMs };
  }

  /** What its keys stand under; Keyv sets it. */
  get namespace(): string | undefined {
    return this.#namespace;
  }

  set namespace(namespace: string | undefined) {
    this.#namespace = namespace;
    this.#view = undefined;
  }

  /** The value; undefined where there is none, and where the store is away. */
  async get<Value>(key: string): Promise<Value | undefined> {
    return (await this.#entries.get(this.#keyOf(key), { default: undefined })) as Value | undefined;
  }

  /** The same of many keys, in their order. */
  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    return Promise.all(keys.map((key) => this.get<Value>(key)));
  }

  /** `ttl` is in milliseconds. False: the store did not confirm it, and the key is invalidated. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    const lives = ttl === undefined || ttl === 0 ? this.#ttlMs : Math.max(1, Math.ceil(ttl));
    // Keyv gives texts; with another serializer it may give bytes, or the value itself.
    const codec = typeof value === 'string' ? 'json' : 'msgpack';
    return this.#entries.set(this.#keyOf(key), value, { ttl: lives, codec });
  }

  /** Stores many; for each whether the store confirmed it. */
  async setMany(pairs: KeyvPair[]): Promise<boolean[]> {
    return Promise.all(pairs.map(({ key, value, ttl }) => this.set(key, value, ttl)));
  }

  /** Whether there was an entry, and the store confirmed that there is none. */
  async delete(key: string): Promise<boolean> {
    const found = await this.has(key);
    // Also without an entry: a fill may be under way.
    return (await this.#entries.invalidate(this.#keyOf(key))) && found;
  }

  /** Whether there was an entry of each. */
  async deleteMany(keys: string[]): Promise<boolean> {
    const were = await Promise.all(keys.map((key) => this.delete(key)));
    return were.length > 0 && were.every(Boolean);
  }

  /** Whether there is an entry; false where the store is away. */
  async has(key: string): Promise<boolean> {
    try {
      return await this.#entries.exists(this.#keyOf(key));
    } catch (error) {
      if (error instanceof StoreUnavailable) return false;
      throw error;
    }
  }

  /** The same of many keys, in their order. */
  async hasMany(keys: string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /** Ends every entry of its namespace; without one, of all Keyvs on this service under its prefix that have none. */
  async clear(): Promise<void> {
    await this.#entries.clear();
  }

  /** Closes the manager, if it is its own. */
  async disconnect(): Promise<void> {
    if (this.#isOwn) await this.cache.close();
  }

  /** The view of its namespace: its entries share a tag, by which `clear` ends them. */
  get #entries(): CacheManager {
    // A builder makes paths of two segments at least.
    this.#view ??= this.cache.namespace(built(...this.#path, 'x').slice(0, -2));
    return this.#view;
  }

  #keyOf(key: string): string {
    return built(...this.#path, key);
  }

  get #path(): string[] {
    return this.#namespace === undefined || this.#namespace === '' ? [this.#prefix] : [this.#prefix, this.#namespace];
  }
}
