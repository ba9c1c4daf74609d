/** A response as an entry holds it, and which responses may be held: RFC 9111, section 3. */

import { createHash } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Lives } from '../native.js';
import type { StandardSchema } from '../schema.js';

export type HeaderFields = Record<string, string | string[]>;

/** A body; a stream of one that is longer than can be stored, for one client. */
export type Body = Uint8Array | Readable;

/** What a handler has written. */
export interface Captured<B extends Body = Body> {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: B;
}

/** What an entry holds, or, where its body is none to be stored, what one client is given. */
export interface StoredResponse<B extends Body = Uint8Array> {
  readonly status: number;
  /** Under their names in lower case. */
  readonly headers: HeaderFields;
  readonly body: B;
  /** When it was made, in milliseconds since the epoch. */
  readonly at: number;
  /** In milliseconds. */
  readonly ttl: number;
  readonly swr: number;
  /** Why it was not stored: only in what is shared in a process. */
  readonly why?: string;
}

// Of one connection, or written anew for each client (RFC 9111, section 3.1).
const NOT_STORED = new Set([
  'age',
  'cache-status',
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** As it is stored, with an ETag where it has none. */
export function storedOf<B extends Body>(
  { status, headers: given, body }: Captured<B>,
  lives: Lives,
  why?: string,
): StoredResponse<B> {
  const headers: HeaderFields = {};
  const named = new Set(tokensOf(given['connection']));
  for (const [field, value] of Object.entries(given)) {
    const name = field.toLowerCase();
    if (value === undefined || NOT_STORED.has(name) || named.has(name)) continue;
    headers[name] = Array.isArray(value) ? value.map(String) : String(value);
  }
  if (!(body instanceof Uint8Array)) {
    // How long it is only its handler can know.
    if (given['content-length'] !== undefined) headers['content-length'] = String(given['content-length']);
  } else if (why === undefined && headers['etag'] === undefined) headers['etag'] = etagOf(headers, body);
  const { ttl, staleWhileRevalidate: swr } = lives;
  return { status, headers, body, at: Date.now(), ttl, swr, ...(why === undefined ? {} : { why }) };
}

/** Why a response is not stored, in a word; undefined where it is. */
export function whyNotStored(
  { status, headers, body }: Captured,
  statuses: readonly number[],
  varies: ReadonlySet<string>,
): string | undefined {
  if (!(body instanceof Uint8Array)) return 'size';
  // One client's own.
  if (headers['set-cookie'] !== undefined) return 'set-cookie';
  const said = new Map(tokensOf(headers['cache-control']).map((one) => [nameOf(one), one.slice(nameOf(one).length)]));
  const refused = ['no-store', 'private', 'no-cache'].find((directive) => said.has(directive));
  if (refused !== undefined) return refused;
  // Stale at once (RFC 9111, section 4.2).
  if (/^="?0+"?$/.test(said.get('s-maxage') ?? said.get('max-age') ?? '')) return 'max-age';
  const isEncoded = headers['content-encoding'] !== undefined;
  // What is not encoded is the same for all encodings: who encodes it for a client does so behind us.
  const others = tokensOf(headers['vary']).filter((name) => name !== 'accept-encoding' || isEncoded);
  if (!others.every((name) => varies.has(name))) return 'vary';
  return statuses.includes(status) ? undefined : 'status';
}

/** Whether it is nobody's in particular, though it is not stored: then all who waited for it are given it. */
export function isForAll({ why }: StoredResponse<Body>): boolean {
  return why === undefined || why === 'status';
}

function nameOf(directive: string): string {
  return /^[^=\s]*/.exec(directive)?.[0] ?? '';
}

/**
 * A weak one, of the body and what it is written in: it stays right where a proxy, or a middleware, compresses the body.
 */
function etagOf(headers: HeaderFields, body: Uint8Array): string {
  const hash = createHash('sha256');
  for (const name of ['content-type', 'content-encoding', 'content-language']) hash.update(`${headers[name] ?? ''}\n`);
  return `W/"${hash.update(body).digest('base64url').slice(0, 27)}"`;
}

/** The members of a list in a field, in lower case. */
export function tokensOf(value: OutgoingHttpHeaders[string]): string[] {
  if (value === undefined) return [];
  const members = (Array.isArray(value) ? value.join() : String(value)).toLowerCase().split(',');
  return members.map((member) => member.trim()).filter((member) => member !== '');
}

/** What stands at a key and is no response is a miss. */
export const RESPONSE: StandardSchema<StoredResponse> = {
  '~standard': {
    version: 1,
    vendor: 'tidegate',
    validate: (value) =>
      isStored(value) ? { value } : { issues: [{ message: 'it is no response that was stored by tidegate' }] },
  },
};

function isStored(value: unknown): value is StoredResponse {
  if (typeof value !== 'object' || value === null) return false;
  const { status, headers, body, at, ttl, swr } = value as Record<string, unknown>;
  const areNumbers = [status, at, ttl, swr].every((number) => typeof number === 'number');
  return areNumbers && typeof headers === 'object' && headers !== null && body instanceof Uint8Array;
}
