/** Functions and methods that are cached: `wrap`, `@cached`, and the helpers that they get. */

import type { Fallback } from './context.js';
import { ConfigError } from './errors.js';
import { shown } from './key.js';
import type { AnyGetOptions, GetOptions, Stored } from './options.js';
import type { MaybeSchema } from './schema.js';
import type { Call } from './terms.js';

// biome-ignore lint/suspicious/noExplicitAny: `this` and arguments are the user's own
type Any = any;
type AnyFunction = (this: Any, ...args: Any[]) => unknown;

/** What `wrap` and `cached` take. */
export interface WrapOptions<A extends readonly unknown[], S extends MaybeSchema = undefined>
  extends Omit<GetOptions<S>, 'tags' | 'signal'> {
  /** The key of a call, of its arguments: `` (id) => key`user:profile:${id}` ``. */
  key: (...args: A) => string;
  /** Tags of the entry, or a function of the arguments that gives them: `` (id) => [key`user:${id}`] ``. */
  tags?: readonly string[] | ((...args: A) => readonly string[]) | undefined;
}

/**
 * What a cached function can do besides being called. Each takes its arguments, `A`; those that do not run it are content
 * with what its `key` takes, `K` (`getCached` only where `tags` is no function: else `G` is `A`).
 */
export interface Helpers<
  A extends readonly unknown[],
  R,
  K extends readonly unknown[] = A,
  G extends readonly unknown[] = K,
> {
  /** The key of such a call. */
  key(...args: A | K): string;
  /** Removes its entry, here and for everybody; as `CacheManager.invalidate`. */
  invalidate(...args: A | K): Promise<boolean>;
  /** Runs the function now, whatever is cached, stores what it gives, and gives it. */
  refresh(...args: A): Promise<R>;
  /** The cached value; undefined where there is none. */
  getCached(...args: A | G): Promise<R | undefined>;
}

/** A function that is cached. */
export type Wrapped<
  F extends AnyFunction,
  R = Stored<Awaited<ReturnType<F>>>,
  K extends readonly unknown[] = Parameters<F>,
  G extends readonly unknown[] = K,
> = ((this: ThisParameterType<F>, ...args: Parameters<F>) => Promise<R>) & Helpers<Parameters<F>, R, K, G>;

/**
 * A method decorator, of the standard and of TypeScript's `experimentalDecorators`. `O` is what a schema gives, which the
 * method must say that it gives.
 */
export interface MethodDecorator<A extends readonly unknown[], O = never> {
  <This, F extends (this: This, ...args: Any[]) => Promise<unknown>>(
    method: F & Takes<A, F> & Gives<O, F>,
    context: ClassMethodDecoratorContext<This, F>,
  ): F;
  <F extends (...args: Any[]) => Promise<unknown>>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<F> & Takes<A, F> & Gives<O, F>,
  ): TypedPropertyDescriptor<F>;
}

/** Anything, where a key's function takes what the method is called with; it need not take all of it. */
type Takes<A extends readonly unknown[], F extends AnyFunction> = ((...args: A) => string) extends (
  ...args: Parameters<F>
) => string
  ? unknown
  : never;

type Gives<O, F extends AnyFunction> = [O] extends [Awaited<ReturnType<F>>] ? unknown : never;

/** A manager, as a function sees it that is cached by it. */
interface Manager {
  readBy(options: AnyGetOptions | undefined): Call;
  getBy(key: string, fallback: Fallback<unknown>, call: Call): unknown;
  refreshBy(key: string, fallback: Fallback<unknown>, call: Call): Promise<unknown>;
  peekBy(key: string, call: Call, absent: unknown): Promise<unknown>;
  invalidate(key: string): Promise<boolean>;
}

/** What is known of a cached function. */
interface Plan {
  readonly manager: Manager;
  readonly fn: AnyFunction;
  readonly keyOf: (...args: Any[]) => string;
  /** What a call goes by, of its arguments. */
  readonly callOf: (...args: Any[]) => Call;
}

/** The plan of a call, by the object that it is made on: that may have a manager of its own. */
type PlanOf = (self: object) => Plan;

const plans = new WeakMap<object, PlanOf>();

export function wrap(manager: Manager, fn: AnyFunction, options: WrapOptions<Any, MaybeSchema>): Wrapped<Any> {
  if (typeof fn !== 'function') {
    throw new ConfigError(`fn=${shown(fn)} is not a function; a right example: cache.wrap(fetchUser, { key })`);
  }
  const plan = planned(manager, fn, options);
  return Object.assign(
    cachedBy(fn, () => plan),
    helpers(plan, undefined),
  ) as Wrapped<Any>;
}

export function decorator(manager: Manager, options: WrapOptions<Any, MaybeSchema>): MethodDecorator<Any> {
  // What is wrong is told where it stands, though nothing is decorated yet.
  planned(manager, () => undefined, options);
  const decorate = (first: unknown, second: unknown, descriptor?: TypedPropertyDescriptor<AnyFunction>) => {
    // The standard gives the method and its context; TypeScript's older way the class, the name and a descriptor.
    const isStandard = typeof second === 'object' && second !== null && 'kind' in second;
    const standard = isStandard && second.kind === 'method' ? first : undefined;
    const method = isStandard ? standard : descriptor?.value;
    if (typeof method !== 'function') {
      throw new ConfigError(
        '@cached stands on a method; a right example: @cache.cached({ key }) async getUser(id: number)',
      );
    }
    const plan = planned(manager, method as AnyFunction, options);
    const cached = cachedBy(method as AnyFunction, () => plan);
    return isStandard ? cached : { ...descriptor, value: cached };
  };
  return decorate as MethodDecorator<Any>;
}

/** A method that is cached by the manager of the object that it is called on. @internal */
export function cachedOn(
  managerOf: (self: object) => Manager,
  method: AnyFunction,
  options: WrapOptions<Any, MaybeSchema>,
): AnyFunction {
  keyFunction(options);
  const known = new WeakMap<Manager, Plan>();
  return cachedBy(method, (self) => {
    const manager = managerOf(self);
    const plan = known.get(manager) ?? planned(manager, method, options);
    known.set(manager, plan);
    return plan;
  });
}

/**
 * The helpers of an object's method under `@cached`, by the method's name. (A decorator cannot add them to the method in
 * a way that TypeScript sees, and the method alone does not know whose it is.)
 *
 * ```ts
 * await helpersOf(users, 'getUser').invalidate(42);
 * ```
 */
export function helpersOf<T extends object, K extends keyof T>(
  object: T,
  name: K,
): T[K] extends (...args: infer A) => infer R ? Helpers<A, Stored<Awaited<R>>> : never {
  const method: unknown = object?.[name];
  const planOf = typeof method === 'function' ? plans.get(method) : undefined;
  if (planOf === undefined) {
    throw new ConfigError(
      `${shown(name)} is no cached method of ${shown(object)}; a right example: helpersOf(users, 'getUser')`,
    );
  }
  return helpers(planOf(object), object) as never;
}

function keyFunction(options: WrapOptions<Any, MaybeSchema>): Plan['keyOf'] {
  const keyOf: unknown = options?.key;
  if (typeof keyOf === 'function') return keyOf as Plan['keyOf'];
  throw new ConfigError(
    `key=${shown(keyOf)} is not a function of the arguments; ` +
      'a right example: { key: (id) => key`user:profile:${id}` }',
  );
}

function planned(manager: Manager, fn: AnyFunction, options: WrapOptions<Any, MaybeSchema>): Plan {
  const keyOf = keyFunction(options);
  const { key: _, tags, ...rest } = options;
  if ('signal' in rest) {
    throw new ConfigError(
      'signal is an option of a call, not of a function: each call would be cancelled with the first',
    );
  }
  if (typeof tags === 'function') {
    manager.readBy(rest);
    return { manager, fn, keyOf, callOf: (...args) => manager.readBy({ ...rest, tags: listed(tags(...args)) }) };
  }
  const call = manager.readBy({ ...rest, tags });
  // Refused here, where it stands, and not at the first call.
  void call.terms;
  return { manager, fn, keyOf, callOf: () => call };
}

/** A function that gives no tags where it should would leave entries that no invalidation reaches. */
function listed(tags: unknown): readonly string[] {
  if (Array.isArray(tags)) return tags;
  throw new ConfigError(
    `tags gave ${shown(tags)}, not an array; a right example: { tags: (id) => [key\`user:\${id}\`] }`,
  );
}

/** The cached function; each call's own `this` is the function's. */
function cachedBy(fn: AnyFunction, planOf: PlanOf): AnyFunction {
  async function cached(this: Any, ...args: Any[]): Promise<unknown> {
    const { manager, keyOf, callOf } = planOf(this);
    return manager.getBy(keyOf(...args), () => fn.apply(this, args), callOf(...args));
  }
  Object.defineProperty(cached, 'name', { value: fn.name, configurable: true });
  plans.set(cached, planOf);
  return cached;
}

/** The helpers of a function, or of the method of one object. */
function helpers(plan: Plan, self: unknown): Helpers<Any[], unknown> {
  const { manager, fn, keyOf, callOf } = plan;
  return {
    key: (...args) => keyOf(...args),
    invalidate: async (...args) => manager.invalidate(keyOf(...args)),
    refresh: async (...args) => manager.refreshBy(keyOf(...args), () => fn.apply(self, args), callOf(...args)),
    getCached: async (...args) => manager.peekBy(keyOf(...args), callOf(...args), undefined),
  };
}
