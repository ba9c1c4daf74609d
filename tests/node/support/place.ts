/**
 * The places where managers may meet, by name, kept by `tests/support/keeper.py`: a lone server, a Sentinel's group, a
 * Cluster, by TLS, under accounts.
 *
 * A place is gone when this process is, however that ends: its keeper's input ends then.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Options } from 'tidegate';
import { ROOT } from './program.js';

const PYTHON = '.venv/bin/python';

export type Kind =
  | 'redis'
  | 'unix'
  | 'tls'
  | 'acl'
  | 'tls-acl'
  | 'sentinel'
  | 'sentinel-tls-acl'
  | 'cluster'
  | 'cluster-tls-acl';

/** What the keeper says of it. */
interface Told {
  readonly url: string;
  /** What a manager needs besides, under Python's names. */
  readonly options: { tls?: Record<string, string> };
  /** Where an account has rights to one service's keys only: that service. */
  readonly service: string | null;
}

export class Place {
  readonly url: string;
  /** What a manager needs besides the URL. */
  readonly options: Options;
  readonly service: string | null;
  readonly #keeper: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  /** What is asked is answered in order. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(keeper: ChildProcess, lines: AsyncIterator<string>, { url, options, service }: Told) {
    this.#keeper = keeper;
    this.#lines = lines;
    this.url = url;
    this.options = options as Options;
    this.service = service;
  }

  static async open(kind: Kind): Promise<Place> {
    const keeper = spawn(PYTHON, ['-m', 'tests.support.keeper', kind], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (!keeper.stdout) throw new Error('the keeper has no output');
    const lines = createInterface({ input: keeper.stdout })[Symbol.asyncIterator]();
    const { value, done } = await lines.next();
    if (done) throw new Error(`no ${kind} could be opened`);
    return new Place(keeper, lines, JSON.parse(value) as Told);
  }

  /** SIGSTOP to what holds keys: the server, the master, all nodes of the Cluster. */
  pause = () => this.#ask('pause');
  /** SIGCONT. */
  resume = () => this.#ask('resume');
  /** SIGKILL. */
  kill = () => this.#ask('kill');
  /** After a `kill`: there again, and empty. */
  start = () => this.#ask('start');
  /** Another master, by order of a Sentinel. */
  failover = () => this.#ask('failover');
  /** Removes every key. */
  empty = () => this.#ask('empty');
  /** What accounts have been refused. */
  denials = () => this.#ask('denials') as Promise<string[]>;
  forgetDenials = () => this.#ask('forget_denials');
  /** Ends every connection whose name ends with `:push`. */
  killPushes = () => this.#ask('kill_pushes');

  /** Runs a script on the server that holds `key`. */
  evaluate(script: string, key: string, ...values: (string | number)[]): Promise<unknown> {
    return this.#ask('evaluate', { script, key, arguments: values });
  }

  async close(): Promise<void> {
    this.#keeper.stdin?.end();
    if (this.#keeper.exitCode === null) await once(this.#keeper, 'exit');
  }

  #ask(verb: string, more: Record<string, unknown> = {}): Promise<unknown> {
    const answer = this.#last.then(async () => {
      this.#keeper.stdin?.write(`${JSON.stringify({ do: verb, ...more })}\n`);
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`the keeper ended at ${verb}`);
      const told = JSON.parse(value) as { done?: unknown; error?: string };
      if (told.error !== undefined) throw new Error(`${verb}: ${told.error}`);
      return told.done;
    });
    this.#last = answer.catch(() => {});
    return answer;
  }
}
