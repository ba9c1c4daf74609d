/** What a user's compiler makes of tidegate. Read by `tsc -p tests/node` (types.test.ts), never run. */
import { EventEmitter } from 'node:events';
import { type } from 'arktype';
import {
  CacheManager,
  type Context,
  currentContext,
  type DeadLetter,
  type Entry,
  type ErrorCode,
  type Fallback,
  type GetOptions,
  HardTimeout,
  helpersOf,
  key,
  type Options,
  type StandardSchema,
  type TidegateError,
  tag,
  type Wrapped,
  type WriteBehind,
} from 'tidegate';
import * as v from 'valibot';
import { z } from 'zod';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles where a value has exactly this type: `is<Promise<User>>()(value)`. */
export function is<Expected>() {
  return <Actual>(
    value: Actual,
    ...right: Same<Actual, Expected> extends true ? [] : ['another type', Actual]
  ): void => {
    void [value, right];
  };
}

interface User {
  id: number;
}

declare const user: User;
declare const users: Map<string, User>;
const cache = new CacheManager({ url: 'redis://localhost', service: 'billing', ttl: '5m', breaker: { failures: 3 } });
const fetchUser = async (id: number, _deep = false): Promise<User> => ({ id });

// --- reads

is<Promise<User>>()(cache.get('a:b', async () => user));
is<Promise<User>>()(cache.get('a:b', () => user, { ttl: 60_000, signal: AbortSignal.timeout(5) }));
is<Promise<number>>()(cache.get('a:b', (ctx) => ctx.key.length));
is<Promise<null>>()(cache.get('a:b', () => undefined));
is<Promise<null>>()(cache.get('a:b', async () => {}));
is<Promise<User | null>>()(cache.get('a:b', (): User | undefined => undefined));
is<Promise<User | null>>()(cache.get('a:b', async (): Promise<User | null> => null));
is<Promise<unknown>>()(cache.get('a:b', { default: null }));
is<Promise<User | null | undefined>>()(cache.get<User>('a:b', { default: null }));
is<Promise<User | null>>()(cache.get<User, null>('a:b', { default: null }));
is<Promise<User | 'nobody'>>()(cache.get<User, 'nobody'>('a:b', { default: 'nobody' }));
is<Promise<Entry<User> | null>>()(cache.getEntry<User>('a:b'));
is<Promise<boolean>>()(cache.exists('a:b'));
is<CacheManager>()(cache.tenant('acme', { ttl: '1h', maxFallbacks: 8 }));
is<Promise<User>>()(cache.tenant(42n).get('a:b', () => user));
is<Promise<User>>()(cache.refresh('a:b', async () => user, { ttl: '1h' }));
is<Promise<User>>()(cache.disabled(() => cache.get('a:b', () => user)));
is<number>()(cache.disabled(() => 5));

// --- codecs and schemas

declare const schema: StandardSchema<{ born: string }, { born: Date }>;
declare const raw: { born: string };
declare const nobody: User | null;
const zod = z.object({ id: z.number(), born: z.coerce.date<string>() });
const valibot = v.object({ id: v.number() });
const ark = type({ id: 'number' });
is<Promise<{ born: Date }>>()(cache.get('a:b', () => raw, { schema, ttl: '5m', codec: 'msgpack' }));
is<Promise<{ id: number; born: Date }>>()(cache.get('a:b', async () => raw, { schema: zod }));
is<Promise<{ id: number }>>()(cache.get('a:b', () => user, { schema: valibot }));
is<Promise<{ id: number }>>()(cache.get('a:b', () => user, { schema: ark }));
is<Promise<{ id: number } | null>>()(cache.get('a:b', () => nobody, { schema: ark }));
is<Promise<{ born: Date } | null>>()(cache.get('a:b', (): unknown => 1, { schema }));
is<Promise<{ born: Date } | null>>()(cache.get('a:b', { default: null, schema }));
is<Promise<{ born: Date } | 'nobody' | null>>()(cache.get('a:b', { default: 'nobody' as const, schema }));
is<Promise<Entry<{ born: Date }> | null>>()(cache.getEntry('a:b', { schema }));
is<Promise<{ born: Date }>>()(cache.refresh('a:b', () => raw, { schema }));
is<Promise<Map<string, { born: Date } | null>>>()(cache.getMany(['a:b'], () => ({ 'a:b': raw }), { schema }));
is<Promise<{ born: Date }>>()(cache.wrap(async (_id: number) => raw, { key: () => 'a:b', schema })(1));
is<Promise<{ born: Date } | undefined>>()(
  cache.wrap(async (_id: number) => raw, { key: () => 'a:b', schema }).getCached(1),
);
is<WriteBehind<{ born: string }>>()(
  cache.writeBehind('q', (items) => void items.map(({ value }) => value.born.getTime()), { schema }),
);
const shared: GetOptions = { ttl: '5m', codec: 'raw' };
is<Promise<User>>()(cache.get('a:b', () => user, shared));
is<Promise<User>>()(cache.get<User>('a:b', () => user, { codec: 'json' }));
is<Promise<boolean>>()(cache.set('a:b', Buffer.alloc(1), { codec: 'raw' }));
is<CacheManager>()(cache.tenant('acme', { codec: 'msgpack' }));
is<CacheManager>()(
  new CacheManager({ compression: 'zstd', compressOver: 2_000, signingKeys: ['x'], codec: 'msgpack' }),
);
class Born {
  @cache.cached({ key: (id: number) => key`user:born:${id}`, schema })
  async find(_id: number): Promise<{ born: Date }> {
    return { born: new Date() };
  }
}
is<Promise<{ born: Date }>>()(new Born().find(1));

const fallback: Fallback<User> = (ctx: Context) => {
  is<string>()(ctx.key);
  is<number | null>()(ctx.ttl);
  is<AbortSignal>()(ctx.signal);
  ctx.ttl = '5m';
  ctx.ttl = 5_000;
  ctx.skip();
  ctx.tags = ['user:42', ...ctx.tags];
  is<readonly string[]>()(ctx.tags);
  is<unknown>()(ctx.stale);
  if (ctx.stale !== null) return ctx.notModified();
  return user;
};
is<Promise<User>>()(cache.get('a:b', fallback));
is<Promise<User>>()(cache.get('a:b', (ctx) => (ctx.stale === null ? user : ctx.notModified())));
is<Promise<User>>()(cache.get('a:b', async (ctx): Promise<User> => ctx.notModified()));
is<Promise<User>>()(
  cache.get('a:b', () => user, {
    ttl: '5m',
    tags: ['user:42'],
    nullTtl: 5_000,
    staleIfError: '1h',
    staleWhileRevalidate: '10m',
    errorBackoff: 1_000,
    earlyRefresh: true,
    wait: '1s',
    softTimeout: null,
    hardTimeout: '30s',
  }),
);

// --- many

is<Promise<Map<string, User | null>>>()(cache.getMany(['a:b'], () => users));
is<Promise<Map<string, User | null>>>()(
  cache.getMany(new Set(['a:b']), async (keys, { signal }) => {
    is<string[]>()(keys);
    is<AbortSignal>()(signal);
    return users;
  }),
);
is<Promise<Map<string, number | null>>>()(
  cache.getMany(['a:b'], (keys) => Object.fromEntries(keys.map((k) => [k, 1]))),
);

// --- writes

is<Promise<boolean>>()(cache.set('a:b', user, { ttl: '5m' }));
is<Promise<boolean>>()(cache.setMany({ 'a:b': 1, 'a:c': user }));
is<Promise<boolean>>()(cache.setMany(users, { ttl: 5 }));
is<Promise<boolean>>()(cache.invalidate('a:b', { required: true }));
is<Promise<boolean>>()(cache.expire(['a:b', key('a', 1)]));
is<Promise<boolean>>()(cache.close({ timeout: '5s' }));
is<Promise<void>>()(cache[Symbol.asyncDispose]());
is<Promise<boolean>>()(cache.set('a:b', user, { tags: ['user:42'], staleIfError: '1h', staleWhileRevalidate: 5 }));
is<Promise<boolean>>()(cache.writeThrough('a:b', user, async (row) => row.id, { ttl: '5m', onStoreDown: 'refuse' }));
is<Promise<boolean>>()(
  cache.writeThrough('a:b', 1, (_row, { signal }) => is<AbortSignal>()(signal), { tags: ['user:42'] }),
);
is<Promise<boolean>>()(cache.invalidateTag('user:42'));
is<Promise<boolean>>()(cache.invalidateTag(new Set(['user:42', key('user', 1)]), { required: true }));
const behind = cache.writeBehind<number>('counters', (items) => items.map(({ id }) => id), {
  batch: 10,
  maxDelay: '1s',
});
is<WriteBehind<number>>()(behind);
is<Promise<string>>()(behind.put('a:b', 1, { ttl: '1h', operationId: 'order-1' }));
is<Promise<boolean>>()(behind.flush({ timeout: 5 }));
is<number>()(behind.pending);
is<Promise<DeadLetter<number>[]>>()(behind.deadLetters.list({ limit: 5 }));
is<Promise<number>>()(behind.deadLetters.retry('0-1@0'));
cache.writeBehind('counters', async () => {});
cache.writeBehind('counters', () => {});
cache.writeBehind('counters', null);
is<CacheManager>()(cache.namespace('catalog').namespace('books'));
is<Promise<boolean>>()(cache.namespace('catalog').clear({ required: true }));

// --- managers

new CacheManager();
new CacheManager({ metricsEmitter: new EventEmitter() });
new CacheManager({ l1: '64MB', shareValues: true, softTimeout: null });
new CacheManager({ l1: { maxBytes: 1e6, maxEntries: 100, maxAge: '1h' }, earlyRefresh: 1.5, staleIfError: '1h' });
new CacheManager({ l1: null });
const options: Options = { service: 'billing', ttl: undefined };
new CacheManager(options);

// --- keys and errors

is<string>()(key`user:${1}:${'x'}:${2n}:${true}`);
is<string>()(key('user', 1, 'x', 2n, true));
declare const error: TidegateError;
is<ErrorCode>()(error.code);
new HardTimeout('why').code satisfies 'ERR_TIDEGATE_HARD_TIMEOUT';

// --- wrapped functions

const getUser = cache.wrap(fetchUser, { key: (id, deep) => key`user:${id}:${deep ?? false}`, ttl: '1m' });
getUser satisfies Wrapped<typeof fetchUser>;
is<Promise<User>>()(getUser(1));
is<Promise<User>>()(getUser(1, true));
is<string>()(getUser.key(1));
is<Promise<boolean>>()(getUser.invalidate(1));
is<Promise<User>>()(getUser.refresh(1, true));
is<Promise<User | undefined>>()(getUser.getCached(1));
is<Promise<number>>()(cache.wrap((a: number) => a, { key: (a) => key`a:${a}` })(1));
// What its key has no use for, its helpers do without.
const load = cache.wrap(async (db: URL, id: number): Promise<User> => ({ id: db.port.length + id }), {
  key: (_db: URL | undefined, id) => key`user:${id}`,
});
is<string>()(load.key(undefined, 1));
is<Promise<boolean>>()(load.invalidate(undefined, 1));
is<Promise<User | undefined>>()(load.getCached(undefined, 1));
is<Promise<User>>()(load.refresh(new URL('a:b'), 1));
is<string>()(getUser.key(1, true));
// @ts-expect-error the function itself wants all of it
load(undefined, 1);
// @ts-expect-error so does what runs it
load.refresh(undefined, 1);
// @ts-expect-error a number
load.invalidate(undefined, '1');
const loadTagged = cache.wrap(async (db: URL, id: number): Promise<User> => ({ id: db.port.length + id }), {
  key: (_db: URL | undefined, id) => key`user:${id}`,
  tags: (db, id) => [key`of:${db.port}:${id}`],
});
is<Promise<boolean>>()(loadTagged.invalidate(undefined, 1));
// @ts-expect-error its tags are of the db
loadTagged.getCached(undefined, 1);
is<Context>()(currentContext());
is<Promise<null>>()(cache.wrap(async () => {}, { key: () => 'a:b' })());
cache.wrap(fetchUser, { key: (id) => key`user:${id}`, tags: ['users'], staleWhileRevalidate: '1m' });
cache.wrap(fetchUser, { key: (id) => key`user:${id}`, tags: (id) => [key`user:${id}`], softTimeout: 50 });
const greet = cache.wrap(
  function (this: User, word: string) {
    return `${word} ${this.id}`;
  },
  { key: (word) => key`greet:${word}` },
);
is<Promise<string>>()(greet.call(user, 'hello'));

// --- methods

class Users {
  @cache.cached({ key: (id: number) => key`user:${id}` })
  async get(id: number): Promise<User> {
    return { id };
  }
  @cache.cached({ key: (id: number, _deep?: boolean) => key`user:${id}`, ttl: 5 })
  static async find(id: number, _deep: boolean): Promise<User> {
    return { id };
  }
  @cache.cached({ key: (id: number) => key`user:${id}` })
  async ofSomeArguments(id: number, _deep: boolean, _more: string[]): Promise<User> {
    return { id };
  }
}
const repository = new Users();
is<Promise<User>>()(repository.get(1));
is<string>()(helpersOf(repository, 'get').key(1));
is<Promise<User>>()(helpersOf(repository, 'get').refresh(1));
is<Promise<User | undefined>>()(helpersOf(Users, 'find').getCached(1, true));

// --- figures

is<number>()(cache.stats().hit_rate);
is<number>()(cache.stats().l1_entries);
is<number>()(cache.stats().stale_served);
is<'open' | 'half_open' | 'closed'>()(cache.stats().breaker);

// --- events between services

const subscription = cache.onEvent<{ id: number }>(
  'user.updated',
  ({ id }, { attempt }) => [key`user:profile:${id + attempt}`, tag`user:${id}`],
  { onGap: (missed) => (missed > 0 ? tag`users` : null) },
);
is<Promise<boolean>>()(subscription.started());
cache.onEvent('user.removed', () => {});
cache.onEvent('user.moved', async (data) => is<unknown>()(data));
is<Promise<string>>()(cache.publishEvent('user.updated', { id: 42 }, { maxLen: 10, operationId: '7' }));
is<Promise<number>>()(cache.eventDeadLetters('user.updated').retry());
