/**
 * Spans and metrics of OpenTelemetry, by `@opentelemetry/api` (an optional peer of this package).
 *
 * @packageDocumentation
 */

import { type MeterProvider, metrics, type TracerProvider, trace } from '@opentelemetry/api';
import { ConfigError } from './errors.js';
import { shown } from './key.js';
import { CacheManager } from './manager.js';
import { Figures } from './otel-figures.js';
import { Tracing } from './otel-spans.js';
import { tracedBy } from './otel-traced.js';
import { version } from './version.js';

/** What `instrument` takes. */
export interface InstrumentOptions {
  /** The global one by default. */
  tracerProvider?: TracerProvider | undefined;
  /** The global one by default. */
  meterProvider?: MeterProvider | undefined;
  /**
   * No key is in a span (false); or each call's own is, as `tidegate.key` (true); or what a function makes of it, such as
   * its template.
   */
  keys?: boolean | ((key: string) => string | undefined) | undefined;
}

/** What `instrument` did to a manager. */
export interface Instrumentation {
  /** Ends it: no span is begun any more, and no figure is given. What is under way ends its spans. */
  uninstrument(): void;
}

// The prototypes of managers that are instrumented.
const traced = new WeakSet<object>();

/**
 * Begins a span for each call of `cache`, and of the views that are made of it from now on, and gives its figures to a
 * meter.
 *
 * ```ts
 * import { instrument } from 'tidegate/otel';
 *
 * const instrumentation = instrument(cache);
 * await cache.get('user:profile:42', () => 'Ada');
 * instrumentation.uninstrument();
 * ```
 */
export function instrument(cache: CacheManager, options: InstrumentOptions = {}): Instrumentation {
  if (!(cache instanceof CacheManager)) {
    throw new ConfigError(`cache=${shown(cache)} is no CacheManager; a right example: instrument(new CacheManager())`);
  }
  const before: object = Object.getPrototypeOf(cache);
  if (traced.has(before)) throw new ConfigError('this manager is instrumented already; `uninstrument` ends that');
  const { tracerProvider, meterProvider, keys = false } = options;
  if (typeof keys !== 'boolean' && typeof keys !== 'function') {
    throw new ConfigError(
      `keys=${shown(keys)} is neither true, false nor a function of a key; a right example: ` +
        "instrument(cache, { keys: (key) => key.slice(0, key.lastIndexOf(':')) })",
    );
  }
  const tracer = (tracerProvider ?? trace).getTracer('tidegate', version);
  const figures = new Figures(cache, (meterProvider ?? metrics).getMeter('tidegate', version));
  // A manager that is not instrumented has nothing to ask: one that is has other methods.
  const made = tracedBy(new Tracing(tracer, figures, cache, keys), before);
  traced.add(made.prototype);
  made.add(cache);
  return {
    uninstrument: () => {
      figures.end();
      made.end();
    },
  };
}
