/** Asking a server in this process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answered {
  status: number;
  headers: Headers;
  body: string;
  /** `hit`, `miss`, `bypass`: what became of it, and why it was not stored. */
  way: string;
}

export type Ask = (path: string, headers?: Record<string, string>, init?: RequestInit) => Promise<Answered>;

/** Asks at this address. */
export function asking(origin: string): Ask {
  return async (path, headers = {}, init = {}) => {
    const response = await fetch(origin + path, { headers, redirect: 'manual', ...init });
    const status = response.headers.get('cache-status') ?? '';
    const way = status.replace(/^tidegate; /, '').replace(/; ttl=\S+/, '');
    return { status: response.status, headers: response.headers, body: await response.text(), way };
  };
}

/** Serves for as long as `work` takes. */
export async function serving(server: Server, work: (ask: Ask) => Promise<void>): Promise<void> {
  if (!server.listening) await once(server, 'listening');
  try {
    await work(asking(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** That it was answered like this; `way` where that is said. */
export function isAnswer(answered: Answered, status: number, body: string | RegExp, way?: string): void {
  assert.equal(answered.status, status, answered.body);
  if (typeof body === 'string') assert.equal(answered.body, body);
  else assert.match(answered.body, body);
  if (way !== undefined) assert.equal(answered.way, way);
}
