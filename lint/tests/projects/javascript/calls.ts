// Every call that takes keys or names; `-> CODE` says what its line is found to be.
import { CacheManager, key, tag } from 'tidegate';
import * as tidegate from 'tidegate';

declare const load: () => Promise<number>;
const cache = new CacheManager({ service: 'billing', version: 2 });
new CacheManager({
  service: 'bil ling', // -> TG012
  version: 0, // -> TG012
});
const qualified = new tidegate.CacheManager();
const PREFIX = 'user';
const FLAT = 'users'; // -> TG002

export async function everyVerb(userId: string, ids: string[], given: CacheManager | undefined, unknown: string) {
  await cache.get('flat', load); // -> TG002
  await cache.get<number>('flat', load); // -> TG002
  await cache.getEntry('flat'); // -> TG002
  await cache.exists('a::b'); // -> TG003
  await cache.set('a:b c', 1); // -> TG004
  await cache.refresh('', load); // -> TG003
  await cache.writeThrough('a:%zz', 1, load); // -> TG004
  await cache.getFields('a:{b}', ['x'], load); // -> TG004
  await cache.setFields('a:b*', { x: 1 }); // -> TG004
  await cache.invalidateField('flat', 'x'); // -> TG002
  await cache.invalidate('flat'); // -> TG002
  await cache.invalidate(['a:b', 'flat', 'a:']); // -> TG002 TG003
  await cache.expire(['a:b', 'flat']); // -> TG002
  await cache.getMany(['a:b', 'flat'], load); // -> TG002
  await cache.getMany(ids.map((id) => `user:${id}`), load); // -> TG005
  await cache.setMany({ 'a:b': 1, 'a::b': 2, [key('a')]: 3, [`user:${userId}`]: 4 }); // -> TG002 TG003 TG005
  await cache.setMany(new Map([['flat', 1]])); // -> TG002
  await cache.invalidateTag(['a b', 'right', 'a:b']); // -> TG011
  await cache.get('a:b', load, { tags: ['right', 'a:', `user:${userId}`] }); // -> TG011 TG005
  cache.namespace('a b'); // -> TG011
  await cache.publishEvent('user updated', {}); // -> TG011
  await cache.invalidate(FLAT);
  await cache.get(42 as never, load); // -> TG013
  await given?.get('flat', load); // -> TG002
  await given!.get('flat', load); // -> TG002
  await qualified.get('flat', load); // -> TG002
  await cache.tenant(userId).namespace('shop').get('flat', load); // -> TG002
  await new CacheManager().get('flat', load); // -> TG002
  await cache.get(userId ? `user:${userId}` : 'flat', load); // -> TG005 TG002
  await cache.get(unknown, load);
  const queue = cache.writeBehind('coun ters'); // -> TG011
  await queue.put('flat', 1); // -> TG002
}

export async function dataInKeys(userId: string, page: number) {
  await cache.get(`user:${userId}`, load); // -> TG005
  await cache.get('user:' + userId, load); // -> TG005
  await cache.get('user:' + userId + ':profile', load); // -> TG005
  await cache.get(['user', userId].join(':'), load); // -> TG005
  await cache.get('user:'.concat(userId), load); // -> TG005
  await cache.get(`user-${userId}-${page}`, load); // -> TG005 TG008
  await cache.get(`user${userId}`, load); // -> TG002 TG005
  await cache.get(`${PREFIX}:${userId}`, load); // -> TG005
  await cache.get(`${PREFIX}:all`, load);
  // A number makes no segments.
  await cache.get(`user:${page}:${userId.length}:${page + 1}:${process.pid}`, load);
  for (let at = 0; at < 9; at++) await cache.get(`user:${at}`, load);
  await cache.get(`user:${page}-${page}`, load); // -> TG008
  await cache.get(`user:\u{20}x`, load); // -> TG004
  await cache.get(`${key`user:${userId}`}:profile`, load);
  const made = `user:${userId}`; // -> TG005
  await cache.get(made, load);
  await cache.get(
    // tidegate-ignore TG005 made here
    `user:${userId}`,
    load,
  );
}

export function builders(userId: string, parts: string[]) {
  key('user'); // -> TG002
  key('user', null as never); // -> TG013
  key('user', 1.5); // -> TG013
  key('user', ''); // -> TG013
  key('user', 'a b', true, 42, userId);
  key('user', ...parts);
  key`user:${userId}`;
  key`user`; // -> TG002
  key`user::${userId}`; // -> TG003
  key`user ${userId}:x`; // -> TG004
  key`user:${userId}-${userId}`; // -> TG008
  tidegate.key('user'); // -> TG002
  tag('a b'); // -> TG011
  tag('user', userId);
}

export class Users {
  private readonly made = new CacheManager();
  #hidden = cache.tenant('acme');
  readonly names = new Map<string, number>();

  constructor(
    private readonly given: CacheManager,
    private readonly other: Map<string, number>,
  ) {}

  @cache.cached({ key: (id: string) => `user:${id}`, tags: (id: string) => [`user:${id}`, 'a b'] }) // -> TG005 TG005 TG011
  async load(id: string) {
    await this.made.get('flat', load); // -> TG002
    await this.given.get('flat', load); // -> TG002
    await this.#hidden.get('flat', load); // -> TG002
    this.names.get('flat');
    this.other.get('flat');
    return id;
  }
}

export const wrapped = cache.wrap(async (id: string) => id, { key: (id) => key`user:${id}`, ttl: '1m' });
export const flat = cache.wrap(async (id: string) => id, {
  key(id) {
    return `user${id}`; // -> TG002 TG005
  },
  tags: ['a b'], // -> TG011
});
