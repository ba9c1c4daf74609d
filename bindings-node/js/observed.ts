/** What a manager tells of itself: events, figures, and how its servers are. */

import { ByFields } from './by-fields.js';
import type { Heard, Observer } from './event-types.js';
import type { Flow } from './flow.js';
import type { Health } from './health.js';
import type { House } from './house.js';
import type { MetricFamily } from './metrics.js';
import type { Stats } from './options.js';
import type { View } from './terms.js';

export class Observed extends ByFields {
  readonly #house: House;
  readonly #view: View;

  /** @internal */
  constructor(house: House, flow: Flow, view: View) {
    super(flow, view);
    this.#house = house;
    this.#view = view;
  }

  /**
   * Calls `observer` with each event of this name (`'*'`: of all), in batches, never on a caller's path.
   *
   * What an observer throws becomes a process warning. Events are kept only while somebody observes.
   */
  on<K extends keyof Heard>(event: K, observer: Observer<K>): this {
    this.#house.observers.add(event, observer as Observer<never>);
    this.#house.listen();
    return this;
  }

  /** Stops calling `observer`; does nothing when it was not called. */
  off<K extends keyof Heard>(event: K, observer: Observer<K>): this {
    this.#house.observers.remove(event, observer as Observer<never>);
    this.#house.listen();
    return this;
  }

  /**
   * The figures since this manager was made, of all its views; in a tenant's view the tenant's, but `l1_entries`,
   * `l1_bytes`, `events_dropped` and `breaker`, which are the manager's.
   */
  stats(): Stats {
    return this.#house.stats(this.#view.plain.terms);
  }

  /**
   * How the servers behind the cache are: each is asked now, past the breaker, and compared with the limits of the option
   * `health`. One that does not answer is no error, but a finding; `status` is `down` where none answers.
   *
   * ```ts
   * const { status, findings } = await cache.health();
   * if (status !== 'ok') throw new Error(findings.map((one) => `${one.node} ${one.message}`).join());
   * ```
   */
  health(): Promise<Health> {
    return this.#house.health();
  }

  /**
   * What a monitoring system scrapes: counters and histograms since this manager was made, and what stands now. Of the
   * whole manager, also where this is a view: `docs/observability/metrics.md`. For `prom-client` there is
   * `tidegate/prometheus`.
   */
  metrics(): MetricFamily[] {
    return this.#house.metrics();
  }

  /** The same in Prometheus' text format: what a scrape is answered, as `text/plain; version=0.0.4; charset=utf-8`. */
  prometheusText(): string {
    return this.#house.prometheusText();
  }

  /** What it has in common with its views: the one door of the package's own to what a manager is made of. @internal */
  get house(): House {
    return this.#house;
  }

  /** Before a tenant's keys: `@tenant:`. @internal */
  get scope(): string {
    return this.#view.scope;
  }
}
