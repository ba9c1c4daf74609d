/** Functions and methods that are cached: `wrap`, `@cached`, and the helpers that they get. */

import { ConfigError } from './errors.js';
import { shown } from './key.js';
import type { CacheManager } from './manager.js';
import { type Awaitable, checkOptions, type Duration, ttlMs } from './options.js';

// biome-ignore lint/suspicious/noExplicitAny: `this` and arguments are the user's own
type Any = any;
type AnyFunction = (this: Any, ...args: Any[]) => unknown;

export interface WrapOptions<A extends readonly unknown[]> {
  /** The key of a call, of its arguments: `` (id) => key`user:profile:${id}` ``. */
  key: (...args: A) => string;
  /** How long a value lives (the manager's `ttl`). */
  ttl?: Duration | undefined;
}

/** What a cached function can do besides being called; each takes its arguments. */
export interface Helpers<A extends readonly unknown[], R> {
  /** The key of such a call. */
  key(...args: A): string;
  /** Removes its entry, here and for everybody; as `CacheManager.invalidate`. */
  invalidate(...args: A): Promise<boolean>;
  /** Runs the function now, whatever is cached, stores what it gives, and gives it. */
  refresh(...args: A): Promise<R>;
  /** The cached value; undefined where there is none. */
  getCached(...args: A): Promise<R | undefined>;
}

/** A function that is cached. */
export type Wrapped<F extends AnyFunction> = ((
  this: ThisParameterType<F>,
  ...args: Parameters<F>
) => Promise<Awaited<ReturnType<F>>>) &
  Helpers<Parameters<F>, Awaited<ReturnType<F>>>;

/** A method decorator, of the standard and of TypeScript's `experimentalDecorators`. */
export interface MethodDecorator<A extends readonly unknown[]> {
  <This, F extends (this: This, ...args: Any[]) => Promise<unknown>>(
    method: F & ((this: This, ...args: A) => Promise<unknown>),
    context: ClassMethodDecoratorContext<This, F>,
  ): F;
  <F extends (...args: Any[]) => Promise<unknown>>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<F>,
  ): TypedPropertyDescriptor<F>;
}

const OPTIONS = ['key', 'ttl'] as const;
const wrapped = new WeakSet<object>();

export function wrap(manager: CacheManager, fn: AnyFunction, options: WrapOptions<Any>): Wrapped<Any> {
  if (typeof fn !== 'function') {
    throw new ConfigError(`fn=${shown(fn)} is not a function; a right example: cache.wrap(fetchUser, { key })`);
  }
  const life = checked(options);
  return bound(manager, fn, undefined, options.key, life);
}

export function decorator(manager: CacheManager, options: WrapOptions<Any>): MethodDecorator<Any> {
  const life = checked(options);
  const decorate = (first: unknown, second: unknown, descriptor?: TypedPropertyDescriptor<AnyFunction>) =>
    isContext(second)
      ? decorateStandard(manager, first as AnyFunction, second, options.key, life)
      : decorateLegacy(manager, second as string | symbol, descriptor, options.key, life);
  return decorate as MethodDecorator<Any>;
}

/**
 * The helpers of a method under `@cached`, which TypeScript does not see: a decorator cannot change a method's type.
 *
 * ```ts
 * await helpersOf(users.getUser).invalidate(42);
 * ```
 */
export function helpersOf<F extends (...args: Any[]) => Promise<unknown>>(
  method: F,
): Helpers<Parameters<F>, Awaited<ReturnType<F>>> {
  if (!wrapped.has(method)) {
    throw new ConfigError(`${shown(method)} is not cached; a right example: helpersOf(users.getUser).invalidate(42)`);
  }
  return method as unknown as Helpers<Parameters<F>, Awaited<ReturnType<F>>>;
}

/** Milliseconds; undefined for the manager's own. */
type Life = number | undefined;

function checked(options: WrapOptions<Any>): Life {
  checkOptions(options, OPTIONS);
  if (typeof options?.key !== 'function') {
    throw new ConfigError(
      `key=${shown(options?.key)} is not a function of the arguments; ` +
        'a right example: { key: (id) => key`user:profile:${id}` }',
    );
  }
  return ttlMs(options.ttl) ?? undefined;
}

/** The cached function. Without `self`, each call's own `this` is the function's. */
function bound(manager: CacheManager, fn: AnyFunction, self: unknown, keyOf: (...args: Any[]) => string, ttl: Life) {
  const call = (owner: unknown, args: Any[]) => () => fn.apply(receiver(self, owner), args) as Awaitable<unknown>;
  async function cached(this: unknown, ...args: Any[]): Promise<unknown> {
    return manager.get(keyOf(...args), call(this, args), { ttl });
  }
  const helpers: Helpers<Any[], unknown> = {
    key: (...args) => keyOf(...args),
    invalidate: async (...args) => manager.invalidate(keyOf(...args)),
    refresh: async (...args) => manager.refresh(keyOf(...args), call(undefined, args), { ttl }),
    getCached: async (...args) => manager.get(keyOf(...args), { default: undefined }),
  };
  Object.defineProperty(cached, 'name', { value: fn.name, configurable: true });
  wrapped.add(cached);
  return Object.assign(cached, helpers) as Wrapped<Any>;
}

/** Detached methods keep their own object; a static one may be called on a subclass. */
function receiver(self: unknown, owner: unknown): unknown {
  if (self === undefined || Object.prototype.isPrototypeOf.call(self as object, owner as object)) return owner;
  return self;
}

function isContext(value: unknown): value is ClassMethodDecoratorContext {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

function decorateStandard(
  manager: CacheManager,
  method: AnyFunction,
  context: ClassMethodDecoratorContext,
  keyOf: (...args: Any[]) => string,
  ttl: Life,
): AnyFunction {
  if (context.kind !== 'method') throw new ConfigError(`@cached stands on a method, not on a ${context.kind}`);
  const shared = bound(manager, method, undefined, keyOf, ttl);
  if (!context.private) {
    // Each object has its own, so that `refresh` knows whose method it runs; not where a subclass overrides it.
    context.addInitializer(function (this: unknown) {
      const self = this as Record<PropertyKey, unknown>;
      if (self[context.name] !== shared) return;
      const value = bound(manager, method, self, keyOf, ttl);
      Object.defineProperty(self, context.name, { value, writable: true, configurable: true, enumerable: false });
    });
  }
  return shared;
}

function decorateLegacy(
  manager: CacheManager,
  name: string | symbol,
  descriptor: TypedPropertyDescriptor<AnyFunction> | undefined,
  keyOf: (...args: Any[]) => string,
  ttl: Life,
): TypedPropertyDescriptor<AnyFunction> {
  const method = descriptor?.value;
  if (descriptor === undefined || typeof method !== 'function') {
    throw new ConfigError(`@cached stands on a method, and ${shown(name)} is none`);
  }
  const { enumerable = false } = descriptor;
  const methods = new WeakMap<object, AnyFunction>();
  return {
    configurable: true,
    enumerable,
    // Each object has its own, so that `refresh` knows whose method it runs. Kept beside the object, not in it: a
    // subclass that overrides the method asks for it too, by `super`.
    get(this: object) {
      const known = methods.get(this);
      if (known !== undefined) return known;
      const cached = bound(manager, method, this, keyOf, ttl);
      methods.set(this, cached);
      return cached;
    },
    set(this: object, value: AnyFunction) {
      Object.defineProperty(this, name, { value, writable: true, configurable: true, enumerable: false });
    },
  };
}
