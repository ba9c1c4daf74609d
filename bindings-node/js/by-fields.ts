/** What a manager has of values that are split over fields. */

import type { Awaitable } from './awaitable.js';
import { type AnyFieldsOptions, type FetchFields, getFields, invalidateFields, setFields } from './fields.js';
import type { Flow } from './flow.js';
import type { FieldsOptions, InvalidateOptions, SetOptions } from './options.js';
import type { AnySchema, OutputOf } from './schema.js';
import type { View } from './terms.js';

type Schemas = AnySchema | Readonly<Record<string, AnySchema>> | undefined;
/** A field is null where `fetchMissing` left it out. */
export type FieldsOf<T, N extends string, S extends Schemas> = {
  [K in N]:
    | (S extends AnySchema ? OutputOf<S> : K extends keyof S ? (S[K] extends AnySchema ? OutputOf<S[K]> : T) : T)
    | null;
};

export class ByFields {
  readonly #flow: Flow;
  readonly #view: View;

  /** @internal */
  constructor(flow: Flow, view: View) {
    this.#flow = flow;
    this.#view = view;
  }

  /**
   * The values of these fields of `key`; `fetchMissing(names)` is called for those that are not cached, and gives an object
   * or a Map; one that it leaves out is cached as null.
   *
   * It runs once in the whole fleet, under the lease of the key; what it throws is thrown unchanged. Fields carry the tags of
   * the call that stored them, and end with whatever ends their key. Without it, those that are cached are given.
   *
   * ```ts
   * await cache.setFields('user:profile:42', { name: 'Ada' });
   * const { name, age } = await cache.getFields('user:profile:42', ['name', 'age'], () => ({ age: 36 }));
   * if (name !== 'Ada' || age !== 36) throw new Error('no such fields');
   * ```
   */
  getFields<T = unknown, N extends string = string>(
    key: string,
    names: Iterable<N>,
  ): Promise<Partial<Record<N, T | null>>>;
  getFields<T, N extends string = string, S extends Schemas = undefined>(
    key: string,
    names: Iterable<N>,
    fetchMissing: (
      names: string[],
      ask: { readonly signal: AbortSignal },
    ) => Awaitable<ReadonlyMap<string, T> | Readonly<Record<string, T>>>,
    options?: FieldsOptions<S>,
  ): Promise<FieldsOf<T, N, S>>;
  async getFields(
    key: string,
    names: Iterable<string>,
    fetchMissing?: FetchFields,
    options?: AnyFieldsOptions,
  ): Promise<unknown> {
    return getFields(this.#flow, this.#view, key, names, fetchMissing, options);
  }

  /**
   * Stores these fields, of a Map or an object; others of the key stay, and the whole value that may be cached under it
   * goes. Answers as `set` does, with its errors; what the store does not confirm invalidates the whole key.
   */
  async setFields(
    key: string,
    values: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>,
    options?: SetOptions,
  ): Promise<boolean> {
    return setFields(this.#flow, this.#view, key, values, options);
  }

  /**
   * Removes these fields of `key`, and the whole value that may be cached under it; other fields stay. Answers as
   * `invalidate` does; what the store does not confirm is journalled as an invalidation of the whole key.
   */
  async invalidateField(key: string, names: string | Iterable<string>, options?: InvalidateOptions): Promise<boolean> {
    return invalidateFields(this.#flow, this.#view, key, names, options);
  }
}
