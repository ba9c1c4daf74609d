/** A response that no client is behind: what a handler writes to it is kept. */

import { type IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, Writable } from 'node:stream';
import { type Captured, tokensOf } from './response.js';

// What a client has, or wants a part of, is settled later: the handler is to write all of it (RFC 9110, sections 13 and 14).
const OF_ONE_CLIENT = [
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
] as const;

/** A request without what is one client's affair, on top of the client's own. */
export function plainRequest<Q extends object>(
  request: Q,
  headers: IncomingMessage['headers'],
  signal: () => AbortSignal,
): Q {
  const plain = { ...headers };
  for (const name of OF_ONE_CLIENT) delete plain[name];
  return Object.create(request, {
    // A HEAD is answered from what a GET would be.
    method: { value: 'GET', writable: true, enumerable: true, configurable: true },
    headers: { value: plain, writable: true, enumerable: true, configurable: true },
    signal: { get: signal, enumerable: true, configurable: true },
  }) as Q;
}

/** Swallows what is written to it. */
class Nowhere extends Writable {
  constructor() {
    super();
    // A stream that fails in the midst of it destroys this with its error, of which the response tells.
    this.on('error', () => {});
  }
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
  setTimeout(): this {
    return this;
  }
}

type Written = (error: Error | null | undefined) => void;
type Fields = NodeJS.Dict<number | string | string[]>;

export interface Capture {
  readonly response: ServerResponse;
  /** Settled when the response has ended, or is too long to be kept; rejected where it is destroyed before. */
  readonly whole: Promise<Captured>;
}

/**
 * A response that begins with the status and headers of a client's; headers that nobody changes stay the client's own. `methods` is
 * where it has those from that a framework adds. One of more than `maxBytes` is kept no further: what has been written, and what
 * comes, is a stream, as fast as that is read.
 */
export function capture(
  request: IncomingMessage,
  of: { readonly statusCode: number; getHeaders(): Fields },
  maxBytes: number,
  methods: object = ServerResponse.prototype,
): Capture {
  const response = new ServerResponse(request);
  Object.setPrototypeOf(response, methods);
  response.assignSocket(new Nowhere() as never);
  response.statusCode = of.statusCode;
  response.sendDate = false;
  const before = of.getHeaders();
  for (const [name, value] of Object.entries(before)) if (value !== undefined) response.setHeader(name, value);
  // With a header set, even one that is removed again, what `writeHead` is given can be read later.
  response.setHeader('date', '').removeHeader('date');

  let chunks: Buffer[] = [];
  let bytes = 0;
  let passed: PassThrough | undefined;
  // Node's own would stay true for ever: what the socket is here takes all, and tells of no drain.
  Object.defineProperty(response, 'writableNeedDrain', { get: () => passed?.writableNeedDrain ?? false });
  const { write, end } = response;
  /** Whether more may be written at once. */
  const keep = (chunk: unknown, encoding: unknown, written?: Written): boolean => {
    const kept = bytesOf(chunk, encoding);
    if (passed !== undefined) return passed.write(kept, written);
    chunks.push(kept);
    bytes += kept.length;
    return true;
  };
  const whole = new Promise<Captured>((resolve, reject) => {
    const captured = (body: Captured['body']) =>
      resolve({ status: response.statusCode, headers: changed(response, before), body });
    response.write = (chunk: unknown, ...rest: unknown[]) => {
      // Who waits for this is to be no faster than the client either.
      const written = passed && (rest.find((one) => typeof one === 'function') as Written | undefined);
      write.apply(response, [chunk, ...rest.filter((one) => one !== written)] as never);
      const goesOn = keep(chunk, rest[0], written);
      if (passed !== undefined || bytes <= maxBytes) return goesOn;
      passed = passedOn(response);
      const isRead = passed.write(Buffer.concat(chunks));
      chunks = [];
      captured(passed);
      return isRead;
    };
    response.once('close', () => {
      if (response.writableEnded) return;
      const error = response.errored ?? new Error('the response was destroyed before its end');
      reject(error);
      passed?.destroy(error);
    });
    response.end = (...given: unknown[]) => {
      // Node's own `end` may call `write`, which would keep the same twice.
      response.write = write;
      if (!response.writableEnded) keep(given[0], given[1]);
      end.apply(response, given as never);
      if (passed === undefined) captured(Buffer.concat(chunks));
      else passed.end();
      return response;
    };
  });
  return { response, whole };
}

function bytesOf(chunk: unknown, encoding: unknown): Buffer {
  if (typeof chunk === 'string')
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as 'utf8') : 'utf8');
  return chunk instanceof Uint8Array ? Buffer.from(chunk) : Buffer.alloc(0);
}

/** What a response is passed on by: it goes on when this is read, and breaks off where this does. */
function passedOn(response: ServerResponse): PassThrough {
  const passed = new PassThrough();
  passed.on('drain', () => response.emit('drain'));
  // Whoever reads it is told as well; nobody need.
  passed.on('error', () => {});
  passed.once('close', () => {
    if (!response.writableEnded) response.destroy();
  });
  return passed;
}

/** What the handler has written of its own. */
export function changed(response: { getHeaders(): Fields }, before: Fields): Fields {
  const own = Object.entries(response.getHeaders()).filter(([name, value]) => String(before[name]) !== String(value));
  const fields = Object.fromEntries(own) as Fields;
  if (fields['vary'] !== undefined) {
    // What others have added before is theirs to say, for each client.
    const theirs = tokensOf(before['vary']);
    fields['vary'] = tokensOf(fields['vary'])
      .filter((name) => !theirs.includes(name))
      .join(', ');
  }
  return fields;
}
