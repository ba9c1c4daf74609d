// A user's program: argv is a service's name. It prints the package's version, and what it saw, and ends by itself.
import { CacheManager, key, version } from 'tidegate';

const [service] = process.argv.slice(2);
// A machine that is busy is no fault of the store.
const cache = new CacheManager({
  url: process.env.REDIS_URL,
  service,
  commandTimeout: '20s',
  connectTimeout: '20s',
  lease: '25s',
});

let runs = 0;
const load = async () => ({ name: 'Ada', run: ++runs });
const user = key`user:profile:${42}`;
const seen = [await cache.get(user, load), await cache.get(user, load)];
await cache.invalidate(user);
seen.push(await cache.get(user, load));
const there = await cache.exists(user);
await cache.close();
console.log(version, ...seen.map(({ name, run }) => name + run), there);
