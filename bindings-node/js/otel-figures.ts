/** What a meter is given: how long calls and fallbacks took, and the manager's own figures when they are asked for. */

import type { Attributes, Histogram, Meter, Observable, ObservableCallback } from '@opentelemetry/api';
import { HardTimeout } from './errors.js';
import type { CacheManager } from './manager.js';
import type { Stats } from './options.js';

const BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Figure = Exclude<keyof Stats, 'breaker'>;

/** By the name of the figure in `stats()`: of the instrument, its unit, and what it counts. */
const COUNTERS: readonly [Figure, string, string, string][] = [
  ['hits', 'tidegate.hits', '{read}', 'Reads that were served without running their fallback'],
  ['l1_hits', 'tidegate.l1.hits', '{read}', "Those of them that were served from this process's own memory"],
  ['misses', 'tidegate.misses', '{read}', 'Reads for which the store had no entry that counts'],
  ['stale_served', 'tidegate.stale_served', '{read}', 'Reads that were served a value that is not fresh'],
  ['sets', 'tidegate.sets', '{entry}', 'Entries that were stored'],
  ['invalidation_count', 'tidegate.invalidations', '{invalidation}', 'Invalidations that ended'],
  ['waits', 'tidegate.waits', '{wait}', 'Waits for another process'],
  ['refreshes', 'tidegate.refreshes', '{refresh}', 'Keys that were computed anew though an entry stood'],
  ['fallbacks', 'tidegate.fallbacks', '{call}', 'Fallbacks that were run'],
  ['fallback_errors', 'tidegate.fallback_errors', '{call}', 'Fallbacks that failed or ran too long'],
  ['errors', 'tidegate.errors', '{fault}', 'Faults of the cache that no caller saw'],
  ['events_dropped', 'tidegate.events_dropped', '{event}', 'Events that no observer was told of'],
];
const GAUGES: readonly [Figure, string, string, string][] = [
  ['l1_entries', 'tidegate.l1.entries', '{entry}', "Entries in this process's own memory"],
  ['l1_bytes', 'tidegate.l1.size', 'By', "Bytes of this process's own memory"],
];
const BREAKER = { closed: 0, half_open: 1, open: 2 };

/** The instruments of one manager. */
export class Figures {
  readonly attributes: Attributes;
  readonly #calls: Histogram;
  readonly #fallbacks: Histogram;
  readonly #observed: [Observable, ObservableCallback][] = [];

  constructor(cache: CacheManager, meter: Meter) {
    const { port, role } = cache.house;
    this.attributes = { 'tidegate.service': port.native.service, 'tidegate.role': role };
    const advice = { explicitBucketBoundaries: BUCKETS };
    const timed = (name: string, description: string) =>
      meter.createHistogram(name, { unit: 's', description, advice });
    this.#calls = timed('tidegate.operation.duration', 'How long calls took, fallbacks included');
    this.#fallbacks = timed('tidegate.fallback.duration', 'How long fallbacks took');
    // A meter lives as long as the program: it is not to keep a manager that nobody holds.
    const held = new WeakRef(cache);
    const observe = (instrument: Observable, figureOf: (stats: Stats) => number) => {
      const callback: ObservableCallback = (result) => {
        const stats = held.deref()?.stats();
        if (stats !== undefined) result.observe(figureOf(stats), this.attributes);
      };
      instrument.addCallback(callback);
      this.#observed.push([instrument, callback]);
    };
    for (const [figure, name, unit, description] of COUNTERS) {
      observe(meter.createObservableCounter(name, { unit, description }), (stats) => stats[figure]);
    }
    for (const [figure, name, unit, description] of GAUGES) {
      observe(meter.createObservableGauge(name, { unit, description }), (stats) => stats[figure]);
    }
    const description = 'The worst breaker: 0 closed, 1 half open, 2 open';
    const breaker = meter.createObservableGauge('tidegate.breaker.state', { unit: '1', description });
    observe(breaker, (stats) => BREAKER[stats.breaker as keyof typeof BREAKER]);
  }

  /** A call has ended. */
  took(operation: string, seconds: number, { 'tidegate.outcome': outcome, 'error.type': error }: Attributes): void {
    const told: Attributes = { ...this.attributes, 'tidegate.operation': operation };
    if (outcome !== undefined) told['tidegate.outcome'] = outcome;
    if (error !== undefined) told['error.type'] = error;
    this.#calls.record(seconds, told);
  }

  /** A fallback has ended. */
  ran(seconds: number, end: { readonly error: unknown } | undefined): void {
    const failed = end?.error instanceof HardTimeout ? 'hard_timeout' : 'error';
    this.#fallbacks.record(seconds, { ...this.attributes, 'tidegate.outcome': end === undefined ? 'ok' : failed });
  }

  /** Nothing is observed any more. */
  end(): void {
    for (const [instrument, callback] of this.#observed) instrument.removeCallback(callback);
    this.#observed.length = 0;
  }
}
