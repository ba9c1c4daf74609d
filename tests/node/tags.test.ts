/** Tags and namespaces: many entries that end at once, whoever stored them. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { inspect } from 'node:util';
import { ClosedError, ConfigError, type Context, KeyFormatError, StoreUnavailable } from 'tidegate';
import { eventually, KEY, onBoth, onOwnServer, rejection, watched } from './support/stage.js';

const OTHER = 'user:profile:2';

onBoth('a tag ends every entry that carries it, in every process, and no other', async (stage) => {
  const [cache, other] = [stage.cache, stage.make()];
  await cache.get(KEY, () => 1, { tags: ['user:1', 'users'] });
  await cache.set(OTHER, 2, { tags: ['users'] });
  await cache.getMany(['user:profile:3'], () => ({ 'user:profile:3': 3 }), { tags: ['guests'] });
  assert.deepEqual((await other.getEntry(KEY))?.tags.sort(), ['user:1', 'users']);
  assert.equal(await other.invalidateTag('users'), true);
  assert.deepEqual(await Promise.all([KEY, OTHER, 'user:profile:3'].map((key) => cache.get(key, { default: null }))), [
    null,
    null,
    3,
  ]);
  assert.equal(await cache.invalidateTag(['guests', 'nobody'], { required: true }), true);
  assert.equal(await other.get('user:profile:3', { default: null }), null);
});

onBoth('an entry without a tag that a call names does not count for it', async ({ cache }) => {
  await cache.get(KEY, () => 'without');
  assert.equal(await cache.get(KEY, () => 'with', { tags: ['user:1'] }), 'with');
  assert.equal(await cache.get(KEY, () => 'never', { tags: ['user:1'] }), 'with');
  assert.equal(await cache.get(KEY, () => 'never'), 'with');
});

onBoth('a fallback adds tags to its call’s', async ({ cache }) => {
  const fallback = (context: Context) => {
    assert.deepEqual(context.tags, []);
    context.tags = ['team:7'];
    assert.deepEqual(context.tags, ['team:7']);
    assert.throws(() => Reflect.apply(Array.prototype.push, context.tags, ['user:9']), TypeError);
    return 'of a team';
  };
  // Under a brand-new tag nothing is kept the first time.
  await eventually(async () => {
    await cache.get(KEY, fallback, { tags: ['user:1'] });
    return (await cache.getEntry(KEY)) !== null;
  });
  assert.deepEqual((await cache.getEntry(KEY))?.tags.sort(), ['team:7', 'user:1']);
  await cache.invalidateTag('team:7');
  assert.equal(await cache.exists(KEY), false);
});

onBoth('a tag that a fallback names wrongly is refused where it is named', async ({ cache }) => {
  let told: unknown;
  const fallback = (context: Context) => {
    try {
      context.tags = ['no name'];
    } catch (error) {
      told = error;
    }
    assert.deepEqual(context.tags, []);
    return 1;
  };
  assert.equal(await cache.get(KEY, fallback), 1);
  assert.ok(told instanceof KeyFormatError);
  assert.equal(await cache.disabled(() => cache.get(KEY, fallback)), 1);
});

onBoth('clear ends a namespace and those within it, and nothing else', async (stage) => {
  const { cache } = stage;
  const shop = cache.namespace('shop');
  const books = shop.namespace('books');
  await cache.set('item:a:1', 0);
  await shop.get('item:b:1', () => 1);
  await books.getMany(['item:c:1'], () => ({ 'item:c:1': 2 }));
  const seen = () => Promise.all(['item:a:1', 'item:b:1', 'item:c:1'].map((key) => cache.get(key, { default: null })));
  assert.deepEqual(await seen(), [0, 1, 2]);
  assert.equal(await books.clear(), true);
  assert.deepEqual(await seen(), [0, 1, null]);
  await books.set('item:c:1', 3);
  assert.equal(await stage.make().namespace('shop').clear({ required: true }), true);
  assert.deepEqual(await seen(), [0, null, null]);
  assert.deepEqual((await cache.getEntry('item:a:1'))?.tags, []);
});

onBoth('what stands outside of a namespace does not count inside', async ({ cache }) => {
  await cache.set(KEY, 'outside');
  const view = cache.namespace('inside');
  assert.equal(await view.get(KEY, { default: null }), null);
  assert.equal(await view.exists(KEY), false);
  assert.equal(await view.get(KEY, () => 'inside'), 'inside');
  assert.equal(await cache.get(KEY, { default: null }), 'inside');
  assert.deepEqual((await view.getEntry(KEY))?.tags, []);
});

onBoth('a view has its manager’s figures, observers, functions and end', async ({ cache }) => {
  const view = cache.namespace('catalog');
  const told = watched(view, 'cache.miss', 'cache.invalidate');
  const getItem = view.wrap(async (id: number) => ({ id }), { key: (id) => `item:page:${id}` });
  assert.deepEqual(await getItem(1), { id: 1 });
  assert.deepEqual(await getItem.getCached(1), { id: 1 });
  await view.clear();
  await view.invalidateTag('item:1');
  assert.equal(await getItem.getCached(1), undefined);
  assert.deepEqual(view.stats().hits, cache.stats().hits);
  assert.equal(inspect(view), inspect(cache));
  await eventually(() => told.length === 4);
  const ends = told.filter((event) => event.type === 'cache.invalidate');
  assert.deepEqual(
    ends.map(({ reason, tag, key, state }) => [reason, tag, key, state]),
    [
      ['namespace', 'catalog', undefined, 'confirmed'],
      ['tag', 'item:1', undefined, 'confirmed'],
    ],
  );
  await view.close();
  assert.ok((await rejection(cache.get(KEY, () => 1))) instanceof ClosedError);
  assert.ok((await rejection(cache.invalidateTag('a'))) instanceof ClosedError);
  assert.ok((await rejection(view.clear())) instanceof ClosedError);
});

onBoth('wrapped functions take tags, as a list or of their arguments', async ({ cache }) => {
  let runs = 0;
  const fetch = async (id: number) => ({ id, run: ++runs });
  const byArguments = cache.wrap(fetch, { key: (id) => `user:a:${id}`, tags: (id) => [`user:${id}`], ttl: '1m' });
  const byList = cache.wrap(fetch, { key: (id) => `user:b:${id}`, tags: ['users'], staleIfError: '1m' });
  for (const id of [1, 2]) await Promise.all([byArguments(id), byList(id)]);
  await cache.invalidateTag('user:1');
  assert.deepEqual([await byArguments.getCached(1), (await byArguments(2)).id], [undefined, 2]);
  assert.deepEqual((await cache.getEntry('user:a:2'))?.tags, ['user:2']);
  await byArguments.refresh(1);
  assert.deepEqual((await cache.getEntry('user:a:1'))?.tags, ['user:1']);
  await cache.invalidateTag('users');
  assert.deepEqual([await byList.getCached(1), await byList.getCached(2), runs], [undefined, undefined, 5]);
  class Users {
    @cache.cached({ key: (id: number) => `user:c:${id}`, tags: (id) => [`user:${id}`] })
    async get(id: number): Promise<number> {
      return id;
    }
  }
  await new Users().get(7);
  assert.deepEqual((await cache.getEntry('user:c:7'))?.tags, ['user:7']);
});

onBoth('a tags function that gives nonsense, or throws, fails its call', async ({ cache }) => {
  const boom = new Error('of the tags');
  const bad = (tags: () => unknown) => cache.wrap(async () => 1, { key: () => KEY, tags: tags as () => string[] });
  assert.ok((await rejection(bad(() => 'user:42')())) instanceof ConfigError);
  assert.ok((await rejection(bad(() => ['a b'])())) instanceof KeyFormatError);
  assert.equal(
    await rejection(
      bad(() => {
        throw boom;
      })(),
    ),
    boom,
  );
  assert.equal(await cache.exists(KEY), false);
});

onBoth('callers of one key under other tags do not share what lacks them', async ({ cache }) => {
  const who = new AsyncLocalStorage<string>();
  const call = (name: string) => who.run(name, () => cache.get(KEY, () => who.getStore(), { tags: [name] }));
  const [one, two] = await Promise.all([call('one'), call('two')]);
  assert.deepEqual([one, two], ['one', 'two']);
});

onOwnServer('with the store away tags are owed, and their entries are not served meanwhile', async (stage, server) => {
  const cache = stage.make({ commandTimeout: '300ms' });
  await cache.set(KEY, 'old', { tags: ['user:1'] });
  await server.pause();
  assert.equal(await cache.invalidateTag('user:1'), false);
  assert.ok((await rejection(cache.namespace('a').clear({ required: true }))) instanceof StoreUnavailable);
  await server.resume();
  assert.equal(await cache.get(KEY, () => 'new', { tags: ['user:1'] }), 'new');
});
