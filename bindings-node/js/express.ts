/**
 * Cached responses for Express 4 and 5.
 *
 * ```ts
 * import express from 'express';
 * import { cached, health } from 'tidegate/express';
 *
 * const app = express();
 * const user = cached<{ id: string }>(cache, { key: 'page:user:{id}', ttl: '1m' }, async (req, res) => {
 *   res.json({ id: req.params.id });
 * });
 * app.get('/users/:id', user);
 * app.get('/health', health(cache));
 * ```
 *
 * @packageDocumentation
 */

import { pipeline, Readable } from 'node:stream';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { ConfigError } from './errors.js';
import { capture, plainRequest } from './http/captured.js';
import type { Answer } from './http/conditional.js';
import { checkHealth, type HealthOptions, healthOf } from './http/health.js';
import type { Body, Captured } from './http/response.js';
import { PassedOn, type ResponseOptions, Route, type Run } from './http/route.js';
import { shown } from './key.js';
import type { CacheManager } from './manager.js';

export type { HealthBody, HealthOptions } from './http/health.js';
export type { ResponseOptions } from './http/route.js';
export { type Closable, type CloseOnOptions, type Closing, closeOn } from './http/shutdown.js';

/** Parameters of a route. */
type Params = Record<string, string>;

/** The request of a cached handler. */
export type CachedRequest<P = Params> = Request<P> & {
  /** Aborted when nobody waits for this response any more. */
  readonly signal: AbortSignal;
};

/** A handler as Express knows them, whose request has a `signal` besides. */
export type CachedHandler<P = Params> = (req: CachedRequest<P>, res: Response, next: NextFunction) => unknown;

/**
 * Handlers whose response to GET and HEAD is cached: one run of them is the answer to all who ask for its key, in the whole
 * fleet. A handler writes as ever (`res.json`, `res.send`, `res.render`, a stream); its response is kept, and each client is
 * sent it with `ETag`, `Age`, `Cache-Control`, `Vary` and `Cache-Status`, or 304 where it has it.
 *
 * What a handler throws, rejects with or gives to `next` goes to the error handler of each who waited, `next()` passes each of
 * them on. Not stored: other statuses than `statuses`, what sets a cookie, what says `no-store`, `private` or `no-cache`, what
 * varies by a header that is not in `vary`. A status from 500 on is a failure: something stale is served instead, where
 * `staleIfError` allows. `ConfigError` for options that cannot work, at once.
 */
export function cached<P = Params>(
  cache: CacheManager,
  options: ResponseOptions<Request<P>>,
  ...handlers: [CachedHandler<P>, ...CachedHandler<P>[]]
): RequestHandler<P> {
  const route = new Route<Request<P>>(cache, options, {
    headers: (req) => req.headers,
    params: (req) => req.params as Record<string, unknown>,
  });
  const wrong = handlers.find((handler) => typeof handler !== 'function');
  if (handlers.length === 0 || wrong !== undefined) {
    throw new ConfigError(
      `handler=${shown(wrong)} is not a function; a right example: cached(cache, { key }, handler)`,
    );
  }
  const all = handlers as readonly CachedHandler<P>[];

  return (req, res, next) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') return runAll(all, req as CachedRequest<P>, res, next);
    answer(req, res, next).catch(next);
  };

  async function answer(req: Request<P>, res: Response, next: NextFunction): Promise<void> {
    const plan = route.plan(req);
    if (plan === null) {
      res.setHeader('cache-status', 'tidegate; fwd=bypass');
      return runAll(all, req as CachedRequest<P>, res, next);
    }
    const gone = new AbortController();
    const leave = () => {
      if (!res.writableFinished) gone.abort(new Error('the client went away'));
    };
    res.once('close', leave);
    let body: Body | undefined;
    let isSent = false;
    try {
      const found = await route.answer(plan, askedBy(req, res), gone.signal, (context) =>
        captured(all, req, res, context),
      );
      body = found.body;
      if (gone.signal.aborted) return;
      send(res, found, next);
      isSent = true;
    } catch (error) {
      if (gone.signal.aborted) return;
      if (error instanceof PassedOn) next(error.how as 'route');
      else next(error);
    } finally {
      // Nobody reads it.
      if (!isSent && body instanceof Readable) body.destroy();
      res.off('close', leave);
    }
  }
}

/**
 * A handler that tells how the servers behind the cache are: 200 with `{ status: 'ok' | 'warning' | 'down', … }`. A cache that is
 * down is no reason to take the service out of its balancer, so that is 200 too, unless `failOnDown` says 503.
 */
export function health(cache: CacheManager, options?: HealthOptions): RequestHandler {
  checkHealth(cache, options);
  return (_req, res, next) => {
    const tell = async () => {
      const { status, body } = await healthOf(cache, options);
      res.status(status).set('cache-control', 'no-store').json(body);
    };
    tell().catch(next);
  };
}

/** What the handlers write, to no client. */
function captured<P>(
  handlers: readonly CachedHandler<P>[],
  req: Request<P>,
  res: Response,
  context: Run,
): Promise<Captured> {
  return new Promise((resolve, reject) => {
    const plain = plainRequest(req, req.headers, () => context.signal) as CachedRequest<P>;
    const { response, whole } = capture(plain, res, context.maxBytes, Object.getPrototypeOf(res));
    const own = response as Response;
    own.req = plain as Request;
    own.locals = res.locals;
    plain.res = own;
    const next = (how?: unknown) => {
      if (how === undefined || how === 'route' || how === 'router') reject(new PassedOn(how));
      else reject(how);
      // What it has begun to write breaks off.
      if (response.headersSent && !response.writableEnded) response.destroy(how instanceof Error ? how : undefined);
    };
    // What a view engine fails with is told to it.
    plain.next = next;
    whole.then(resolve, reject);
    // What streams into it is to stop where nobody needs it any more.
    context.signal.addEventListener('abort', () => response.destroy(), { once: true });
    runAll(handlers, plain, own, next);
  });
}

/** One handler after the other; `done` is told of what none of them has answered. */
function runAll<P>(
  handlers: readonly CachedHandler<P>[],
  req: CachedRequest<P>,
  res: Response,
  done: (how?: unknown) => void,
): void {
  let at = 0;
  const next = (how?: unknown): void => {
    const handler = handlers[at];
    at += 1;
    if (handler === undefined || (how !== undefined && how !== null)) {
      done(how ?? undefined);
      return;
    }
    // What a promise is rejected with is an error, though it be nothing.
    const fail = (error: unknown) => done(error || new Error('a handler was rejected with nothing'));
    try {
      const ended: unknown = handler(req, res, next as NextFunction);
      if (ended instanceof Promise) ended.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  next();
}

function askedBy<P>({ method, headers }: Request<P>, res: Response) {
  return { method, headers, sent: res.getHeaders() };
}

function send(res: Response, { status, headers, body }: Answer, next: NextFunction): void {
  res.statusCode = status;
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'vary') res.vary(value as string);
    else res.setHeader(name, value);
  }
  if (body instanceof Readable) {
    pipeline(body, res, (error) => {
      // A client who leaves is no failure.
      if (error && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') next(error);
    });
  } else res.end(body);
}
