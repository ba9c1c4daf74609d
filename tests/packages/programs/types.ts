// A user's types, from every entry point; compiled by each way of finding modules that a tsconfig may name.
import { CacheManager, type Fallback, HardTimeout, key, type Stats, type TidegateError, version } from 'tidegate';
import { FakeClock } from 'tidegate/testing';

interface User {
  name: string;
}

const cache = new CacheManager({ url: 'memory://', ttl: '5m', hardTimeout: 1_000 });
const load: Fallback<User> = async () => ({ name: 'Ada' });

export async function main(): Promise<string> {
  const user = await cache.get(key`user:profile:${42}`, load, { ttl: '1h' });
  const stats: Stats = cache.stats();
  const error: TidegateError = new HardTimeout('too long');
  return [user.name, stats.hits.toFixed(), error.code, version, FakeClock.name].join();
}

// @ts-expect-error no such option
new CacheManager({ tll: 1 });
// @ts-expect-error a name is no number
export const wrong: Promise<number> = main();
