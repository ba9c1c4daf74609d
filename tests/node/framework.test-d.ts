/** The integrations, as a user's compiler reads them. */
import express, { type Request, type RequestHandler } from 'express';
import fastify from 'fastify';
import Keyv from 'keyv';
import { CacheManager, key } from 'tidegate';
import { cached, closeOn, health, type ResponseOptions } from 'tidegate/express';
import { closeOn as closeFastify, tidegate } from 'tidegate/fastify';
import { TidegateStore } from 'tidegate/keyv';
import { is } from './types.test-d.js';

const cache = new CacheManager();

// --- Express ---
const app = express();
app.get(
  '/plain',
  cached(cache, { key: 'page:of:all', ttl: '1m' }, (req, res) => {
    is<AbortSignal>()(req.signal);
    res.json({});
  }),
);
const user = cached<{ id: string }>(
  cache,
  { key: (req) => key`page:user:${req.params.id}`, tags: (req) => [key`user:${req.params.id}`] },
  (req, res) => {
    is<string>()(req.params.id);
    res.send(req.params.id);
  },
);
is<RequestHandler<{ id: string }>>()(user);
app.get('/users/:id', user);
app.get('/health', health(cache, { failOnDown: true }));
const server = app.listen(0);
is<Promise<boolean>>()(closeOn(server, [cache], { signals: ['SIGTERM'], timeout: '10s' }).close());
const all: ResponseOptions<Request> = {
  key: () => null,
  maxAge: '1m',
  public: true,
  vary: ['accept-language'],
  statuses: [200, 404],
  tenant: (req) => req.hostname,
};
cached(cache, all, (_req, res) => res.end());
// @ts-expect-error: a key is due
cached(cache, { ttl: '1m' }, (_req, res) => res.end());
// @ts-expect-error: a handler is due
cached(cache, { key: 'page:of:all' });
// @ts-expect-error: a misspelt option
cached(cache, { key: 'page:of:all', tll: '1m' }, (_req, res) => res.end());
// @ts-expect-error: no such parameter
cached<{ id: string }>(cache, { key: (req) => key`page:user:${req.params.name}` }, (_req, res) => res.end());
// @ts-expect-error: a response is kept in one codec
cached(cache, { key: 'page:of:all', codec: 'raw' }, (_req, res) => res.end());
// @ts-expect-error: it is true or false
cached(cache, { key: 'page:of:all', public: 'yes' }, (_req, res) => res.end());
// @ts-expect-error: no signal of that name
closeOn(server, cache, { signals: ['SIGTREM'] });

// --- Fastify ---
const instance = fastify();
instance.register(tidegate, { cache });
instance.register(tidegate, {
  options: { url: 'memory://', service: 'sessions' },
  decorator: 'sessions',
  close: false,
});
is<CacheManager>()(instance.cache);
instance.get('/users/:id', { config: { cache: { key: 'page:user:{id}', ttl: '1m' } } }, async () => ({}));
instance.get('/all', { config: { cache: { key: (request) => key('page', request.url) } } }, async () => ({}));
is<Promise<boolean>>()(closeFastify(instance).close());
// @ts-expect-error: a key is due
instance.get('/x', { config: { cache: { ttl: '1m' } } }, async () => ({}));
// @ts-expect-error: a URL is no manager
instance.register(tidegate, { cache: 'memory://' });

// --- Keyv ---
const keyv = new Keyv<string>({
  store: new TidegateStore(cache, { prefix: 'sessions', ttl: '7d' }),
  namespace: 'users',
});
is<Promise<string | undefined>>()(keyv.get('42'));
new TidegateStore({ url: 'memory://', service: 'billing' });
// @ts-expect-error: a URL is neither a manager nor its options
new TidegateStore('memory://');
// @ts-expect-error: a misspelt option
new TidegateStore(cache, { namespaces: 'users' });
