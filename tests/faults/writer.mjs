/**
 * A process of row 23's fleet, in Node: it writes rows through the cache and reads them, and dies where it is told to.
 *
 *     node tests/faults/writer.mjs CONTENDER URL DATABASE OPTIONS
 *
 * `writer.py` is the same in Python, and says what the lines mean.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openContender } from '../support/contenders.mjs';

const CONNECTIONS = 4;

class PersistFailed extends Error {}

/** Connections to the database, each for one question at a time. */
class Pool {
  #free = [];
  #waiting = [];

  constructor(connections) {
    this.#free.push(...connections);
  }

  async ask(question) {
    const one = this.#free.pop() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
    try {
      one.socket.write(`${JSON.stringify(question)}\n`);
      return JSON.parse((await one.lines.next()).value);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(one);
      else this.#free.push(one);
    }
  }
}

/** One call; what became of it. */
async function call(cache, rows, asked) {
  const { key, ends } = asked;
  await sleep(asked.at_ms);
  if (!('value' in asked)) {
    await cache.get(key, () => rows.ask({ read: key }));
    return 'read';
  }
  const persist = async (value) => {
    await sleep(asked.before_ms);
    if (ends === 'before') throw new PersistFailed();
    await rows.ask({ write: key, value });
    if (ends === 'dies') process.kill(process.pid, 'SIGKILL');
    await sleep(asked.after_ms);
    if (ends === 'after') throw new PersistFailed();
  };
  try {
    return (await cache.writeThrough(key, asked.value, persist)) ? 'stored' : 'unstored';
  } catch (error) {
    if (error instanceof PersistFailed) return 'failed';
    throw error;
  }
}

const [contender, url, database, options] = process.argv.slice(2);
const connections = await Promise.all(
  Array.from({ length: CONNECTIONS }, async () => {
    const socket = connect(database);
    await once(socket, 'connect');
    return { socket, lines: createInterface({ input: socket })[Symbol.asyncIterator]() };
  }),
);
const rows = new Pool(connections);
const cache = await openContender(contender, url, JSON.parse(options));
cache.on('cache.error', () => {}); // answers that are lost are meant
let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { do: calls = [], check = [] } = JSON.parse(line);
  const read = (key) => cache.get(key, () => rows.ask({ read: key }));
  const came = await Promise.all([...calls.map((one) => call(cache, rows, one)), ...check.map(read)]);
  process.stdout.write(`${JSON.stringify({ number, came })}\n`);
  number += 1;
}
await cache.close();
for (const { socket } of connections) socket.destroy();
