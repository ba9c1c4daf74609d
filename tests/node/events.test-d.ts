/** What a user's compiler makes of events. Read by `tsc -p tests/node` (types.test.ts), never run. */
import { type CacheEvent, CacheManager, type EventName, type FaultReason } from 'tidegate';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles where a value has exactly this type: `is<Promise<User>>()(value)`. */
function is<Expected>() {
  return <Actual>(
    value: Actual,
    ...right: Same<Actual, Expected> extends true ? [] : ['another type', Actual]
  ): void => {
    void [value, right];
  };
}

const cache = new CacheManager();

cache
  .on('cache.hit', (event) => {
    is<'cache.hit'>()(event.type);
    is<string>()(event.key);
    is<number>()(event.duration_ms);
    is<'l1' | 'memory' | 'redis' | 'flight'>()(event.source);
  })
  .on('cache.error', ({ reason, message, key: of }) => {
    is<FaultReason>()(reason);
    is<string>()(message);
    is<string | undefined>()(of);
  })
  .off('cache.breaker', ({ state }) => is<'open' | 'closed'>()(state));
const observer = (event: CacheEvent): void => {
  if (event.type === 'cache.invalidate') is<'confirmed' | 'journalled'>()(event.state);
  is<EventName>()(event.type);
};
cache.on('cache.miss', observer);
cache.on('cache.stale', ({ reason }) =>
  is<'revalidating' | 'error' | 'soft_timeout' | 'error_backoff' | 'max_fallbacks'>()(reason),
);
cache.on('cache.refresh', ({ reason }) => is<'stale' | 'early' | 'explicit'>()(reason));
cache.on('cache.invalidate', ({ reason, tag, key: of }) => {
  is<'key' | 'fields' | 'expire' | 'tag' | 'namespace' | 'write_through'>()(reason);
  is<string | undefined>()(tag);
  is<string | undefined>()(of);
});
cache
  .on('cache.set', ({ version, reason, source }) => {
    is<number>()(version);
    is<undefined>()(reason);
    is<'memory' | 'redis'>()(source);
  })
  .on('cache.fallback_error', ({ reason }) => is<'hard_timeout' | undefined>()(reason))
  .on('cache.connection', ({ state, node }) => {
    is<'connected' | 'disconnected' | 'new_primary'>()(state);
    is<string | undefined>()(node);
  })
  .on('cache.health', ({ reason, state, value, limit, message }) => {
    is<'unreachable' | 'round_trip' | 'fragmentation' | 'memory' | 'evictions' | 'policy' | 'replication' | 'push'>()(
      reason,
    );
    is<'ok' | 'warning'>()(state);
    is<number | undefined>()(value);
    is<number | undefined>()(limit);
    is<string>()(message);
  })
  .on('*', (event) => {
    is<CacheEvent>()(event);
    is<string | undefined>()(event.key);
    if (event.type === 'cache.set') is<number>()(event.version);
  });
for (const name of ['cache.hit', 'cache.wait'] as const) cache.on(name, (event) => is<string>()(event.key));
