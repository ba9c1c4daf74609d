import { isSubscribed, isSubscribedTo } from './channels.js';
import { ConfigError } from './errors.js';
import { Observers } from './events.js';
import { Flow } from './flow.js';
import { type Health, Looked } from './health.js';
import { Failed } from './hit.js';
import { HitEvents } from './hit-events.js';
import { shown } from './key.js';
import type { MetricFamily } from './metrics.js';
import { MemoryStore, type Terms } from './native.js';
import { checkObject, type Options, type Stats, type TestStore } from './options.js';
import { Port } from './port.js';
import { Tallies, Tally } from './tally.js';
import { Upgrades } from './upgrade.js';

/** What a manager and its views have in common. */
export class House {
  readonly url: string;
  readonly role: string;
  readonly port: Port;
  readonly flow: Flow;
  readonly observers: Observers;
  isClosed = false;
  readonly #hits: HitEvents;
  readonly #tallies: Tallies;
  /** By a channel of `node:diagnostics_channel`. */
  #isSubscribed = false;

  constructor(options: Options) {
    checkObject(options, "{ url: 'redis://localhost:6379/0', service: 'billing' }");
    const { url = 'memory://', store, metricsEmitter, upgrade, ...rest } = options;
    // Else a variable that is not set would make a cache of each process of its own, and no invalidation reach the others.
    if ('url' in options && options.url === undefined) {
      throw new ConfigError(
        "url is undefined: is the environment variable set? Leave url out, or say 'memory://', for a cache of this process " +
          "alone; a right example: { url: process.env.REDIS_URL ?? 'memory://' }",
      );
    }
    if (typeof url !== 'string') {
      throw new ConfigError(`url=${shown(url)} is not a text; a right example: "redis://localhost:6379/0"`);
    }
    if (metricsEmitter !== undefined && !isEmitter(metricsEmitter)) {
      throw new ConfigError(
        `metricsEmitter=${shown(metricsEmitter)} is not an EventEmitter; ` +
          'a right example: metricsEmitter: new EventEmitter()',
      );
    }
    if (store !== undefined) checkStore(store, url);
    this.url = url;
    this.observers = new Observers(metricsEmitter);
    const upgrades = new Upgrades(upgrade);
    const given = upgrade === undefined ? rest : { ...rest, upgrade: upgrades.versions };
    this.port = new Port(url, given, () => this.deliver(), store);
    this.role = typeof rest.role === 'string' ? rest.role : 'cache';
    this.flow = new Flow(this.port, upgrades);
    this.#tallies = new Tallies(this.port.native);
    this.#hits = new HitEvents(this.port.native.service, () => this.deliver(), store?.clock);
    this.listen();
    this.port.onCall = () => {
      if (isSubscribed() !== this.#isSubscribed) this.listen();
    };
  }

  /** Has events kept while somebody observes. */
  listen(): void {
    this.#isSubscribed = isSubscribed();
    this.port.native.listen(this.#isSubscribed || !this.observers.isEmpty);
    const hears = this.observers.hearsHits || isSubscribedTo('cache.hit');
    if (this.port.index !== undefined) this.port.index.onHit = hears ? this.#hits.add : undefined;
  }

  deliver(): void {
    this.#tell();
    this.observers.deliver(this.port.native, this.#hits.take());
  }

  /** What the calls of a view share with those of its manager, or of its tenant. */
  flowOf(terms: Terms | null): Flow {
    if (terms === null || terms.scope === '') return this.flow;
    return new Flow(this.port, this.flow.upgrades, this.flow.behind, new Tally(terms, this.#tallies));
  }

  /** Of a tenant's view the tenant's. */
  stats(terms: Terms | null): Stats {
    this.#tell();
    return JSON.parse(this.port.native.stats(terms));
  }

  async health(): Promise<Health> {
    const outcome = await this.port.call((id) => this.port.native.health(id));
    if (outcome instanceof Looked) return outcome.health;
    throw outcome instanceof Failed ? outcome.error : new Error('the native module gave no health');
  }

  metrics(): MetricFamily[] {
    this.#tell();
    return JSON.parse(this.port.native.metrics());
  }

  prometheusText(): string {
    this.#tell();
    return this.port.native.prometheusText();
  }

  /** What is known here alone, for figures that are about to be read. */
  #tell(): void {
    const { index, native } = this.port;
    if (index === undefined) return;
    native.countL1Hits(index.takeHits(), null);
    this.#tallies.tell();
    const { entries, bytes, evictions } = index;
    native.note({ entries, bytes, evictions, dropped: this.#hits.dropped });
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

function checkStore(store: unknown, url: string): void {
  if (!((store as Partial<TestStore> | null)?.native instanceof MemoryStore)) {
    throw new ConfigError(
      `store=${shown(store)} is not a MemoryStore of tidegate/testing; ` +
        'a right example: new CacheManager({ store: new MemoryStore() })',
    );
  }
  if (url !== 'memory://') {
    throw new ConfigError(
      'url and store both say where entries are kept: give one of them; a right example: new CacheManager({ store })',
    );
  }
}

/** What delivers events asks both. */
function isEmitter(given: { emit?: unknown; listenerCount?: unknown } | null): boolean {
  return typeof given?.emit === 'function' && typeof given.listenerCount === 'function';
}
