/** A response that is longer than can be stored is passed on as it streams; what runs for one client has an end. In this process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import express, { type NextFunction, type Request, type Response } from 'express';
import fastify from 'fastify';
import { type CacheManager, key } from 'tidegate';
import { cached } from 'tidegate/express';
import { tidegate } from 'tidegate/fastify';
import { type CacheUnderTest, testCache } from 'tidegate/testing';
import { isAnswer, serving } from './support/http.js';
import { deferred, eventually } from './support/stage.js';

const MAX_BYTES = 64 * 1024;
const PIECE = Buffer.alloc(16 * 1024, 'x');
// What is on its way in sockets; all that the endless source has is more by far.
const ON_ITS_WAY = 32 * 1024 * 1024;
const ENDLESS = 256 * 1024 * 1024;

/** What a handler writes, and until when it is needed. */
type Source = (signal: AbortSignal) => Readable;
/** `others` is how each client can be answered by somebody else. */
type Serve = (cache: CacheManager, source: Source, others: (() => void)[]) => Promise<Server>;

const ROUTE = { key: () => 'page:of:all', ttl: '1m', staleWhileRevalidate: '1h' };
const SERVES: Record<string, Serve> = {
  Express: async (cache, source, others) => {
    const app = express().set('env', 'test'); // what fails here is not printed
    const handler = cached(cache, ROUTE, (req, res) => {
      pipeline(source(req.signal), res.type('text/x')).catch(() => {});
    });
    app.use((_req, res, next) => {
      others.push(() => res.status(503).end('another’s'));
      next();
    });
    return createServer(app.get('/', handler)).listen(0);
  },
  Fastify: async (cache, source, others) => {
    const app = fastify();
    await app.register(tidegate, { cache, close: false });
    app.addHook('onRequest', (_asked, reply, done) => {
      others.push(() => reply.code(503).send('another’s'));
      done();
    });
    app.get('/', { config: { cache: ROUTE } }, (asked, reply) => reply.type('text/x').send(source(asked.signal)));
    await app.listen({ port: 0 });
    return app.server;
  },
};

interface Kit extends CacheUnderTest {
  /** The next responses are made of these, in their order; of the last from then on. */
  sources: Source[];
  others: (() => void)[];
  ask: (method?: string) => Promise<IncomingMessage>;
}

/** A test with each framework that passes streams on. */
function on(name: string, work: (kit: Kit) => Promise<void>): void {
  for (const [framework, serve] of Object.entries(SERVES)) {
    test(`${name} (${framework})`, { timeout: 30_000 }, async (context) => {
      const kit = testCache(context, { maxValueBytes: MAX_BYTES });
      const sources: Source[] = [];
      const others: (() => void)[] = [];
      const next = (signal: AbortSignal) => ((sources.length > 1 ? sources.shift() : sources[0]) as Source)(signal);
      const server = await serve(kit.cache, next, others);
      if (!server.listening) await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const ask = async (method = 'GET') => {
        const asking = request({ port, method, agent: false }).end();
        const [answer] = await once(asking, 'response');
        return answer as IncomingMessage;
      };
      try {
        await work({ ...kit, sources, others, ask });
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
  }
}

/** So many pieces; `made` and `isOver` tell of it. */
function pieces(count: number) {
  const seen = { made: 0, isOver: false, isAborted: false };
  const source: Source = (signal) => {
    signal.addEventListener('abort', () => {
      seen.isAborted = true;
    });
    const stream = new Readable({
      read() {
        seen.made += PIECE.length;
        this.push(seen.made > count * PIECE.length ? null : PIECE);
      },
    });
    return stream.once('close', () => {
      seen.isOver = true;
    });
  };
  return { seen, source };
}

const text = async (answer: IncomingMessage) => (await buffer(answer)).toString();

on('what is too long to be stored is passed on, no faster than its client reads', async ({ ask, sources, cache }) => {
  const { seen, source } = pieces(ENDLESS / PIECE.length);
  sources.push(source);
  const answer = await ask();
  assert.equal(answer.headers['cache-status'], 'tidegate; fwd=miss; detail=size');
  assert.match(answer.headers['content-type'] ?? '', /^text\/x/);
  assert.equal(answer.headers['cache-control'], 'private, no-cache');
  let before = -1;
  await eventually(async () => {
    const isHeld = seen.made === before;
    before = seen.made;
    await new Promise((go) => setTimeout(go, 100));
    return isHeld;
  });
  assert.ok(seen.made < ON_ITS_WAY, `${seen.made} bytes were made`);
  answer.on('data', () => {});
  await eventually(async () => seen.made > before + ON_ITS_WAY);
  assert.deepEqual([seen.isOver, seen.isAborted], [false, false]);
  answer.destroy();
  await eventually(async () => seen.isOver && seen.isAborted);
  assert.ok(seen.made < ENDLESS);
  assert.equal(await cache.exists('page:of:all'), false);
});

on('it arrives whole, and each who asks has his own', async ({ ask, sources, cache, clock, events }) => {
  const all = [pieces(40), pieces(50), pieces(60), pieces(2)];
  sources.push(...all.map(({ source }) => source));
  const answers = await Promise.all([ask(), ask(), ask()]);
  const lengths = await Promise.all(answers.map(async (answer) => (await text(answer)).length / PIECE.length));
  assert.deepEqual(lengths.sort(), [40, 50, 60]);
  await eventually(async () => all.slice(0, 3).every(({ seen }) => seen.isOver));
  assert.ok(all.every(({ seen }) => !seen.isAborted));
  assert.equal(events.settle().of('cache.error', { reason: 'too_large' }).length > 0, true);
  clock.advance('10s'); // for a moment nobody queues for what could not be stored, nor stores it
  assert.equal((await text(await ask())).length, 2 * PIECE.length);
  assert.equal(await cache.exists('page:of:all'), true);
});

on('of what nobody reads no more is made', async ({ ask, sources, clock }) => {
  const [head, small, behind] = [pieces(1_000), pieces(1), pieces(1_000)];
  sources.push(head.source, small.source, behind.source);
  const none = await ask('HEAD');
  assert.deepEqual([none.headers['cache-status'], await text(none)], ['tidegate; fwd=miss; detail=size', '']);
  await eventually(async () => head.seen.isOver);
  assert.ok(head.seen.made < 100 * PIECE.length, `${head.seen.made} bytes were made`);
  clock.advance('10s');
  assert.equal((await text(await ask())).length, PIECE.length);
  clock.advance('2m');
  const stale = await ask();
  assert.match(String(stale.headers['cache-status']), /^tidegate; hit/);
  assert.equal((await text(stale)).length, PIECE.length);
  await eventually(async () => behind.seen.isOver);
  assert.ok(behind.seen.made < 1_000 * PIECE.length);
});

on('what cannot be sent is not left open', async ({ ask, sources, others }) => {
  const { seen, source } = pieces(1_000);
  sources.push((signal) => {
    others.pop()?.();
    return source(signal);
  });
  const answer = await ask();
  assert.deepEqual([answer.statusCode, await text(answer)], [503, 'another’s']);
  await eventually(async () => seen.isOver);
  assert.ok(seen.made < 1_000 * PIECE.length);
});

on('a stream that fails midway breaks off its client’s answer', async ({ ask, sources }) => {
  sources.push(() =>
    Readable.from(
      (async function* () {
        for (let at = 0; at < 10; at += 1) yield PIECE;
        throw new Error('the source is gone');
      })(),
    ),
  );
  await assert.rejects(text(await ask()), { code: 'ECONNRESET' });
});

test('of what fails midway the error handler is told, and not of a client who leaves', async (context) => {
  const { cache } = testCache(context, { maxValueBytes: MAX_BYTES });
  const app = express();
  const told: string[] = [];
  const ends: Record<string, (res: Response, next: NextFunction) => unknown> = {
    next: (_res, next) => next(new Error('next')),
    destroyed: (res) => res.destroy(new Error('destroyed')),
    rejected: () => Promise.reject(new Error('rejected')),
    left: () => {},
  };
  const read = deferred();
  app.get(
    '/:how',
    cached<{ how: string }>(cache, { key: 'page:{how}' }, async (req, res, next) => {
      res.write(Buffer.alloc(MAX_BYTES + 1));
      await read.promise;
      await ends[req.params.how]?.(res, next);
    }),
  );
  app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
    told.push(error.message);
    res.destroy();
  });
  await serving(app.listen(0), async (ask) => {
    const leaving = new AbortController();
    const left = ask('/left', {}, { signal: leaving.signal });
    const all = ['next', 'destroyed', 'rejected'].map((how) => ask(`/${how}`));
    await new Promise((go) => setTimeout(go, 200));
    leaving.abort();
    read.resolve();
    for (const one of await Promise.allSettled([left, ...all])) assert.equal(one.status, 'rejected');
    await eventually(async () => told.length >= 3);
    assert.deepEqual(told.sort(), ['destroyed', 'next', 'rejected']);
  });
});

test('what waits for the callback of each write is no faster than its client reads', async (context) => {
  const { cache } = testCache(context, { maxValueBytes: MAX_BYTES });
  const app = express();
  let made = 0;
  const handler = cached(cache, { key: () => 'page:of:all' }, (_req, res) => {
    const more = (error?: Error | null) => {
      if (error) return;
      made += PIECE.length;
      if (made === ENDLESS) res.end();
      else res.write(PIECE, (failed) => void setImmediate(more, failed));
    };
    more();
  });
  const server = app.get('/', handler).listen(0);
  await serving(server, async () => {
    const { port } = server.address() as AddressInfo;
    const [answer] = await once(request({ port, agent: false }).end(), 'response');
    let before = -1;
    await eventually(async () => {
      const isHeld = made === before;
      before = made;
      await new Promise((go) => setTimeout(go, 100));
      return isHeld;
    });
    assert.ok(made < ON_ITS_WAY, `${made} bytes were made`);
    answer.on('data', () => {});
    await eventually(async () => made > before + ON_ITS_WAY);
  });
});

test('of a failure that is long something stale is served', async (context) => {
  const { cache, clock } = testCache(context, { maxValueBytes: MAX_BYTES });
  const app = express();
  const failures = [pieces(1_000), pieces(10), pieces(12)];
  let runs = 0;
  const handler = cached(cache, { key: () => 'page:of:all', ttl: '1m', staleIfError: '1h' }, async (req, res) => {
    const failure = failures[runs - 1];
    runs += 1;
    if (failure === undefined) return void res.send('well');
    await new Promise((go) => setTimeout(go, 100));
    pipeline(failure.source(req.signal), res.status(500)).catch(() => {});
  });
  app.get('/', handler);
  await serving(app.listen(0), async (ask) => {
    isAnswer(await ask('/'), 200, 'well', 'fwd=miss; stored');
    clock.advance('2m');
    isAnswer(await ask('/'), 200, 'well', 'hit');
    await eventually(async () => failures[0]?.seen.isOver);
    assert.ok((failures[0]?.seen.made ?? 0) < 1_000 * PIECE.length);
    clock.advance('2h');
    // There is nothing stale: each who asks has his own.
    const answers = await Promise.all([ask('/'), ask('/')]);
    assert.deepEqual(answers.map(({ status, body }) => [status, body.length / PIECE.length]).sort(), [
      [500, 10],
      [500, 12],
    ]);
    assert.equal(runs, 4);
  });
});

test('who else may keep what is passed on is said', async (context) => {
  const { cache } = testCache(context, { maxValueBytes: MAX_BYTES });
  const app = express();
  const long = (_req: Request, res: Response) => void pipeline(pieces(10).source(new AbortController().signal), res);
  const options = { key: 'page:{what}', public: true, maxAge: '1m' };
  app.get(
    '/:what',
    (req, res, next) => {
      if (req.params.what === 'before') res.set('cache-control', 'no-store');
      next();
    },
    cached<{ what: string }>(cache, options, (req, res) => {
      if (req.params.what === 'cookie') res.cookie('session', '1');
      if (req.params.what === 'own') res.set('cache-control', 'max-age=7');
      long(req as Request, res);
    }),
  );
  await serving(app.listen(0), async (ask) => {
    const said = async (path: string) => (await ask(path)).headers.get('cache-control');
    assert.equal(await said('/all'), 'public, no-cache');
    assert.equal(await said('/cookie'), 'private, no-cache');
    assert.equal(await said('/before'), 'no-store');
    assert.equal(await said('/own'), 'max-age=7');
  });
});

test('a second stream, or one behind a head, ends', { timeout: 30_000 }, async (context) => {
  const { cache } = testCache(context, { maxValueBytes: MAX_BYTES });
  const directory = await mkdtemp(join(tmpdir(), 'tidegate-'));
  context.after(() => rm(directory, { recursive: true }));
  const file = (count: string) => join(directory, count);
  for (const count of ['1', '8']) await writeFile(file(count), Buffer.alloc(Number(count) * PIECE.length, 'y'));
  const app = express();
  // A response that nothing goes on with is an error soon.
  const options = { key: 'page:{how}:{count}', hardTimeout: '2s' };
  app.get(
    '/:how/:count',
    cached<{ how: string; count: string }>(cache, options, async (req, res) => {
      const body = () => createReadStream(file(req.params.count));
      if (req.params.how === 'behind') {
        res.write(Buffer.alloc(2 * PIECE.length, 'x'));
        body().pipe(res);
      } else {
        await pipeline(body(), res, { end: false });
        await pipeline(body(), res, { end: false });
        res.end();
      }
    }),
  );
  await serving(app.listen(0), async (ask) => {
    for (const [path, pieces, way] of [
      ['/behind/1', 3, 'fwd=miss; stored'],
      ['/behind/8', 10, 'fwd=miss; detail=size'],
      ['/twice/1', 2, 'fwd=miss; stored'],
      ['/twice/8', 16, 'fwd=miss; detail=size'],
    ] as const) {
      const { body, way: said } = await ask(path, {}, { signal: AbortSignal.timeout(5_000) });
      assert.deepEqual([path, body.length, said], [path, pieces * PIECE.length, way]);
    }
  });
});

test('a handler that runs for one client alone has as long as a fallback', { timeout: 30_000 }, async (context) => {
  const { cache } = testCache(context);
  const app = express();
  const held = deferred();
  let runs = 0;
  let reason: unknown;
  let arrived = 0;
  app.use((_req, _res, next) => {
    arrived += 1;
    next();
  });
  const options = { key: () => 'page:of:me', hardTimeout: '200ms' };
  app.get(
    '/',
    cached(cache, options, async (req, res) => {
      runs += 1;
      if (runs < 3) {
        await held.promise;
        res.cookie('session', '1').send('his own');
      } else {
        req.signal.addEventListener('abort', () => {
          reason = req.signal.reason;
        });
      }
    }),
  );
  app.use((error: Error, _req: Request, res: Response, _next: NextFunction) => {
    res.status(500).send(`told: ${error.name}: ${error.message}`);
  });
  await serving(app.listen(0), async (ask) => {
    // The second begins anew when the first has ended, which it came behind; for that one the third waits.
    const all = [ask('/'), ask('/'), ask('/')];
    await eventually(async () => arrived === 3);
    await new Promise((go) => setTimeout(go, 50));
    assert.equal(runs, 1, 'they wait for the first');
    held.resolve();
    const answers = (await Promise.all(all)).sort((one, other) => one.status - other.status);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 500],
    );
    assert.match(answers[2]?.body ?? '', /^told: HardTimeout: /);
    assert.equal((reason as Error).name, 'HardTimeout');
    assert.equal(runs, 3);
  });
});

test('a tenant’s key that is too long for a tag of his is answered past the cache', async (context) => {
  const { cache } = testCache(context);
  const app = express();
  const options = { key: key`page:of:${'x'.repeat(160)}`, vary: ['accept-language'] };
  app.get(
    '/own',
    cached(cache, { ...options, key: () => options.key }, (_req, res) => res.send('own')),
  );
  app.get(
    '/acme',
    cached(cache, { ...options, key: () => options.key, tenant: () => 'acme' }, (_req, res) => res.send('acme')),
  );
  await serving(app.listen(0), async (ask) => {
    isAnswer(await ask('/own'), 200, 'own', 'fwd=miss; stored');
    isAnswer(await ask('/acme'), 200, 'acme', 'fwd=bypass');
  });
});
