/**
 * One instance of a service, in JavaScript, that answers: which cities are nearest to this one?
 *
 * What a service needs of tidegate is in `Service.open`: a manager, and `wrap` around the slow function. The rest lets
 * the parent tell it what to do, in the JSON lines that README.md describes. `service.py` is the same in Python.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { CacheManager, key } from 'tidegate';
import { foundTown, nearest } from './cities.mjs';

/** @type {import('tidegate').EventName[]} */
const EVENTS = ['cache.hit', 'cache.miss', 'cache.wait', 'cache.set', 'cache.invalidate', 'cache.error'];

/** The slow function behind a cache, and how often it really ran. */
class Service {
  ran = 0;
  events = {};

  /** Wraps the slow function, and connects, so that no figure counts the connecting. */
  async open({ url, data }) {
    this.data = data;
    // A busy machine may stall Redis for longer than the 100 ms that a command has by default.
    this.cache = new CacheManager({ url, service: 'atlas', ttl: '10m', commandTimeout: '2s' });

    this.nearest = this.cache.wrap(
      (/** @type {number} */ cityId) => {
        this.ran += 1;
        return nearest(data, cityId);
      },
      { key: (cityId) => key`city:nearest:${cityId}` },
    );

    while (!(await this.cache.set('demo:hello:world', true))) await sleep(50);
    for (const name of EVENTS) {
      this.cache.on(name, ({ type }) => {
        this.events[type] = (this.events[type] ?? 0) + 1;
      });
    }
    return {};
  }

  /** Lets one caller, or many at once, ask for one city. */
  async ask({ city, callers = 1, at = 0 }) {
    const ran = this.ran;
    await sleep(Math.max(0, at * 1000 - Date.now()));
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: callers }, () => this.nearest(city)));
    const ms = performance.now() - began;
    if (answers.some((answer) => !isDeepStrictEqual(answer, answers[0]))) {
      throw new Error('callers who asked together were told different things');
    }
    return { nearest: answers[0], ran: this.ran - ran, ms };
  }

  /** Asks for one city after another, as visitors do. */
  async visit({ cities }) {
    const [ran, began] = [this.ran, performance.now()];
    for (const city of cities) await this.nearest(city);
    return { ran: this.ran - ran, ms: performance.now() - began };
  }

  /** Founds a town near a city and tells the cache. */
  async found({ name, city }) {
    await foundTown(this.data, name, city);
    const began = performance.now();
    const confirmed = await this.nearest.invalidate(city);
    const ms = performance.now() - began;
    if (!confirmed) throw new Error('the store did not confirm the invalidation');
    return { ms };
  }

  /** What the observers heard, and what the manager counted. */
  async report() {
    await sleep(200); // events come in batches: let the last one arrive
    const { hits, misses } = this.cache.stats();
    return { events: this.events, hits, misses };
  }

  /** Leaves the cache in order. */
  async close() {
    await this.cache.close();
    return {};
  }
}

/** The answer to one request. Whatever goes wrong, the parent is told. */
async function answer(service, { do: verb, ...request }) {
  try {
    return await service[verb](request);
  } catch (error) {
    return { error: `${error}` };
  }
}

const service = new Service();
// Until `close`, or until the parent is gone.
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify(await answer(service, request)));
  if (request.do === 'close') break;
}
