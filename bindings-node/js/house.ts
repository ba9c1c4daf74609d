import { ConfigError } from './errors.js';
import { Observers } from './events.js';
import { Flow } from './flow.js';
import { HitEvents } from './hits.js';
import { shown } from './key.js';
import type { MetricFamily } from './metrics.js';
import type { OwnFigures, Terms } from './native.js';
import { checkObject, type Options, type Stats } from './options.js';
import { Port } from './port.js';
import { Tallies, Tally } from './tally.js';
import { Upgrades } from './upgrade.js';

/** What a manager and its views have in common. */
export class House {
  readonly url: string;
  readonly port: Port;
  readonly flow: Flow;
  readonly observers: Observers;
  isClosed = false;
  readonly #hits: HitEvents;
  readonly #tallies: Tallies;

  constructor(options: Options) {
    checkObject(options, "{ url: 'redis://localhost:6379/0', service: 'billing' }");
    const { url = 'memory://', metricsEmitter, upgrade, ...rest } = options;
    if (typeof url !== 'string') {
      throw new ConfigError(`url=${shown(url)} is not a text; a right example: "redis://localhost:6379/0"`);
    }
    if (metricsEmitter !== undefined && !isEmitter(metricsEmitter)) {
      throw new ConfigError(
        `metricsEmitter=${shown(metricsEmitter)} is not an EventEmitter; ` +
          'a right example: metricsEmitter: new EventEmitter()',
      );
    }
    this.url = url;
    this.observers = new Observers(metricsEmitter);
    const upgrades = new Upgrades(upgrade);
    const given = upgrade === undefined ? rest : { ...rest, upgrade: upgrades.versions };
    this.port = new Port(url, given, () => this.deliver());
    this.flow = new Flow(this.port, upgrades);
    this.#tallies = new Tallies(this.port.native);
    this.#hits = new HitEvents(this.port.native.service, () => this.deliver());
    this.listen();
  }

  /** Has events kept while somebody observes. */
  listen(): void {
    this.port.native.listen(!this.observers.isEmpty);
    if (this.port.index !== undefined) this.port.index.onHit = this.observers.hearsHits ? this.#hits.add : undefined;
  }

  deliver(): void {
    this.observers.deliver(this.port.native, this.#hits.take());
  }

  /** What the calls of a view share with those of its manager, or of its tenant. */
  flowOf(terms: Terms | null): Flow {
    if (terms === null || terms.scope === '') return this.flow;
    return new Flow(this.port, this.flow.upgrades, this.flow.behind, new Tally(terms, this.#tallies));
  }

  /** Of a tenant's view the tenant's. */
  stats(terms: Terms | null): Stats {
    const { index, native } = this.port;
    this.#tellHits();
    const stats: Stats = JSON.parse(native.stats(terms));
    stats.events_dropped += this.#hits.dropped;
    return index === undefined ? stats : Object.assign(stats, index.size);
  }

  metrics(): MetricFamily[] {
    return JSON.parse(this.port.native.metrics(this.#ownFigures()));
  }

  prometheusText(): string {
    return this.port.native.prometheusText(this.#ownFigures());
  }

  /** What is known here alone. */
  #ownFigures(): OwnFigures {
    this.#tellHits();
    const { index } = this.port;
    const { l1_entries: entries, l1_bytes: bytes } = index?.size ?? { l1_entries: 0, l1_bytes: 0 };
    return { entries, bytes, evictions: index?.evictions ?? 0, dropped: this.#hits.dropped };
  }

  #tellHits(): void {
    const { index, native } = this.port;
    if (index !== undefined) native.countL1Hits(index.takeHits(), null);
    this.#tallies.tell();
  }

  async close(patienceMs: number): Promise<boolean> {
    this.isClosed = true;
    this.port.index?.close();
    const drained = await this.port.call((id) => this.port.native.close(id, patienceMs));
    await this.flow.behind.end();
    this.deliver();
    return drained === true;
  }
}

/** What delivers events asks both. */
function isEmitter(given: { emit?: unknown; listenerCount?: unknown } | null): boolean {
  return typeof given?.emit === 'function' && typeof given.listenerCount === 'function';
}
