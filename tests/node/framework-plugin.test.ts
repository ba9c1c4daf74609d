/** The plugin of Fastify: what becomes of its hooks, schemas, contexts and errors. In this process. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify';
import { CacheManager, ConfigError, key } from 'tidegate';
import { closeOn, health, tidegate } from 'tidegate/fastify';
import { testCache } from 'tidegate/testing';

const STORED = 'tidegate; fwd=miss; stored';
const HIT = /^tidegate; hit; ttl=\d+$/;

async function ask(app: FastifyInstance, url: string, headers = {}, method: 'GET' | 'HEAD' | 'POST' = 'GET') {
  return app.inject({ method, url, headers });
}

function way({ headers }: LightMyRequestResponse): string {
  return String(headers['cache-status']);
}

test('schemas, serializers and preSerialization are the handler’s, onSend hooks each client’s', async (context) => {
  const { cache } = testCache(context);
  const app = fastify();
  const sent: string[] = [];
  let serialized = 0;
  app.addHook('onSend', async (_request, reply, payload) => {
    sent.push(String(payload));
    void reply.header('set-cookie', `visit=${sent.length}`);
    return payload;
  });
  await app.register(tidegate, { cache });
  app.addHook('preSerialization', async (_request, _reply, payload) => {
    serialized += 1;
    return { ...(payload as object), wrapped: true, secret: 'not in the schema' };
  });
  const properties = { id: { type: 'integer' }, wrapped: { type: 'boolean' } };
  const schema = {
    params: { type: 'object', properties: { id: { type: 'integer' } } },
    response: { 200: { type: 'object', properties } },
  };
  app.get<{ Params: { id: number } }>(
    '/users/:id',
    { schema, config: { cache: { key: 'page:user:{id}', ttl: '1m' } } },
    async (request) => ({ id: request.params.id, password: 'not in the schema either' }),
  );

  const first = await ask(app, '/users/07');
  assert.deepEqual([first.statusCode, first.body, way(first)], [200, '{"id":7,"wrapped":true}', STORED]);
  assert.equal(first.headers['content-type'], 'application/json; charset=utf-8');
  const second = await ask(app, '/users/7');
  assert.deepEqual([second.body, second.headers['set-cookie']], [first.body, 'visit=2']);
  assert.match(way(second), HIT);
  assert.equal(serialized, 1);
  assert.deepEqual(sent, [first.body, first.body]);

  const etag = String(first.headers.etag);
  const again = await ask(app, '/users/7', { 'if-none-match': etag });
  assert.deepEqual([again.statusCode, again.body, again.headers['content-type']], [304, '', undefined]);
  const head = await ask(app, '/users/7', {}, 'HEAD');
  assert.deepEqual([head.statusCode, head.body, head.headers['content-length']], [200, '', `${first.body.length}`]);
  assert.equal((await ask(app, '/users/x')).statusCode, 400);
  assert.deepEqual((await cache.getEntry('page:user:7'))?.tags, []);
  await app.close();
});

test('a handler may give, send, stream or redirect, by promise or not', async (context) => {
  const { cache } = testCache(context);
  const app = fastify();
  await app.register(tidegate, { cache });
  const cached = (name: string) => ({ config: { cache: { key: () => `page:${name}:1`, statuses: [200, 302] } } });
  app.get('/given', cached('given'), async () => ({ a: 1 }));
  app.get('/sent', cached('sent'), (_request, reply) => {
    setImmediate(() => reply.type('text/x').send('sent'));
  });
  app.get('/awaited', cached('awaited'), async (_request, reply) => {
    await reply.header('x-own', '1').send('awaited');
  });
  app.get('/stream', cached('stream'), async (_request, reply) => reply.send(Readable.from(['a', 'b'])));
  app.get('/response', cached('response'), async () => new Response('web', { headers: { 'x-own': '2' } }));
  app.get('/moved', cached('moved'), (_request, reply) => reply.redirect('/given'));
  const bodies = { given: '{"a":1}', sent: 'sent', awaited: 'awaited', stream: 'ab', response: 'web', moved: '' };
  for (const [name, body] of Object.entries(bodies)) {
    const [first, second] = [await ask(app, `/${name}`), await ask(app, `/${name}`)];
    assert.deepEqual([first.body, second.body, way(first)], [body, body, STORED], name);
    assert.match(way(second), HIT);
    for (const header of ['content-type', 'x-own', 'location'])
      assert.equal(second.headers[header], first.headers[header], header);
  }
  await app.close();
});

test('errors reach the error handler, and what is not found the handler for that', async (context) => {
  const { cache } = testCache(context);
  const app = fastify();
  await app.register(tidegate, { cache });
  const cached = (name: string) => ({ config: { cache: { key: () => `page:${name}:1` } } });
  app.get('/throws', cached('throws'), async () => {
    throw new Error('thrown');
  });
  app.get('/sends', cached('sends'), (_request, reply) => reply.send(new Error('sent')));
  app.get('/refuses', cached('refuses'), async () => {
    throw Object.assign(new Error('teapot'), { statusCode: 418 });
  });
  app.get('/missing', cached('missing'), (_request, reply) => reply.callNotFound());
  const search = { cache: { key: ({ query }: { query: unknown }) => key`page:${(query as { q: string }).q}` } };
  app.get('/search', { config: search }, async () => 'found');
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    void reply.code(error.statusCode ?? 500).send(`told: ${error.message}`);
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send('nowhere'));
  for (const _ of [1, 2]) {
    const answers = await Promise.all(['/throws', '/sends', '/refuses', '/missing'].map((path) => ask(app, path)));
    assert.deepEqual(
      answers.map(({ statusCode, body }) => [statusCode, body]),
      [
        [500, 'told: thrown'],
        [500, 'told: sent'],
        [418, 'told: teapot'],
        [404, 'nowhere'],
      ],
    );
  }
  const { statusCode, body } = await ask(app, '/search');
  assert.equal(statusCode, 400);
  assert.match(body, /told: value 1 of the key's template got undefined/);
  await app.close();
});

test('each context has the manager that was registered in it, and closes it', async () => {
  const [outer, inner] = [new CacheManager(), new CacheManager()];
  const app = fastify();
  await app.register(async (child) => {
    await child.register(tidegate, { cache: inner });
    assert.equal(child.cache, inner);
    child.get('/inner', { config: { cache: { key: () => 'page:one:1' } } }, async () => 'inner');
  });
  assert.equal(app.hasDecorator('cache'), false);
  await app.register(tidegate, { cache: outer, close: false });
  await app.register(tidegate, { options: { service: 'sessions' }, decorator: 'sessions' });
  const { sessions } = app as unknown as { sessions: CacheManager };
  app.get('/outer', { config: { cache: { key: () => 'page:one:1' } } }, async () => 'outer');
  const ofSessions = { sessions: { key: () => 'page:one:1' } } as object;
  app.get('/sessions', { config: ofSessions }, async () => 'sessions');
  app.post('/outer', { config: { cache: { key: () => 'page:one:1' } } }, async () => 'posted');
  app.get('/health', health(app.cache));

  for (const name of ['inner', 'outer', 'sessions']) {
    assert.deepEqual(
      [(await ask(app, `/${name}`)).body, way(await ask(app, `/${name}`)).slice(0, 13)],
      [name, 'tidegate; hit'],
    );
  }
  assert.equal((await ask(app, '/outer', {}, 'POST')).body, 'posted');
  assert.equal((await ask(app, '/health')).json().status, 'ok');
  for (const cache of [outer, inner, sessions]) assert.equal(await cache.exists('page:one:1'), true);
  assert.equal(await closeOn(app).close(), true);
  for (const cache of [inner, sessions]) await assert.rejects(cache.set('a:b', 1), { code: 'ERR_TIDEGATE_CLOSED' });
  assert.equal(await outer.set('a:b', 1), true);
});

test('what cannot work is refused when it is registered', async () => {
  const wrong: [object, RegExp][] = [
    [{ cache: {} }, /cache=\{\} is not a CacheManager/],
    [{ cache: new CacheManager(), options: {} }, /both say/],
    [{ options: { tll: 1 } }, /tll/],
    [{ decorater: 'x' }, /decorater/],
  ];
  for (const [options, why] of wrong) await assert.rejects(async () => fastify().register(tidegate, options), why);
  const app = fastify();
  await app.register(tidegate);
  assert.throws(() => app.get('/x', { config: { cache: { key: 'flat' } } }, async () => 1), /is flat/);
  assert.throws(() => closeOn({} as never), ConfigError);
});

test('what is one client’s is given to nobody who waited with him, and what hooks said of his reply stands', async (context) => {
  const { cache } = testCache(context);
  const app = fastify();
  await app.register(tidegate, { cache });
  app.addHook('onRequest', async (request, reply) => {
    if (request.url.includes('said')) void reply.header('cache-control', 'no-store');
  });
  let runs = 0;
  const route = { config: { cache: { key: () => 'page:of:me', ttl: '1m' } } } as const;
  app.get('/me', route, async (_request, reply) => {
    await new Promise((go) => setTimeout(go, 50));
    runs += 1;
    void reply.header('set-cookie', `run=${runs}`);
    return { runs };
  });
  app.get('/page', { config: { cache: { key: () => 'page:of:all', ttl: '1m', public: true } } }, async () => 'x');
  const answers = await Promise.all([1, 2, 3].map(() => ask(app, '/me')));
  assert.equal(new Set(answers.map(({ headers }) => headers['set-cookie'])).size, 3);
  assert.deepEqual(answers.map(way), Array(3).fill('tidegate; fwd=miss; detail=set-cookie'));
  assert.equal((await ask(app, '/page')).headers['cache-control'], 'public, no-cache');
  const said = await ask(app, '/page?said');
  assert.deepEqual([said.headers['cache-control'], HIT.test(way(said))], ['no-store', true]);
  await app.close();
});
