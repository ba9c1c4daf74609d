/** Mistakes in calls: tsc refuses each marked line, and no other. Read by types.test.ts, never run. */
import { CacheManager, type Context, helpersOf, key, tag } from 'tidegate';
import { z } from 'zod';

interface User {
  name: string;
}

declare const user: User;
const cache = new CacheManager({ url: 'redis://localhost', service: 'billing' });
const fetchUser = async (_id: number): Promise<User> => user;
const fetchMany = async (_keys: string[]): Promise<Map<string, User>> => new Map();

// --- managers and their options

new CacheManager('redis://localhost'); // wrong: the URL has a name
new CacheManager({ tll: 5 }); // wrong: no such option
new CacheManager({ hard_timeout: 5 }); // wrong: a name of Python's
new CacheManager({ service: 7 }); // wrong: a service is a text
new CacheManager({ ttl: null }); // wrong: an entry lives for some time
new CacheManager({ ttl: true }); // wrong: no duration
new CacheManager({ ttl: new Date() }); // wrong: no duration
new CacheManager({ codec: 'xml' }); // wrong: no such codec
new CacheManager({ compression: 'gzip' }); // wrong: no such compression
new CacheManager({ signingKeys: 'one text' }); // wrong: a list of secrets
new CacheManager({ breaker: { failure: 5 } }); // wrong: no such part of it
new CacheManager({ breaker: 5 }); // wrong: a group
new CacheManager({ l1: true }); // wrong: a size is not true or false
new CacheManager({ l1: { maxSize: 5 } }); // wrong: no such part of it
new CacheManager({ tls: { cafile: '/etc/ssl/ca.pem' } }); // wrong: no such part of it
new CacheManager({ health: { fragmention: 2 } }); // wrong: no such part of it
new CacheManager({ upgrade: { one: (value: unknown) => value } }); // wrong: versions are numbers
new CacheManager({ store: 'memory://' }); // wrong: a URL is no store
new CacheManager({ metricsEmitter: console }); // wrong: no emitter
new CacheManager({ ttl: '5 minuts' }); // not refused: any text is a duration to a type that a variable may be given to
new CacheManager({ url: 'memroy://' }); // not refused: what a text says is known when it runs; a ConfigError tells then

// --- reads

const got: Promise<User> = cache.get('user:profile:42', () => user);
got.name; // wrong: not awaited
await cache.get('user:profile:42'); // wrong: neither a fallback nor a default
await cache.get(42, () => user); // wrong: a key is a text
await cache.get('user:profile:42', user); // wrong: a fallback is a function
await cache.get('user:profile:42', fetchUser(42)); // wrong: it runs already
await cache.get('user:profile:42', fetchUser); // wrong: a fallback takes nothing, or the context
await cache.get('user:profile:42', () => user, 60); // wrong: options are an object
await cache.get('user:profile:42', () => user, { tll: 60 }); // wrong: no such option
await cache.get('user:profile:42', () => user, { tags: 'user:42' }); // wrong: tags are a list
await cache.get('user:profile:42', () => user, { tags: [42] }); // wrong: tags are texts
await cache.get('user:profile:42', () => user, { default: null }); // wrong: a default stands in for a fallback
await cache.get('user:profile:42', { default: null, ttl: 5 }); // wrong: nothing is stored
await cache.get('user:profile:42', () => user, { codec: 'xml' }); // wrong: no such codec
await cache.get('user:profile:42', () => user, { hardTimeout: null }); // wrong: a hard timeout there always is
await cache.get('user:profile:42', () => user, { signal: new AbortController() }); // wrong: not its signal
await cache.get('user:profile:42', () => user, { schema: { parse: () => user } }); // wrong: no schema
(await cache.get('user:profile:42', () => user)).nmae; // wrong: no such field
(await cache.get<User, null>('user:profile:42', { default: null })).name; // wrong: there may be none
(await cache.get('user:profile:42', { default: null })).name; // wrong: nobody has said what it is
(await cache.getEntry<User>('user:profile:42')).value; // wrong: there may be none
(await cache.getMany(['user:profile:42'], fetchMany)).get('user:profile:42').name; // wrong: it may be left out
await cache.getMany([42], fetchMany); // wrong: keys are texts
await cache.getMany(['user:profile:42'], (keys) => keys.map(() => user)); // wrong: a list is no map
await cache.refresh('user:profile:42'); // wrong: nothing to run
const born = z.object({ born: z.coerce.date() });
(await cache.get('user:born:42', () => ({ born: '2000-01-01' }), { schema: born })).born.length; // wrong: a Date
await cache.get('user42', () => user); // not refused: the rules of keys are not types; `tidegate lint` tells
cache.get('user:profile:42', () => user); // not refused: no option of tsc looks for it; biome and eslint do

const fallback = (ctx: Context): User => {
  ctx.key = 'user:profile:43'; // wrong: the key is what it is
  ctx.tags = 'user:42'; // wrong: tags are a list
  ctx.tags.push('user:42'); // wrong: they are set, not changed
  ctx.ttl = true; // wrong: no duration
  ctx.ttls = '5m'; // wrong: no such thing
  ctx.stale = user; // wrong: what stands there is what it is
  ctx.skip('why'); // wrong: it takes nothing
  return user;
};
await cache.get('user:profile:42', fallback);

// --- writes and invalidations

await cache.invalidate(); // wrong: which?
await cache.invalidate('user:profile:42', 'user:profile:43'); // wrong: many keys are a list
await cache.invalidate('user:profile:42', { require: true }); // wrong: no such option
await cache.invalidateTag(42); // wrong: a tag is a text
await cache.invalidateTag('user:42', 'user:43'); // wrong: many tags are a list
await cache.set('user:profile:42'); // wrong: no value
await cache.set('user:profile:42', user, { softTimeout: 5 }); // wrong: nobody waits for a set
await cache.set('user:profile:42', user, { schema: born }); // wrong: a set goes by no schema
await cache.set('user:profile:42', user, 60); // wrong: options are an object
await cache.setMany([42]); // wrong: keys and values
await cache.writeThrough('user:profile:42', 1, (row: string) => row); // wrong: persist is given the value
await cache.writeThrough('user:profile:42', user, () => {}, { onStoreDown: 'maybe' }); // wrong: two ways
await cache.writeThrough('user:profile:42', user); // wrong: nothing writes the row
await cache.namespace(42).clear(); // wrong: a name is a text
cache.tenant(null); // wrong: no name
cache.tenant('acme', { schema: z.string() }); // wrong: a tenant has values of many kinds
cache.tenant('acme', { service: 'shop' }); // wrong: a manager's option
cache.tenant('acme', { signal: AbortSignal.timeout(5) }); // wrong: a call's option
cache.tenant('acme').tenant('other'); // not refused: a view has its manager's type; a ConfigError tells
await cache.clear(); // not refused: the same: only a namespace's view clears
await cache.close(5); // wrong: the timeout has a name
key('user', null); // wrong: null is no part of a key
key('user', { id: 42 }); // wrong: an object is no part of a key
key`user:${undefined}`; // wrong: undefined is no part of a key
key('user', 1.5); // not refused: Node.js has one type of numbers; a KeyFormatError tells
tag('users', null); // wrong: null is no part of a tag

// --- fields

(await cache.getFields('user:profile:42', ['name'], () => ({ name: 'Ada' }))).age; // wrong: not asked for
await cache.getFields('user:profile:42', 'name', 5); // wrong: names are a list, and a fallback is a function
await cache.getFields('user:profile:42', ['name'], () => ({ name: 'Ada' }), { earlyRefresh: true }); // wrong: no such option
await cache.setFields('user:profile:42', 'name'); // wrong: an object
await cache.invalidateField('user:profile:42'); // wrong: which?

// --- cached functions

const getUser = cache.wrap(fetchUser, { key: (id) => key`user:profile:${id}`, ttl: '1m' });
await getUser('42'); // wrong: a number
await getUser(); // wrong: whom?
await getUser.invalidate(); // wrong: whom?
await getUser.invalidate('42'); // wrong: a number
await getUser.refresh({ id: 42 }); // wrong: a number
(await getUser.getCached(42)).name; // wrong: there may be none
getUser.key(42).nmae; // wrong: a text
await getUser.forget(42); // wrong: no such helper
getUser(42).name; // wrong: not awaited
cache.wrap(fetchUser, { ttl: 5 }); // wrong: no key
cache.wrap(fetchUser, { key: 'user:profile' }); // wrong: a function of the arguments
cache.wrap(fetchUser, { key: (id) => id }); // wrong: a key is a text
cache.wrap(fetchUser, { key: (id: string) => key`user:${id}` }); // wrong: it is given what the function is
cache.wrap(fetchUser, { key: () => 'user:all', tll: 5 }); // wrong: no such option
cache.wrap(fetchUser, { key: () => 'user:all', tags: (id: string) => [id] }); // wrong: they are given the same
cache.wrap(fetchUser, { key: () => 'user:all', signal: AbortSignal.timeout(5) }); // wrong: a call's option
const greet = cache.wrap(
  function (this: User, word: string) {
    return `${word} ${this.name}`;
  },
  { key: (word) => key`greet:${word}` },
);
await greet('hello'); // wrong: it needs its `this`
cache.wrap(user, { key: () => 'user:all' }); // wrong: no function

class Users {
  @cache.cached({ key: (id: string) => key`user:${id}` }) // wrong: it is given what the method is
  async wrongKey(id: number): Promise<User> {
    return fetchUser(id);
  }

  @cache.cached({ key: (id: number) => key`user:${id}` }) // wrong: a cached method gives a promise
  plain(_id: number): User {
    return user;
  }

  @cache.cached({ key: (id: number) => key`user:${id}`, schema: born }) // wrong: the schema gives something else
  async other(id: number): Promise<User> {
    return fetchUser(id);
  }

  @cache.cached({ key: () => 'user:all' }) // wrong: only methods are cached
  field = 5;

  @cache.cached({ key: (id: number) => key`user:${id}` })
  async get(id: number): Promise<User> {
    return fetchUser(id);
  }
}
await new Users().get('42'); // wrong: a number
await helpersOf(new Users(), 'get').invalidate('42'); // wrong: a number
helpersOf(new Users(), 'got'); // wrong: no such method
