/** writeThrough: what `persist` is given, and what a write leaves behind that is aborted, failed or left alone. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { ConfigError, EncodeError, StoreUnavailable } from 'tidegate';
import { program } from './support/program.js';
import {
  deferred,
  eventually,
  KEY,
  onBoth,
  onOwnServer,
  onRedis,
  rejection,
  settled,
  sharedServer,
} from './support/stage.js';

onBoth('persist is given the value as it was given, in the context of its caller', async ({ cache }) => {
  const request = new AsyncLocalStorage<string>();
  const given = { name: 'Ada' };
  const seen: unknown[] = [];
  const persist = async (value: object, { signal }: { signal: AbortSignal }) => {
    seen.push(value, request.getStore(), signal.aborted);
    return 'ignored';
  };
  assert.equal(await request.run('mine', () => cache.writeThrough(KEY, given, persist)), true);
  assert.equal(seen[0], given);
  assert.deepEqual(seen.slice(1), ['mine', false]);
  assert.equal(await cache.writeThrough(KEY, undefined, () => {}), true);
  assert.equal(await cache.get(KEY, { default: 'absent' }), null);
});

onBoth('what persist throws is thrown unchanged, and nothing is left', async ({ cache }) => {
  const error = new RangeError('the row is locked');
  const fails = async () => {
    throw error;
  };
  const failsAtOnce = () => {
    throw error;
  };
  for (const persist of [fails, failsAtOnce]) {
    await cache.set(KEY, 'old');
    assert.equal(await rejection(cache.writeThrough(KEY, 'new', persist)), error);
    assert.equal(await cache.get(KEY, { default: 'absent' }), 'absent');
    assert.equal(await cache.get(KEY, () => 'computed'), 'computed');
    assert.equal(await cache.exists(KEY), true);
  }
});

onBoth('an aborted write rejects at once, and nobody stores before its persist has ended', async (stage) => {
  const cache = stage.make({ wait: 0 });
  const [held, entered, abort] = [deferred(), deferred(), new AbortController()];
  const persist = () => {
    entered.resolve();
    return held.promise;
  };
  const write = cache.writeThrough(KEY, 'new', persist, { signal: abort.signal });
  await entered.promise;
  const reason = new Error('the client has gone');
  abort.abort(reason);
  assert.equal(await rejection(write), reason);
  assert.equal(await cache.get(KEY, () => 'old'), 'old');
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'absent');
  held.resolve();
  await eventually(async () => {
    await cache.get(KEY, () => 'computed');
    return (await cache.get(KEY, { default: 'absent' })) === 'computed';
  });
});

onBoth('a signal that is aborted already keeps persist from being called', async ({ cache }) => {
  const reason = new Error('too late');
  const refuse = () => assert.fail('called');
  assert.equal(await rejection(cache.writeThrough(KEY, 1, refuse, { signal: AbortSignal.abort(reason) })), reason);
});

onRedis('a write that is aborted before its beginning is answered does not persist', async ({ cache }) => {
  const abort = new AbortController();
  const write = cache.writeThrough(KEY, 1, () => assert.fail('called'), { signal: abort.signal });
  const reason = new Error('gone');
  abort.abort(reason);
  assert.equal(await rejection(write), reason);
  await eventually(async () => {
    await cache.get(KEY, () => 'computed');
    return (await cache.get(KEY, { default: 'absent' })) === 'computed';
  });
});

onBoth('a get inside its own persist does not wait for itself', async ({ cache }) => {
  const seen: unknown[] = [];
  const persist = async () => seen.push(await cache.get(KEY, () => 'computed'));
  cache.on('cache.error', () => {});
  assert.equal(await cache.writeThrough(KEY, 'new', persist), true);
  assert.deepEqual(seen, ['computed']);
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'new');
});

onBoth('in a block without the cache the row is written, and the old entry does not survive', async ({ cache }) => {
  await cache.set(KEY, 'old');
  const rows: unknown[] = [];
  assert.equal(await cache.disabled(() => cache.writeThrough(KEY, 'new', (value) => rows.push(value))), false);
  assert.deepEqual(rows, ['new']);
  assert.equal(await cache.get(KEY, { default: 'absent' }), 'absent');
});

onBoth('a close waits for a write, and for one that was aborted too', async (stage) => {
  for (const isAborted of [false, true]) {
    const cache = stage.make();
    const [held, entered, abort] = [deferred(), deferred(), new AbortController()];
    const persist = () => {
      entered.resolve();
      return held.promise;
    };
    const write = cache.writeThrough(KEY, 'new', persist, { signal: abort.signal });
    await entered.promise;
    if (isAborted) {
      abort.abort(new Error('gone'));
      await rejection(write);
    }
    let isClosed = false;
    const closing = cache.close().finally(() => {
      isClosed = true;
    });
    await settled();
    assert.equal(isClosed, false);
    held.resolve();
    if (!isAborted) assert.equal(await write, true);
    assert.equal(await closing, true);
  }
});

onBoth('persist and its options are refused by name', async ({ cache }) => {
  const refused = async (call: Promise<unknown>, pattern: RegExp) => {
    const error = await rejection(call);
    assert.ok(error instanceof ConfigError, `${error}`);
    assert.match(error.message, pattern);
  };
  await refused(cache.writeThrough(KEY, 1, 3 as never), /^persist=3 is not callable; .* a right example: /);
  await refused(
    cache.writeThrough(KEY, 1, () => {}, { onStoreDown: 'maybe' as never }),
    /onStoreDown takes "persist" or/,
  );
  await refused(
    cache.writeThrough(KEY, 1, () => {}, { onStoerDown: 1 } as never),
    /did you mean "onStoreDown"/,
  );
  const unstorable = await rejection(cache.writeThrough(KEY, new Set([1]), () => assert.fail('called')));
  assert.ok(unstorable instanceof EncodeError);
});

onOwnServer('with the store gone a write persists, or is refused', async ({ cache }, server) => {
  await cache.set(KEY, 'old');
  cache.on('cache.error', () => {});
  await server.kill();
  const rows: unknown[] = [];
  const persist = (value: unknown) => rows.push(value);
  assert.equal(await cache.writeThrough(KEY, 1, persist), false);
  const refused = await rejection(cache.writeThrough(KEY, 2, persist, { onStoreDown: 'refuse' }));
  assert.ok(refused instanceof StoreUnavailable);
  assert.deepEqual(rows, [1]);
});

onRedis('a process stays until its write has ended', async (stage) => {
  const { url } = await sharedServer();
  const ended = await program(
    `import { CacheManager } from 'tidegate';
     const cache = new CacheManager({ url: '${url}', service: '${stage.service}', commandTimeout: '10s' });
     cache.writeThrough('${KEY}', 'new', () => {}).then((stored) => console.log(stored));`,
  );
  assert.deepEqual([ended.out, ended.code], ['true', 0], ended.err);
  assert.equal(await stage.cache.get(KEY, { default: 'absent' }), 'new');
});
