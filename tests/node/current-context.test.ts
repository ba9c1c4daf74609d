/** currentContext(): the context of the fallback that runs here, for functions whose arguments are their callers'. */
import assert from 'node:assert/strict';
import { setTimeout as pass, setImmediate as turn } from 'node:timers/promises';
import { ConfigError, type Context, currentContext, key } from 'tidegate';
import { KEY, onBoth, rejection } from './support/stage.js';

/** A helper, which knows of no `ctx`. */
async function say(tag: string): Promise<string> {
  await turn();
  currentContext().tags = [tag];
  currentContext().ttl = '1h';
  return currentContext().key;
}

function isOutside(): boolean {
  assert.throws(currentContext, (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^currentContext\(\) outside of a fallback.*cache\.wrap is given$/);
    return true;
  });
  return true;
}

/** Calls until the value is kept, which it is not under a tag that is new. */
async function untilKept(kept: () => Promise<unknown>, call: () => Promise<string>): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    assert.equal(await call(), KEY);
    if ((await kept()) === KEY) return;
    await pass(10);
  }
  assert.fail('never kept');
}

onBoth('a wrapped function says tags and ttl of its row', async (stage) => {
  const cache = stage.make({ ttl: '5m' });
  const getUser = cache.wrap((id: number) => say(key`team:${id + 6}`), {
    key: (id) => key`user:profile:${id}`,
    tags: ['users'],
  });
  await untilKept(
    () => getUser.getCached(1),
    () => getUser(1),
  );
  const entry = await cache.getEntry(KEY);
  assert.deepEqual(entry?.tags.toSorted(), ['team:7', 'users']);
  assert.ok(entry && entry.freshUntil - entry.createdAt > 3_000_000);
  await cache.invalidateTag('team:7');
  assert.equal(await getUser.getCached(1), undefined);
  assert.equal(await getUser.refresh(1), KEY);
});

onBoth('it is the one that the fallback is given', async ({ cache }) => {
  assert.equal(await cache.get(KEY, (ctx) => currentContext() === ctx), true);
  const later = async (ctx: Context) => {
    await pass(5);
    return currentContext() === ctx;
  };
  assert.equal(await cache.get('a:b:1', later), true);
  await cache.get('a:b:2', () => currentContext().skip());
  assert.equal(await cache.exists('a:b:2'), false);
});

onBoth('of nested ones it is the innermost', async ({ cache }) => {
  const outer = async () => {
    const before = currentContext();
    const found = await cache.get('inner:key:1', async () => {
      currentContext().ttl = '7s';
      return currentContext().key;
    });
    return [before.key, found, currentContext() === before, before.ttl];
  };
  assert.deepEqual(await cache.get('outer:key:1', outer, { ttl: 60_000 }), [
    'outer:key:1',
    'inner:key:1',
    true,
    60_000,
  ]);
});

onBoth('beside one another each has its own', async ({ cache }) => {
  const keys = Array.from({ length: 20 }, (_, at) => key`user:profile:${at}`);
  const ask = (key: string) =>
    cache.get(key, async () => {
      await pass(5);
      return currentContext().key;
    });
  assert.deepEqual(await Promise.all(keys.map(ask)), keys);
});

onBoth('what outlives its fallback is outside, of the outer one too', async ({ cache }) => {
  let late: Promise<boolean> | undefined;
  const fallback = () => {
    late = pass(20).then(isOutside);
    return currentContext().key;
  };
  assert.equal(await cache.get(KEY, fallback), KEY);
  assert.equal(await late, true);
  const outer = async () => {
    await cache.get('a:b:1', fallback);
    assert.equal(await late, true);
    return currentContext().key;
  };
  assert.equal(await cache.get('c:d:1', outer), 'c:d:1');
});

onBoth('what is computed behind a caller has its own', async (stage) => {
  const cache = stage.make({ staleWhileRevalidate: '1h', ttl: 50, ttlJitter: 0 });
  await cache.set(KEY, 'old');
  await pass(60);
  const outer = async () => {
    const served = await cache.get(KEY, async () => {
      await turn();
      currentContext().ttl = '1h';
      return currentContext().key;
    });
    assert.equal(currentContext().key, 'outer:key:1');
    return served;
  };
  assert.equal(await cache.get('outer:key:1', outer), 'old');
  let entry = await cache.getEntry(KEY);
  for (let tries = 0; tries < 500 && entry?.value !== KEY; tries += 1) {
    await pass(10);
    entry = await cache.getEntry(KEY);
  }
  assert.equal(entry?.value, KEY);
  assert.ok(entry && entry.freshUntil - entry.createdAt > 3_000_000);
});

onBoth('views of tenants', async ({ cache }) => {
  const view = cache.tenant('acme');
  const getUser = view.wrap((_id: number) => say('team:7'), { key: (id) => key`user:profile:${id}` });
  await untilKept(
    () => getUser.getCached(1),
    () => getUser(1),
  );
  await cache.invalidateTag('team:7'); // another's
  assert.equal(await getUser.getCached(1), KEY);
  await view.invalidateTag('team:7');
  assert.equal(await getUser.getCached(1), undefined);
});

onBoth('without a cache it is there, and says nothing', async ({ cache }) => {
  await cache.disabled(async () => {
    assert.equal(await cache.get(KEY, () => say('team:7')), KEY);
    isOutside();
  });
  assert.equal(await cache.get(KEY, () => cache.disabled(() => say('team:7'))), KEY);
  // Inside of its own fallback a key is computed for its caller alone: a context of its own.
  const nested = async () => {
    const outer = currentContext();
    return cache.get('a:b:1', async () => currentContext() === outer);
  };
  assert.equal(await cache.get('a:b:1', nested), false);
});

onBoth('fields have that of their key', async ({ cache }) => {
  const name = async () => (await cache.getFields(KEY, ['name'], async () => ({ name: await say('team:7') }))).name;
  const kept = async () => (await cache.getFields(KEY, ['name'])).name;
  await untilKept(kept, name as () => Promise<string>);
  await cache.invalidateTag('team:7');
  assert.deepEqual(await cache.getFields(KEY, ['name']), {});
});

onBoth('outside of a fallback it says what to do', async ({ cache }) => {
  isOutside();
  const many = async (keys: string[]) => new Map(keys.map((key) => [key, isOutside()]));
  assert.equal((await cache.getMany([KEY], many)).get(KEY), true);
  assert.equal(await cache.writeThrough(KEY, 1, isOutside), true);
  // Nor is it that of the fallback around it.
  const around = async () => {
    await cache.writeThrough('a:b:1', 1, isOutside);
    await cache.disabled(() => cache.getMany(['a:b:2'], many));
    return (await cache.getMany(['a:b:3'], many)).get('a:b:3');
  };
  assert.equal(await cache.get('c:d:1', around), true);
  const error = await rejection(
    cache.get('e:f:1', () => {
      currentContext();
      throw new RangeError('the row is away');
    }),
  );
  assert.ok(error instanceof RangeError);
  isOutside();
});
