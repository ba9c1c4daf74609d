/** Whatever is wrong is a typed error at once that names the argument, shows what was given and a right example. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CacheManager, ConfigError, type Context, KeyFormatError, type Options, type TidegateError } from 'tidegate';
import { KEY, rejection } from './support/stage.js';

// What a program in plain JavaScript may write.
// biome-ignore lint/suspicious/noExplicitAny: wrong programs are what this file is about
type Loose = any;
type Call = (cache: Loose) => unknown;

const one = () => 1;
const none = () => ({});
const many = Array.from({ length: 33 }, (_, number) => `tag:${number}`);
const KEYS_TOO_MANY = Array.from({ length: 10_001 }, () => KEY);
const says = (said: object) => (context: Context) => void Object.assign(context, said);

const KEYS: [name: string, call: Call, says: string][] = [
  ['a flat key', (c) => c.get('user', one), 'key "user" is flat'],
  ['an empty key', (c) => c.get('', one), 'key "" is empty'],
  ['an empty segment', (c) => c.get('user::1', one), 'empty segment at byte 5'],
  ['a space', (c) => c.get('user:a b', one), "' ' at byte 6"],
  ['a glob', (c) => c.invalidate('user:*'), "'*' at byte 5"],
  ['a key that is no text', (c) => c.get(42, one), 'key=42 is a number, not a text'],
  ['a key that is not there', (c) => c.exists(), 'key=undefined is a undefined, not a text'],
  ['a key that is null', (c) => c.getEntry(null), 'key=null is a null, not a text'],
  ['a key as an object', (c) => c.set({ id: 1 }, 1), 'key={ id: 1 } is a object, not a text'],
  ['one flat key of many', (c) => c.getMany([KEY, 'flat'], none), '"flat" is flat'],
  ['one flat key of many to set', (c) => c.setMany({ [KEY]: 1, flat: 2 }), '"flat" is flat'],
  ['one key of many to invalidate that is none', (c) => c.invalidate([KEY, null]), 'key=null is a null'],
  ['one key of many to expire that is none', (c) => c.expire([KEY, 5]), 'key=5 is a number'],
  ['half a surrogate pair', (c) => c.get('user:\udc80', one), 'has a lone surrogate'],
];

const CALLS: [name: string, call: Call, says: string][] = [
  ['neither a fallback nor a default', (c) => c.get(KEY), 'neither a fallback nor a default'],
  ['a number for a fallback', (c) => c.get(KEY, 42), 'neither a fallback nor a default'],
  ['a text for a fallback', (c) => c.get(KEY, 'x'), 'neither a fallback nor a default'],
  ['a promise for a fallback', (c) => c.get(KEY, Promise.resolve(1)), '(is a Promise: did you forget await?)'],
  ['a promise to refresh with', (c) => c.refresh(KEY, Promise.resolve(1)), '(is a Promise: did you forget await?)'],
  ['null for a fallback', (c) => c.get(KEY, null), 'neither a fallback nor a default'],
  ['options without a default', (c) => c.get(KEY, {}), 'neither a fallback nor a default'],
  ['a text to refresh with', (c) => c.refresh(KEY, 'x'), "fallback='x' is not callable"],
  ['nothing to refresh with', (c) => c.refresh(KEY), 'fallback=undefined is not callable'],
  ['a number to fetch with', (c) => c.getMany([KEY], 5), 'fetchMissing=5 is not a function'],
  ['a ttl below zero', (c) => c.get(KEY, one, { ttl: -1 }), 'ttl=-1 is not accepted'],
  ['a ttl of zero', (c) => c.set(KEY, 1, { ttl: 0 }), 'ttl=0 is not accepted'],
  ['a ttl that is no duration', (c) => c.set(KEY, 1, { ttl: '5 minutes' }), 'ttl="5 minutes" is not accepted'],
  ['a ttl that is a list', (c) => c.getMany([KEY], none, { ttl: [1] }), 'ttl='],
  ['a ttl that is null', (c) => c.get(KEY, one, { ttl: null }), 'ttl=null is not accepted'],
  ['a ttl that is no number', (c) => c.refresh(KEY, one, { ttl: Number.NaN }), 'ttl=NaN is not accepted'],
  ['a ttl without end', (c) => c.setMany({ [KEY]: 1 }, { ttl: Number.POSITIVE_INFINITY }), 'ttl='],
  ['a ttl beyond measure', (c) => c.set(KEY, 1, { ttl: 1e30 }), 'ttl=1'],
  ['a ttl in place of options', (c) => c.get(KEY, one, 60), 'options=60 is not an object'],
  ['a text in place of options', (c) => c.set(KEY, 1, '5m'), "options='5m' is not an object"],
  ['null in place of options', (c) => c.getMany([KEY], none, null), 'options=null is not an object'],
  ['a function in place of options', (c) => c.refresh(KEY, one, one), 'options=[Function: one] is not an object'],
  ['a controller for a signal', (c) => c.get(KEY, one, { signal: new AbortController() }), 'signal=AbortController'],
  ['a number for a signal', (c) => c.get(KEY, { default: 1, signal: 5 }), 'signal=5 is not an AbortSignal'],
  ['null for a signal', (c) => c.getMany([KEY], none, { signal: null }), 'signal=null is not an AbortSignal'],
  ['no list of keys', (c) => c.getMany(5, none), 'keys=5 is neither a key nor a list of keys'],
  [
    'keys that are no list',
    (c) => c.invalidate(KEY, KEY),
    'several keys are a list; a right example: cache.invalidate([key1, key2])',
  ],
  ['keys to expire that are no list', (c) => c.expire(KEY, KEY), 'cache.expire([key1, key2])'],
  [
    'tags that are no list',
    (c) => c.invalidateTag('a', 'b'),
    'several tags are a list; a right example: cache.invalidateTag([tag1, tag2])',
  ],
  ['no keys at all', (c) => c.invalidate(), 'keys=undefined is neither a key nor a list of keys'],
  ['an object of keys', (c) => c.expire({ [KEY]: 1 }), 'is neither a key nor a list of keys'],
  ['a list of values', (c) => c.setMany([[KEY, 1]]), 'is neither a Map nor an object'],
  ['a Set of values', (c) => c.setMany(new Set([KEY])), 'is neither a Map nor an object'],
  ['no values at all', (c) => c.setMany(), 'values=undefined is neither a Map nor an object'],
  ['tags that are a text', (c) => c.get(KEY, one, { tags: 'user:42' }), 'tags="user:42"'],
  ['a tag that is no text', (c) => c.getMany([KEY], none, { tags: ['user:42', 42] }), 'tags=42'],
  ['tags within tags', (c) => c.set(KEY, 1, { tags: [['user:42']] }), 'tags=a list'],
  ['more tags than an entry carries', (c) => c.get(KEY, one, { tags: many }), 'tags has 33 names'],
  ['a soft timeout of nothing', (c) => c.refresh(KEY, one, { softTimeout: 0 }), 'softTimeout=0'],
  ['a duration that is an object', (c) => c.get(KEY, one, { staleIfError: {} }), 'staleIfError='],
  ['a null where a duration is due', (c) => c.get(KEY, one, { hardTimeout: null }), 'hardTimeout=null'],
  ['no tags at all', (c) => c.invalidateTag(), 'tags=undefined is neither a tag nor a list of tags'],
  ['clear() of what is no namespace', (c) => c.clear(), "clear() is a namespace's"],
  ['a namespace that is no text', async (c) => c.namespace(42), "cache.namespace('catalog')"],
  [
    'tags on a context that are no list',
    (c) => c.get(KEY, says({ tags: 'user:42' })),
    "ctx.tags='user:42' is not an array",
  ],
  ['too many tags on a context', (c) => c.get(KEY, says({ tags: many })), 'tags has 33 names'],
  ['notModified() where nothing stands', (c) => c.get(KEY, (ctx: Context) => ctx.notModified()), 'ctx.notModified()'],
  ['a codec that there is not', (c) => c.set(KEY, 1, { codec: 'cbor' }), 'codec="cbor" is not accepted'],
  ['a codec of no kind', (c) => c.get(KEY, one, { codec: null }), 'codec=null is not accepted'],
  ['what is no schema', (c) => c.get(KEY, one, { schema: { parse: one } }), 'is not a Standard Schema'],
  ['a class for a schema', (c) => c.getMany([KEY], none, { schema: Date }), 'schema=[Function: Date]'],
  ['null for a schema', (c) => c.refresh(KEY, one, { schema: null }), 'schema=null is not a Standard Schema'],
  ['a text for a schema', (c) => c.get(KEY, { default: 1, schema: 'User' }), "schema='User'"],
  ['no schema for an entry', (c) => c.getEntry(KEY, { schema: {} }), 'schema={}'],
  ['no schema for a sink', async (c) => c.writeBehind('q', null, { schema: 5 }), 'schema=5'],
  [
    'a schema of another version',
    (c) => c.get(KEY, one, { schema: { '~standard': { version: 2, validate: one } } }),
    'schema=',
  ],
  ['more keys than one call takes', (c) => c.getMany(KEYS_TOO_MANY, none), 'keys has 10001 items'],
  ['more keys than one invalidate takes', (c) => c.invalidate(KEYS_TOO_MANY), 'keys has 10001 items'],
  ['more keys than one expire takes', (c) => c.expire(KEYS_TOO_MANY), 'keys has 10001 items'],
  ['more tags than one call takes', (c) => c.invalidateTag(KEYS_TOO_MANY), 'tags has 10001 items'],
  [
    'more values than one call takes',
    (c) => c.setMany(new Map(KEYS_TOO_MANY.map((key, at) => [`${key}:${at}`, at]))),
    'values has 10001 items',
  ],
  ['a timeout below zero', (c) => c.close({ timeout: -1 }), 'timeout=-1 is not accepted'],
  ['a timeout in place of options', (c) => c.close(5), 'options=5 is not an object'],
];

const NO_TAGS: [name: string, call: Call, says: string][] = [
  ['a tag with a space', (c) => c.get(KEY, one, { tags: ['user 42'] }), 'tag "user 42"'],
  ['a tag of tidegate’s own', (c) => c.set(KEY, 1, { tags: ['~ns:catalog'] }), 'tag "~ns:catalog"'],
  ['an empty tag', (c) => c.invalidateTag(['user:42', '']), 'tag ""'],
  ['half of a character in a tag', (c) => c.get(KEY, one, { tags: ['\ud800'] }), 'has a lone surrogate'],
  ['half of a character in a tag to end', (c) => c.invalidateTag('\ud800'), 'has a lone surrogate'],
  ['a tag of a context', (c) => c.get(KEY, says({ tags: ['a b'] })), 'tag "a b"'],
  ['a namespace with a space', async (c) => c.namespace('a b'), 'namespace "a b"'],
];

const UNKNOWN: [name: string, call: Call, says: string][] = [
  ['tll', (c) => c.get(KEY, one, { tll: 5 }), 'did you mean "ttl"?'],
  ['defualt', (c) => c.get(KEY, { defualt: 5 }), 'did you mean "default"?'],
  ['ttl', (c) => c.get(KEY, { default: 5, ttl: 5 }), 'the options are default, schema, signal'],
  ['tt', (c) => c.set(KEY, 1, { tt: 5 }), 'did you mean "ttl"?'],
  ['schema', (c) => c.set(KEY, 1, { schema: { '~standard': 1 } }), 'the options are ttl'],
  ['schemas', (c) => c.getEntry(KEY, { schemas: 1 }), 'did you mean "schema"?'],
  ['signal', (c) => c.setMany({}, { signal: AbortSignal.abort() }), 'the options are ttl'],
  ['softTimout', (c) => c.get(KEY, one, { softTimout: 1 }), 'did you mean "softTimeout"'],
  ['stale', (c) => c.getMany([KEY], none, { stale: 1 }), 'did you mean "staleIfError"'],
  ['stale_if_error', (c) => c.refresh(KEY, one, { stale_if_error: 1 }), 'did you mean "staleIfError"'],
  ['wait', (c) => c.set(KEY, 1, { wait: 1 }), 'the options are ttl, tags, codec, staleIfError, staleWhileRevalidate'],
  ['tags', (c) => c.get(KEY, { default: 1, tags: ['a'] }), 'the options are default, schema, signal'],
  ['signals', (c) => c.refresh(KEY, one, { signals: 1 }), 'did you mean "signal"?'],
  ['require', (c) => c.invalidate(KEY, { require: true }), 'did you mean "required"?'],
  ['Required', (c) => c.expire(KEY, { Required: true }), 'did you mean "required"?'],
  ['timeuot', (c) => c.close({ timeuot: 5 }), 'did you mean "timeout"?'],
];

for (const [name, call, says] of KEYS) {
  test(`${name} is refused`, async () => {
    const error = await refusal(call);
    assert.ok(error instanceof KeyFormatError, inspect(error));
    tells(error, says, 'a right example: "user:profile:42"');
  });
}

for (const [name, call, says] of NO_TAGS) {
  test(`${name} is refused as a name`, async () => {
    const error = await refusal(call);
    assert.ok(error instanceof KeyFormatError, inspect(error));
    tells(error, says, 'a right example: "user:');
  });
}

for (const [name, call, says] of CALLS) {
  test(`${name} is refused`, async () => {
    const error = await refusal(call);
    assert.ok(error instanceof ConfigError, inspect(error));
    tells(error, says, 'a right example: ');
  });
}

for (const [name, call, says] of UNKNOWN) {
  test(`an option ${name} that a call does not have is refused: ${says}`, async () => {
    const error = await refusal(call);
    assert.ok(error instanceof ConfigError, inspect(error));
    tells(error, `there is no option "${name}"`, says);
  });
}

/** The rejection of a wrong call, which must change nothing and keep nothing waiting. */
async function refusal(call: Call): Promise<unknown> {
  const cache = new CacheManager();
  const promise = call(cache);
  assert.ok(promise instanceof Promise, 'it threw, or gave no promise');
  const error = await rejection(promise);
  assert.equal(await cache.exists(KEY), false);
  assert.equal(await cache.close(), true);
  return error;
}

function tells(error: TidegateError, says: string, example: string): void {
  assert.ok(error.message.includes(says), error.message);
  assert.ok(error.message.includes(example), error.message);
}

test('an option that is undefined is as one that is not there', async () => {
  const cache = new CacheManager({ service: undefined, ttl: undefined, metricsEmitter: undefined });
  assert.equal(await cache.get(KEY, one, { ttl: undefined, signal: undefined }), 1);
  assert.equal(await cache.get(KEY, { default: 2, signal: undefined }), 1);
  assert.equal(await cache.set(KEY, 2, undefined), true);
  assert.equal(await cache.invalidate(KEY, { required: undefined }), true);
});

const OPTIONS: [given: unknown, says: string][] = [
  ['redis://localhost:6379/0', "options='redis://localhost:6379/0' is not an object"],
  [null, 'options=null is not an object'],
  [{ url: undefined, service: 'x' }, 'url is undefined: is the environment variable set?'],
  [{ url: 'http://localhost', service: 'x' }, 'scheme "http"'],
  [{ url: 'localhost:6379', service: 'x' }, 'redis://localhost:6379/0'],
  [{ url: '', service: 'x' }, 'redis://localhost:6379/0'],
  [{ url: 5, service: 'x' }, 'url=5 is not a text'],
  [{ url: 'redis://localhost:6379/0' }, 'service is missing'],
  [{ service: 'a:b' }, 'service="a:b"'],
  [{ service: '' }, 'service='],
  [{ service: 5 }, 'service=5'],
  [{ ttll: 5 }, 'did you mean "ttl"'],
  [{ hard_timeout: 5 }, 'did you mean "hardTimeout"'],
  [{ l1: true }, 'l1=true'],
  [{ l1: { maxBytes: '64 apples' } }, 'l1.maxBytes="64 apples"'],
  [{ l1: { max_bytes: 5 } }, 'did you mean "maxBytes"'],
  [{ shareValues: 'yes' }, 'shareValues="yes"'],
  [{ staleIfError: -1 }, 'staleIfError=-1'],
  [{ earlyRefresh: 'often' }, 'earlyRefresh="often"'],
  [{ softTimeout: 0 }, 'softTimeout=0'],
  [{ ttl: -1 }, 'ttl=-1'],
  [{ ttl: null }, 'ttl='],
  [{ ttlJitter: 2 }, 'ttlJitter=2'],
  [{ nullTtl: 'soon' }, 'nullTtl="soon"'],
  [{ hardTimeout: 0 }, 'hardTimeout=0'],
  [{ version: 0 }, 'version=0'],
  [{ version: '1' }, 'version="1"'],
  [{ version: 1.5 }, 'version=1.5'],
  [{ strict: 'yes' }, 'strict="yes"'],
  [{ breaker: 5 }, 'breaker=5'],
  [{ breaker: { failure: 5 } }, 'did you mean "failures"'],
  [{ breaker: { ratio: 2 } }, 'breaker.ratio=2'],
  [{ maxValueBytes: 1e30 }, 'maxValueBytes='],
  [{ codec: 'cbor' }, 'codec="cbor"'],
  [{ codec: 2 }, 'codec=2'],
  [{ compression: 'gzip' }, 'compression="gzip"'],
  [{ compressOver: -1 }, 'compressOver=-1'],
  [{ compressOver: '1KB' }, 'compressOver="1KB"'],
  [{ signingKeys: [] }, 'signingKeys has 0 secrets'],
  [{ signingKeys: ['too short'] }, 'signingKeys has a secret of 9 bytes'],
  [{ signingKeys: 'one secret, not a list' }, 'signingKeys='],
  [{ signingKeys: [42] }, 'signingKeys='],
  [{ signingKey: ['0123456789abcdef'] }, 'did you mean "signingKeys"'],
  [{ metricsEmitter: {} }, 'metricsEmitter={} is not an EventEmitter'],
  [{ metricsEmitter: null }, 'metricsEmitter=null is not an EventEmitter'],
  [{ metricsEmitter: { emit() {} } }, 'is not an EventEmitter'],
  [{ metricsEmitter: EventEmitter }, 'is not an EventEmitter'],
];
for (const [given, says] of OPTIONS) {
  test(`no manager is made of ${inspect(given).split('\n', 1)}: ${says}`, () => {
    assert.throws(
      () => new CacheManager(given as Options),
      (error) => {
        assert.ok(error instanceof ConfigError, inspect(error));
        assert.ok(error.message.includes(says), error.message);
        assert.match(error.message, /a right example: |the options are |did you mean /);
        return true;
      },
    );
  });
}

for (const url of [
  'redis://ada:pa%23s@localhost:6379/0',
  'redis://:secret/secret@localhost:6379/0',
  'redis+unix://ada:secret@/run/redis.sock?db=1&password=secret',
  'redis://ada:secret@localhost:6379/0?password=secret',
  'http://ada:secret@localhost',
]) {
  test(`no password of ${url} is ever shown`, () => {
    let shown: string;
    try {
      shown = inspect(new CacheManager({ url, service: 'billing' }), { depth: 9, showHidden: true });
      assert.ok(shown.includes("service='billing'"), shown);
    } catch (error) {
      assert.ok(error instanceof ConfigError, inspect(error));
      shown = inspect(error);
    }
    assert.ok(!shown.includes('secret') && !shown.includes('pa%23s') && !shown.includes('pa#s'), shown);
  });
}
