/**
 * The scenarios that every language plays, for Node: on memory and on a redis-server, and in the other places where
 * managers may meet. Each `conformance-*.test.ts` plays those of some stores, so that these run at once.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { parse } from 'smol-toml';
import { Scenario, type ScenarioFile } from '../scenario.js';
import { type Kind, Place } from './place.js';

const FOLDER = new URL('../../conformance/', import.meta.url);
const CASE_MS = 60_000;

// The whole set where much is another.
const WHOLE: Kind[] = ['cluster'];
// What differs elsewhere is how connections are made, and that is the core's: some scenarios of every kind.
export const SOME: Kind[] = ['unix', 'tls-acl', 'sentinel', 'sentinel-tls-acl', 'cluster-tls-acl'];
const REPRESENTATIVE = new Set([
  ...['hit', 'stampede', 'late_fill', 'stale_while_revalidate', 'tags', 'namespaces', 'context_tags'],
  ...['l1_changed_elsewhere', 'l1_push_lost', 'lease_runs_out'],
]);
// These need a place of their own each, which takes its time where there are many processes.
const TOUCHING = new Set(['store_hangs', 'store_dies']);
const SLOW: ReadonlySet<Kind> = new Set<Kind>(['sentinel-tls-acl', 'cluster-tls-acl']);

/** `memory`, or a kind of place. */
type Store = 'memory' | Kind;

interface Case {
  readonly id: string;
  readonly scenario: ScenarioFile;
  readonly store: Store;
}

function read(file: string): ScenarioFile {
  // The parser's tables have no prototype; what users compute mostly has one.
  return JSON.parse(JSON.stringify(parse(readFileSync(new URL(file, FOLDER), 'utf8'))));
}

const cases = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.toml'))
  .sort()
  .flatMap((file): Case[] => {
    const [name, scenario] = [file.slice(0, -'.toml'.length), read(file)];
    const stores = (scenario.stores ?? ['memory', 'redis']) as Store[];
    const some = REPRESENTATIVE.has(name) ? SOME : TOUCHING.has(name) ? SOME.filter((kind) => !SLOW.has(kind)) : [];
    const places = stores.includes('redis') ? [...WHOLE, ...some] : [];
    return [...stores, ...places].map((store) => ({ id: `${name}-${store}`, scenario, store }));
  });

/** Every scenario that is for one of these stores. */
export function playOn(...stores: Store[]): void {
  const played = cases.filter(({ store }) => stores.includes(store));

  test('there are scenarios', () => {
    for (const store of stores) assert.ok(played.filter((one) => one.store === store).length >= 10, store);
  });

  describe('scenarios', { concurrency: 1 }, () => {
    /** For all scenarios that leave their store alone. */
    const shared = new Map<Kind, Promise<Place>>();
    after(async () => {
      for (const place of shared.values()) await (await place).close();
    });

    function sharedPlace(kind: Kind): Promise<Place> {
      const place = shared.get(kind) ?? Place.open(kind);
      shared.set(kind, place);
      return place;
    }

    for (const [number, { id, scenario, store }] of played.entries()) {
      test(id, { timeout: CASE_MS }, async () => {
        const service = `test${number}`;
        if (store === 'memory') return new Scenario(`memory://${service}`, service, scenario).play(scenario.steps);
        const isOwn = scenario.steps.some((step) => 'store' in step);
        const place = await (isOwn ? Place.open(store) : sharedPlace(store));
        try {
          await playIn(place, service, scenario);
        } finally {
          if (isOwn) await place.close();
        }
      });
    }
  });
}

async function playIn(place: Place, service: string, scenario: ScenarioFile): Promise<void> {
  const play = (name: string) => new Scenario(place.url, name, scenario, place).play(scenario.steps);
  if (place.service === null) return play(service);
  // An account has rights to the keys of one service.
  await place.empty();
  await place.forgetDenials();
  await play(place.service);
  assert.deepEqual(await place.denials(), []);
}
