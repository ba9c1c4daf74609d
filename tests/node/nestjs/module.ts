/** The module, its decorators and its interceptor, on Nest itself. `framework-nestjs.test.ts` runs it, by tsx: without metadata. */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  Controller,
  Get,
  Header,
  HttpCode,
  HttpException,
  type INestApplication,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
  Res,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CacheManager, ConfigError, helpersOf, key } from 'tidegate';
import {
  Cached,
  CachedResponse,
  getCacheToken,
  InjectCache,
  InvalidateAfter,
  provideCache,
  TidegateHealth,
  TidegateModule,
} from 'tidegate/nestjs';
import { testCache } from 'tidegate/testing';
import { type Ask, asking, isAnswer } from '../support/http.js';

@Injectable()
class Users {
  reads = 0;

  constructor(
    @Inject(CacheManager) readonly cache: CacheManager,
    @InjectCache('sessions') readonly sessions: CacheManager,
  ) {}

  @Cached({ key: (id: number) => key`user:name:${id}`, tags: (id: number) => [key`user:${id}`], ttl: '1h' })
  async name(id: number): Promise<string> {
    this.reads += 1;
    return `user ${id}, read ${this.reads}`;
  }

  @Cached({ key: (id: number) => key`session:of:${id}`, manager: 'sessions' })
  async session(id: number): Promise<string> {
    this.reads += 1;
    return `session ${id}`;
  }

  @InvalidateAfter({ keys: (id: number) => key`user:name:${id}` })
  async rename(_id: number, name: string): Promise<string> {
    if (name === '') throw new Error('no name');
    return name;
  }

  @InvalidateAfter({ keys: () => 'flat' })
  async written(): Promise<void> {
    this.reads += 1;
  }

  @InvalidateAfter({ tags: (id: number) => [key`user:${id}`] })
  async remove(_id: number): Promise<void> {}
}

class Admins extends Users {
  override async name(id: number): Promise<string> {
    return `admin: ${await super.name(id)}`;
  }
}

interface Reply {
  status(code: number): unknown;
  header(name: string, value: string): unknown;
}

let runs = 0;

const stored = { ttl: '1m', staleIfError: '1h' } as const;

@Controller('pages')
class Pages {
  @Get()
  @CachedResponse({ key: () => 'page:of:all', ...stored })
  all(): object {
    runs += 1;
    return { runs };
  }

  @Get('search')
  @CachedResponse({ key: ({ query }) => key`page:search:${query.q as string}` })
  search(): string {
    return 'found';
  }

  @Get('said/:id')
  @HttpCode(202)
  @Header('cache-control', 'no-store')
  @CachedResponse({ key: 'page:said:{id}', ttl: '1m' })
  said(@Param('id') id: string, @Res({ passthrough: true }) reply: Reply): string {
    runs += 1;
    if (id === 'missing') reply.status(404);
    if (id === 'cookie') reply.header('set-cookie', `run=${runs}`);
    if (id === 'header') reply.header('x-run', `${runs}`);
    return `run ${runs}`;
  }

  @Get(':id')
  @CachedResponse({ key: 'page:of:{id}', ...stored })
  async one(@Param('id') id: string): Promise<string | null> {
    runs += 1;
    if (id === 'missing') throw new NotFoundException('no such page');
    if (id === 'broken') throw new HttpException('sick', 503);
    return id === 'null' ? null : `page ${id}`;
  }
}

async function started(
  ...parts: { imports: object[]; providers?: Type[]; controllers?: Type[] }[]
): Promise<INestApplication> {
  class Root {}
  const [{ imports, providers = [], controllers = [] } = { imports: [] }] = parts;
  Module({ imports: imports as never, providers, controllers })(Root);
  const app = await NestFactory.create(Root, { logger: false, abortOnError: false });
  await app.init();
  return app;
}

async function withUsers(
  context: TestContext,
  work: (users: Users, app: INestApplication) => Promise<void>,
): Promise<void> {
  const { cache } = testCache(context);
  const imports = [
    TidegateModule.forRoot({ cache }),
    TidegateModule.forRootAsync({ name: 'sessions', useFactory: async () => ({ service: 'sessions' }) }),
  ];
  const app = await started({ imports, providers: [Users, Admins] });
  try {
    await work(app.get(Users), app);
  } finally {
    await app.close();
  }
}

test('a method finds the manager of the module, and its helpers take its arguments', async (context) => {
  await withUsers(context, async (users, app) => {
    assert.equal(users.cache, app.get(getCacheToken()));
    assert.equal(users.sessions, app.get(getCacheToken('sessions')));
    assert.deepEqual(
      [await users.name(1), await users.name(1), await users.name(2)],
      ['user 1, read 1', 'user 1, read 1', 'user 2, read 2'],
    );
    assert.equal(await users.cache.exists('user:name:1'), true);
    assert.equal(helpersOf(users, 'name').key(7), 'user:name:7');
    assert.equal(await helpersOf(users, 'name').getCached(1), 'user 1, read 1');
    assert.equal(await helpersOf(users, 'name').refresh(1), 'user 1, read 3');
    assert.equal(await helpersOf(users, 'name').invalidate(1), true);
    assert.equal(await users.name(1), 'user 1, read 4');
    assert.deepEqual(Object.keys(users).sort(), ['cache', 'reads', 'sessions']);

    assert.equal(await users.session(1), 'session 1');
    assert.equal(await users.sessions.exists('session:of:1'), true);
    assert.equal(await users.cache.exists('session:of:1'), false);
    assert.equal(await app.get(Admins).name(1), 'admin: user 1, read 4');
  });
});

test('after a method has ended its entries have, though it failed', async (context) => {
  await withUsers(context, async (users) => {
    await users.name(1);
    assert.equal(await users.rename(1, 'Ada'), 'Ada');
    assert.equal(await users.cache.exists('user:name:1'), false);
    await users.name(1);
    await assert.rejects(users.rename(1, ''), /^Error: no name$/);
    assert.equal(await users.cache.exists('user:name:1'), false);
    await users.name(1);
    await users.remove(1);
    assert.equal(await helpersOf(users, 'name').getCached(1), undefined);
  });
});

test('a manager is closed with its application, and tells terminus how it is', async () => {
  const imports = [TidegateModule.forRoot({ url: 'memory://nest' }), TidegateModule.forRoot({ name: 'sessions' })];
  const app = await started({ imports, providers: [Users] });
  const cache = app.get(CacheManager);
  const sessions = app.get<CacheManager>(getCacheToken('sessions'));
  const { cache: found } = await app.get(TidegateHealth).isHealthy();
  assert.deepEqual([found.status, found.cache, found.store], ['up', 'ok', 'memory']);
  assert.equal((await new TidegateHealth(sessions).isHealthy('sessions', { failOnDown: true })).sessions.status, 'up');
  await app.close();
  for (const one of [cache, sessions]) await assert.rejects(one.set('a:b', 1), { code: 'ERR_TIDEGATE_CLOSED' });
});

test('a store that is down is down for terminus where that is asked for', async (context) => {
  const { cache, store } = testCache(context);
  store.fail('down');
  const indicator = new TidegateHealth(cache);
  assert.equal((await indicator.isHealthy()).cache.status, 'up');
  assert.equal((await indicator.isHealthy('cache', { failOnDown: true })).cache.status, 'down');
});

test('what is wrong with a key is told before anything is written, and no end hides what a method failed with', async (context) => {
  const { cache } = testCache(context);
  const users = provideCache(provideCache(new Users(cache, cache), cache), cache, 'sessions');
  await assert.rejects(users.written(), { code: 'ERR_TIDEGATE_KEY_FORMAT' });
  assert.equal(users.reads, 0);
  await cache.close();
  await assert.rejects(users.rename(1, ''), /no name/);
  await assert.rejects(users.rename(1, 'x'), { code: 'ERR_TIDEGATE_CLOSED' });
});

test('without Nest an object is given its manager, and says so where it has none', async () => {
  const cache = new CacheManager();
  const users = provideCache(provideCache(new Users(cache, cache), cache), cache, 'sessions');
  assert.deepEqual(
    [await users.name(1), await users.name(1), await users.session(1)],
    ['user 1, read 1', 'user 1, read 1', 'session 1'],
  );
  const why = /^ConfigError: Users has no manager: .*TidegateModule.forRoot.*provideCache/;
  await assert.rejects(new Users(cache, cache).name(1), (error) => why.test(String(error)));
  await assert.rejects(new Users(cache, cache).rename(1, 'x'), (error) => why.test(String(error)));
  assert.throws(() => provideCache({}, {} as never), ConfigError);
});

test('a controller’s answers are cached, its exceptions are not', async (context) => {
  const { cache, clock } = testCache(context);
  const app = await started({ imports: [TidegateModule.forRoot({ cache })], controllers: [Pages] });
  await app.listen(0);
  const ask: Ask = asking((await app.getUrl()).replace('[::1]', 'localhost'));
  try {
    const first = await ask('/pages');
    isAnswer(first, 200, '{"runs":1}', 'fwd=miss; stored');
    isAnswer(await ask('/pages'), 200, '{"runs":1}', 'hit');
    assert.equal(first.headers.get('cache-control'), 'private, no-cache');
    isAnswer(await ask('/pages', { 'if-none-match': first.headers.get('etag') ?? '' }), 304, '', 'hit');
    isAnswer(await ask('/pages', {}, { method: 'HEAD' }), 200, '', 'hit');
    isAnswer(await ask('/pages', { authorization: 'x' }), 200, '{"runs":2}', 'fwd=bypass');
    for (const way of ['fwd=miss; stored', 'hit']) {
      const text = await ask('/pages/7');
      isAnswer(text, 200, 'page 7', way);
      assert.equal(text.headers.get('content-type'), 'text/html; charset=utf-8');
    }
    isAnswer(await ask('/pages/null'), 200, '');
    const before = runs;
    for (const _ of [1, 2]) isAnswer(await ask('/pages/missing'), 404, /no such page/);
    isAnswer(await ask('/pages/broken'), 503, /sick/);
    assert.equal(runs, before + 3);
    isAnswer(await ask('/pages/search'), 400, /Bad Request/);
    isAnswer(await ask('/pages/search?q=a'), 200, 'found', 'fwd=miss; stored');
    clock.advance('2m');
    isAnswer(await ask('/pages/7'), 200, 'page 7', 'fwd=miss; stored');
  } finally {
    await app.close();
  }
});

test('what a method says of its response is part of it', async (context) => {
  const { cache } = testCache(context);
  const app = await started({ imports: [TidegateModule.forRoot({ cache })], controllers: [Pages] });
  await app.listen(0);
  const ask: Ask = asking((await app.getUrl()).replace('[::1]', 'localhost'));
  try {
    for (const way of ['fwd=miss; stored', 'hit']) {
      const plain = await ask('/pages/said/plain');
      assert.deepEqual([plain.status, plain.way, plain.headers.get('cache-control')], [202, way, 'no-store']);
    }
    const header = await ask('/pages/said/header');
    const again = await ask('/pages/said/header');
    isAnswer(again, 202, header.body, 'hit');
    assert.equal(again.headers.get('x-run'), header.headers.get('x-run'));
    assert.ok(again.headers.get('x-run'));
    for (const [id, status, why] of [
      ['missing', 404, 'status'],
      ['cookie', 202, 'set-cookie'],
    ] as const) {
      const answers = [await ask(`/pages/said/${id}`), await ask(`/pages/said/${id}`)];
      assert.notEqual(answers[0]?.body, answers[1]?.body);
      for (const { status: found, way } of answers) assert.deepEqual([found, way], [status, `fwd=miss; detail=${why}`]);
    }
  } finally {
    await app.close();
  }
});

test('what cannot work is refused', async () => {
  assert.throws(
    () => Cached({ key: 'user:{id}' as never })({}, 'x', { value: async () => 1 }),
    /key='user:\{id\}' is not a function/,
  );
  assert.throws(() => InvalidateAfter({}), /keys=undefined/);
  assert.throws(() => Cached({ key: () => 'a:b' })({}, 'x', {} as never), /@Cached stands on a method/);
  assert.throws(() => TidegateModule.forRoot({ cache: 1 } as never), /cache=1 is not a CacheManager/);
  assert.throws(() => TidegateModule.forRoot({ tll: 1 } as never), /tll/);
  assert.throws(() => TidegateModule.forRootAsync({} as never), /useFactory=undefined/);
  assert.throws(() => getCacheToken(''), ConfigError);
  assert.throws(
    () => CachedResponse({ key: 'page:of:{id}' })(class {}, undefined as never, undefined as never),
    /stands on a method/,
  );
  @Controller()
  class Wrong {
    @Get('x')
    @CachedResponse({ key: 'flat' })
    x(): number {
      return 1;
    }
  }
  await assert.rejects(started({ imports: [TidegateModule.forRoot()], controllers: [Wrong] }), /is flat/);
  // Nobody has imported the module.
  await assert.rejects(started({ imports: [], controllers: [Pages] }), /CacheManager/);
});
