/** A service that its parent tells what to do: one request in JSON a line on stdin, its answer a line on stdout. */
import { createInterface } from 'node:readline';

/** Answers until stdin ends or `close` was asked for. Whatever goes wrong, the parent is told. */
export async function serve(service) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: verb, ...request } = JSON.parse(line);
    let answer;
    try {
      answer = (await service[verb](request)) ?? {};
    } catch (error) {
      answer = { error: `${error}` };
    }
    console.log(JSON.stringify(answer));
    if (verb === 'close') break;
  }
}
