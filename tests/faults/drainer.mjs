/**
 * A process that works on a queue, in Node: its sink brings the writes to a ledger. `drainer.py` says how.
 *
 *     node tests/faults/drainer.mjs URL LEDGER_PORT
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { CacheManager } from 'tidegate';

const OPTIONS = { batch: 8, maxDelay: '50ms', maxAttempts: 6, partitions: 3 };
const [url, port] = process.argv.slice(2);

async function sink(items) {
  const socket = connect(Number(port), '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write(
      `${JSON.stringify({ pid: process.pid, items: items.map(({ key, value, id }) => [key, value, id]) })}\n`,
    );
    let answer;
    for await (const line of createInterface({ input: socket })) {
      answer = JSON.parse(line);
      break;
    }
    if (answer === undefined || 'error' in answer) throw new Error(answer?.error ?? 'no answer');
  } finally {
    socket.destroy();
  }
}

const cache = new CacheManager({ url, service: 'behind', commandTimeout: '1s' });
cache.writeBehind('counters', sink, OPTIONS);
process.stdout.write('{"works": true}\n');
const lines = createInterface({ input: process.stdin });
await once(lines, 'line');
process.stdout.write(`${JSON.stringify({ closed: await cache.close({ timeout: '20s' }) })}\n`);
lines.close();
