/** What a user's compiler makes of `@cached` with `experimentalDecorators`. Never run. */
import { CacheManager, helpersOf, key } from 'tidegate';

const cache = new CacheManager();

class Users {
  @cache.cached({ key: (id: number) => key`user:${id}` })
  async get(id: number): Promise<number> {
    return id;
  }
  @cache.cached({ key: (id: number) => key`user:${id}`, ttl: '5m' })
  static async ofSomeArguments(id: number, _deep: boolean): Promise<number> {
    return id;
  }
  // @ts-expect-error: the key takes what the method takes
  @cache.cached({ key: (id: string) => key`user:${id}` })
  async wrongKey(id: number): Promise<number> {
    return id;
  }
  // @ts-expect-error: a method that is cached gives a promise
  @cache.cached({ key: (id: number) => key`user:${id}` })
  plain(id: number): number {
    return id;
  }
}

helpersOf(new Users(), 'get').refresh(1);
helpersOf(Users, 'ofSomeArguments').invalidate(1, true);
// @ts-expect-error: its helpers take its arguments
helpersOf(new Users(), 'get').refresh('1');
