/** The methods of a manager that is instrumented, before those of its own class. */

import type { CacheManager } from './manager.js';
import type { TracedCall, Tracing } from './otel-spans.js';
import type { Call } from './terms.js';

// biome-ignore lint/suspicious/noExplicitAny: what it is given goes on as it is
type Any = any;
type Method = (this: CacheManager, ...args: Any[]) => Any;

// Writes and invalidations: of the first argument's key, where it is one.
const WRITES = {
  setMany: ['set_many', false],
  setFields: ['set_fields', true],
  invalidate: ['invalidate', true],
  expire: ['expire', true],
  invalidateField: ['invalidate_field', true],
  invalidateTag: ['invalidate_tag', false],
  clear: ['clear', false],
} as const;

export function tracedBy(
  tracing: Tracing,
  before: object,
): { prototype: object; add: (cache: CacheManager) => void; end: () => void } {
  const base = before as Record<string, Method>;
  const own = (name: string) => base[name] as Method;
  // Those that are instrumented, for as long as somebody holds them.
  const managers = new Set<WeakRef<CacheManager>>();
  const add = (cache: CacheManager): CacheManager => {
    managers.add(new WeakRef(cache));
    return Object.setPrototypeOf(cache, prototype);
  };
  const run = <T>(cache: CacheManager, operation: string, key: unknown, work: (call: TracedCall) => T): T =>
    tracing.run(operation, typeof key === 'string' ? key : undefined, cache.scope, work);

  const methods: Record<string, Method> = {
    getBy(key, fallback, call: Call) {
      return run(this, 'get', key, (traced) => {
        const given = { ...call, seen: traced.seen };
        // Neither the store nor the fallback was asked.
        traced.outcome('l1', 'l1');
        return own('getBy').call(this, key, traced.traced(fallback), given);
      });
    },
    refreshBy(key, fallback, call: Call) {
      return run(this, 'refresh', key, (traced) => own('refreshBy').call(this, key, traced.traced(fallback), call));
    },
    async get(key, second, options) {
      // The manager's own looks into L1 first, where nobody would see it.
      if (typeof second === 'function') return this.getBy(key, second, this.readBy(options));
      return found(this, 'get', key, second?.default, () => own('get').call(this, key, second, options));
    },
    peekBy(key, call, absent) {
      return found(this, 'get', key, absent, () => own('peekBy').call(this, key, call, absent));
    },
    getEntry(key, options) {
      return found(this, 'get_entry', key, null, () => own('getEntry').call(this, key, options));
    },
    exists(key) {
      return found(this, 'exists', key, false, () => own('exists').call(this, key));
    },
    getMany(keys, fetchMissing, options) {
      return run(this, 'get_many', undefined, async (traced) => {
        traced.outcome('hit');
        let fetched = 0;
        const fetch = traced.traced(fetchMissing);
        const counting = (missing: string[], ask: unknown) => {
          fetched += missing.length;
          return fetch(missing, ask);
        };
        const result = await own('getMany').call(this, keys, typeof fetch === 'function' ? counting : fetch, options);
        traced.attributes['tidegate.keys.count'] = result.size;
        if (fetched > 0) traced.attributes['tidegate.keys.fetched'] = fetched;
        return result;
      });
    },
    getFields(key, names, fetchMissing, options) {
      return run(this, 'get_fields', key, (traced) => {
        traced.outcome('hit');
        return own('getFields').call(this, key, names, traced.traced(fetchMissing), options);
      });
    },
    set(key, value, options) {
      const values = new Map([[key, value]]);
      return run(this, 'set', key, async (traced) => {
        return traced.confirmed(await own('setMany').call(this, values, options));
      });
    },
    writeThrough(key, value, persist, options) {
      return run(this, 'write_through', key, async (traced) => {
        const within = (...args: unknown[]) => traced.during('persist', () => persist(...args));
        const given = typeof persist === 'function' ? within : persist;
        return traced.confirmed(await own('writeThrough').call(this, key, value, given, options));
      });
    },
    namespace(name) {
      return add(own('namespace').call(this, name));
    },
    tenant(name, options) {
      return add(own('tenant').call(this, name, options));
    },
  };
  for (const [name, [operation, hasKey]] of Object.entries(WRITES)) {
    methods[name] = function (this: CacheManager, ...args: Any[]) {
      return run(this, operation, hasKey ? args[0] : undefined, async (traced) => {
        return traced.confirmed(await own(name).apply(this, args));
      });
    };
  }
  const found = (cache: CacheManager, operation: string, key: unknown, absent: unknown, work: () => Any) =>
    run(cache, operation, key, async (traced) => {
      const value = await work();
      traced.outcome(Object.is(value, absent) ? 'miss' : 'hit');
      return value;
    });
  const prototype: object = Object.create(before, {});
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
  }
  const end = () => {
    for (const held of managers) {
      const cache = held.deref();
      if (cache !== undefined && Object.getPrototypeOf(cache) === prototype) Object.setPrototypeOf(cache, before);
    }
    managers.clear();
  };
  return { prototype, add, end };
}
