/** What a manager tells a monitoring system. */

import type { House } from './house.js';
import type { MetricFamily } from './metrics.js';

export class Watched {
  readonly #house: House;

  /** @internal */
  constructor(house: House) {
    this.#house = house;
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

  /** What it has in common with its views. @internal */
  get house(): House {
    return this.#house;
  }
}
