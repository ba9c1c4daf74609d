/** A call while it is under way: its span, how it ended, and the span of its fallback. */

import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { isThenable } from './awaitable.js';
import { withoutPassword } from './given.js';
import type { CacheManager } from './manager.js';
import type { Figures } from './otel-figures.js';
import { type Outcome, Served, Shared } from './outcome.js';
import { OF_FLIGHT, STALE } from './word.js';

// So many fallbacks are remembered, for the spans of those who shared them.
const RECENT_MAX = 256;

/** What is traced of one manager and its views, and how. */
export class Tracing {
  readonly tracer: Tracer;
  readonly figures: Figures;
  /** What hits of the store have as their source. */
  readonly store: 'memory' | 'redis';
  readonly #keys: boolean | ((key: string) => string | undefined);
  readonly #attributes: Attributes;
  readonly #recent = new Map<string, SpanContext>();

  constructor(
    tracer: Tracer,
    figures: Figures,
    cache: CacheManager,
    keys: boolean | ((key: string) => string | undefined),
  ) {
    this.tracer = tracer;
    this.figures = figures;
    this.#keys = keys;
    const where = withoutPassword(cache.house.url);
    this.store = where.startsWith('memory') ? 'memory' : 'redis';
    this.#attributes = { ...figures.attributes, ...whereOf(where) };
  }

  /** Runs a call in a span of its own, which is active meanwhile. */
  run<T>(operation: string, key: string | undefined, scope: string, work: (call: TracedCall) => T): T {
    const call = new TracedCall(this, operation, key, scope);
    return call.run(work);
  }

  attributesOf(key: string | undefined, scope: string): Attributes {
    const attributes = { ...this.#attributes };
    if (this.#keys === false || typeof key !== 'string') return attributes;
    const said = this.#keys === true ? key : this.#keys(key);
    if (said !== undefined) attributes['tidegate.key'] = said;
    if (this.#keys === true && scope !== '') attributes['tidegate.tenant'] = decodeURIComponent(scope.slice(1, -1));
    return attributes;
  }

  /** The span of a fallback, for those who share what it gives. */
  remember(key: string, span: Span): void {
    this.#recent.delete(key);
    this.#recent.set(key, span.spanContext());
    const [oldest] = this.#recent.keys();
    if (this.#recent.size > RECENT_MAX && oldest !== undefined) this.#recent.delete(oldest);
  }

  recalled(key: string): SpanContext | undefined {
    return this.#recent.get(key);
  }
}

export class TracedCall {
  readonly attributes: Attributes = {};
  readonly #tracing: Tracing;
  readonly #operation: string;
  readonly #key: string | undefined;
  readonly #scope: string;
  readonly #span: Span;
  readonly #beganMs = performance.now();
  /** Its own fallback: not run, under way, or how it ended. */
  #fallback: 'none' | 'runs' | 'ended' | { readonly error: unknown } = 'none';
  /** What runs from now on runs behind its caller. */
  #isServed = false;

  constructor(tracing: Tracing, operation: string, key: string | undefined, scope: string) {
    this.#tracing = tracing;
    this.#operation = operation;
    this.#key = key;
    this.#scope = scope;
    const attributes = tracing.attributesOf(key, scope);
    this.#span = tracing.tracer.startSpan(`cache.${operation}`, { kind: SpanKind.INTERNAL, attributes });
  }

  run<T>(work: (call: TracedCall) => T): T {
    try {
      const result = context.with(trace.setSpan(context.active(), this.#span), () => work(this));
      if (!isThenable(result)) {
        this.#end();
        return result;
      }
      const ended = (async () => {
        try {
          const value = await result;
          this.#end();
          return value;
        } catch (error) {
          this.#end({ error });
          throw error;
        }
      })();
      return ended as T;
    } catch (error) {
      this.#end({ error });
      throw error;
    }
  }

  /** What the store, or another caller's fallback, answered. */
  readonly seen = (outcome: Outcome, flags: number): void => {
    if (outcome instanceof Served) this.#isServed = true;
    if (outcome instanceof Shared || flags & OF_FLIGHT) this.outcome('hit', 'flight');
    else this.outcome(flags & STALE ? 'stale' : 'hit', this.#tracing.store);
  };

  outcome(outcome: string, source?: string): void {
    this.attributes['tidegate.outcome'] = outcome;
    if (source === undefined) delete this.attributes['tidegate.source'];
    else this.attributes['tidegate.source'] = source;
  }

  confirmed(isConfirmed: boolean): boolean {
    this.outcome(isConfirmed ? 'confirmed' : 'journalled');
    return isConfirmed;
  }

  /** The fallback with a span of its own; of anything else, that itself. */
  traced<F>(fallback: F): F {
    if (typeof fallback !== 'function') return fallback;
    const run = (...args: unknown[]) => this.during('fallback', () => fallback(...args));
    return run as F;
  }

  /** Runs a function in a span that is active meanwhile; what is thenable has it until it is settled. */
  during<T>(name: string, work: () => T): T {
    const { tracer, figures } = this.#tracing;
    const attributes = this.#tracing.attributesOf(this.#key, this.#scope);
    const isBehind = this.#isServed;
    let parent: Context = context.active();
    let refresh: Span | undefined;
    if (isBehind) {
      // A trace of its own: nobody waits for it.
      const links = [{ context: this.#span.spanContext() }];
      refresh = tracer.startSpan('cache.refresh', { attributes, links, root: true }, ROOT_CONTEXT);
      refresh.setAttribute('tidegate.refresh', 'behind');
      parent = trace.setSpan(parent, refresh);
    } else if (name === 'fallback') {
      this.#fallback = 'runs';
    }
    const span = tracer.startSpan(`cache.${name}`, { attributes }, parent);
    if (name === 'fallback' && this.#key !== undefined) this.#tracing.remember(this.#scope + this.#key, span);
    const beganMs = performance.now();
    const end = (failed?: { readonly error: unknown }) => {
      for (const one of [span, refresh]) {
        if (one !== undefined && failed !== undefined) fail(one, failed.error, true);
        one?.end();
      }
      if (!isBehind && name === 'fallback') this.#fallback = failed ?? 'ended';
      if (name === 'fallback') figures.ran((performance.now() - beganMs) / 1_000, failed);
    };
    let result: T;
    try {
      result = context.with(trace.setSpan(parent, span), work);
    } catch (error) {
      end({ error });
      throw error;
    }
    if (!isThenable(result)) {
      end();
      return result;
    }
    const ended = async () => {
      try {
        const value = await result;
        end();
        return value;
      } catch (error) {
        end({ error });
        throw error;
      }
    };
    return ended() as T;
  }

  #end(failed?: { readonly error: unknown }): void {
    this.#isServed = true;
    const { attributes } = this;
    const fallback = this.#fallback;
    if (fallback !== 'none') {
      // Its own fallback failed, or goes on, and yet there is a value.
      const isStale = failed === undefined && fallback !== 'ended';
      // Neither this process nor the store was asked.
      const isUncached = attributes['tidegate.outcome'] === 'l1';
      this.outcome(isUncached ? 'uncached' : isStale ? 'stale' : 'miss');
    }
    if (failed !== undefined) {
      const isTold = typeof fallback === 'object' && fallback.error === failed.error;
      fail(this.#span, failed.error, !isTold);
      attributes['error.type'] = nameOf(failed.error);
    }
    const isShared = attributes['tidegate.source'] === 'flight' || (failed !== undefined && fallback === 'none');
    const shared = isShared ? this.#tracing.recalled(this.#scope + this.#key) : undefined;
    if (shared !== undefined) this.#span.addLink?.({ context: shared });
    this.#span.setAttributes(attributes);
    this.#span.end();
    this.#tracing.figures.took(this.#operation, (performance.now() - this.#beganMs) / 1_000, attributes);
  }
}

function fail(span: Span, error: unknown, records: boolean): void {
  span.setAttribute('error.type', nameOf(error));
  // Who went away is no fault.
  if ((error as { name?: unknown } | null)?.name === 'AbortError') return;
  if (records) span.recordException(error instanceof Error ? error : String(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '_OTHER';
}

/** The server by its semantic conventions, where a URL names one. */
function whereOf(url: string): Attributes {
  if (!/^(redis|valkey)/.test(url)) return {};
  const where: Attributes = { 'db.system.name': 'redis' };
  const [, scheme = '', host = '', port] =
    /^([\w+-]+):\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^,/:?]+)(?::(\d+))?(?:[/?]|$)/.exec(url) ?? [];
  if (host === '' || scheme.endsWith('+unix')) return where;
  return { ...where, 'server.address': host.replace(/^\[|\]$/g, ''), 'server.port': Number(port ?? 6_379) };
}
