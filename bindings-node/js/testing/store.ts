import { inspect } from 'node:util';
import { ConfigError } from '../errors.js';
import { shown } from '../key.js';
import type { CacheManager } from '../manager.js';
import { type Cache, MemoryStore as Native } from '../native.js';
import { checkObject, type Duration } from '../options.js';
import { FakeClock } from './clock.js';

/** What becomes of commands: see `MemoryStore.fail`. */
export type FaultName = 'down' | 'hang' | 'slow' | 'lost-reply';

/** What a `MemoryStore` takes. */
export interface StoreOptions {
  /** What the store, and all managers on it, go by (the real time). */
  clock?: FakeClock | undefined;
  /** Makes chance (the jitter of ttls and waits) the same in each run, for managers that are made in the same order. */
  seed?: number | undefined;
}

/** What `fail` and `failing` take. */
export interface FailOptions {
  /** How long the answers of `slow` take. */
  delay?: Duration | undefined;
  /** The manager that it is done to (all that are on the store). */
  only?: CacheManager | undefined;
}

/**
 * A server in this process, for tests: `new CacheManager({ store })`, as many managers on it as the test has processes.
 *
 * ```ts
 * import { CacheManager } from 'tidegate';
 * import { FakeClock, MemoryStore } from 'tidegate/testing';
 *
 * const store = new MemoryStore({ clock: new FakeClock(), seed: 1 });
 * const [one, other] = [new CacheManager({ store }), new CacheManager({ store })];
 * await one.set('user:name:42', 'Ada');
 * store.fail('down', { only: one });
 * if (await one.invalidate('user:name:42')) throw new Error('nobody can have confirmed that');
 * if ((await other.get('user:name:42', { default: null })) !== 'Ada') throw new Error('the other is served');
 * store.heal();
 * ```
 */
export class MemoryStore {
  /** @internal */
  readonly native: Native;
  /** What it goes by; undefined is the real time. */
  readonly clock: FakeClock | undefined;

  constructor(options: StoreOptions = {}) {
    checkObject(options, '{ clock: new FakeClock(), seed: 1 }');
    const { clock, seed } = options;
    if (clock !== undefined && !(clock instanceof FakeClock)) {
      throw new ConfigError(
        `clock=${shown(clock)} is not a FakeClock; a right example: new MemoryStore({ clock: new FakeClock() })`,
      );
    }
    if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new ConfigError(
        `seed=${shown(seed)} is not accepted: seed takes an integer from 0 on; a right example: new MemoryStore({ seed: 1 })`,
      );
    }
    this.clock = clock;
    this.native = new Native(clock?.native ?? null, seed ?? null);
  }

  /**
   * From now on this becomes of commands, until `heal`; of all managers on the store, or of `only` one.
   *
   * - `'down'`: the server is out of reach; each command fails at once. What it holds stays.
   * - `'hang'`: it is there and says nothing; each command is a timeout after `commandTimeout`. What was sent runs when the
   *   store heals, as with a process that was stopped, though nobody hears of it any more.
   * - `'slow'`: each command runs, and its answer takes `delay`; longer than `commandTimeout` is a timeout.
   * - `'lost-reply'`: each command runs, and is a timeout all the same.
   */
  fail(fault: FaultName, options: FailOptions = {}): void {
    checkObject(options, "store.fail('slow', { delay: 50 })");
    if (typeof fault !== 'string') {
      throw new ConfigError(`fault=${shown(fault)} is not a text; a right example: store.fail('down')`);
    }
    this.native.fail(fault, options.delay, nativeOf(options.only));
  }

  /** All managers on the store are served again, or `only` this one. */
  heal(options: Pick<FailOptions, 'only'> = {}): void {
    checkObject(options, 'store.heal({ only: cache })');
    this.native.heal(nativeOf(options.only));
  }

  /** As `fail`, until what it gives is disposed of: `using failing = store.failing('down')`. */
  failing(fault: FaultName, options: FailOptions = {}): Disposable {
    this.fail(fault, options);
    const { only } = options;
    return { [Symbol.dispose]: () => this.heal({ only }) };
  }

  /** Forgets everything that it holds, as FLUSHALL does. */
  flush(): void {
    this.native.flush();
  }

  [inspect.custom](): string {
    return `MemoryStore(${this.clock === undefined ? 'on the real time' : inspect(this.clock)})`;
  }
}

function nativeOf(only: CacheManager | undefined): Cache | null {
  if (only === undefined) return null;
  const house = (only as Partial<CacheManager> | null)?.house;
  if (house !== undefined) return house.port.native;
  throw new ConfigError(
    `only=${shown(only)} is not a CacheManager; a right example: store.fail('down', { only: cache })`,
  );
}
