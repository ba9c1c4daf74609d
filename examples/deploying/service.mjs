/**
 * A service that may be deployed, stopped and probed: `service.py` in Node.js.
 *
 *     PORT=8080 CACHE_URL=redis://localhost:6379/0 node examples/deploying/service.mjs
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager, key } from 'tidegate';

const url = process.env.CACHE_URL ?? 'redis://localhost:6379/0';
const cache = new CacheManager({ url, service: 'names', ttl: '5m' });
let stopping = false;

/** Your database here. */
const query = async (id) => `user ${id}`;

/** @returns {Promise<any[]>} a status and a text */
async function answer(path) {
  if (path === '/live') return [200, 'alive'];
  if (path === '/ready') return stopping ? [503, 'stopping'] : [200, 'ready'];
  if (path === '/status') return [200, JSON.stringify(await cache.health())];
  if (!path.startsWith('/name/')) return [404, 'no such path'];
  const id = path.slice('/name/'.length);
  return [200, await cache.get(key('user', 'name', id), () => query(id))];
}

const server = createServer(async (request, response) => {
  const [status, text] = await answer(request.url).catch((error) => [500, String(error)]);
  response.writeHead(status, stopping ? { connection: 'close' } : {}).end(text);
});
server.listen(Number(process.env.PORT ?? 8080));
await once(server, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
console.log(JSON.stringify({ port }));

await once(process, 'SIGTERM');
stopping = true;
// What routes requests to this process learns of it a moment later: they are served meanwhile.
await sleep(Number(process.env.DRAIN_SECONDS ?? 5) * 1_000);
server.close();
server.closeIdleConnections();
await once(server, 'close');
const drained = await cache.close({ timeout: '20s' });
console.log(JSON.stringify({ drained }));
