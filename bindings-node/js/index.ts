/**
 * tidegate: a cache-aside library that is correct under races, calm under stampedes and invisible when Redis fails.
 *
 * @packageDocumentation
 */

export type { Awaitable } from './awaitable.js';
export type { FetchMissing } from './batch.js';
export type { FieldsOf } from './by-fields.js';
export type { Context, Fallback } from './context.js';
export type { EventDeadLetters } from './dead-events.js';
export {
  type EventDetails,
  type EventHandler,
  type EventOptions,
  type Named,
  type PublishOptions,
  type Subscription,
  Tag,
  tag,
} from './domain.js';
export {
  ClosedError,
  ConfigError,
  EncodeError,
  type ErrorCode,
  HardTimeout,
  InternalError,
  KeyFormatError,
  QueueFull,
  StoreUnavailable,
  TidegateError,
  ValueTooLarge,
} from './errors.js';
export type { CacheEvent, CacheEvents, EventName, FaultReason, Observer } from './event-types.js';
export type { Health, HealthFinding, HealthReason, NodeHealth } from './health.js';
export { type KeyPart, key } from './key.js';
export { CacheManager } from './manager.js';
export type { MetricFamily, MetricSample } from './metrics.js';
export type {
  BehindOptions,
  Breaker,
  CloseOptions,
  Codec,
  DeadEvent,
  DeadLetter,
  DefaultOptions,
  Duration,
  Entry,
  EntryOptions,
  FieldsOptions,
  FlushOptions,
  GetOptions,
  Given,
  HealthLimits,
  InvalidateOptions,
  L1Options,
  LettersOptions,
  NullOf,
  Options,
  PutOptions,
  SetOptions,
  StartedOptions,
  Stats,
  Stored,
  TenantOptions,
  TestStore,
  Tls,
  WriteThroughOptions,
} from './options.js';
export type { AnySchema, InputOf, Made, MaybeSchema, OutputOf, StandardSchema } from './schema.js';
export { currentContext } from './scope.js';
export { version } from './version.js';
export { type Helpers, helpersOf, type MethodDecorator, type WrapOptions, type Wrapped } from './wrap.js';
export type { Persist } from './write.js';
export type { DeadLetters, Sink, WriteBehind, WriteItem } from './write-behind.js';
