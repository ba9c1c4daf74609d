/** The contenders: each cache behind one small face, used as its own documentation says. */

import { openBentocache } from './adapters/bentocache.mjs';
import { openCacheable, openCacheManager } from './adapters/keyv.mjs';
import { openLruCache, openLruCacheFetch, openMap, openMapJson } from './adapters/process.mjs';
import { openGlide, openIoredis, openNaive } from './adapters/redis.mjs';
import { openTidegate, openTidegateOptions, openTidegateWrap } from './adapters/tidegate.mjs';
import { ownVersionOf, versionOf } from './peers.mjs';

/**
 * What a worker asks of a cache.
 *
 * @typedef {object} Cache
 * @property {(key: string, fallback: () => Promise<unknown>, tags?: string[]) => Promise<any>} get the cached value, or
 *   the fallback's, which is kept
 * @property {(values: Map<string, unknown>) => Promise<unknown>} [setMany] stores at once what `get` would one by one
 * @property {(key: string) => Promise<any>} [hit] how a value that is held is read, where that is not `get`
 * @property {(key: string) => Promise<unknown>} [invalidate] forgets the key
 * @property {(tag: string) => Promise<unknown>} [invalidateTag] forgets what is under the tag
 * @property {(isOn: boolean) => number} [observe] has an observer hear every event, or lets it go; how many it has heard
 * @property {() => number} [l1Hits] how many values were given from this process since it was opened
 * @property {() => Promise<unknown>} [close]
 */

/**
 * @typedef {object} Contender
 * @property {'redis' | 'process' | 'both'} tier where values are: in Redis, in this process, or in both
 * @property {string} version
 * @property {() => Promise<Cache>} open another instance, as another process would have it
 */

/**
 * The contender of that name on the redis-server at `url`.
 *
 * @param {string} name
 * @param {string} url
 * @returns {Contender}
 */
export function contender(name, url) {
  const makers = {
    tidegate: () => tidegate('redis', () => openTidegate(url, name, {})),
    'tidegate-l1-shared': () => tidegate('both', () => openTidegate(url, name, { shareValues: true, l1: true })),
    'tidegate-l1-own': () => tidegate('both', () => openTidegate(url, name, { shareValues: false, l1: true })),
    'tidegate-l1-options': () => tidegate('both', () => openTidegateOptions(url, name)),
    'tidegate-wrap': () => tidegate('both', () => openTidegateWrap(url, name)),

    naive: () => onRedis(`ioredis ${ownVersionOf('ioredis')}`, () => openNaive(url)),
    ioredis: () => onRedis(versionOf('ioredis-6'), () => openIoredis(url, {})),
    'ioredis-auto': () => onRedis(versionOf('ioredis-6'), () => openIoredis(url, { enableAutoPipelining: true })),
    'valkey-glide': () => onRedis(versionOf('@valkey/valkey-glide'), () => openGlide(url)),

    bentocache: () => onRedis(withClient('bentocache', 'ioredis'), () => openBentocache({ url })),
    cacheable: () => onRedis(withClient('cacheable', '@keyv/redis'), () => openCacheable({ url })),
    'cache-manager': () => onRedis(withClient('cache-manager', '@keyv/redis'), () => openCacheManager({ url })),

    map: () => inProcess(process.versions.node, openMap),
    'map-json': () => inProcess(process.versions.node, openMapJson),
    'lru-cache': () => inProcess(versionOf('lru-cache'), openLruCache),
    'lru-cache-fetch': () => inProcess(versionOf('lru-cache'), openLruCacheFetch),
    'bentocache-mem': () => inProcess(versionOf('bentocache'), () => openBentocache({ memory: true })),
    'cacheable-mem': () => inProcess(versionOf('cacheable'), () => openCacheable({ memory: true })),
    'cache-manager-mem': () => inProcess(versionOf('cache-manager'), () => openCacheManager({ memory: true })),

    'bentocache-both': () => both(withClient('bentocache', 'ioredis'), () => openBentocache({ url, memory: true })),
    'cacheable-both': () => both(withClient('cacheable', '@keyv/redis'), () => openCacheable({ url, memory: true })),
    'cache-manager-both': () =>
      both(withClient('cache-manager', '@keyv/redis'), () => openCacheManager({ url, memory: true })),
  };
  const make = makers[name];
  if (make === undefined)
    throw new Error(`no contender is named '${name}'; there are ${Object.keys(makers).join(', ')}`);
  return make();
}

const tidegate = (tier, open) => ({ tier, version: ownVersionOf('tidegate'), open });
const onRedis = (version, open) => ({ tier: 'redis', version, open });
const inProcess = (version, open) => ({ tier: 'process', version, open });
const both = (version, open) => ({ tier: 'both', version, open });

function withClient(name, client) {
  return `${versionOf(name)} on ${client} ${versionOf(client)}`;
}
