/** The shop of `examples/`, as a real process on a real Redis, asked over HTTP; whatever framework it is written with. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { ROOT } from './program.js';
import { RedisServer } from './redis-server.js';
import { deferred, eventually } from './stage.js';

const TEST_MS = 60_000;
const START_MS = 30_000;
const REPORT_MS = 800;
// Node keeps connections for five seconds.
const EXIT_MS = 4_000;
const REPORT = 'shop:v1:page:report:all';

/** One process of the shop. */
class Instance {
  out = '';
  readonly exit: Promise<number | null>;

  private constructor(
    readonly child: ChildProcess,
    readonly url: string,
  ) {
    this.exit = once(child, 'exit').then(([code]) => code as number | null);
  }

  static async start(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Instance> {
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe'];
    const child = spawn(process.execPath, argv, { cwd: ROOT, env: { ...inherited, ...env, PORT: '0' }, stdio });
    const [listening, ended] = [deferred<string>(), once(child, 'exit')];
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        out += text;
        const [, port] = /listening on http:\/\/.*:(\d+)/.exec(out) ?? [];
        if (port !== undefined) listening.resolve(`http://localhost:${port}`);
      });
    }
    const late = AbortSignal.timeout(START_MS);
    late.addEventListener('abort', () => listening.reject(new Error(`the shop did not start:\n${out}`)));
    ended.then(() => listening.reject(new Error(`the shop ended:\n${out}`)), listening.reject);
    try {
      return new Instance(child, await listening.promise);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  get(path: string, headers: Record<string, string> = {}, signal: AbortSignal | null = null): Promise<Response> {
    return fetch(this.url + path, { headers, signal });
  }

  /** What it says of itself. */
  async stats(): Promise<Record<string, number>> {
    return (await this.get('/stats')).json() as Promise<Record<string, number>>;
  }

  async change(id: number | string, cents: number): Promise<number> {
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ name: 'lamp', cents });
    const { status } = await fetch(`${this.url}/products/${id}`, { method: 'PUT', headers, body });
    return status;
  }
}

interface Plan {
  env?: NodeJS.ProcessEnv;
  /** Settled when it can be started. */
  ready?: Promise<unknown>;
  /** Only what the framework below has a part in. */
  isShort?: boolean;
}

/** The tests of a shop; `argv` starts one for Node. */
export function shopTests(framework: string, argv: readonly string[], plan: Plan = {}): void {
  describe(framework, () => played(argv, plan));
}

function played(argv: readonly string[], { env = {}, ready, isShort = false }: Plan): void {
  const server = new RedisServer();
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-shop-'));
  const started: Instance[] = [];
  let [one, two]: Instance[] = [];

  const start = async () => {
    const instance = await Instance.start(argv, {
      ...env,
      REDIS_URL: server.url,
      DATABASE: join(folder, 'shop.db'),
      REPORT_MS: `${REPORT_MS}`,
      COMMAND_TIMEOUT: '500ms',
    });
    started.push(instance);
    return instance;
  };
  const both = () => {
    assert.ok(one && two);
    return [one, two] as const;
  };
  const it = (name: string, body: () => Promise<void>) => test(name, { timeout: TEST_MS }, body);
  const itAtLength: typeof it = (name, body) => (isShort ? Promise.resolve() : it(name, body));

  before(async () => {
    await ready;
    await server.start();
    // One after the other: the first makes the tables.
    one = await start();
    two = await start();
  });
  after(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a page is computed once, and a client that has it is answered 304', async () => {
    const [a, b] = both();
    const first = await a.get('/products/1');
    assert.equal(first.status, 200);
    assert.deepEqual(await first.json(), { id: 1, name: 'lamp', cents: 1900 });
    assert.equal(first.headers.get('cache-control'), 'private, max-age=5');
    assert.match(first.headers.get('cache-status') ?? '', /^tidegate; fwd=miss; stored$/);
    const etag = first.headers.get('etag') ?? '';
    assert.match(etag, /^W\/".{10,}"$/);

    const second = await b.get('/products/01');
    assert.deepEqual(await second.json(), { id: 1, name: 'lamp', cents: 1900 });
    assert.deepEqual([second.headers.get('etag'), second.headers.get('age')], [etag, '0']);
    assert.match(second.headers.get('cache-status') ?? '', /^tidegate; hit; ttl=\d\d$/);
    assert.match(second.headers.get('content-type') ?? '', /^application\/json/);
    assert.equal((await b.stats()).queries, 0);

    for (const known of [etag, etag.replace('W/', ''), `"other", ${etag}`, '*']) {
      const again = await b.get('/products/1', { 'if-none-match': known });
      assert.deepEqual([again.status, await again.text(), again.headers.get('etag')], [304, '', etag], known);
      assert.match(again.headers.get('cache-control') ?? '', /^private, max-age=\d+$/);
      assert.equal(again.headers.get('content-type'), null);
    }
    const other = await b.get('/products/1', { 'if-none-match': '"other"' });
    assert.deepEqual([other.status, (await other.text()).length > 10], [200, true]);

    const head = await fetch(`${b.url}/products/1`, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text(), head.headers.get('etag')], [200, '', etag]);
    assert.equal(head.headers.get('content-length'), second.headers.get('content-length'));
  });

  itAtLength('many who ask for a cold page, of two processes, are one run', async () => {
    const [a, b] = both();
    const runs = async () =>
      (await Promise.all([a.stats(), b.stats()])).reduce((sum, { queries = 0 }) => sum + queries, 0);
    const begun = await runs();
    const answers = await Promise.all(Array.from({ length: 40 }, (_, at) => (at % 2 ? a : b).get('/report')));
    for (const answer of answers) assert.deepEqual(await answer.json(), { products: 2, cents: 6800 });
    assert.equal(await runs(), begun + 1);
  });

  it('a change is seen by all at once', async () => {
    const [a, b] = both();
    const before = await b.get('/products/1');
    assert.equal(await a.change('01', 2000), 204);
    const now = await b.get('/products/1', { 'if-none-match': before.headers.get('etag') ?? '' });
    assert.deepEqual([now.status, await now.json()], [200, { id: 1, name: 'lamp', cents: 2000 }]);
    assert.equal(await a.change(1, 1900), 204);
    assert.equal(await a.change(99, 1), 404);
  });

  itAtLength('what is no 200 is not stored', async () => {
    const [a] = both();
    for (const path of ['/products/9', '/products/9']) {
      const answer = await a.get(path, { 'if-none-match': '*' });
      assert.deepEqual([answer.status, answer.headers.get('age')], [404, null]);
      assert.match(await answer.text(), /no such product/);
    }
  });

  itAtLength('one who goes away takes nothing from those who wait', async () => {
    const [a, b] = both();
    assert.equal(await b.change(2, 4900), 204); // the report has to be computed anew
    const { queries = 0 } = await a.stats();
    const leaving = new AbortController();
    const left = a.get('/report', {}, leaving.signal);
    await eventually(async () => (await a.stats()).queries === queries + 1);
    const stayed = a.get('/report');
    await a.stats();
    leaving.abort();
    await assert.rejects(left, { name: 'AbortError' });
    assert.deepEqual(await (await stayed).json(), { products: 2, cents: 6800 });
  });

  itAtLength('with Redis hung it serves, and says so', async () => {
    const [a] = both();
    assert.notEqual(await statusOf(a), 'down');
    server.pause();
    try {
      const answer = await a.get('/products/2');
      assert.deepEqual(await answer.json(), { id: 2, name: 'lamp', cents: 4900 });
      assert.equal(await statusOf(a), 'down');
    } finally {
      server.resume();
    }
    await eventually(async () => (await statusOf(a)) !== 'down');
  });

  it('SIGTERM: what is under way is answered, though its connection is kept open, and it exits with 0', async () => {
    const [a] = both();
    const third = await start();
    assert.equal(await a.change(2, 4900), 204);
    const report = third.get('/report');
    await eventually(async () => (await third.stats()).queries === 1);
    third.child.kill('SIGTERM');
    const answer = await report;
    assert.deepEqual([answer.status, await answer.json()], [200, { products: 2, cents: 6800 }]);
    const answered = performance.now();
    assert.equal(await third.exit, 0);
    assert.ok(performance.now() - answered < EXIT_MS, 'it waited for connections that nobody uses');
    await assert.rejects(third.get('/health'));
  });

  it('SIGTERM: what runs behind is awaited and stored, leases are freed', async () => {
    const [, b] = both();
    const redis = new Redis(server.url);
    try {
      // Past its second it is served stale, and computed anew behind.
      await eventually(async () => /ttl=-/.test((await b.get('/report')).headers.get('cache-status') ?? ''));
      const old = await redis.getBuffer(REPORT);
      // It may have been quicker than this looks; then the next time.
      await eventually(async () => (await b.get('/report')).ok && (await redis.exists(`{${REPORT}}:lease`)) === 1);
      b.child.kill('SIGTERM');
      assert.equal(await b.exit, 0);
      // What is left of a lease says until when it is somebody's: 0 is nobody's.
      const leases = (await redis.keys('*')).filter((key) => key.endsWith(':lease'));
      for (const lease of leases) assert.equal(await redis.hget(lease, 'u'), '0', lease);
      assert.ok(old !== null && !old.equals((await redis.getBuffer(REPORT)) ?? old), 'it is the old one');
    } finally {
      redis.disconnect();
    }
  });

  itAtLength('SIGTERM with Redis gone: what is under way is answered, and it exits with 0', async () => {
    const [a] = both();
    await server.kill();
    const { queries = 0 } = await a.stats();
    const report = a.get('/report');
    await eventually(async () => (await a.stats()).queries === queries + 1);
    a.child.kill('SIGTERM');
    assert.deepEqual(await (await report).json(), { products: 2, cents: 6800 });
    assert.equal(await a.exit, 0);
  });
}

/** What its health route says, which is no reason to take it out of service. */
async function statusOf(instance: Instance): Promise<unknown> {
  const answer = await instance.get('/health');
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { status: unknown }).status;
}
