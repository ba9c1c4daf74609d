/** What of a response is one client's, and stays his; what becomes of one that breaks off. On Express 5, in this process. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import express, { type NextFunction, type Request, type Response } from 'express';
import { key } from 'tidegate';
import { type CachedHandler, cached, type ResponseOptions } from 'tidegate/express';
import { testCache } from 'tidegate/testing';
import { isAnswer, serving } from './support/http.js';
import { deferred, eventually } from './support/stage.js';

function site(context: TestContext) {
  const { cache } = testCache(context);
  const app = express();
  const seen = { count: 0 };
  app.use((_req, _res, next) => {
    seen.count += 1;
    next();
  });
  const get = (path: string, handler: CachedHandler, options: Partial<ResponseOptions<Request>> = {}) =>
    app.get(path, cached(cache, { key: () => key('page', path), ttl: '1m', ...options }, handler));
  const tells = () =>
    app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
      res.status(500).send(`told: ${error.message}`);
    });
  return { app, get, seen, tells };
}

test('what is one client’s is given to nobody who waited with him', async (context) => {
  const { get, app, seen } = site(context);
  let runs = 0;
  const own: [string, (res: Response) => void][] = [
    ['cookie', (res) => res.cookie('session', `of run ${runs}`)],
    ['missing', (res) => res.status(404).cookie('session', `of run ${runs}`)],
    ['sick', (res) => res.status(503).cookie('session', `of run ${runs}`)],
    ['private', (res) => res.set('cache-control', 'private')],
    ['no-store', (res) => res.set('cache-control', 'no-store')],
    ['varies', (res) => res.vary('Cookie')],
  ];
  let entered = 0;
  let held = deferred();
  for (const [name, say] of own) {
    get(`/${name}`, async (_req, res) => {
      entered += 1;
      await held.promise;
      runs += 1;
      say(res);
      res.send(`run ${runs}`);
    });
  }
  await serving(app.listen(0), async (ask) => {
    for (const [name] of own) {
      held = deferred();
      entered = 0;
      seen.count = 0;
      const all = [1, 2, 3].map(() => ask(`/${name}`));
      await eventually(async () => seen.count === 3);
      await new Promise((go) => setTimeout(go, 50));
      assert.equal(entered, 1, 'they wait for the first');
      held.resolve();
      const answers = await Promise.all(all);
      assert.equal(new Set(answers.map(({ body }) => body)).size, 3, name);
      const cookies = answers.map(({ headers }) => headers.get('set-cookie')).filter((one) => one !== null);
      assert.equal(new Set(cookies).size, cookies.length, name);
      for (const { way } of answers) assert.match(way, /^fwd=miss; detail=/);
    }
  });
});

test('what is nobody’s in particular is given to those who waited', async (context) => {
  const { get, app, seen } = site(context);
  let runs = 0;
  const held = deferred();
  get('/missing', async (_req, res) => {
    runs += 1;
    await held.promise;
    res.status(404).send('no such page');
  });
  await serving(app.listen(0), async (ask) => {
    const all = [1, 2, 3].map(() => ask('/missing'));
    await eventually(async () => seen.count === 3);
    await new Promise((go) => setTimeout(go, 50));
    held.resolve();
    for (const answered of await Promise.all(all)) isAnswer(answered, 404, 'no such page');
    // One more at most: for those who came when the first had begun.
    assert.ok(runs < 3, `${runs} runs`);
  });
});

test('a handler whose stream fails, or who destroys his response, is told of at once', {
  timeout: 10_000,
}, async (context) => {
  const { get, tells, app } = site(context);
  get('/pipeline', async (_req, res) => {
    const failing = Readable.from(
      (async function* () {
        yield 'some of it';
        throw new Error('the source is gone');
      })(),
    );
    await pipeline(failing, res);
  });
  get('/unheard', (_req, res) => {
    const failing = Readable.from(
      (async function* () {
        yield 'some of it';
        throw new Error('the source is gone');
      })(),
    );
    pipeline(failing, res).catch(() => {});
  });
  get('/destroyed', (_req, res) => {
    res.write('some of it');
    res.destroy();
  });
  tells();
  await serving(app.listen(0), async (ask) => {
    isAnswer(await ask('/pipeline'), 500, 'told: the source is gone');
    isAnswer(await ask('/unheard'), 500, 'told: the source is gone');
    isAnswer(await ask('/destroyed'), 500, /^told: the response was destroyed/);
  });
});

test('no parameter of another route makes the key of a variant', async (context) => {
  const { cache } = testCache(context);
  const app = express();
  const options = { key: 'page:of:{id}', ttl: '1m', vary: ['accept-language'] } as const;
  app.get(
    '/pages/:id',
    cached<{ id: string }>(cache, options, (_req, res) => res.send('right')),
  );
  app.get(
    '/pages/:id/:part/:of',
    cached<{ id: string; part: string; of: string }>(
      cache,
      { key: 'page:of:{id}:{part}:{of}', ttl: '1m' },
      (_req, res) => res.send('forged'),
    ),
  );
  await serving(app.listen(0), async (ask) => {
    for (const part of ['v', '%76', '%2576']) {
      for (const of of ['accept-language=de', 'accept-language']) {
        isAnswer(await ask(`/pages/7/${part}/${encodeURIComponent(of)}`), 200, 'forged');
      }
    }
    for (const way of ['fwd=miss; stored', 'hit']) {
      isAnswer(await ask('/pages/7', { 'accept-language': 'de' }), 200, 'right', way);
    }
    // A tag may not be as long as a key.
    for (const _ of [1, 2]) {
      isAnswer(await ask(`/pages/${'x'.repeat(400)}`, { 'accept-language': 'de' }), 200, 'right', 'fwd=bypass');
    }
  });
});

test('what others have said of a client’s response stands, and a cookie of theirs is nobody else’s', async (context) => {
  const { get, app } = site(context);
  app.use((req, res, next) => {
    if (req.query.said !== undefined) res.set('cache-control', 'no-store');
    if (req.query.cookie !== undefined) res.cookie('visit', String(req.query.cookie));
    next();
  });
  get('/page', (_req, res) => res.send('x'), { public: true, maxAge: '30s' });
  get('/own', (_req, res) => res.set('cache-control', 'public, max-age=9').send('x'));
  get('/zero', (_req, res) => res.set('cache-control', 'max-age=0').send('x'));
  get('/shared-zero', (_req, res) => res.set('cache-control', 'max-age=9, s-maxage=0').send('x'));
  get('/shared', (_req, res) => res.set('cache-control', 'max-age=0, s-maxage=9').send('x'));
  await serving(app.listen(0), async (ask) => {
    const said = async (path: string) => (await ask(path)).headers.get('cache-control');
    for (const _ of [1, 2]) {
      assert.equal(await said('/page'), 'public, max-age=30');
      assert.equal(await said('/page?said'), 'no-store');
      assert.equal(await said('/page?cookie=1'), 'private, no-cache');
      assert.equal(await said('/own?said'), 'public, max-age=9');
    }
    assert.equal((await ask('/page?cookie=2')).headers.get('set-cookie'), 'visit=2; Path=/');
    for (const path of ['/zero', '/shared-zero']) {
      for (const _ of [1, 2]) assert.equal((await ask(path)).way, 'fwd=miss; detail=max-age', path);
    }
    assert.deepEqual([(await ask('/shared')).way, (await ask('/shared')).way], ['fwd=miss; stored', 'hit']);
  });
});
