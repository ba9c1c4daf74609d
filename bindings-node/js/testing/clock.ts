import { inspect } from 'node:util';
import { ConfigError } from '../errors.js';
import { shown } from '../key.js';
import { FakeClock as Native } from '../native.js';
import { checkObject, type Duration } from '../options.js';

/** What a `FakeClock` takes. */
export interface ClockOptions {
  /** What it shows at first: milliseconds since the epoch, or a Date (midnight of 1 January 2030, UTC). */
  start?: number | Date | undefined;
  /** Nothing but `advance` moves it (false). */
  byHand?: boolean | undefined;
}

// The years that a store's times have room for.
const START_MAX = 4_000_000_000_000;

/**
 * A clock that stands until it is told to go on.
 *
 * One wait passes by itself: that of a caller for a store that hangs or is slow. With `byHand` that too is `advance`'s.
 *
 * ```ts
 * import { FakeClock } from 'tidegate/testing';
 *
 * const clock = new FakeClock();
 * const before = clock.now();
 * clock.advance('5m');
 * if (clock.now() - before !== 300_000) throw new Error('not five minutes');
 * ```
 */
export class FakeClock {
  /** @internal */
  readonly native: Native;

  constructor(options: ClockOptions = {}) {
    checkObject(options, '{ start: new Date(), byHand: true }');
    const { start, byHand = false } = options;
    const startMs = start instanceof Date ? start.getTime() : start;
    if (startMs !== undefined && !(typeof startMs === 'number' && startMs >= 0 && startMs < START_MAX)) {
      throw new ConfigError(
        `start=${shown(start)} is not accepted: start takes milliseconds since the epoch, or a Date; ` +
          "a right example: new FakeClock({ start: new Date('2030-01-01') })",
      );
    }
    if (typeof byHand !== 'boolean') {
      throw new ConfigError(
        `byHand=${shown(byHand)} is not accepted; a right example: new FakeClock({ byHand: true })`,
      );
    }
    this.native = new Native(startMs ?? null, byHand);
  }

  /**
   * Lets time pass, and does what is due meanwhile, in its order, in this very call: entries and leases run out, timeouts
   * fall due, waits end, the breaker probes, what is owed is sent. Whoever waited for it goes on when the event loop does.
   */
  advance(duration: Duration): void {
    this.native.advance(duration);
  }

  /** The time that it shows, in milliseconds since the epoch, as `Date.now()`. */
  now(): number {
    return this.native.now();
  }

  [inspect.custom](): string {
    return `FakeClock(${new Date(this.now()).toISOString()})`;
  }
}
