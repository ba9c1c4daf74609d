/** The package as programs load it, and its errors. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { inspect } from 'node:util';
import * as tidegate from 'tidegate';
import { CacheManager, ConfigError, EncodeError, TidegateError } from 'tidegate';
import { KEY, rejection } from './support/stage.js';

const required: typeof tidegate = createRequire(import.meta.url)('tidegate');
const { errorCodes } = createRequire(import.meta.url)('../../dist/native/index.cjs') as { errorCodes(): string[] };

test('what `require` gives is what `import` gives, class for class', async () => {
  const imported = { ...tidegate } as Record<string, unknown>;
  for (const noise of ['default', 'module.exports', '__esModule']) delete imported[noise];
  assert.deepEqual(Object.keys(imported).sort(), Object.keys(required).sort());
  for (const [name, value] of Object.entries(required)) assert.equal(imported[name], value, name);
  assert.equal((await import('tidegate')).ConfigError, required.ConfigError);
  const error = await rejection(new required.CacheManager().set(KEY, Symbol('x')));
  assert.ok(error instanceof EncodeError);
});

test('managers of `require` and of `import` meet in memory', async () => {
  const [one, two] = [new required.CacheManager({ url: 'memory://met' }), new CacheManager({ url: 'memory://met' })];
  await one.set(KEY, 'met');
  assert.equal(await two.get(KEY, { default: 'absent' }), 'met');
  assert.equal(await new CacheManager({ url: 'memory://elsewhere' }).get(KEY, { default: 'absent' }), 'absent');
  assert.equal(await new CacheManager().get(KEY, { default: 'absent' }), 'absent');
});

test('the package tells its version', () => {
  const { version } = createRequire(import.meta.url)('tidegate/package.json') as { version: string };
  assert.equal(tidegate.version, version);
});

test('each kind of error of the core has its class, with its name and code', () => {
  const classes = (Object.values(tidegate) as unknown[]).filter(isErrorClass);
  const known = classes.map((Kind) => `${Kind.name}=${new Kind('').code}`);
  assert.deepEqual(known.sort(), errorCodes().sort());
  for (const Kind of classes) {
    const error = new Kind('why', { cause: KEY });
    assert.ok(error instanceof TidegateError && error instanceof Error);
    assert.deepEqual([error.name, error.message, error.cause], [Kind.name, 'why', KEY]);
    assert.ok(error.stack?.startsWith(`${Kind.name}: why\n`), error.stack);
    assert.ok(inspect(error).includes(error.code));
  }
});

function isErrorClass(value: unknown): value is new (message: string, options?: ErrorOptions) => TidegateError {
  return typeof value === 'function' && value.prototype instanceof TidegateError;
}

test('an error of the package has the stack of its caller, and its cause', async () => {
  const cache = new CacheManager();
  const why = new RangeError('by hand');
  const refused = await rejection(
    cache.set(KEY, {
      toJSON() {
        throw why;
      },
    }),
  );
  assert.ok(refused instanceof EncodeError && refused.cause instanceof Error);
  assert.equal(refused.cause.cause, why);
  assert.ok(refused.stack?.includes('package.test.ts'), refused.stack);
  assert.throws(
    () => new CacheManager({ ttl: -1 }),
    (error) => error instanceof ConfigError && error.stack?.includes('package.test.ts') === true,
  );
});
