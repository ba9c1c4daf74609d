/** Decorators of parameters and methods. */

import { ConfigError, translated } from '../errors.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { checkTemplate } from '../native.js';
import { nest } from '../nestjs-common.js';
import { checkOptions } from '../options.js';
import type { AnySchema, MaybeSchema, OutputOf } from '../schema.js';
import { cachedOn, type WrapOptions } from '../wrap.js';
import { getCacheToken, injected, managerOf, placeOf } from './token.js';

// biome-ignore lint/suspicious/noExplicitAny: a method's arguments are the user's own
type Any = any;
type AsyncMethod = (...args: Any[]) => Promise<unknown>;

/** Those of `cache.wrap`, and which manager it is. */
export type CachedMethodOptions<A extends readonly unknown[], S extends MaybeSchema = undefined> = WrapOptions<A, S> & {
  /** The name of the manager (the one without a name). */
  manager?: string | undefined;
};

/** What a method ends. Each is of its arguments. */
export interface InvalidateOptions<A extends readonly unknown[]> {
  /** Keys whose entries end. */
  keys?: ((...args: A) => string | readonly string[]) | undefined;
  /** Tags whose entries end. */
  tags?: ((...args: A) => string | readonly string[]) | undefined;
  /** The name of the manager (the one without a name). */
  manager?: string | undefined;
}

/** Anything, where what is of a method's arguments takes what the method is called with. */
type Takes<A extends readonly unknown[], F extends AsyncMethod> = ((...args: A) => void) extends (
  ...args: Parameters<F>
) => void
  ? unknown
  : never;
type Gives<S extends MaybeSchema, F extends AsyncMethod> = [S] extends [AnySchema]
  ? [OutputOf<S>] extends [Awaited<ReturnType<F>>]
    ? unknown
    : never
  : unknown;

/** A decorator of asynchronous methods (`experimentalDecorators`, as Nest uses them). */
export type OnMethod<A extends readonly unknown[], S extends MaybeSchema = undefined> = <F extends AsyncMethod>(
  target: object,
  name: string | symbol,
  descriptor: TypedPropertyDescriptor<F> & Takes<A, F> & Gives<S, F>,
) => TypedPropertyDescriptor<F>;

/** Injects a manager: the one without a name, which its type alone injects too, or that of a name. */
export function InjectCache(name?: string): ParameterDecorator & PropertyDecorator {
  return nest().Inject(getCacheToken(name));
}

/**
 * A method that answers from the cache of the module: of providers, controllers and whatever else Nest makes. Options as of
 * `cache.wrap`; its helpers are `helpersOf(users, 'find')`. `ConfigError` where a call finds no manager on its object.
 */
export function Cached<A extends readonly unknown[], S extends MaybeSchema = undefined>(
  options: CachedMethodOptions<A, S>,
): OnMethod<A, S> {
  const { manager, ...rest } = options ?? {};
  return decorated('@Cached', manager, (method) =>
    cachedOn((self) => managerOf(self, manager), method, rest as WrapOptions<Any, MaybeSchema>),
  );
}

/**
 * A method after which entries end: when it has settled, also where it failed, since its row may be written all the same. Its
 * caller is answered after that, with what it gave or threw. An invalidation that the store does not confirm is replayed, and
 * until then this process serves none of what it names.
 */
export function InvalidateAfter<A extends readonly unknown[]>(options: InvalidateOptions<A>): OnMethod<A> {
  checkOptions(options, ['keys', 'tags', 'manager']);
  const { keys, tags, manager } = options ?? {};
  if (typeof keys !== 'function' && typeof tags !== 'function') {
    throw new ConfigError(
      `keys=${shown(keys)} is not a function of the arguments; ` +
        'a right example: @InvalidateAfter({ keys: (id: number) => key`user:profile:${id}` })',
    );
  }
  return decorated(
    '@InvalidateAfter',
    manager,
    (method) =>
      async function invalidating(this: object, ...args: Any[]): Promise<unknown> {
        const cache = managerOf(this, manager);
        // What is wrong with them is told before anything is written.
        const [named, tagged] = [keys, tags].map((of) =>
          of === undefined ? [] : ([of(...(args as never))].flat() as string[]),
        );
        for (const one of named ?? []) translated(() => checkTemplate(one, [one], 'key`user:profile:${id}`'));
        const end = () =>
          Promise.all([
            named?.length ? cache.invalidate(named) : true,
            tagged?.length ? cache.invalidateTag(tagged) : true,
          ]);
        let given: unknown;
        try {
          given = await method.apply(this, args);
        } catch (error) {
          // What the method failed with is what its caller is told.
          await end().catch(() => {});
          throw error;
        }
        await end();
        return given;
      },
  );
}

/** For tests without Nest: gives an object the manager that its decorated methods ask for. Gives the object. */
export function provideCache<T extends object>(object: T, cache: CacheManager, name?: string): T {
  if (!(cache instanceof CacheManager)) {
    throw new ConfigError(`cache=${shown(cache)} is not a CacheManager; a right example: provideCache(users, cache)`);
  }
  Object.defineProperty(object, placeOf(name), { value: cache, configurable: true, writable: true });
  return object;
}

/** Has a method replaced, with all that Nest's own decorators have said of it. */
function decorated(
  decorator: string,
  manager: string | undefined,
  make: (method: AsyncMethod) => (...args: Any[]) => unknown,
): OnMethod<Any, Any> {
  const decorate = (target: object, _name: string | symbol, descriptor?: TypedPropertyDescriptor<AsyncMethod>) => {
    const method = descriptor?.value;
    if (typeof method !== 'function' || typeof target === 'function') {
      throw new ConfigError(
        `${decorator} stands on a method of an object, with experimentalDecorators, as Nest's own do; ` +
          `a right example: ${decorator}({ … }) async find(id: number)`,
      );
    }
    const made = make(method);
    Object.defineProperty(made, 'name', { value: method.name, configurable: true });
    const { getOwnMetadataKeys, getOwnMetadata, defineMetadata } = Reflect as unknown as Record<string, Any>;
    for (const key of getOwnMetadataKeys?.(method) ?? []) defineMetadata(key, getOwnMetadata(key, method), made);
    injected(target, manager);
    return { ...descriptor, value: made };
  };
  return decorate as never;
}
