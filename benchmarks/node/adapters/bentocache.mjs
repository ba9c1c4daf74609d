/** bentocache: on Redis alone, in the process alone, or on both with its bus between the processes. */

import { ENTRIES_MAX, TTL_MS } from '../limits.mjs';
import { peer } from '../peers.mjs';

export async function openBentocache({ url, memory = false }) {
  const { BentoCache, bentostore } = await peer('bentocache');
  const { memoryDriver } = await peer('bentocache/drivers/memory');
  const { redisDriver, redisBusDriver } = await peer('bentocache/drivers/redis');
  const store = bentostore({ prefix: 'bento', ttl: TTL_MS });
  if (memory) store.useL1Layer(memoryDriver({ maxItems: ENTRIES_MAX }));
  if (url !== undefined) store.useL2Layer(redisDriver({ connection: connectionOf(url) }));
  if (memory && url !== undefined) store.useBus(redisBusDriver({ connection: connectionOf(url) }));
  const cache = new BentoCache({ default: 'bench', stores: { bench: store } });
  return {
    get: (key, factory, tags) => cache.getOrSet({ key, factory, tags }),
    invalidate: (key) => cache.delete({ key }),
    invalidateTag: (tag) => cache.deleteByTag({ tags: [tag] }),
    close: () => cache.disconnectAll(),
  };
}

function connectionOf(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
