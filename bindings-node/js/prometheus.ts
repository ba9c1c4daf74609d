/**
 * What managers count, on a registry of `prom-client`.
 *
 * ```ts
 * import { register } from 'prom-client';
 * import { instrument } from 'tidegate/prometheus';
 *
 * instrument(cache, { register });
 * ```
 *
 * @packageDocumentation
 */

import type { Metric, Registry } from 'prom-client';
import { ConfigError } from './errors.js';
import type { House } from './house.js';
import { shown } from './key.js';
import { CacheManager } from './manager.js';
import { type MetricFamily, type MetricSample, merged } from './metrics.js';

/** Where to. */
export interface InstrumentOptions {
  /** A registry of `prom-client`, its own by default. */
  register?: Registry;
}

/** That a manager is on a registry. */
export interface Instrumented {
  /** Takes the manager off the registry; does nothing when it is not there. `cache.close()` does so too. */
  close(): void;
  [Symbol.dispose](): void;
}

/** One of each registry, however many managers it has: samples of one name are of one metric. */
const collectors = new WeakMap<Registry, Collector>();

/**
 * Has a registry of `prom-client` tell what `cache` counts: `docs/observability/metrics.md`.
 *
 * A view (of a namespace, of a tenant) stands for its manager. Once is enough: a second time changes nothing. The
 * registry keeps no manager alive: one that is closed, or that nobody holds any more, is told of no longer. Nothing is
 * computed before a scrape. `ConfigError` for what is no manager or no registry.
 */
export function instrument(cache: CacheManager, options: InstrumentOptions = {}): Instrumented {
  if (!(cache instanceof CacheManager)) {
    throw new ConfigError(`cache=${shown(cache)} is no manager; a right example: instrument(new CacheManager())`);
  }
  const { register = ownRegister() } = options;
  if (typeof register?.registerMetric !== 'function') {
    const given = `register=${shown(register)} is no registry of prom-client`;
    throw new ConfigError(`${given}; a right example: instrument(cache, { register: new Registry() })`);
  }
  const { house } = cache;
  let collector = collectors.get(register);
  if (collector === undefined) {
    collector = new Collector(register, house);
    collectors.set(register, collector);
  }
  collector.add(house);
  const close = (): void => {
    if (collectors.get(register)?.remove(house)) collectors.delete(register);
  };
  return { close, [Symbol.dispose]: close };
}

function ownRegister(): Registry {
  try {
    return (require('prom-client') as typeof import('prom-client')).register;
  } catch (cause) {
    throw new ConfigError('tidegate/prometheus needs prom-client: npm install prom-client', { cause });
  }
}

/** All managers of one registry. */
class Collector {
  readonly #houses = new Set<WeakRef<House>>();
  readonly #metrics: ManagersMetric[] = [];
  readonly #register: WeakRef<Registry>;
  #families: Map<string, MetricFamily> | undefined;

  constructor(register: Registry, first: House) {
    this.#register = new WeakRef(register);
    const families = first.metrics();
    const taken = families.find(({ name }) => register.getSingleMetric(name) !== undefined);
    // prom-client would say so after half of them.
    if (taken !== undefined) throw new ConfigError(`the registry has a metric of the name ${taken.name} already`);
    for (const family of families) {
      const metric = new ManagersMetric(family, (name) => this.#family(name));
      this.#metrics.push(metric);
      register.registerMetric(metric as unknown as Metric);
    }
  }

  add(house: House): void {
    for (const known of this.#houses) if (known.deref() === house) return;
    this.#houses.add(new WeakRef(house));
  }

  /** True when it was the last. */
  remove(house: House): boolean {
    this.#live();
    for (const known of this.#houses) if (known.deref() === house) this.#houses.delete(known);
    if (this.#houses.size > 0) return false;
    const register = this.#register.deref();
    // Another metric of the name is not ours: it came when the registry had been cleared.
    for (const metric of this.#metrics) {
      const known: unknown = register?.getSingleMetric(metric.registeredAs);
      if (known === metric) register?.removeSingleMetric(metric.registeredAs);
    }
    return true;
  }

  #live(): House[] {
    const houses: House[] = [];
    for (const known of this.#houses) {
      const house = known.deref();
      if (house === undefined || house.isClosed) this.#houses.delete(known);
      else houses.push(house);
    }
    return houses;
  }

  /** A registry asks each metric in one turn: all of them are of one moment. */
  #family(name: string): MetricFamily | undefined {
    if (this.#families === undefined) {
      const families = merged(this.#live().map((house) => house.metrics()));
      this.#families = new Map(families.map((family) => [family.name, family]));
      queueMicrotask(() => {
        this.#families = undefined;
      });
    }
    return this.#families.get(name);
  }
}

interface Value {
  labels: Record<string, string>;
  value: number;
  metricName?: string;
}

/** What a registry takes for a metric, and sends to a cluster's primary as JSON. */
class ManagersMetric {
  readonly help: string;
  readonly type: string;
  /** How the samples of a cluster's workers become one. */
  readonly aggregator: string;
  readonly registeredAs: string;
  /** A registry of OpenMetrics shortens it. */
  name: string;
  readonly #family: (name: string) => MetricFamily | undefined;

  constructor({ name, help, kind, merge }: MetricFamily, family: (name: string) => MetricFamily | undefined) {
    this.name = name;
    this.registeredAs = name;
    this.help = help;
    this.type = kind;
    this.aggregator = merge;
    this.#family = family;
  }

  get(): { name: string; help: string; type: string; aggregator: string; values: Value[] } {
    const { name, help, type, aggregator } = this;
    const samples = this.#family(this.registeredAs)?.samples ?? [];
    return { name, help, type, aggregator, values: samples.flatMap((sample) => valuesOf(this.registeredAs, sample)) };
  }

  /** What a cache has counted stays. */
  reset(): void {}
}

function valuesOf(name: string, { labels, value, buckets = [], count = 0, sum = 0 }: MetricSample): Value[] {
  if (value !== undefined) return [{ labels: { ...labels }, value }];
  const metricName = `${name}_bucket`;
  const bounds = buckets.map(([bound, upTo]) => ({
    metricName,
    labels: { ...labels, le: Number.isInteger(bound) ? `${bound}.0` : String(bound) },
    value: upTo,
  }));
  return [
    ...bounds,
    { metricName, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels: { ...labels }, value: sum },
    { metricName: `${name}_count`, labels: { ...labels }, value: count },
  ];
}
