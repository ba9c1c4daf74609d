/** The decorators of NestJS, as a user's compiler reads them. */
import { CacheManager, key } from 'tidegate';
import { Cached, CachedResponse, getCacheToken, InjectCache, InvalidateAfter, TidegateModule } from 'tidegate/nestjs';
import { z } from 'zod';

const User = z.object({ id: z.number() });
const byId = { key: (id: number) => key`user:profile:${id}` };

export class Users {
  constructor(@InjectCache() readonly cache: CacheManager) {}

  @Cached({ ...byId, ttl: '1m', manager: 'sessions' })
  async find(id: number): Promise<{ id: number }> {
    return { id };
  }

  @Cached({ ...byId, schema: User })
  async checked(id: number): Promise<{ id: number }> {
    return { id };
  }

  @InvalidateAfter({ keys: (id: number) => [key`user:profile:${id}`], tags: (id: number) => key`user:${id}` })
  async rename(_id: number, _name: string): Promise<void> {}

  @CachedResponse({ key: (request) => key`page:user:${request.params.id ?? ''}`, ttl: '1m', vary: ['accept'] })
  async page(): Promise<object> {
    return {};
  }

  // @ts-expect-error: its key takes a number
  @Cached(byId)
  async byName(name: string): Promise<string> {
    return name;
  }

  // @ts-expect-error: the schema gives an object
  @Cached({ ...byId, schema: User })
  async text(id: number): Promise<string> {
    return `${id}`;
  }

  // @ts-expect-error: what is cached is a promise
  @Cached(byId)
  now(id: number): number {
    return id;
  }

  // @ts-expect-error: its keys take a number
  @InvalidateAfter({ keys: (id: number) => key`user:profile:${id}` })
  async remove(_id: string): Promise<void> {}
}

TidegateModule.forRoot({ url: 'memory://', service: 'billing', name: 'sessions', isGlobal: false });
TidegateModule.forRoot({ cache: new CacheManager(), timeout: '10s' });
TidegateModule.forRootAsync({
  useFactory: async (config: { url: string }) => ({ url: config.url }),
  inject: [getCacheToken()],
});
// @ts-expect-error: a key is due
CachedResponse({ ttl: '1m' });
// @ts-expect-error: a misspelt option
TidegateModule.forRoot({ service: 'billing', tll: '1m' });
// @ts-expect-error: a factory is due
TidegateModule.forRootAsync({ name: 'sessions' });
// @ts-expect-error: each route has a key of its own
@CachedResponse({ key: 'page:of:all' })
export class Pages {}
