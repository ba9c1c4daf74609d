/** Mistakes around calls: events, queues, the testing kit, metrics. As calls.ts: tsc refuses each marked line. */
import { type CacheEvents, CacheManager, type TidegateError } from 'tidegate';
import { instrument as trace } from 'tidegate/otel';
import { instrument } from 'tidegate/prometheus';
import { FakeClock, MemoryStore, record, testCache } from 'tidegate/testing';

const cache = new CacheManager();
declare const error: TidegateError;
declare const onMiss: (event: CacheEvents['cache.miss']) => void;

// --- events

cache.on('cache.hits', console.log); // wrong: no such event
cache.on('cache.hit', onMiss); // wrong: of another event
cache.on('*', onMiss); // wrong: it is given every event
cache.on('cache.set', (event) => event.versions); // wrong: no such field
cache.on('cache.miss', (event) => event.version + 1); // wrong: a miss has no version
cache.on('cache.invalidate', (event) => event.key.length); // wrong: a tag's has no key
cache.on('cache.breaker', (event) => event.state === 'half_open'); // wrong: it is open or closed
cache.on('cache.hit', (event) => event.source === 'disk'); // wrong: no such source
cache.on('cache.health', (event) => event.value.toFixed()); // wrong: there may be none
cache.on('cache.hit', 5); // wrong: no function
cache.off('cache.hit', onMiss); // wrong: of another event
cache.on('cache.hit', (event) => event.durationMs); // wrong: the names are those of every language
error.kode; // wrong: no such field
error.code satisfies 'ERR_TIDEGATE_LATE'; // wrong: no such code

// --- events between services, write-behind

cache.onEvent('user.updated', 7); // wrong: no function
cache.onEvent('user.updated', () => 7); // wrong: a number names nothing
cache.onEvent('user.updated', () => null, { maxAttempt: 3 }); // wrong: no such option
cache.onEvent<{ id: number }>('user.updated', ({ name }) => name); // wrong: no such field
cache.onEvent('user.updated', (data) => data.id); // wrong: nobody has said what it is
await cache.publishEvent('user.updated', 1, { maxLength: 10 }); // wrong: no such option
await cache.publishEvent(42, 1); // wrong: a name is a text
const queue = cache.writeBehind<number>('counters', (items) => items.map(({ id }) => id));
await queue.put('page:views:7', 'one'); // wrong: a queue of numbers
await queue.put('page:views:7', 1, { operation: '7' }); // wrong: no such option
await queue.put('page:views:7', 1, { operationId: 7 }); // wrong: a text
await queue.deadLetters.list({ limit: 'all' }); // wrong: a number
cache.writeBehind('counters', () => {}, { speed: 1 }); // wrong: no such option
cache.writeBehind('counters', () => {}, { batch: 'all' }); // wrong: a number
cache.writeBehind<number>('counters', (items) => items.map(({ value }) => value.length)); // wrong: numbers

// --- figures and health

cache.stats().hitRate; // wrong: the names are those of every language
cache.stats().hits.length; // wrong: a number
(await cache.health()).state; // wrong: it is `status`
(await cache.health()).findings[0].reason; // wrong: there may be none
cache.metrics()[0]?.label; // wrong: no such field

// --- the testing kit

const clock = new FakeClock();
clock.advance(null); // wrong: no duration
new FakeClock({ start: true }); // wrong: no time
new FakeClock({ byhand: true }); // wrong: no such option
const store = new MemoryStore({ clock });
new MemoryStore({ seed: '1' }); // wrong: a number
new MemoryStore({ clock: 5 }); // wrong: a clock
store.fail('dwon'); // wrong: no such fault
store.fail('slow', { delay: true }); // wrong: no duration
store.fail('down', { only: store }); // wrong: a manager
store.failing('gone'); // wrong: no such fault
testCache({ url: 'redis://localhost' }); // wrong: its store is the kit's
testCache({ tll: 5 }); // wrong: no such option
record(cache).one('cache.hits'); // wrong: no such event
record(cache).of('cache.sets'); // wrong: no such event
record(cache).one('cache.set').versions; // wrong: no such field
record('cache'); // wrong: a manager

// --- Prometheus and OpenTelemetry

instrument('cache'); // wrong: a manager
instrument(cache, { registry: 'default' }); // wrong: a registry
instrument(cache, { keys: true }); // wrong: no key is a label
trace('cache'); // wrong: a manager
trace(cache, { keys: 'all' }); // wrong: yes, no, or a function
trace(cache, { meterProvider: 'default' }); // wrong: a provider
trace(cache).stop(); // wrong: it is `uninstrument`
