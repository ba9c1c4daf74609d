/** How Nest finds a manager. */

import { ConfigError } from '../errors.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { nest } from '../nestjs-common.js';

const DEFAULT = 'default';

/** What the manager of this name is injected by: the class `CacheManager` for the one without a name. */
export function getCacheToken(name: string = DEFAULT): string | typeof CacheManager {
  if (typeof name !== 'string' || name === '') {
    throw new ConfigError(`name=${shown(name)} is not accepted: name takes a text; a right example: 'sessions'`);
  }
  return name === DEFAULT ? CacheManager : `tidegate:${name}`;
}

/** Has Nest set a property of each object of a class to the manager, where its methods find it. */
export function injected(prototype: object, name: string | undefined): symbol {
  const place = placeOf(name);
  nest().Inject(getCacheToken(name))(prototype, place);
  return place;
}

export function placeOf(name: string = DEFAULT): symbol {
  return Symbol.for(`tidegate:${name}`);
}

/** The manager of an object. */
export function managerOf(self: object, name: string | undefined): CacheManager {
  const cache = (self as Record<symbol, unknown> | undefined)?.[placeOf(name)];
  if (cache instanceof CacheManager) return cache;
  const owner = self?.constructor?.name ?? shown(self);
  throw new ConfigError(
    `${owner} has no manager: Nest sets it on what it makes itself, where TidegateModule.forRoot(…) is imported` +
      `${name === undefined ? '' : ` with name ${shown(name)}`}; in a test without Nest: provideCache(object, cache)`,
  );
}
