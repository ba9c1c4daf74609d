import { ConfigError } from '../errors.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import type { Options } from '../options.js';
import { FakeClock } from './clock.js';
import { RecordedEvents } from './recording.js';
import { MemoryStore } from './store.js';

/** What a test is given by its runner: node:test's context, or vitest's. */
export interface TestContext {
  /** node:test's: called when the test ends. */
  after?: (end: () => Promise<void>) => void;
  /** vitest's: the same. */
  onTestFinished?: (end: () => Promise<void>) => void;
}

/** Those of `CacheManager`, and where chance and time begin. */
export interface TestOptions extends Omit<Options, 'url' | 'store'> {
  /** (0) */
  seed?: number | undefined;
  /** The time that the clock shows at first. */
  start?: number | Date | undefined;
}

/** A manager with all that its test needs. */
export interface CacheUnderTest extends AsyncDisposable {
  /** What the test gives to its code. */
  readonly cache: CacheManager;
  /** Time passes when it is told to. */
  readonly clock: FakeClock;
  /** It fails when it is told to. */
  readonly store: MemoryStore;
  /** What has happened. */
  readonly events: RecordedEvents;
  /** Heals the store and closes the manager; what is under way is given no time. */
  close(): Promise<void>;
}

/**
 * A manager on a store of its own that goes by a clock of its own, its events recorded, without jitter: an entry lives for
 * its ttl, not for a little less.
 *
 * It closes by itself when the test ends whose context it is given, node:test's or vitest's; else by `await using`, or
 * `close()`.
 *
 * ```ts
 * import { testCache } from 'tidegate/testing';
 *
 * const { cache, clock, close } = testCache({ ttl: '1m' });
 * await cache.set('user:name:42', 'Ada');
 * clock.advance('1m');
 * if (await cache.exists('user:name:42')) throw new Error('it should have run out');
 * await close();
 * ```
 */
export function testCache(options?: TestOptions): CacheUnderTest;
export function testCache(context: TestContext, options?: TestOptions): CacheUnderTest;
export function testCache(first: TestContext | TestOptions = {}, second?: TestOptions): CacheUnderTest {
  const ends = endOf(first);
  if (ends === undefined && second !== undefined) {
    throw new ConfigError(
      `context=${shown(first)} is no test's; a right example: test('…', (t) => { const { cache } = testCache(t); })`,
    );
  }
  const { seed = 0, start, ...options } = (ends === undefined ? first : (second ?? {})) as TestOptions;
  const clock = new FakeClock({ start });
  const store = new MemoryStore({ clock, seed });
  const cache = new CacheManager({ ttlJitter: 0, ...options, store });
  const events = new RecordedEvents(cache);
  const close = async () => {
    store.heal();
    events.settle().stop();
    await cache.close({ timeout: 0 });
  };
  ends?.(close);
  return { cache, clock, store, events, close, [Symbol.asyncDispose]: close };
}

function endOf(given: TestContext | TestOptions): ((end: () => Promise<void>) => void) | undefined {
  const { after, onTestFinished } = given as TestContext;
  const ends = typeof onTestFinished === 'function' ? onTestFinished : after;
  return typeof ends === 'function' ? ends.bind(given) : undefined;
}
