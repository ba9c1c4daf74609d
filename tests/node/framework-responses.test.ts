/** Which responses are stored, and what becomes of the others: on Express 4 and 5, in this process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import express5, { type NextFunction, type Request, type Response } from 'express';
import { CacheManager, ConfigError, key } from 'tidegate';
import { type CachedHandler, cached, closeOn, health, type ResponseOptions } from 'tidegate/express';
import { type MemoryStore, testCache } from 'tidegate/testing';
import { type Ask, isAnswer, serving } from './support/http.js';
import { deferred, eventually } from './support/stage.js';

interface Kit {
  app: express5.Express;
  cache: CacheManager;
  store: MemoryStore;
  advance: (duration: string) => void;
  /** A cached route. */
  get: (path: string, handler: CachedHandler, options?: Partial<ResponseOptions<Request>>) => void;
}

// Its types are those of the other version's package.
const express4: typeof express5 = createRequire(import.meta.url)('express4');
const STORED = 'fwd=miss; stored';

/** A test on each Express. */
function on(name: string, plan: (kit: Kit) => void, work: (ask: Ask, kit: Kit) => Promise<void>): void {
  for (const [version, express] of [
    [5, express5],
    [4, express4],
  ] as const) {
    test(`${name} (Express ${version})`, async (context) => {
      const { cache, clock, store } = testCache(context);
      const app = express();
      app.use((_req, res, next) => {
        res.setHeader('x-of-this-client', 'yes');
        res.vary('Origin');
        next();
      });
      const kit: Kit = {
        app,
        cache,
        store,
        advance: (duration) => clock.advance(duration),
        get: (path, handler, options) => {
          app.get(path, cached(cache, { key: () => key('page', path), ttl: '1m', ...options }, handler));
        },
      };
      plan(kit);
      app.use((error: Error & { status?: number }, _req: Request, res: Response, _next: NextFunction) => {
        res.status(error.status ?? 500).send(`told: ${error.message}`);
      });
      await serving(app.listen(0), (ask) => work(ask, kit));
    });
  }
}

on(
  'whatever a handler writes with is kept as it is',
  ({ app, get }) => {
    app.set('view engine', 'tale');
    app.set('views', '/');
    const bytes = Buffer.from([0, 255, 128, 10]);
    get('/json', (_req, res) => res.json({ a: 1 }));
    get('/bytes', (_req, res) => res.type('image/png').send(bytes));
    get('/raw', (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/x', 'x-own': ['1', '2'] });
      res.write('one ');
      res.write(Buffer.from('two '));
      res.end('three');
    });
    get('/locals', (_req, res) => res.send(`${res.locals.who} ${res.getHeader('x-of-this-client')} ${res.req.method}`));
    app.use((_req, res, next) => {
      res.locals.who = 'Ada';
      next();
    });
    get('/empty', (_req, res) => res.status(204).end(), { statuses: [204] });
  },
  async (ask) => {
    for (const way of [STORED, 'hit']) {
      const json = await ask('/json');
      isAnswer(json, 200, '{"a":1}', way);
      assert.equal(json.headers.get('content-type'), 'application/json; charset=utf-8');
      assert.equal(json.headers.get('x-of-this-client'), 'yes');
      assert.equal(json.headers.get('content-length'), '7');
      isAnswer(await ask('/raw'), 200, 'one two three', way);
      assert.equal((await ask('/raw')).headers.get('x-own'), '1, 2');
      isAnswer(await ask('/empty'), 204, '', way);
      const { headers } = await ask('/bytes');
      assert.deepEqual([headers.get('content-type'), headers.get('content-length')], ['image/png', '4']);
    }
    isAnswer(await ask('/locals', {}, { method: 'HEAD' }), 200, '', STORED);
    isAnswer(await ask('/locals'), 200, 'undefined yes GET', 'hit');
  },
);

on(
  'a client that comes with conditions, or wants a part, does not spoil the entry for others',
  ({ get }) => get('/page', (_req, res) => res.send('all of it')),
  async (ask, { cache }) => {
    for (const headers of [
      { 'if-none-match': '*' },
      { range: 'bytes=0-2' },
      { 'if-modified-since': new Date().toUTCString() },
    ]) {
      await cache.invalidate(key('page', '/page'));
      const first = await ask('/page', headers);
      assert.equal(first.way, STORED);
      isAnswer(await ask('/page'), 200, 'all of it', 'hit');
    }
  },
);

on(
  'what is one client’s, or says so, is not stored',
  ({ get }) => {
    get('/cookie', (_req, res) => res.cookie('a', 'b').send('x'));
    for (const said of ['no-store', 'private, max-age=5', 'no-cache']) {
      get(`/${said.split(',')[0]}`, (_req, res) => res.set('cache-control', said).send('x'));
    }
    get('/varies', (_req, res) => res.vary('X-Plan').send('x'));
    get('/all', (_req, res) => res.vary('*').send('x'));
    get('/encoding', (_req, res) => res.vary('Accept-Encoding').send('x'));
    get('/404', (_req, res) => res.status(404).send('x'));
    get('/404-kept', (_req, res) => res.status(404).send('x'), { statuses: [200, 404] });
    get('/nobody', (_req, res) => res.send('x'), { key: () => null });
    get('/authorized', (_req, res) => res.send('x'), { authorized: true });
    get('/own', (_req, res) => res.set('cache-control', 'public, max-age=9').set('etag', '"mine"').send('x'));
  },
  async (ask) => {
    const why: Record<string, string> = { '/cookie': 'set-cookie', '/no-store': 'no-store', '/private': 'private' };
    Object.assign(why, { '/no-cache': 'no-cache', '/varies': 'vary', '/all': 'vary', '/404': 'status' });
    for (const [path, detail] of Object.entries(why)) {
      for (const _ of [1, 2]) assert.equal((await ask(path)).way, `fwd=miss; detail=${detail}`, path);
    }
    for (const [path, headers] of [['/nobody'], ['/own', { authorization: 'Bearer x' }]] as [
      string,
      Record<string, string>?,
    ][]) {
      for (const _ of [1, 2]) assert.equal((await ask(path, headers)).way, 'fwd=bypass', path);
    }
    for (const path of ['/encoding', '/404-kept', '/own']) {
      assert.deepEqual([(await ask(path)).way, (await ask(path)).way], [STORED, 'hit'], path);
    }
    const authorized = { authorization: 'Bearer x' };
    assert.deepEqual(
      [(await ask('/authorized', authorized)).way, (await ask('/authorized', authorized)).way],
      [STORED, 'hit'],
    );
    const own = await ask('/own');
    assert.deepEqual([own.headers.get('cache-control'), own.headers.get('etag')], ['public, max-age=9', '"mine"']);
    assert.equal((await ask('/own', { 'if-none-match': 'W/"mine"' })).status, 304);
  },
);

on(
  'a header that the response depends on makes variants, which end together',
  ({ get }) => {
    get('/hello', (req, res) => res.send(req.get('accept-language') ?? 'none'), { vary: ['Accept-Language'] });
  },
  async (ask, { cache }) => {
    for (const way of [STORED, 'hit']) {
      isAnswer(await ask('/hello', { 'accept-language': 'de' }), 200, 'de', way);
      const answered = await ask('/hello', { 'accept-language': 'fr:%' });
      isAnswer(answered, 200, 'fr:%', way);
      assert.equal(answered.headers.get('vary'), 'Origin, accept-language');
    }
    assert.equal(await cache.invalidateTag(key('page', '/hello')), true);
    isAnswer(await ask('/hello', { 'accept-language': 'de' }), 200, 'de', STORED);
  },
);

on(
  'errors reach the error handler of each who waited, and next passes each of them on',
  ({ app, cache, get }) => {
    get('/throws', () => {
      throw new Error('thrown');
    });
    get('/rejects', async () => {
      await Promise.reject(new Error('rejected'));
    });
    get('/next', (_req, _res, next) => next(new Error('given')));
    get('/passes', (_req, _res, next) => next());
    get('/passes', (_req, res) => res.send('the next one'), { key: () => 'page:other:1' });
    get('/flat', (_req, res) => res.send('x'), { key: () => 'flat' });
    get('/search', (req, res) => res.send(req.query.q), { key: (req) => key`page:search:${req.query.q as string}` });
    app.get(
      '/two',
      cached(
        cache,
        { key: () => 'page:two:1' },
        (_req, res, next) => {
          res.setHeader('x-first', '1');
          next();
        },
        (_req, res) => res.send('second'),
      ),
    );
  },
  async (ask) => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask('/throws')));
    for (const answered of answers) isAnswer(answered, 500, 'told: thrown');
    isAnswer(await ask('/rejects'), 500, 'told: rejected');
    isAnswer(await ask('/next'), 500, 'told: given');
    isAnswer(await ask('/flat'), 500, /told: key "flat" is flat/);
    for (const query of ['', '?q=', '?q=a&q=b', '?q[a]=1']) {
      isAnswer(await ask(`/search${query}`), 400, /told: value 1 of the key's template got /);
    }
    isAnswer(await ask('/search?q=a:b'), 200, 'a:b', STORED);
    for (const way of [STORED, 'hit']) isAnswer(await ask('/passes'), 200, 'the next one', way);
    const two = await ask('/two');
    isAnswer(two, 200, 'second', STORED);
    assert.equal(two.headers.get('x-first'), '1');
  },
);

on(
  'a server that fails is no reason to show it: what is stale is served, an answer to the client is not stale',
  ({ get }) => {
    let runs = 0;
    get(
      '/shaky',
      (_req, res) => {
        runs += 1;
        if (runs === 1) res.send('well');
        else if (runs === 2) res.status(503).send('sick');
        else throw Object.assign(new Error('gone'), { status: 410 });
      },
      { staleIfError: '1h', errorBackoff: '1s' },
    );
    get('/sick', (_req, res) => res.status(503).send('sick'));
  },
  async (ask, { advance }) => {
    isAnswer(await ask('/sick'), 503, 'sick', 'fwd=miss; detail=status');
    const well = await ask('/shaky');
    isAnswer(well, 200, 'well', STORED);
    assert.equal(well.headers.get('cache-control'), 'private, no-cache');
    advance('2m');
    isAnswer(await ask('/shaky'), 200, 'well', 'hit');
    advance('2s');
    isAnswer(await ask('/shaky'), 410, 'told: gone');
  },
);

on(
  'with the store away it serves all the same',
  ({ app, cache, get }) => {
    get('/page', (_req, res) => res.send('x'));
    app.get('/health', health(cache));
    app.get('/ready', health(cache, { failOnDown: true, details: true }));
  },
  async (ask, { store }) => {
    store.fail('down');
    for (const _ of [1, 2]) isAnswer(await ask('/page'), 200, 'x');
    isAnswer(await ask('/health'), 200, /^{"status":"down","store":"memory".*"reason":"unreachable"/);
    isAnswer(await ask('/ready'), 503, /"nodes":\[/);
    store.heal();
    isAnswer(await ask('/ready'), 200, /^{"status":"(ok|warning)"/);
  },
);

on(
  'a handler is told when nobody waits for it any more',
  ({ get, app }) => {
    const [entered, left] = [deferred(), deferred<unknown>()];
    app.set('entered', entered);
    app.set('left', left);
    get('/slow', (req) => {
      req.signal.addEventListener('abort', () => left.resolve(req.signal.reason));
      entered.resolve();
    });
  },
  async (ask, { app }) => {
    const leaving = new AbortController();
    const left = ask('/slow', {}, { signal: leaving.signal });
    await (app.get('entered') as ReturnType<typeof deferred>).promise;
    leaving.abort();
    await assert.rejects(left, { name: 'AbortError' });
    const reason = await (app.get('left') as ReturnType<typeof deferred<Error>>).promise;
    assert.equal(reason.message, 'the client went away');
  },
);

test('what cannot work is refused where it stands', () => {
  const cache = new CacheManager();
  const handler: CachedHandler = (_req, res) => res.end();
  const wrong: [unknown, RegExp][] = [
    [{}, /key=undefined is neither a function/],
    [{ key: 'flat{id}' }, /is flat/],
    [{ key: () => 'a:b', tll: 1 }, /tll.*ttl/],
    [{ key: () => 'a:b', ttl: 'soon' }, /ttl/],
    [{ key: () => 'a:b', vary: 'accept' }, /vary='accept' is not accepted/],
    [{ key: () => 'a:b', statuses: [42] }, /statuses=/],
    [{ key: () => 'a:b', maxAge: 'long' }, /maxAge/],
    [{ key: () => 'a:b', public: 'yes' }, /public='yes' is neither true nor false/],
    [{ key: () => 'a:b', tenant: 'acme' }, /tenant='acme' is no function of the request/],
    [undefined, /options=/],
  ];
  for (const [options, why] of wrong) {
    assert.throws(
      () => cached(cache, options as never, handler),
      (error) => error instanceof Error && why.test(error.message),
    );
  }
  assert.throws(() => cached({} as never, { key: () => 'a:b' }, handler), ConfigError);
  assert.throws(() => cached(cache, { key: () => 'a:b' }, 'x' as never), /handler='x' is not a function/);
  assert.throws(() => health({} as never), ConfigError);
  assert.throws(() => closeOn({} as never, cache), /server=/);
});

on(
  'a response is a tenant’s own where the route says whose',
  ({ app, cache }) => {
    let made = 0;
    const options: ResponseOptions<Request<{ tenant: string }>> = {
      key: 'page:report:all',
      ttl: '1m',
      tenant: (req) => req.params.tenant,
      tags: ['reports'],
      vary: ['accept-language'],
    };
    app.get(
      '/:tenant/report',
      cached(cache, options, (req, res) => void res.send(`${req.params.tenant} ${++made}`)),
    );
  },
  async (ask, { cache }) => {
    isAnswer(await ask('/acme/report'), 200, 'acme 1', STORED);
    isAnswer(await ask('/other/report'), 200, 'other 2', STORED);
    isAnswer(await ask('/acme/report'), 200, 'acme 1', 'hit');
    await cache.invalidateTag('reports');
    await cache.tenant('acme').invalidateTag('page:report:all'); // all variants, of this tenant
    isAnswer(await ask('/acme/report'), 200, 'acme 3', STORED);
    isAnswer(await ask('/other/report'), 200, 'other 2', 'hit');
    await cache.tenant('other').invalidateTag('reports');
    isAnswer(await ask('/other/report'), 200, 'other 4', STORED);
    assert.equal((await ask(`/${'x'.repeat(101)}/report`)).status, 400);
  },
);

test('clients are told by the entry’s own times, of the manager or of a tenant', async (context) => {
  const { cache } = testCache(context, { ttl: '2m', staleWhileRevalidate: '10s' });
  const app = express5();
  const handler: CachedHandler = (_req, res) => res.send('x');
  const long = { key: () => 'page:of:all', maxAge: '1h' };
  app.get('/asks', cached(cache, { key: () => 'page:that:asks' }, handler));
  app.get('/plain', cached(cache, long, handler));
  app.get('/tenant', cached(cache.tenant('acme', { ttl: '3m' }), long, handler));
  const short = { key: () => 'page:of:pub', staleWhileRevalidate: 0, maxAge: '9s', public: true };
  app.get('/public', cached(cache, short, handler));
  await serving(app.listen(0), async (ask) => {
    const said = async (path: string, headers = {}) => (await ask(path, headers)).headers.get('cache-control');
    assert.equal(await said('/asks'), 'private, no-cache');
    assert.equal(await said('/plain'), 'private, max-age=120, stale-while-revalidate=10');
    assert.equal(await said('/tenant'), 'private, max-age=180, stale-while-revalidate=10');
    assert.equal(await said('/public'), 'public, max-age=9');
    assert.equal(await said('/public', { authorization: 'x' }), 'public, max-age=9');
  });
  const entry = await cache.getEntry('page:of:all');
  assert.ok(entry && entry.freshUntil - entry.createdAt === 120_000);
});

test('a service is closed once, by hand or by a signal, and its manager with it', async () => {
  const cache = new CacheManager();
  const app = express5();
  const held = deferred();
  app.get('/held', async (_req, res) => {
    await held.promise;
    res.send('x');
  });
  const server = app.listen(0);
  await once(server, 'listening');
  const closed: boolean[] = [];
  const closing = closeOn(server, [cache], { signals: ['SIGUSR2'], onClosed: (isClean) => closed.push(isClean) });
  await serving(server, async (ask) => {
    const answer = ask('/held');
    await eventually(() => new Promise((resolve) => server.getConnections((_, count) => resolve(count === 1))));
    process.kill(process.pid, 'SIGUSR2');
    await eventually(() => !server.listening);
    held.resolve();
    const { status, headers } = await answer;
    assert.deepEqual([status, headers.get('connection')], [200, 'close']);
    assert.equal(await closing.close(), true);
  });
  assert.deepEqual(closed, [true]);
  await assert.rejects(cache.set('a:b', 1), { code: 'ERR_TIDEGATE_CLOSED' });
  assert.equal(process.listenerCount('SIGUSR2'), 0);
});
