/** What a client is answered of a stored response: 304 or all of it, how old it is, how long it may be kept. */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { type Body, type HeaderFields, type StoredResponse, tokensOf } from './response.js';

/** How an answer came to be, for its `Cache-Status` (RFC 9211). */
export type Way = 'hit' | 'miss' | 'collapsed';

export interface Answer {
  /** What the client would be sent if it had nothing, and had asked for all. */
  readonly whole: Body;
  readonly status: number;
  readonly headers: HeaderFields;
  /** None for HEAD and 304. */
  readonly body: Body | undefined;
}

export interface Asked {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** What stands on this client's response already, and is no part of what is stored. */
  readonly sent: OutgoingHttpHeaders;
}

/** What a route says to clients. */
export interface ToClients {
  readonly public: boolean;
  readonly maxAgeMs: number;
  /** Request headers in lower case. */
  readonly varies: readonly string[];
}

// Of what is sent with a body only (RFC 9110, section 15.4.5).
const OF_A_BODY = /^(content-(?!location$)|last-modified$)/;

/** What this client is answered. */
export function answerOf(stored: StoredResponse<Body>, asked: Asked, way: Way, to: ToClients): Answer {
  const { status, body, why } = stored;
  const headers = { ...stored.headers };
  const ageMs = Math.max(0, Date.now() - stored.at);
  if (to.varies.length > 0) headers['vary'] = varyOf(headers['vary'], [...to.varies]);
  if (why === undefined) {
    headers['cache-control'] ??= saidBefore(asked.sent) ?? controlOf(stored, ageMs, to);
    if (way === 'hit') headers['age'] = `${Math.floor(ageMs / 1_000)}`;
  } else if (why === 'size') {
    // It may be one client's own for all that is known, and a proxy would keep what says nothing.
    const isForAll = to.public && headers['set-cookie'] === undefined;
    headers['cache-control'] ??= saidBefore(asked.sent) ?? `${isForAll ? 'public' : 'private'}, no-cache`;
  }
  headers['cache-status'] = `tidegate; ${wayOf(way, stored.ttl - ageMs, why)}`;
  if (status >= 200 && status < 300 && isFresh(asked.headers, headers)) {
    for (const name of Object.keys(headers)) if (OF_A_BODY.test(name)) delete headers[name];
    return { status: 304, headers, body: undefined, whole: body };
  }
  const isSized = body instanceof Uint8Array && status >= 200 && status !== 204 && status !== 304;
  if (isSized) headers['content-length'] = `${body.byteLength}`;
  return { status, headers, body: asked.method === 'HEAD' ? undefined : body, whole: body };
}

/** The names of two, each once. */
export function varyOf(before: OutgoingHttpHeaders[string], more: string | string[]): string {
  return [...new Set([...tokensOf(before), ...tokensOf(more)])].join(', ');
}

/**
 * RFC 9111, section 5.2.2, and RFC 5861: by the entry's own times. A client counts from when the response was made, so that the age
 * is a part of what it is told; no longer than the entry lives.
 */
function controlOf({ ttl, swr }: StoredResponse<Body>, ageMs: number, to: ToClients): string {
  const whose = to.public ? 'public' : 'private';
  if (to.maxAgeMs === 0) return `${whose}, no-cache`;
  const maxAge = seconds(Math.min(ageMs + to.maxAgeMs, ttl));
  return `${whose}, max-age=${maxAge}${seconds(swr) > 0 ? `, stale-while-revalidate=${seconds(swr)}` : ''}`;
}

/** What others have said of this client's response stands; and a cookie of theirs is nobody else's. */
function saidBefore(sent: OutgoingHttpHeaders): string | undefined {
  const said = sent['cache-control'];
  if (said !== undefined) return Array.isArray(said) ? said.join(', ') : String(said);
  return sent['set-cookie'] === undefined ? undefined : 'private, no-cache';
}

function wayOf(way: Way, leftMs: number, why: string | undefined): string {
  if (way === 'hit') return `hit; ttl=${Math.floor(leftMs / 1_000)}`;
  const collapsed = way === 'collapsed' ? '; collapsed' : '';
  return `fwd=miss${collapsed}${why === undefined ? '; stored' : `; detail=${why}`}`;
}

/** Whether the client has it already: RFC 9110, section 13.2.2. `If-Modified-Since` counts only without `If-None-Match`. */
export function isFresh(asked: IncomingHttpHeaders, has: HeaderFields): boolean {
  const wanted = asked['if-none-match'];
  if (wanted !== undefined) {
    if (wanted.trim() === '*') return true;
    const [mine] = entityTags(`${has['etag'] ?? ''}`);
    return mine !== undefined && entityTags(wanted).includes(mine);
  }
  const since = Date.parse(asked['if-modified-since'] ?? '');
  return Date.parse(`${has['last-modified'] ?? ''}`) <= since;
}

/** What stands in quotes: weak and strong ones are equal for a GET (RFC 9110, section 8.8.3.2). */
function entityTags(field: string): string[] {
  return [...field.matchAll(/(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g)].map(([, tag]) => tag as string);
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
