/**
 * For tests of code that uses tidegate: a clock that is set by hand, a store that fails on command, recorded events.
 *
 * What runs on them is the real engine; only the time and the way to the server are made.
 *
 * @packageDocumentation
 */

export { type ClockOptions, FakeClock } from './testing/clock.js';
export { type CacheUnderTest, type TestContext, type TestOptions, testCache } from './testing/kit.js';
export { RecordedEvents, record } from './testing/recording.js';
export { type FailOptions, type FaultName, MemoryStore, type StoreOptions } from './testing/store.js';
