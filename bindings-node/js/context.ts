import type { Awaitable } from './awaitable.js';
import { ConfigError, translated } from './errors.js';
import { type Hit, valueIn } from './hit.js';
import { checkKeyText, shown } from './key.js';
import type { Lease } from './lease.js';
import { type Cache, positiveMs, type Terms } from './native.js';
import type { Duration } from './options.js';
import { type Field, Fields } from './payload.js';

// The number of no lease.
const NO_LEASE = 0;

/** The function that fetches a value. What it throws is thrown to its callers unchanged; `undefined` is null. */
export type Fallback<T> = (context: Context) => Awaitable<T>;

/** What a fallback may ask for and say. */
export class Context {
  /** The key that is computed. */
  readonly key: string;
  readonly #native: Cache;
  readonly #terms: Terms | null;
  readonly #lease: Lease | null;
  #ttlMs: number | null = null;
  #tags: readonly string[] = Object.freeze([]);
  #stale: { readonly hit: Hit; readonly value: unknown } | null | undefined;
  #isSkipped = false;
  #isNotModified = false;
  #controller: AbortController | undefined;
  #ended: { readonly reason: unknown } | undefined;

  /** @internal */
  constructor(key: string, native: Cache, terms: Terms | null, lease: Lease | null) {
    this.key = key;
    this.#native = native;
    this.#terms = terms;
    this.#lease = lease;
  }

  /** How long the value will live, in milliseconds; null for the manager's default. May be set, to a `Duration`. */
  get ttl(): number | null {
    return this.#ttlMs ?? this.#terms?.ttlMs ?? null;
  }

  set ttl(ttl: Duration) {
    this.#ttlMs = translated(() => positiveMs('ctx.ttl', ttl));
  }

  /**
   * The tags that the value will carry besides those of the call. May be set, to a list, which is checked at once.
   *
   * A tag that is named here first and has been invalidated since the fallback began (or was never seen before) leaves
   * the value uncached this once.
   */
  get tags(): readonly string[] {
    return this.#tags;
  }

  set tags(tags: readonly string[]) {
    if (!Array.isArray(tags)) {
      throw new ConfigError(`ctx.tags=${shown(tags)} is not an array; a right example: ctx.tags = ['user:42']`);
    }
    tags.forEach(checkKeyText);
    translated(() => this.#native.checkTags(this.#lease?.id ?? NO_LEASE, tags, this.#terms));
    this.#tags = Object.freeze([...tags]);
  }

  /** What stands in the cache and is not fresh any more; null where there is nothing, or nothing that can be read. */
  get stale(): unknown {
    return this.#lookedUp()?.value ?? null;
  }

  /** Those that stand in the store, of a call of fields. @internal */
  get fields(): readonly Field[] {
    const hit = this.#lease?.stale();
    return hit instanceof Fields ? hit.list : [];
  }

  /** Do not store this value: it goes to those who wait for it, and to nobody else. */
  skip(): void {
    this.#isSkipped = true;
  }

  /**
   * What stands in the cache is still right: it is stored anew, with a new life, whatever the fallback gives. Gives it, so
   * that `return ctx.notModified()` reads well; `ConfigError` where nothing stands there (`ctx.stale` is null).
   */
  notModified<S = never>(): S {
    const found = this.#lookedUp();
    if (found === null) {
      throw new ConfigError(
        `ctx.notModified(): nothing stands at ${shown(this.key)}; ` +
          'a right example: if (ctx.stale !== null && unchanged) return ctx.notModified()',
      );
    }
    this.#isNotModified = true;
    return found.value as S;
  }

  /** Aborted when nobody waits for this run any more: at the hard timeout, or when its caller was cancelled. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended.reason);
    }
    return this.#controller.signal;
  }

  /** @internal */
  get isSkipped(): boolean {
    return this.#isSkipped;
  }

  /** What stands there, where the fallback said that it is still right. @internal */
  get unmodified(): Hit | undefined {
    return this.#isNotModified ? this.#stale?.hit : undefined;
  }

  /** What the fallback said besides its value, as the native half takes it. @internal */
  get made(): [ttlMs: number | null, tags: string[] | null] {
    return [this.#ttlMs, this.#tags.length === 0 ? null : [...this.#tags]];
  }

  /** @internal */
  end(reason: unknown): void {
    this.#ended = { reason };
    this.#controller?.abort(reason);
  }

  #lookedUp(): { readonly hit: Hit; readonly value: unknown } | null {
    if (this.#stale === undefined) {
      this.#stale = null;
      const hit = this.#lease?.stale();
      try {
        if (hit !== undefined) this.#stale = { hit, value: valueIn(hit) };
      } catch {
        // Not of this language: nothing that the fallback could look at.
      }
    }
    return this.#stale;
  }
}
