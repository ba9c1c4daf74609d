// Nothing of this is a cache's, though tidegate is used: no line is found.
import axios from 'axios';
import _ from 'lodash';
import { LRUCache } from 'lru-cache';
import { CacheManager, key } from 'tidegate';

const manager = new CacheManager();
const map = new Map<string, number>();
const weak = new WeakMap();
const lruCache = new LRUCache<string, number>({ max: 5 });
const fetchCache: Map<string, Promise<number>> = new Map();
declare const params: URLSearchParams;

export function Ordinary({ id }: { id: string }) {
  map.get('flat');
  map.set(`flat ${id}`, 1);
  weak.get({});
  _.get({}, 'a.b.c');
  _.set({}, `a[${id}]`, 1);
  axios.get(`https://example.org/${id}`);
  params.get('flat');
  new Headers().get('flat');
  lruCache.get('flat');
  lruCache.set(`user ${id}`, 1, { ttl: 5 });
  fetchCache.get('flat');
  localStorage.getItem('flat');
  return <p>{`flat ${id}`}</p>;
}

export async function right(id: string, load: () => Promise<number>) {
  await manager.get('user:profile:42', load);
  await manager.get(key`user:profile:${id}`, load, { tags: ['user:42', 'users', key('user', id)] });
  await manager.getMany(
    [1, 2].map((one) => key`user:${one}`),
    async () => [],
  );
  await manager.setMany({ 'user:1': 1 });
  await manager.invalidate([key('user', 42n), key('flag', true)]);
  manager.tenant('any text: at all').on('cache.hit', console.log);
}
