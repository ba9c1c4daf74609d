/**
 * A redis-server of one's own, for tests in Node; the twin of `tests/support/redis_server.py`.
 *
 * It listens on a free port of 127.0.0.1 and keeps its files in a folder of its own. Nothing is written to disk, so a
 * `kill` and `start` come back empty. The server is gone when this process is, however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

const HOST = '127.0.0.1';
const START_MS = 10_000;
const START_ATTEMPTS = 5;
const LOG_CHARACTERS = 2_000;

// The shell becomes the server, and leaves behind a guard that reads a pipe which only the test process holds open:
// when that process ends, by whatever signal, the pipe ends, and the guard ends the server.
const GUARDED = `
server=$(command -v redis-server || command -v valkey-server) || { echo 'no redis-server on PATH'; exit 1; }
(read -r _ <&3; kill -9 $$) >/dev/null 2>&1 &
exec "$server" "$@" 3<&-
`;

/** One redis-server process. The port stays the same through every restart. */
export class RedisServer {
  #port = 0;
  #folder: string | undefined;
  #process: ChildProcess | undefined;
  readonly #removeFolder = () => {
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
  };

  /** Where clients connect: `redis://127.0.0.1:PORT/0`. */
  get url(): string {
    return `redis://${HOST}:${this.#port}/0`;
  }

  /** The process id of the running server. */
  get pid(): number {
    return this.#running().pid ?? 0;
  }

  /** Starts the server; resolves when it accepts connections, rejects with its log when it does not. */
  async start(): Promise<void> {
    if (this.#process) throw new Error('this redis-server runs already');
    if (!this.#folder) {
      this.#folder = mkdtempSync(join(tmpdir(), 'tidegate-redis-'));
      process.once('exit', this.#removeFolder);
    }
    // Another program may take a free port before the server does: a first start may try another.
    for (let left = this.#port ? 1 : START_ATTEMPTS; ; left -= 1) {
      const port = this.#port || (await freePort());
      const [child, log] = await spawned(port, this.#folder);
      if (child) {
        [this.#process, this.#port] = [child, port];
        return;
      }
      if (left === 1) throw new Error(`redis-server did not start on port ${port}:\n${log}`);
    }
  }

  /** Ends the server by SIGKILL, as a crash would; `start` brings it back, empty, on the same port. */
  async kill(): Promise<void> {
    const child = this.#running();
    this.#process = undefined;
    await ended(child);
  }

  /** SIGSTOP: connections stay open and nothing is answered until `resume`. */
  pause(): void {
    this.#running().kill('SIGSTOP');
  }

  /** SIGCONT: the server goes on where `pause` stopped it. */
  resume(): void {
    this.#running().kill('SIGCONT');
  }

  /** Ends the server, where it runs, and removes its folder. */
  async stop(): Promise<void> {
    if (this.#process) await this.kill();
    this.#removeFolder();
    process.off('exit', this.#removeFolder);
    this.#folder = undefined;
  }

  #running(): ChildProcess {
    if (!this.#process) throw new Error('this redis-server does not run; call start() first');
    return this.#process;
  }
}

/** A server that accepts connections, or why there is none. */
async function spawned(port: number, folder: string): Promise<[ChildProcess | undefined, string]> {
  const settings = ['--bind', HOST, '--port', `${port}`, '--dir', folder, '--save', ''];
  const child = spawn('sh', ['-c', GUARDED, 'sh', ...settings], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  let log = '';
  const isReady = new Promise<boolean>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-LOG_CHARACTERS);
        if (log.includes('Ready to accept connections')) resolve(true);
      });
    }
    child.once('close', () => resolve(false));
    AbortSignal.timeout(START_MS).addEventListener('abort', () => resolve(false));
  });
  if (await isReady) return [child, log];
  await ended(child);
  return [undefined, log];
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  (child.stdio[3] as Readable).destroy(); // lets the guard go
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST);
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('a socket without a port');
  return address.port;
}
