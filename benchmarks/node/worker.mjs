/**
 * One contender in a process of its own, which does what the orchestrator says: a line of JSON in, a line of JSON out.
 *
 *     BENCH_PEERS=… node [--expose-gc] benchmarks/node/worker.mjs NAME redis://127.0.0.1:6379/0
 *
 * `commands.mjs` has what it can do; `python/worker.py` does the same.
 */

import { createInterface } from 'node:readline';
import { contender } from './adapters.mjs';
import { Commands } from './commands.mjs';

const [name, url] = process.argv.slice(2);
console.log = console.error; // stdout is for answers

function answer(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

async function answered(commands, line) {
  try {
    return await commands.run(JSON.parse(line));
  } catch (error) {
    console.error(error);
    return { error: `${error.name}: ${error.message}` };
  }
}

const asked = contender(name, url);
const commands = new Commands(asked, await asked.open());
answer({ ready: true, version: asked.version });
for await (const line of createInterface({ input: process.stdin })) answer(await answered(commands, line));
await commands.close();
process.exit(0); // whatever timers and connections a peer leaves
