/** Cached responses of controllers' methods. */

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { ConfigError } from '../errors.js';
import { changed } from '../http/captured.js';
import { varyOf } from '../http/conditional.js';
import type { Captured } from '../http/response.js';
import { type ResponseOptions, Route, type Run } from '../http/route.js';
import { shown } from '../key.js';
import type { CacheManager } from '../manager.js';
import { nest, rx } from '../nestjs-common.js';
import { injected, managerOf } from './token.js';

/** What the requests of Express and of Fastify have in common. */
export interface NestRequest {
  /** `GET`, … */
  readonly method: string;
  /** By their names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Those of the path. */
  readonly params: Record<string, string>;
  /** Those behind the `?`. */
  readonly query: Record<string, unknown>;
}

/** What `@CachedResponse` takes. */
export interface CachedResponseOptions<Q = NestRequest> extends ResponseOptions<Q> {
  /** The name of the manager (the one without a name). */
  manager?: string | undefined;
}

/** A response of Express, or the reply of Fastify. */
type Reply = ServerResponse & {
  raw?: ServerResponse;
  status(code: number): unknown;
  header(name: string, value: string | string[]): unknown;
  send(body?: unknown): unknown;
  json(body?: unknown): unknown;
};

const READER = { headers: (request: NestRequest) => request.headers, params: (request: NestRequest) => request.params };
// Nest says these of what it sends.
const OK = 200;
const OF_NEST = ['content-type', 'content-length'];

/**
 * A method of a controller whose answers to GET and HEAD are cached, on Express and Fastify alike: what the method gives is kept as JSON, and each client is answered it with `ETag`, `Age`, `Cache-Control`, `Vary` and `Cache-Status`,
 * or 304. Guards run for each client, interceptors and pipes within this one once. What the method throws reaches the exception
 * filters of each who waited; a status from 500 on, or no status, is a failure: something stale is served instead, where
 * `staleIfError` allows.
 */
export function CachedResponse<Q = NestRequest>(options: CachedResponseOptions<Q>): MethodDecorator {
  const { manager, ...rest } = options ?? {};
  const { Injectable, UseInterceptors } = nest();
  class Responses extends ResponseInterceptor {
    constructor() {
      super(manager, rest as unknown as ResponseOptions<NestRequest>);
    }
  }
  injected(Responses.prototype, manager);
  Injectable()(Responses);
  return <T>(target: object, name?: string | symbol, descriptor?: TypedPropertyDescriptor<T>) => {
    // Of a whole controller, two routes would share a key, and one be answered with the other's response.
    if (name === undefined || descriptor === undefined) {
      throw new ConfigError(
        `@CachedResponse stands on a method, not on ${shown(target)}: each route has a key of its own`,
      );
    }
    UseInterceptors(Responses)(target, name, descriptor);
  };
}

class ResponseInterceptor implements NestInterceptor {
  readonly #name: string | undefined;
  readonly #options: ResponseOptions<NestRequest>;
  #route: Route<NestRequest> | undefined;

  constructor(name: string | undefined, options: ResponseOptions<NestRequest>) {
    this.#name = name;
    this.#options = options;
  }

  /** Nest has set the managers by then: what is wrong with the options is told when the application starts. */
  onModuleInit(): void {
    this.#route = this.#made();
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<NestRequest>();
    const reply = context.switchToHttp().getResponse<Reply>();
    if (request.method !== 'GET' && request.method !== 'HEAD') return next.handle();
    this.#route ??= this.#made();
    const plan = this.#route.plan(request);
    if (plan === null) {
      reply.header('cache-status', 'tidegate; fwd=bypass');
      return next.handle();
    }
    const raw = reply.raw ?? reply;
    // What Nest, and others before, have said of it.
    const before = { status: reply.statusCode, headers: { ...reply.getHeaders() }, isAnswered: false };
    const gone = new AbortController();
    const leave = () => {
      if (!raw.writableFinished) gone.abort(new Error('the client went away'));
    };
    raw.once('close', leave);
    try {
      const run = (context: Run) => captured(next, context, reply, before);
      const { method, headers: given } = request;
      const asked = { method, headers: given, sent: before.headers };
      const { status, headers, whole } = await this.#route.answer(plan, asked, gone.signal, run);
      before.isAnswered = true;
      if (status !== 304) reply.status(status === OK ? before.status : status);
      for (const [name, value] of Object.entries(headers)) {
        if (name === 'vary') reply.header(name, varyOf(reply.getHeader(name), value));
        else if (!OF_NEST.includes(name)) reply.header(name, value);
      }
      if (status === 304) unmodified(reply);
      // It was written whole, as JSON.
      return rx().of(JSON.parse(Buffer.from(whole as Uint8Array).toString()));
    } catch (error) {
      if (gone.signal.aborted) return rx().of(null);
      throw error;
    } finally {
      raw.off('close', leave);
    }
  }

  #made(): Route<NestRequest> {
    const cache: CacheManager = managerOf(this, this.#name);
    return new Route(cache, this.#options, READER);
  }
}

interface Before {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  isAnswered: boolean;
}

/** What the method gives, as JSON, and what it has said of its response (`@Res({ passthrough: true })`). */
function captured(next: CallHandler, context: Run, reply: Reply, before: Before): Promise<Captured> {
  return new Promise((resolve, reject) => {
    let last: unknown;
    const made = () => {
      if (typeof (last as { getStream?: unknown } | undefined)?.getStream === 'function') {
        throw new ConfigError(
          '@CachedResponse stands on a method that gives a StreamableFile, which can be read only once',
        );
      }
      const body = Buffer.from(JSON.stringify(last) ?? 'null');
      const headers = { 'content-type': 'application/json' };
      // It runs behind: what stands on the response is what the client was answered.
      if (before.isAnswered) return { status: OK, headers, body };
      const status = reply.statusCode === before.status ? OK : reply.statusCode;
      return { status, headers: { ...changed(reply, before.headers), ...headers }, body };
    };
    const subscription = next.handle().subscribe({
      next: (value) => {
        last = value;
      },
      error: reject,
      complete: () => {
        try {
          resolve(made());
        } catch (error) {
          reject(error);
        }
      },
    });
    context.signal.addEventListener('abort', () => subscription.unsubscribe(), { once: true });
  });
}

/** Whatever Nest, and interceptors around this one, make of the answer: the client has it. */
function unmodified(reply: Reply): void {
  const send = () => {
    for (const name of ['send', 'json'] as const) delete (reply as Partial<Reply>)[name];
    reply.status(304);
    for (const name of OF_NEST) reply.removeHeader(name);
    return reply.raw === undefined ? reply.end() : reply.send();
  };
  Object.assign(reply, { send, json: send });
}
