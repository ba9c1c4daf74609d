/** Entries of an older version, taken over by functions: what these are given, may be, and what becomes of their faults. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CacheManager, ConfigError, type Options } from 'tidegate';
import { KEY, onBoth, reasonsAtTheEnd, rejection, watched } from './support/stage.js';

const OTHER = 'user:profile:2';
const OLD = { name: 'Ada Lovelace' };

interface Old {
  name: string;
}
interface Names {
  first: string;
  last: string;
}

function split(old: Old): Names {
  const [first = '', last = ''] = old.name.split(' ');
  return { first, last };
}

async function order(old: Names): Promise<string[]> {
  return [old.last, old.first];
}

function never(): never {
  throw new Error('the fallback must not run');
}

onBoth('a value goes through the functions of all versions from its own on', async (stage) => {
  await stage.make({ version: 1 }).set(KEY, OLD);
  const newest = stage.make({ version: 3, upgrade: { 1: split, 2: order } });
  assert.deepEqual(await newest.get(KEY, never), ['Lovelace', 'Ada']);
  assert.equal(await newest.namespace('users').get(OTHER, () => 5), 5);
});

onBoth('a function that fails is told, and the fallback serves', async (stage) => {
  await stage.make({ version: 1 }).set(KEY, 7);
  const newer = stage.make({ version: 2, upgrade: { 1: split } });
  const faults = watched(newer, 'cache.error');
  assert.equal(await newer.get(KEY, () => 'computed'), 'computed');
  const mine = new Error('mine');
  const boom = () => Promise.reject(mine);
  assert.equal(await rejection(newer.get(KEY, boom)), mine);
  assert.deepEqual(await reasonsAtTheEnd(newer, faults), ['upgrade', 'upgrade']);
});

onBoth('a batch takes over what it can and fetches the rest', async (stage) => {
  await stage.make({ version: 1 }).setMany({ [KEY]: OLD, [OTHER]: 7 });
  const newer = stage.make({ version: 2, upgrade: { 1: split } });
  const asked: string[][] = [];
  const fetch = (keys: string[]) => {
    asked.push(keys);
    return new Map(keys.map((key) => [key, 'fetched']));
  };
  const found = await newer.getMany([KEY, OTHER, 'user:profile:3'], fetch);
  assert.deepEqual([...found.values()], [split(OLD), 'fetched', 'fetched']);
  assert.deepEqual(asked, [[OTHER, 'user:profile:3']]);
  assert.deepEqual([...(await newer.getMany([KEY], never)).values()], [split(OLD)]);
});

test('what cannot take over is refused by name', () => {
  const refused: [unknown, string][] = [
    [[split], 'is no object of functions'],
    [{ 0: split }, 'upgrade=0 is not accepted'],
    [7, 'upgrade=7 is no object of functions'],
    [{ one: split }, "upgrade has 'one', which is no version"],
    [{ 1: 'split' }, "upgrade[1]='split' is no function"],
    [{ 1: split }, 'upgrade has functions for 1, and version is 1'],
  ];
  for (const [upgrade, said] of refused) {
    assert.throws(
      () => new CacheManager({ upgrade } as Options),
      (error) => error instanceof ConfigError && (error.message.includes(said) || assert.fail(error.message)),
    );
  }
});
