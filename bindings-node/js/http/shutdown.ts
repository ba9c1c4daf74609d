/** The end of a service: what is under way is answered, what runs behind is awaited, leases are freed. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { ConfigError } from '../errors.js';
import { timeoutOf } from '../given.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { checkOptions, type Duration } from '../options.js';

type OnRequest = (request: IncomingMessage, response: ServerResponse) => void;

/** A server whose requests are known. */
export interface Serving {
  on(event: 'request', listener: OnRequest): unknown;
  off(event: 'request', listener: OnRequest): unknown;
  closeIdleConnections?(): void;
}

/** What `closeOn` closes: a server of node:http or node:https. */
export interface Closable extends Serving {
  /** Takes no more connections; `done` is called when all have ended. */
  close(done: (error?: Error) => void): unknown;
  /** Ends those that are left. */
  closeAllConnections?(): void;
}

/** What `closeOn` takes. */
export interface CloseOnOptions {
  /** The signals that end the service (`SIGTERM` and `SIGINT`). */
  signals?: readonly NodeJS.Signals[] | undefined;
  /** How long requests and what runs behind may take, together (30 s). */
  timeout?: Duration | undefined;
  /** Called when all has ended, before the process does: `true` where nothing was cut short and nothing is owed to the store. */
  onClosed?: ((isClean: boolean) => void) | undefined;
}

/** That a service ends in order. */
export interface Closing {
  /** Ends it now, as the signal does. A second call gives what the first does. */
  close(): Promise<boolean>;
  /** Does no more on signals. */
  [Symbol.dispose](): void;
}

/**
 * Ends a service in order when the process is told to: no new connections, requests under way are answered, what runs behind
 * is awaited, then the manager is closed. The process ends by itself then, with its `exitCode`; a second signal ends it at once.
 *
 * Several managers are given as a list.
 */
export function closeOn(
  server: Closable,
  caches: CacheManager | readonly CacheManager[],
  options: CloseOnOptions = {},
): Closing {
  if (typeof server?.close !== 'function' || typeof server.on !== 'function') {
    throw new ConfigError(`server=${shown(server)} is no server; a right example: closeOn(app.listen(3000), cache)`);
  }
  const all = [caches].flat();
  const wrong = all.find((cache) => !(cache instanceof CacheManager));
  if (wrong !== undefined || all.length === 0) {
    throw new ConfigError(`cache=${shown(wrong)} is not a CacheManager; a right example: closeOn(server, cache)`);
  }
  const requests = new Requests(server);
  const close = (patienceMs: number) => closed(server, requests, all, patienceMs);
  return endOn(options, close, () => requests.stop());
}

/** Has a service end when the process is told to. */
export function endOn(
  options: CloseOnOptions,
  end: (patienceMs: number) => Promise<boolean>,
  stopped: () => void = () => {},
): Closing {
  checkOptions(options, ['signals', 'timeout', 'onClosed']);
  const { signals = ['SIGTERM', 'SIGINT'], timeout, onClosed } = options;
  const patienceMs = timeoutOf({ timeout });
  let closing: Promise<boolean> | undefined;
  // A second signal does what it does to any process.
  const deafen = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  const stop = () => {
    deafen();
    stopped();
  };
  const close = async () => {
    const isClean = await end(patienceMs);
    stop();
    onClosed?.(isClean);
    return isClean;
  };
  const onSignal = () => {
    deafen();
    closing ??= close();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    close: () => {
      closing ??= close();
      return closing;
    },
    [Symbol.dispose]: stop,
  };
}

async function closed(
  server: Closable,
  requests: Requests,
  caches: readonly CacheManager[],
  patienceMs: number,
): Promise<boolean> {
  const ends = performance.now() + patienceMs;
  requests.last();
  const isServed = await within(patienceMs, (done) => server.close(() => done()));
  if (!isServed) server.closeAllConnections?.();
  const timeout = Math.max(0, ends - performance.now());
  const areClosed = await Promise.all(caches.map((cache) => cache.close({ timeout })));
  return isServed && areClosed.every(Boolean);
}

/** False where it took too long. */
export async function within(ms: number, start: (done: () => void) => void): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const isInTime = await new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
    start(() => resolve(true));
  });
  clearTimeout(timer);
  return isInTime;
}

/** The requests under way. At the end each is the last of its connection, which would be kept open for another else. */
export class Requests {
  readonly #server: Serving;
  readonly #responses = new Set<ServerResponse>();
  #isLast = false;
  readonly #add = (_request: IncomingMessage, response: ServerResponse) => {
    this.#responses.add(response);
    response.once('close', () => {
      this.#responses.delete(response);
      if (this.#isLast) this.#server.closeIdleConnections?.();
    });
    if (this.#isLast) lastOf(response);
  };

  constructor(server: Serving) {
    this.#server = server;
    server.on('request', this.#add);
  }

  last(): void {
    this.#isLast = true;
    for (const response of this.#responses) lastOf(response);
    this.#server.closeIdleConnections?.();
  }

  stop(): void {
    this.#server.off('request', this.#add);
  }
}

function lastOf(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
