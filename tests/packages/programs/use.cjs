// As use.mjs, from a Worker where a second argument says so, and without `close`.
const { Worker, isMainThread, workerData } = require('node:worker_threads');
const { CacheManager, version } = require('tidegate');

const [service, where] = isMainThread ? process.argv.slice(2) : workerData;

async function main() {
  const patient = { commandTimeout: '20s', connectTimeout: '20s', lease: '25s' };
  const cache = new CacheManager({ url: process.env.REDIS_URL, service, ...patient });
  const name = await cache.get('user:name:1', () => (isMainThread ? 'of the main thread' : 'of the worker'));
  console.log(version, name, await cache.exists('user:name:1'));
}

if (where === 'worker' && isMainThread) new Worker(__filename, { workerData: [service] });
else main();
