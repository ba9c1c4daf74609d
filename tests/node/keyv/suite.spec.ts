/** Keyv's own suite of its storage adapters, on a real Redis. `framework-keyv.test.ts` runs it. */
import keyvTestSuite from '@keyv/test-suite';
import Keyv from 'keyv';
import { CacheManager } from 'tidegate';
import { TidegateStore } from 'tidegate/keyv';
import * as test from 'vitest';

// A machine that is busy is no fault of the store.
const patient = { commandTimeout: '5s', connectTimeout: '5s' };
const cache = new CacheManager({ url: process.env.REDIS_URL ?? 'memory://', service: 'keyv', ...patient });
test.afterAll(() => cache.close());

// Not `keyvIteratorTests`: the store cannot list its keys, and says so by having no `iterator`.
keyvTestSuite(test, Keyv, () => new TidegateStore(cache));
