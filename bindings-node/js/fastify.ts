/**
 * Cached responses for Fastify 5: a plugin, and an option of routes.
 *
 * ```ts
 * import fastify from 'fastify';
 * import { tidegate } from 'tidegate/fastify';
 *
 * const app = fastify();
 * await app.register(tidegate, { cache });
 * app.get('/users/:id', { config: { cache: { key: 'page:user:{id}', ttl: '1m' } } }, async (request) => request.params);
 * await app.inject('/users/42');
 * await app.close();
 * ```
 *
 * @packageDocumentation
 */

import type { OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify';
import { isThenable } from './awaitable.js';
import { ConfigError } from './errors.js';
import { timeoutOf } from './given.js';
import { capture, plainRequest } from './http/captured.js';
import { varyOf } from './http/conditional.js';
import { checkHealth, type HealthBody, type HealthOptions, healthOf } from './http/health.js';
import type { Body, Captured } from './http/response.js';
import { PassedOn, type ResponseOptions, Route, type Run } from './http/route.js';
import { type CloseOnOptions, type Closing, endOn, Requests, type Serving, within } from './http/shutdown.js';
import { shown } from './key.js';
import { CacheManager } from './manager.js';
import { checkOptions, type Duration, type Options } from './options.js';

export type { HealthBody, HealthOptions } from './http/health.js';
export type { ResponseOptions } from './http/route.js';
export type { CloseOnOptions, Closing } from './http/shutdown.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** The manager of `tidegate/fastify`. */
    cache: CacheManager;
  }
  interface FastifyContextConfig {
    /** Has this route's responses to GET and HEAD cached. */
    cache?: ResponseOptions<FastifyRequest>;
  }
}

/** What the plugin takes: a manager, or the options of one of its own. */
export interface TidegateOptions {
  /** The manager. */
  cache?: CacheManager | undefined;
  /** Or what a manager is made of. */
  options?: Options | undefined;
  /** What the manager is on the instance, and the option of a route is called (`'cache'`): another for a second manager. */
  decorator?: string | undefined;
  /** Whether the manager is closed with Fastify, after the requests under way have been answered (true). */
  close?: boolean | undefined;
  /** How long its closing may take (30 s). */
  timeout?: Duration | undefined;
}

/**
 * The plugin. `fastify.cache` is the manager, in this context and those within it; a route of theirs with
 * `config: { cache: { key, ttl } }` is cached as `ResponseOptions` says. Its handler, `preSerialization` hooks and serializer run once
 * for all who ask for a key, `onSend` hooks for each client. Validation, `preHandler` and what comes before run for each.
 */
export const tidegate: FastifyPluginCallback<TidegateOptions> = Object.assign(
  (instance: FastifyInstance, given: TidegateOptions, done: (error?: Error) => void): void => {
    try {
      registered(instance, given);
      done();
    } catch (error) {
      done(error as Error);
    }
  },
  {
    // What fastify-plugin does: what is decorated here is the registering context's own.
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'tidegate',
    [Symbol.for('plugin-meta')]: { name: 'tidegate', fastify: '5.x' },
  },
);

function registered(instance: FastifyInstance, given: TidegateOptions): void {
  checkOptions(given, ['cache', 'options', 'decorator', 'close', 'timeout', 'prefix', 'logLevel', 'logSerializers']);
  const { options, decorator = 'cache', close = true } = given;
  if (options !== undefined && given.cache !== undefined) {
    throw new ConfigError('cache and options both say what the manager is; a right example: { cache }');
  }
  const cache = given.cache ?? new CacheManager(options);
  if (!(cache instanceof CacheManager)) {
    throw new ConfigError(
      `cache=${shown(cache)} is not a CacheManager; a right example: register(tidegate, { cache })`,
    );
  }
  const timeout = timeoutOf({ timeout: given.timeout });
  instance.decorate(decorator, cache);
  instance.addHook('onRoute', (route) => {
    const said = (route.config as Record<string, unknown> | undefined)?.[decorator];
    if (said === undefined) return;
    const reader = {
      headers: (request: FastifyRequest) => request.headers,
      params: (request: FastifyRequest) => request.params as Record<string, unknown>,
    };
    route.handler = cachedHandler(new Route(cache, said as ResponseOptions<FastifyRequest>, reader), route.handler);
  });
  if (close || given.cache === undefined) {
    instance.addHook('onClose', async () => {
      await cache.close({ timeout });
    });
  }
}

/**
 * A handler that tells how the servers behind the cache are: 200, also where the cache is down, unless `failOnDown` says 503.
 */
export function health(
  cache: CacheManager,
  options?: HealthOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<HealthBody> {
  checkHealth(cache, options);
  return async (_request, reply) => {
    const { status, body } = await healthOf(cache, options);
    void reply.code(status).header('cache-control', 'no-store');
    return body;
  };
}

/**
 * Ends Fastify in order when the process is told to: requests under way are answered, then the plugin's manager is closed, and
 * the process ends by itself. A second signal ends it at once.
 */
export function closeOn(app: FastifyInstance, options: CloseOnOptions = {}): Closing {
  if (typeof app?.close !== 'function' || typeof app.inject !== 'function') {
    throw new ConfigError(`app=${shown(app)} is no instance of Fastify's; a right example: closeOn(app)`);
  }
  const requests = new Requests(app.server as Serving);
  const end = async (patienceMs: number) => {
    requests.last();
    const closed = Promise.resolve(app.close());
    const isClean = await within(patienceMs, (done) => closed.then(done, done));
    if (!isClean) app.server.closeAllConnections?.();
    await closed;
    return isClean;
  };
  return endOn(options, end, () => requests.stop());
}

function cachedHandler(route: Route<FastifyRequest>, handler: RouteHandlerMethod): RouteHandlerMethod {
  return function (this: FastifyInstance, request, reply) {
    if (request.method !== 'GET' && request.method !== 'HEAD') return handler.call(this, request, reply);
    const plan = route.plan(request);
    if (plan === null) return handler.call(this, request, reply.header('cache-status', 'tidegate; fwd=bypass'));

    const answer = async () => {
      const gone = new AbortController();
      const leave = () => {
        if (!reply.raw.writableFinished) gone.abort(new Error('the client went away'));
      };
      reply.raw.once('close', leave);
      const run = (context: Run) => captured(this, handler, request, reply, context);
      let body: Body | undefined;
      let isSent = false;
      try {
        // A HEAD is answered with the body too: Fastify takes it away, and says how long it was.
        const asked = { method: 'GET', headers: request.headers, sent: reply.getHeaders() as OutgoingHttpHeaders };
        const found = await route.answer(plan, asked, gone.signal, run);
        const { status, headers } = found;
        body = found.body;
        if (gone.signal.aborted) return reply.hijack();
        // Somebody else has answered it.
        if (reply.sent) return reply;
        const { vary, ...others } = headers;
        if (vary !== undefined) void reply.header('vary', varyOf(reply.getHeader('vary'), vary));
        void reply.code(status).headers(others);
        if (body instanceof Readable) {
          isSent = request.method !== 'HEAD';
          // Of a HEAD Fastify would read all of it, to throw it away.
          return reply.send(isSent ? body : Readable.from([]));
        }
        return reply.send(body === undefined || body.byteLength === 0 ? undefined : Buffer.from(body));
      } catch (error) {
        if (gone.signal.aborted) return reply.hijack();
        if (!(error instanceof PassedOn)) throw error;
        reply.callNotFound();
        return reply;
      } finally {
        // Nobody reads it.
        if (!isSent && body instanceof Readable) body.destroy();
        reply.raw.off('close', leave);
      }
    };
    return answer();
  };
}

/** What the handler gives or sends, serialized, to no client. */
function captured(
  instance: FastifyInstance,
  handler: RouteHandlerMethod,
  request: FastifyRequest,
  reply: FastifyReply,
  context: Run,
): Promise<Captured> {
  return new Promise((resolve, reject) => {
    const signal = () => context.signal;
    const raw = plainRequest(request.raw, request.headers, signal);
    const plain = plainRequest(request, request.headers, signal);
    Object.defineProperty(plain, 'raw', { value: raw, configurable: true });
    withoutOnSend(plain);
    const before = { statusCode: reply.statusCode, getHeaders: () => reply.getHeaders() };
    const { response, whole } = capture(raw, before, context.maxBytes);
    const Reply = reply.constructor as new (...given: unknown[]) => FastifyReply;
    const own = new Reply(response, plain, reply.log);
    // What hooks have put on the client's reply.
    for (const [name, value] of Object.entries(reply)) {
      if (name !== 'raw' && name !== 'request' && name !== 'log') Object.assign(own, { [name]: value });
    }
    const { send } = own;
    own.send = (payload?: unknown) => {
      // Each who waits has his own error handler told.
      if (payload instanceof Error) reject(payload);
      else send.call(own, payload);
      return own;
    };
    own.callNotFound = () => {
      reject(new PassedOn(undefined));
      return own;
    };
    whole.then(resolve, reject);
    context.signal.addEventListener('abort', () => response.destroy(), { once: true });
    const given: unknown = handler.call(instance, plain, own);
    if (given !== own && isThenable(given)) {
      given.then((payload) => {
        if (payload !== undefined && payload !== own && !own.sent) void own.send(payload);
      }, reject);
    } else if (given !== undefined && given !== own && !own.sent) void own.send(given);
  });
}

/** What is sent to nobody passes no `onSend` hook: those are for clients. */
function withoutOnSend(request: FastifyRequest): void {
  const inner = request as unknown as Record<symbol, unknown>;
  const owner = Object.getPrototypeOf(request) as object;
  const symbol = Object.getOwnPropertySymbols(owner).find(({ description }) => description === 'fastify.context');
  // Without it they run twice, which is all that would be wrong.
  if (symbol === undefined) return;
  const context = Object.create(inner[symbol] as object, { onSend: { value: null } });
  Object.defineProperty(request, symbol, { value: context, writable: true, configurable: true });
}
