/** Tenants: what a view is, and that no name, key or tag reaches what is another's, in any call that there is. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import {
  type CacheEvent,
  CacheManager,
  ConfigError,
  type Context,
  KeyFormatError,
  key,
  TidegateError,
  tag,
} from 'tidegate';
import { RedisServer } from './support/redis-server.js';
import { deferred, eventually, KEY, onBoth } from './support/stage.js';

const [TAG, NAMESPACE, LONG] = ['user:1', 'catalog', `user:${'x'.repeat(300)}`] as const;
const OF_FIELDS = 'user:fields:1';
const [VICTIM, SECRET, OWN] = ['victim', "the victim's", "the manager's own"] as const;

/** What somebody would call himself who wants to be another; all that are no name are refused. */
const NAMES: readonly string[] = [
  ...[
    'Victim',
    'victim ',
    ' victim',
    'victim:',
    ':victim',
    '@victim',
    '@victim:',
    '%40victim',
    'victim:user',
    '%76ictim',
  ],
  ...[
    'victi',
    'victimm',
    'victim%00',
    'victim\0',
    'victim\n',
    '\u0435victim',
    'v\u0456ctim',
    '\uff56ictim',
    'vi\u200bctim',
  ],
  ...'* ? [v]ictim {victim} }victim{ .. ../victim ~tag ~tag:@victim v1 % %% # \\'.split(' '),
  ...[
    '',
    'x'.repeat(100),
    'x'.repeat(101),
    ':'.repeat(33),
    'victim'.repeat(1_000),
    '\ud800',
    '__proto__',
    'constructor',
  ],
];
const REFUSED = ['', 'x'.repeat(101), 'victim'.repeat(1_000), '\ud800'];
/** Keys, tags and names of namespaces that he would ask for. Most are refused. */
const TEXTS: readonly unknown[] = [
  ...['@victim:user:profile:1', '@victim', '@:user:profile:1', '%40victim:user:profile:1', '..:@victim:user:profile:1'],
  ...['victim:user:profile:1', 'v1:@victim:user:profile:1', '~tag:@victim:user:1', '@victim:user:1', '~ns:catalog'],
  ...['@victim:~ns:catalog', 'user:profile:1\0', 'user:profile:1\n', 'user:profile:*', '{user:profile:1}:lease', LONG],
  ...['@victim:user:fields:1', 'user:fields:1', '{user:fields:1}:fields'],
  ...['user:profile:1}:lease', 'user:profile:1', 'user:1', 'catalog', '..', '', ':', '\ud800:x', '__proto__:x'],
  ...[
    `@victim:${LONG}`,
    'user:profile:\uff11',
    7,
    null,
    undefined,
    Symbol('x'),
    { toString: () => '@victim:user:profile:1' },
  ],
];

/** The manager as JavaScript sees it, with what is `@internal` in TypeScript. */
// biome-ignore lint/suspicious/noExplicitAny: whatever is given is what is tried
type Any = any;
type Case = (view: Any, text: Any) => unknown;

const fetched = () => 'fetched';

async function cachedBy(functionOf: (view: Any, text: Any) => Any, view: Any, text: Any): Promise<unknown> {
  const cached = functionOf(view, text);
  return [await cached(), await cached.getCached(), await cached.invalidate()];
}

function decorated(view: Any, text: Any): unknown {
  const method = { value: fetched, writable: true };
  return view
    .cached({ key: () => text, tags: [text] })({}, 'method', method)
    .value();
}

async function putBehind(view: Any, text: Any): Promise<unknown> {
  const seen: unknown[] = [];
  const behind = view.writeBehind('counters', (items: unknown[]) => void seen.push(...items));
  try {
    await behind.put(text, 'overwritten');
    await behind.flush({ timeout: 5_000 });
    return seen;
  } finally {
    await behind.close();
  }
}

/** A handler that names what he wants. */
async function told(view: Any, text: Any): Promise<void> {
  const { promise, resolve } = deferred();
  const handle = () => {
    resolve();
    return [text, tag(text)];
  };
  const subscription = view.onEvent('user.updated', handle, { maxAttempts: 1 });
  try {
    assert.ok(await subscription.started());
    await view.publishEvent('user.updated', null);
    await promise;
  } finally {
    await subscription.close();
  }
}

/** What he is told of faults names himself. */
async function observed(view: Any, text: Any): Promise<unknown> {
  const seen: CacheEvent[] = [];
  const observer = (event: CacheEvent) => seen.push(event);
  view.on('cache.error', observer);
  try {
    await view.get(text, { default: null });
  } finally {
    view.off('cache.error', observer);
  }
  return seen;
}

/** By the method's name: all that it can be asked for. A method without a case fails the first test. */
const CASES: Record<string, Case> = {
  get: (view, text) => view.get(text, { default: 'absent' }),
  getMany: (view, text) => view.getMany([text], (keys: string[]) => new Map(keys.map((one) => [one, 'fetched']))),
  getEntry: (view, text) => view.getEntry(text),
  exists: (view, text) => view.exists(text),
  set: (view, text) => view.set(text, 'overwritten', { tags: [TAG] }),
  writeThrough: (view, text) => view.writeThrough(text, 'overwritten', () => undefined, { tags: [TAG] }),
  setMany: (view, text) => view.setMany([[text, 'overwritten']]),
  getFields: (view, text) => view.getFields(text, ['name'], () => ({ name: 'fetched' })),
  setFields: (view, text) => view.setFields(text, { name: 'overwritten' }, { tags: [TAG] }),
  invalidateField: (view, text) => view.invalidateField(text, 'name'),
  invalidate: (view, text) => view.invalidate(text),
  expire: (view, text) => view.expire([text]),
  invalidateTag: (view, text) => view.invalidateTag(text),
  refresh: (view, text) => view.refresh(text, () => 'refreshed', { tags: [TAG] }),
  wrap: (view, text) => cachedBy((one, name) => one.wrap(fetched, { key: () => name, tags: [name] }), view, text),
  cached: decorated,
  disabled: (view, text) => view.disabled(() => view.get(text, fetched)),
  namespace: (view, text) => view.namespace(text).get(KEY, { default: 'absent' }),
  clear: (view, text) => view.namespace(text).clear(),
  tenant: (view, text) => view.tenant(text).get(KEY, { default: 'absent' }),
  on: observed,
  off: observed,
  stats: (view) => view.stats(),
  readBy: (view, text) => inspect(view.readBy({ tags: [text] })),
  termsBy: (view, text) => inspect(view.termsBy({ tags: [text] })),
  getBy: (view, text) => view.getBy(text, fetched, view.readBy({ tags: [TAG] })),
  refreshBy: (view, text) => view.refreshBy(text, fetched, view.readBy(undefined)),
  peekBy: (view, text) => view.peekBy(text, view.readBy(undefined), 'absent'),
  writeBehind: putBehind,
  publishEvent: (view, text) => view.publishEvent(text, 'overwritten'),
  onEvent: told,
  eventDeadLetters: (view, text) => view.eventDeadLetters(text === 'catalog' ? 'user.updated' : text).list(),
  // They take no text, and tell of the whole manager: prometheus.test.ts looks for a tenant there.
  metrics: () => undefined,
  health: () => undefined,
  prometheusText: () => undefined,
  house: () => undefined,
  scope: () => undefined,
  // They close the manager, as those of any view do.
  close: () => undefined,
  [String(Symbol.asyncDispose)]: () => undefined,
  [String(inspect.custom)]: (view) => inspect(view),
};

test('every method has a case', () => {
  const methods: PropertyKey[] = [];
  for (let at = CacheManager.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    methods.push(...Reflect.ownKeys(at).filter((name) => name !== 'constructor'));
  }
  assert.deepEqual(
    methods.map(String).sort(),
    Object.keys(CASES).sort(),
    'a new one: what could it reach of another’s?',
  );
});

async function attack(cache: CacheManager, hasL1: boolean): Promise<void> {
  const victim = cache.tenant(VICTIM);
  await victim.namespace(NAMESPACE).set(KEY, SECRET, { tags: [TAG] });
  await victim.set(LONG, SECRET);
  await victim.namespace(NAMESPACE).setFields(OF_FIELDS, { name: SECRET }, { tags: [TAG] });
  await cache.namespace(NAMESPACE).set(KEY, OWN, { tags: [TAG] });
  const check = async (what: string) => {
    for (let times = hasL1 ? 2 : 1; times > 0; times -= 1) {
      assert.equal(await victim.namespace(NAMESPACE).get(KEY, () => what, { tags: [TAG] }), SECRET, what);
      assert.equal(await victim.get(LONG, { default: what }), SECRET, what);
      assert.deepEqual(await victim.getFields(OF_FIELDS, ['name']), { name: SECRET }, what);
    }
  };
  await check('before');
  const refused: string[] = [];
  // The manager's own calls are somebody's too, who must not reach into a tenant's.
  for (const [at, name] of [...NAMES, undefined].entries()) {
    let attacker = cache;
    try {
      if (name !== undefined) attacker = cache.tenant(name);
    } catch (error) {
      assert.ok(error instanceof KeyFormatError, `${error}`);
      refused.push(name as string);
      continue;
    }
    for (const [number, [method, ask]] of Object.entries(CASES).entries()) {
      // A third of them for each name and method: every two of the three meet.
      const texts = name === undefined ? TEXTS : TEXTS.filter((_, place) => (place + at + number) % 3 === 0);
      for (const text of texts) {
        let seen: unknown;
        try {
          seen = await ask(attacker, text);
        } catch (error) {
          assert.ok(error instanceof TidegateError || error instanceof TypeError, inspect(error));
        }
        const shown = inspect(seen, { depth: 9 });
        assert.ok(!shown.includes(SECRET), `tenant(${inspect(name)}).${method}(${inspect(text)}) gave ${shown}`);
        if (name !== undefined)
          assert.ok(!shown.includes(OWN), `${inspect(name)}, ${method}, ${inspect(text)}: ${shown}`);
      }
    }
    await check(`as ${inspect(name)}`);
    if (name === undefined) continue;
    assert.equal(await cache.namespace(NAMESPACE).get(KEY, () => name, { tags: [TAG] }), OWN, name);
    const { hits } = attacker.stats();
    await victim.get(KEY, { default: null });
    assert.equal(attacker.stats().hits, hits, name);
  }
  assert.deepEqual(refused, REFUSED);
}

onBoth('no call reaches another tenant’s', ({ cache }) => attack(cache, false));
onBoth('no call reaches what L1 holds of another tenant’s', (stage) => attack(stage.make({ l1: '16MB' }), true));

describe('on a server', { concurrency: 1 }, () => {
  const server = new RedisServer();
  let redis: Redis;
  before(async () => {
    await server.start();
    redis = new Redis(server.url);
  });
  after(async () => {
    redis.disconnect();
    await server.stop();
  });
  const open = () => new CacheManager({ url: server.url, service: 'billing', commandTimeout: '5s' });

  test('each key stands under the tenant that it was written by', async () => {
    await redis.flushall();
    const cache = open();
    await attack(cache, false);
    await cache.close();
    // Those of `TEXTS` are what the manager's own calls of `tenant` made.
    const names = [VICTIM, ...NAMES, ...TEXTS].filter((name) => isName(name)) as (string | number)[];
    const scopes = new Set(names.map((name) => `@${key('x', name).slice(2)}:`));
    const found = new Set<string>();
    for (const raw of await redis.keys('*')) {
      // Those of events are everybody's.
      if (raw === 'billing:~versions' || /^\{?tidegate:events:/.test(raw)) continue;
      const local = /^\{?billing:(?:v1|~tag|~queue):([^}]*)/.exec(raw)?.[1];
      assert.ok(local !== undefined, raw);
      const scope = local.startsWith('@') ? local.slice(0, local.indexOf(':') + 1) : '';
      assert.ok(scope === '' || scopes.has(scope), raw);
      assert.ok(!local.slice(scope.length).includes('@'), raw);
      found.add(scope);
    }
    assert.ok(found.size > NAMES.length / 2, 'they wrote');
  });

  for (const vector of vectors()) {
    test(`${vector.value} is as the vectors say`, async () => {
      await redis.flushall();
      const cache = open();
      const view = cache.tenant(part(vector.tenant)).namespace(vector.namespace);
      assert.equal(await view.set(vector.relative, 1, { tags: [vector.tag] }), true);
      await cache.close();
      const expected = [vector.value, vector.tag_key, vector.namespace_key, 'billing:~versions'];
      assert.deepEqual((await redis.keys('*')).sort(), expected.sort());
      const entry = await redis.getBuffer(vector.value);
      assert.equal(entry?.subarray(52, 68).toString('hex'), vector.hash);
      assert.ok(entry?.includes(vector.tag_recorded));
    });
  }
});

interface Vector {
  tenant: Record<string, string>;
  relative: string;
  value: string;
  hash: string;
  tag: string;
  tag_key: string;
  tag_recorded: string;
  namespace: string;
  namespace_key: string;
}

function vectors(): Vector[] {
  return JSON.parse(readFileSync(new URL('../vectors/keys.json', import.meta.url), 'utf8')).tenants;
}

/** A UUID is a text here: Node has no type for it. */
function part(tenant: Record<string, string>): string | number {
  if (tenant.int !== undefined) return Number(tenant.int);
  return tenant.uuid?.toLowerCase() ?? (tenant.text as string);
}

function isName(name: unknown): boolean {
  try {
    return new CacheManager().tenant(name as string) instanceof CacheManager;
  } catch {
    return false;
  }
}

test('what is no name is refused with a right example, and so are options that are none', () => {
  const cache = new CacheManager();
  const { tenants_refused: refused } = JSON.parse(
    readFileSync(new URL('../vectors/keys.json', import.meta.url), 'utf8'),
  );
  for (const name of [...refused.map((one: { text: string }) => one.text), null, undefined, 1.5, {}, [], '\udfff']) {
    assert.throws(
      () => cache.tenant(name),
      (error) =>
        error instanceof KeyFormatError && error.message.length < 400 && /cache\.tenant\('acme'\)/.test(error.message),
    );
  }
  for (const [options, said] of [
    [{ ttll: 1 }, /did you mean "ttl"/],
    [{ maxFallbacks: 0 }, /maxFallbacks=0/],
    [{ signal: new AbortController().signal }, /no option "signal"/],
    [{ tags: 'eu' }, /tags="eu"/],
    [5, /options=5 is not an object/],
  ] as const) {
    assert.throws(
      () => cache.tenant('acme', options as object),
      (error) => error instanceof ConfigError && said.test(error.message),
    );
  }
  assert.throws(() => cache.tenant('acme', { tags: ['\ud800'] }), KeyFormatError);
  for (const view of [cache.tenant('acme'), cache.tenant('acme').namespace('shop')]) {
    assert.throws(() => view.tenant('other'), ConfigError);
  }
});

onBoth('views of one tenant share figures, which are no other’s', async (stage) => {
  const cache = stage.make({ l1: '1MB' });
  const acme = () => cache.tenant('acme');
  await acme().set(KEY, { id: 1 });
  await eventually(async () => {
    await acme().get(KEY, () => 9);
    return acme().stats().l1_hits > 0;
  });
  // Each of a view that is let go at once.
  const before = acme().stats().hits;
  for (let times = 0; times < 5; times += 1) assert.deepEqual(await acme().get(KEY, () => 9), { id: 1 });
  assert.equal(acme().stats().hits, before + 5);
  const { hits, l1_hits } = cache.stats();
  assert.deepEqual([acme().stats().hits, acme().stats().l1_hits], [hits, l1_hits]);
  assert.deepEqual(Object.keys(acme().stats()), Object.keys(cache.stats()));
  assert.equal(cache.tenant('other').stats().hits, 0);
  for (let number = 0; number < 600; number += 1) {
    const one = cache.tenant(number);
    await one.set(KEY, number);
    await one.get(KEY, () => 9);
    await one.get(KEY, () => 9);
  }
  assert.equal(cache.tenant(7).stats().hits, 2);
  assert.ok(cache.stats().hits >= hits + 1_200);
});

onBoth('an event names the tenant, as it was named', async (stage) => {
  const cache = stage.make({ l1: '1MB' });
  const seen: CacheEvent[] = [];
  for (const name of ['cache.set', 'cache.hit', 'cache.invalidate', 'cache.error'] as const) {
    cache.on(name, (event: CacheEvent) => void seen.push(event));
  }
  const odd = cache.tenant('ä b:%41/@');
  await odd.set(KEY, 1, { tags: [TAG] });
  await eventually(async () => {
    await odd.get(KEY, { default: null });
    return odd.stats().l1_hits > 0;
  });
  await odd.invalidateTag(TAG);
  await odd.namespace('shop').clear();
  await odd.get(KEY, (): unknown => odd.get(KEY, () => 1));
  await cache.set(KEY, 1);
  await eventually(async () => seen.some(({ reason }) => reason === 'nested') && seen.at(-1)?.tenant === undefined);
  const own = seen.filter(({ tenant }) => tenant === undefined);
  assert.deepEqual([own.length, own[0]?.type], [1, 'cache.set'], inspect(seen));
  assert.ok(seen.every((event) => event.tenant === 'ä b:%41/@' || event === own[0]));
  assert.ok(seen.some(({ source, key: told }) => source === 'l1' && told === KEY));
  assert.deepEqual(
    seen.filter(({ type }) => type === 'cache.invalidate').map(({ tag, reason }) => [tag, reason]),
    [
      [TAG, 'tag'],
      ['shop', 'namespace'],
    ],
  );
});

onBoth('a read of another tenant’s same key from inside a fallback is no read of its own', async ({ cache }) => {
  const [acme, other] = [cache.tenant('acme'), cache.tenant('other')];
  const reasons: unknown[] = [];
  cache.on('cache.error', ({ reason }) => void reasons.push(reason));
  assert.equal(await acme.get(KEY, (): unknown => other.get(KEY, () => 1)), 1);
  assert.equal(await other.exists(KEY), true);
  const map = await acme.getMany(['user:profile:2'], async () => other.getMany(['user:profile:2'], () => ({})));
  assert.deepEqual([...map], [['user:profile:2', null]]);
  assert.equal(await other.exists('user:profile:2'), true);
  assert.deepEqual(reasons, []);
});

onBoth('tags that a tenant’s fallback names are its own', async ({ cache }) => {
  const acme = cache.tenant('acme', { tags: ['eu'] });
  const fallback = (context: Context) => {
    assert.throws(() => {
      context.tags = ['@other:x'];
    }, KeyFormatError);
    context.tags = ['late'];
    return 1;
  };
  await eventually(async () => {
    await acme.get(KEY, fallback);
    return acme.exists(KEY);
  });
  assert.deepEqual((await acme.getEntry(KEY))?.tags.sort(), ['eu', 'late']);
  await cache.invalidateTag('late');
  assert.equal(await acme.exists(KEY), true);
  await acme.invalidateTag('late');
  assert.equal(await acme.exists(KEY), false);
});
