/**
 * NestJS 11 and 12: a module whose managers are injected, decorators for methods, cached responses.
 *
 * @packageDocumentation
 */

export type { ResponseOptions } from './http/route.js';
export {
  Cached,
  type CachedMethodOptions,
  InjectCache,
  InvalidateAfter,
  type InvalidateOptions,
  provideCache,
} from './nestjs/decorators.js';
export { TidegateHealth } from './nestjs/health.js';
export {
  getCacheToken,
  TidegateModule,
  type TidegateModuleAsyncOptions,
  type TidegateModuleOptions,
} from './nestjs/module.js';
export { CachedResponse, type CachedResponseOptions, type NestRequest } from './nestjs/response.js';
