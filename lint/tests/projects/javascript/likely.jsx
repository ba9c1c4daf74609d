// No import of the library here: names and the ways of calling are all there is.
import { cache } from './cache';
import keyv from 'keyv';
import { cache as react } from 'react';

export async function Page({ id, usersCache, given }) {
  await cache.get(`user:${id}`); // -> TG005
  await usersCache.get('flat'); // -> TG002
  cache.get('flat', () => 1); // -> TG002
  cache.get('flat', given, { ttl: '1m' }); // -> TG002
  cache.get('flat');
  usersCache.set('flat', 1);
  await keyv.get('flat');
  await react.get('flat');
  const ownCache = new Map();
  ownCache.get('flat', () => 1);
  return <div title={`user ${id}`}>{given.get('flat')}</div>;
}
