/** What a health route answers. */

import { ConfigError } from '../errors.js';
import type { Health } from '../health.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { checkOptions } from '../options.js';

/** What a health route takes. */
export interface HealthOptions {
  /** Whether a store that is away makes the answer 503 (false: tidegate serves without it, and so does the service). */
  failOnDown?: boolean | undefined;
  /** Whether the servers are named, with all that is known of them (false). */
  details?: boolean | undefined;
}

/** What is told of a cache. */
export type HealthBody = Pick<Health, 'status' | 'store' | 'breaker' | 'journal'> &
  Partial<Pick<Health, 'nodes'>> & { findings: { reason: string }[] };

export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly body: HealthBody;
}

export async function healthOf(cache: CacheManager, options: HealthOptions = {}): Promise<HealthAnswer> {
  const { failOnDown = false, details = false } = options;
  const health = await cache.health();
  const { status, store, breaker, journal, nodes, findings } = health;
  const body = details
    ? { status, store, breaker, journal, nodes, findings }
    : { status, store, breaker, journal, findings: findings.map(({ reason }) => ({ reason })) };
  return { status: failOnDown && status === 'down' ? 503 : 200, body };
}

/** Refuses what is wrong where the route is made. */
export function checkHealth(cache: unknown, options: HealthOptions | undefined): void {
  if (!(cache instanceof CacheManager)) {
    throw new ConfigError(`cache=${shown(cache)} is not a CacheManager; a right example: health(cache)`);
  }
  checkOptions(options, ['failOnDown', 'details']);
}
