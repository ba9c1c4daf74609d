/** A route whose responses are cached: which entry a request is about, and how its response comes about. */

import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { onAbort, throwIfAborted } from '../abort.js';
import type { Context } from '../context.js';
import { ConfigError, HardTimeout, KeyFormatError, translated } from '../errors.js';
import { key as built, type KeyPart, shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { checkTemplate, durationMs, hardTimeoutMessage } from '../native.js';
import { checkOptions, type Duration, type GetOptions } from '../options.js';
import { READ_OPTIONS } from '../terms.js';
import { type Answer, type Asked, answerOf, type ToClients, type Way } from './conditional.js';
import {
  type Body,
  type Captured,
  isForAll,
  RESPONSE,
  type StoredResponse,
  storedOf,
  whyNotStored,
} from './response.js';

/** What a route says of its cached responses, of requests `Q`. */
export interface ResponseOptions<Q> extends Omit<GetOptions, 'tags' | 'codec' | 'nullTtl' | 'schema' | 'signal'> {
  /**
   * The key of a request's response: a function of the request, `` (req) => key`page:user:${req.params.id}` ``, or a template
   * of the route's parameters, `'page:user:{id}'`. A function that gives null has this request answered uncached.
   */
  key: string | ((request: Q) => string | null | undefined);
  /**
   * Whose response it is: a function of the request that gives the tenant's name, `(req) => req.params.tenant`. Key and tags are
   * that tenant's own then.
   */
  tenant?: ((request: Q) => KeyPart) | undefined;
  /** Tags of the entry, or a function of the request that gives them. */
  tags?: readonly string[] | ((request: Q) => readonly string[]) | undefined;
  /**
   * Request headers that the response depends on, `['accept-language']`: their values become a part of the key, and the
   * response says so (`Vary`). All variants carry the key as a tag: `invalidateTag(key)` ends them.
   */
  vary?: readonly string[] | undefined;
  /** The statuses of responses that are stored ([200]). */
  statuses?: readonly number[] | undefined;
  /**
   * How long a client may use the response without asking (0: it keeps it and asks each time, which is 304 while it is the same).
   * No invalidation reaches it meanwhile. No longer than the entry lives.
   */
  maxAge?: Duration | undefined;
  /**
   * Whether the response is everybody's (false): proxies may keep it too, and requests with `Authorization` are answered from the
   * cache. A response's own `Cache-Control` stands.
   */
  public?: boolean | undefined;
  /**
   * Whether requests with `Authorization` are answered from the cache though the response is not everybody's (false): the key must
   * say whose it is.
   */
  authorized?: boolean | undefined;
}

/** How a framework's request is read. */
export interface Reader<Q> {
  readonly headers: (request: Q) => IncomingHttpHeaders;
  readonly params: (request: Q) => Readonly<Record<string, unknown>>;
}

/** What a run of the handler is given: of a cache's fallback, or for one client alone. */
export interface Run {
  /** Aborted when nobody waits for this run any more. */
  readonly signal: AbortSignal;
  /** How much of the response is kept: no more can be stored. */
  readonly maxBytes: number;
}
type Handler = (run: Run) => Promise<Captured>;

/** Which entry a request is about. */
interface Plan {
  /** The manager, or a tenant's view of it. */
  readonly cache: CacheManager;
  readonly key: string;
  readonly tags: readonly string[];
}

/** What a fallback gave that is not to be stored. */
class Unkept {
  /** No codec takes a function: nobody stores this, or makes something else of it. */
  readonly keep = (): void => {};
}

/** It is no response: an error that is an answer, or that the handler passed the request on. */
class Raised extends Unkept {
  constructor(readonly error: unknown) {
    super();
  }
}

/** A response that is too long, for the client whose run it is; it goes on as he reads. */
class Streaming extends Unkept {
  constructor(readonly response: StoredResponse<Readable>) {
    super();
  }
}

/** A response that says that the server failed: a stale one may be served instead. */
class Unwell extends Error {
  constructor(readonly response: StoredResponse<Body>) {
    super(`the handler answered ${response.status}`);
  }
}

const OWN = ['key', 'tenant', 'tags', 'vary', 'statuses', 'maxAge', 'public', 'authorized'] as const;
/** Tags are its own; a response is no value of a codec or a schema, never null, and the request's signal is Route's. */
const NOT_OF_A_RESPONSE: readonly string[] = ['tags', 'codec', 'nullTtl', 'schema', 'signal'];
const OF_A_READ = READ_OPTIONS.filter((option) => !NOT_OF_A_RESPONSE.includes(option));
/** As `http-errors` has it, which Express, Fastify and Nest all know; the text is for those who write the route. */
const BAD_REQUEST = { status: 400, statusCode: 400, expose: false };
// What a timer of Node's takes.
const TIMER_MS_MAX = 2 ** 31 - 1;
// RFC 9110, section 5.1.
const FIELD_NAME = /^[\w!#$%&'+.^`|~-]+$/;
const RIGHT = "{ key: 'page:user:{id}', ttl: '1m' }";

export class Route<Q> {
  readonly #cache: CacheManager;
  readonly #options: ResponseOptions<Q>;
  readonly #reader: Reader<Q>;
  readonly #read: Omit<GetOptions, 'schema'>;
  readonly #clients: ToClients;
  readonly #isForAll: boolean;
  /** Of the manager's own names; each tenant's has room of its own. */
  readonly #tagBytesMax: number;
  readonly #maxBytes: number;
  readonly #keyOf: (request: Q) => string | null | undefined;

  constructor(cache: CacheManager, options: ResponseOptions<Q>, reader: Reader<Q>) {
    if (!(cache instanceof CacheManager)) {
      throw new ConfigError(`cache=${shown(cache)} is not a CacheManager; a right example: new CacheManager()`);
    }
    checkOptions(options ?? null, [...OWN, ...OF_A_READ]);
    const { key, vary = [], statuses, maxAge = 0, public: isPublic = false, authorized = false } = options;
    checkList('vary', vary, isFieldName, "['accept-language']");
    if (statuses !== undefined) checkList('statuses', statuses, isStatus, '[200, 404]');
    checkTenant(options.tenant);
    checkFlag('public', isPublic);
    checkFlag('authorized', authorized);
    const maxAgeMs = translated(() => durationMs('maxAge', maxAge));
    const varies = vary.map((name) => name.toLowerCase());
    this.#clients = { public: isPublic, maxAgeMs, varies };
    this.#isForAll = isPublic || authorized;
    this.#cache = cache;
    this.#options = options;
    this.#reader = reader;
    this.#keyOf = typeof key === 'string' ? templated(key, reader) : asFunction(key);
    this.#read = Object.fromEntries(
      Object.entries(options).filter(([name]) => !(OWN as readonly string[]).includes(name)),
    );
    // What is wrong is told where it stands, and not at the first request.
    this.#tagBytesMax = cache.termsBy(this.#read).tagBytesMax;
    this.#maxBytes = cache.house.port.native.maxValueBytes;
  }

  /** Which entry a request is about; null for one that is answered uncached. */
  plan(request: Q): Plan | null {
    const headers = this.#reader.headers(request);
    // A response to one that is authorized is another's only where somebody said so (RFC 9111, section 3.5).
    if (headers.authorization !== undefined && !this.#isForAll) return null;
    try {
      return this.#planned(request, headers);
    } catch (error) {
      // Of what the client has sent no key can be made, as of a query where a part is missing: that is 400, and no failure.
      if (error instanceof KeyFormatError) Object.assign(error, BAD_REQUEST);
      throw error;
    }
  }

  #planned(request: Q, headers: IncomingHttpHeaders): Plan | null {
    const whole = this.#keyOf(request);
    if (whole === null || whole === undefined) return null;
    const { tags, tenant } = this.#options;
    const cache = tenant === undefined ? this.#cache : this.#cache.tenant(tenant(request));
    const named = typeof tags === 'function' ? tags(request) : (tags ?? []);
    const { varies } = this.#clients;
    if (varies.length === 0) return { cache, key: whole, tags: named };
    const bytesMax = tenant === undefined ? this.#tagBytesMax : cache.termsBy(this.#read).tagBytesMax;
    // Its variants would have no tag that ends them.
    if (Buffer.byteLength(whole) > bytesMax) return null;
    // Escaped as no part ever is: no parameter of another route makes the key of a variant.
    const variant = built(
      'v',
      ...varies.map((name) => (headers[name] === undefined ? name : `${name}=${headers[name]}`)),
    );
    return { cache, key: `${whole}:%76${variant.slice(1)}`, tags: [...named, whole] };
  }

  /**
   * The answer to a request: from its entry, or what `run` has captured, for all who wait for it. Throws what `run` throws, and
   * the reason of `signal`.
   */
  async answer(plan: Plan, asked: Asked, signal: AbortSignal, run: Handler): Promise<Answer> {
    const { cache, key, tags } = plan;
    const began = Date.now();
    let hasRun = false;
    let isAnswered = false;
    let streaming: Readable | undefined;
    const handler: Handler = async (given) => {
      const captured = await run(given);
      if (isStreaming(captured)) streaming = captured.body;
      // Of what ran behind its client nobody reads.
      if (isAnswered) streaming?.destroy();
      return captured;
    };
    const fallback = async (context: Context) => {
      hasRun = true;
      return await this.#made(plan, context, handler);
    };
    let stored: StoredResponse<Body>;
    let answer: Answer | undefined;
    try {
      try {
        const options = { ...this.#read, tags, signal, codec: 'msgpack' as const, schema: RESPONSE };
        const given: unknown = await cache.get(key, fallback, options);
        if (given instanceof Raised) throw given.error;
        stored = given instanceof Streaming ? given.response : (given as StoredResponse);
      } catch (error) {
        if (!(error instanceof Unwell)) throw error;
        stored = error.response;
      }
      if (!hasRun && !isForAll(stored)) {
        // Another's cookie, or what was told to him alone.
        hasRun = true;
        stored = this.#storedOf(cache, await this.#alone(plan, signal, handler));
      }
      throwIfAborted(signal);
      const way: Way = stored.at < began && stored.why === undefined ? 'hit' : hasRun ? 'miss' : 'collapsed';
      answer = answerOf(stored, asked, way, this.#clients);
      return answer;
    } finally {
      isAnswered = true;
      if (answer?.body !== streaming) streaming?.destroy();
    }
  }

  async #made({ cache, key }: Plan, context: Context, run: Handler): Promise<StoredResponse | Raised | Streaming> {
    let captured: Captured;
    try {
      captured = await this.#run(context.signal, run);
    } catch (error) {
      if (!isAnswer(error)) throw error;
      context.skip();
      return new Raised(error);
    }
    const { statuses = [200] } = this.#options;
    // Where nothing stale is served, a stream of it is for him alone whose run it is, as any other.
    const isWell = captured.status < 500 || statuses.includes(captured.status);
    if (!isWell) throw new Unwell(this.#storedOf(cache, captured));
    if (isStreaming(captured)) {
      context.skip();
      const message = `the response of ${shown(key)} is longer than maxValueBytes, which is ${this.#maxBytes}: it is passed on`;
      cache.house.port.native.report(key, 'too_large', message, cache.termsBy(this.#read));
      return new Streaming(this.#storedOf(cache, captured));
    }
    const stored = this.#storedOf(cache, captured as Captured<Uint8Array>);
    if (stored.why !== undefined) context.skip();
    return stored;
  }

  /**
   * Runs the handler for one client, for no longer than a fallback may run. How many run so is not bounded: what is one client's
   * own no cache ever spares its source.
   */
  async #alone({ cache, key }: Plan, signal: AbortSignal, run: Handler): Promise<Captured> {
    throwIfAborted(signal);
    const end = new AbortController();
    const stay = onAbort(signal, () => end.abort(signal.reason));
    const late = () => end.abort(new HardTimeout(hardTimeoutMessage(key)));
    const timer = setTimeout(late, Math.min(cache.termsBy(this.#read).hardTimeoutMs, TIMER_MS_MAX));
    try {
      return await new Promise((resolve, reject) => {
        end.signal.addEventListener('abort', () => reject(end.signal.reason), { once: true });
        this.#run(end.signal, run).then(resolve, reject);
      });
    } finally {
      clearTimeout(timer);
      stay();
    }
  }

  /** Runs the handler, whose signal is aborted too where its client leaves in the midst of a stream. */
  async #run(signal: AbortSignal, run: Handler): Promise<Captured> {
    const end = new AbortController();
    signal.addEventListener('abort', () => end.abort(signal.reason), { once: true });
    const captured = await run({ signal: end.signal, maxBytes: this.#maxBytes });
    const { body } = captured;
    if (body instanceof Readable) {
      body.once('close', () => {
        if (!body.readableEnded) end.abort(new Error('the client went away'));
      });
    }
    return captured;
  }

  #storedOf<B extends Body>(cache: CacheManager, captured: Captured<B>): StoredResponse<B> {
    const { statuses = [200] } = this.#options;
    const why = whyNotStored(captured, statuses, new Set(this.#clients.varies));
    return storedOf(captured, cache.termsBy(this.#read).lives, why);
  }
}

function isStreaming(captured: Captured): captured is Captured<Readable> {
  return captured.body instanceof Readable;
}

/** Thrown by a handler that leaves the request to the next one. */
export class PassedOn {
  /** What it called `next` with. */
  constructor(readonly how: unknown) {}
}

/** An error that is what its client did wrong: no failure, and nothing stale is served instead. */
function isAnswer(error: unknown): boolean {
  if (error instanceof PassedOn) return true;
  const { status, statusCode, getStatus } = (error ?? {}) as Record<string, unknown>;
  const said = typeof getStatus === 'function' ? getStatus.call(error) : (statusCode ?? status);
  return typeof said === 'number' && said >= 300 && said < 500;
}

/** The key of a template: each place is a parameter of the route. */
function templated<Q>(template: string, reader: Reader<Q>): (request: Q) => string {
  const pieces = template.split(/\{(\w+)\}/);
  const texts = pieces.filter((_, at) => at % 2 === 0);
  const names = pieces.filter((_, at) => at % 2 === 1);
  translated(() => checkTemplate(template, texts, "'page:user:{id}'"));
  return (request) => {
    const params = reader.params(request);
    let whole = texts[0] ?? '';
    for (const [at, name] of names.entries()) {
      const value = params[name];
      if (value === undefined) {
        throw new ConfigError(
          `key=${shown(template)} names {${name}}, and the route has ${shown(Object.keys(params))}; ` +
            "a right example: '/users/:id' with { key: 'page:user:{id}' }",
        );
      }
      whole += built('p', value as KeyPart).slice(2) + (texts[at + 1] ?? '');
    }
    return whole;
  };
}

function asFunction<Q>(key: unknown): (request: Q) => string | null | undefined {
  if (typeof key === 'function') return key as (request: Q) => string;
  throw new ConfigError(
    `key=${shown(key)} is neither a function of the request nor a template; a right example: ${RIGHT}`,
  );
}

function checkTenant(tenant: unknown): void {
  if (tenant === undefined || typeof tenant === 'function') return;
  throw new ConfigError(
    `tenant=${shown(tenant)} is no function of the request; a right example: { tenant: (req) => req.params.tenant }`,
  );
}

function checkList(name: string, list: unknown, isRight: (item: unknown) => boolean, example: string): void {
  if (Array.isArray(list) && list.every(isRight)) return;
  throw new ConfigError(`${name}=${shown(list)} is not accepted; a right example: { ${name}: ${example} }`);
}

function checkFlag(name: string, flag: unknown): void {
  if (typeof flag === 'boolean') return;
  throw new ConfigError(`${name}=${shown(flag)} is neither true nor false; a right example: { ${name}: true }`);
}

function isFieldName(name: unknown): boolean {
  return typeof name === 'string' && FIELD_NAME.test(name);
}

function isStatus(status: unknown): boolean {
  return Number.isInteger(status) && (status as number) >= 200 && (status as number) <= 599;
}
