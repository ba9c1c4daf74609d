/** The scenarios that every language plays, for Node. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parse } from 'smol-toml';
import { Scenario, type ScenarioFile } from './scenario.js';
import { RedisServer } from './support/redis-server.js';

const FOLDER = new URL('../conformance/', import.meta.url);
const CASE_MS = 60_000;

function read(file: string): ScenarioFile {
  // The parser's tables have no prototype; what users compute mostly has one.
  return JSON.parse(JSON.stringify(parse(readFileSync(new URL(file, FOLDER), 'utf8'))));
}

const cases = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.toml'))
  .sort()
  .flatMap((file) => {
    const scenario = read(file);
    const stores = scenario.stores ?? ['memory', 'redis'];
    return stores.map((store) => ({ id: `${file.slice(0, -'.toml'.length)}-${store}`, scenario, store }));
  });

test('there are scenarios', () => {
  assert.ok(cases.length > 40, `${cases.length}`);
});

describe('scenarios', { concurrency: 1 }, () => {
  const shared = new RedisServer();
  before(() => shared.start());
  after(() => shared.stop());

  for (const [number, { id, scenario, store }] of cases.entries()) {
    test(id, { timeout: CASE_MS }, async () => {
      const service = `test${number}`;
      const play = (url: string, server?: RedisServer) =>
        new Scenario(url, service, scenario, server).play(scenario.steps);

      if (store === 'memory') return play(`memory://${service}`);
      assert.equal(store, 'redis');
      if (!scenario.steps.some((step) => 'store' in step)) return play(shared.url, shared);
      const own = new RedisServer();
      await own.start();
      try {
        await play(own.url, own);
      } finally {
        await own.stop();
      }
    });
  }
});
