/** What `@nestjs/terminus` is told of a cache. */

import { checkHealth, type HealthBody, type HealthOptions, healthOf } from '../http/health.js';
import type { CacheManager } from '../manager.js';

/** An indicator's result: under its name `up`, or `down`, with what is known. */
export type HealthResult<K extends string> = Record<
  K,
  Omit<HealthBody, 'status'> & { status: 'up' | 'down'; cache: string }
>;

/**
 * An indicator for `@nestjs/terminus` 11 and later: `health.check([() => this.cache.isHealthy('cache')])`. It is up also where the
 * store is away, since the service is; with `failOnDown` it is down then.
 */
export class TidegateHealth {
  constructor(private readonly manager: CacheManager) {
    checkHealth(manager, undefined);
  }

  /** What terminus is told of the servers, under `name`. */
  async isHealthy<K extends string = 'cache'>(
    name = 'cache' as K,
    options: HealthOptions = {},
  ): Promise<HealthResult<K>> {
    checkHealth(this.manager, options);
    const { status, body } = await healthOf(this.manager, options);
    const { status: cache, ...known } = body;
    return { [name]: { status: status === 200 ? 'up' : 'down', cache, ...known } } as HealthResult<K>;
  }
}
