/** What calls go by: what their view says, and what they say of their own. Made once, read by the engine by reference. */

import { type Coder, coderOf, withSchema } from './codec.js';
import { ConfigError, translated } from './errors.js';
import { checkKeyText, describe, shown } from './key.js';
import type { Cache, Terms } from './native.js';
import {
  type AnyGetOptions,
  checkObject,
  checkOptions,
  type SetOptions,
  type TenantOptions,
  type WriteThroughOptions,
} from './options.js';
import type { Seen } from './outcome.js';

/** What one call goes by. */
export interface Call {
  /** Null for the manager's own. */
  readonly terms: Terms | null;
  /** Names of the tags that an entry has to carry to be an answer; those of namespaces begin with `~ns:`, a tenant's with `@tenant:`. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal | undefined;
  /** How its values become payloads, and come back. */
  readonly coder: Coder;
  /** Where somebody traces it: told of its outcome, with the flags of its record. */
  readonly seen?: Seen | undefined;
}

/** What calls of the same options have in common. */
type Base = Pick<Call, 'terms' | 'coder'>;

/** What a read may be given. */
export const READ_OPTIONS = [
  'ttl',
  'tags',
  'codec',
  'nullTtl',
  'staleIfError',
  'staleWhileRevalidate',
  'errorBackoff',
  'earlyRefresh',
  'wait',
  'softTimeout',
  'hardTimeout',
  'schema',
  'signal',
] as const satisfies readonly (keyof AnyGetOptions)[];
const FIELDS_OPTIONS = READ_OPTIONS.filter((option) => option !== 'earlyRefresh' && option !== 'schema');
const WRITE_OPTIONS = [
  'ttl',
  'tags',
  'codec',
  'staleIfError',
  'staleWhileRevalidate',
] as const satisfies readonly (keyof SetOptions)[];
const WRITE_THROUGH_OPTIONS = [
  ...WRITE_OPTIONS,
  'onStoreDown',
  'signal',
] as const satisfies readonly (keyof WriteThroughOptions)[];

// Options that are the same in many calls are read once; what is beyond this many is forgotten, to be read again.
const KEPT_MAX = 256;

/** A manager, or a view of it: a tenant's, through namespaces. */
export class View {
  /** The namespaces, the outermost first. */
  readonly namespaces: readonly string[];
  /** What calls go by that say nothing of their own. */
  readonly plain: Call;
  readonly #native: Cache;
  readonly #kept = new Map<string, Base>();

  constructor(native: Cache, namespaces: readonly string[] = [], terms: Terms | null = null) {
    this.namespaces = namespaces;
    const coder = coderOf(terms?.codec ?? native.codec);
    this.plain = { terms, tags: terms?.tags ?? [], signal: undefined, coder };
    this.#native = native;
  }

  /** The namespace itself, with those that it is within. */
  get innermost(): string {
    const name = this.namespaces.at(-1);
    if (name !== undefined) return name;
    throw new ConfigError("clear() is a namespace's; a right example: cache.namespace('catalog').clear()");
  }

  /** The view of a namespace within this one. */
  within(name: string): View {
    if (typeof name !== 'string') {
      throw new ConfigError(`name=${shown(name)} is not a text; a right example: cache.namespace('catalog')`);
    }
    checkKeyText(name);
    const outer = this.namespaces.at(-1);
    const whole = outer === undefined ? name : `${outer}:${name}`;
    const terms = translated(() => this.#native.namespace(this.plain.terms, whole));
    return new View(this.#native, [...this.namespaces, whole], terms);
  }

  /** A tenant's view, in the namespaces of this one. */
  ofTenant(name: unknown, options: TenantOptions): View {
    checkObject(options, "{ ttl: '1h' }");
    if (Array.isArray(options.tags)) options.tags.forEach(checkKeyText);
    const { namespaces } = this;
    const make = () => this.#native.tenant(this.plain.terms, describe(name), [...namespaces], options);
    return new View(this.#native, namespaces, translated(make));
  }

  /** What a read without a fallback goes by, whose options are known to be right. */
  lookingUp({ schema, signal }: Pick<AnyGetOptions, 'schema' | 'signal'>): Call {
    const { coder } = this.plain;
    return { ...this.plain, signal, coder: schema === undefined ? coder : withSchema(coder, schema) };
  }

  /** What a read goes by. */
  read(options: AnyGetOptions | undefined): Call {
    return options === undefined ? this.plain : this.#call('read', options, READ_OPTIONS);
  }

  /** The terms of such a read, the manager's own too. */
  terms(options: AnyGetOptions): Terms {
    return this.read(options).terms ?? this.#native.terms(null, 'read', {});
  }

  /** What a read of fields goes by, but for the fields. */
  fields(options: AnyGetOptions): Call {
    return this.#call('fields', options, FIELDS_OPTIONS);
  }

  /** What a write goes by. */
  write(options: SetOptions | undefined): Call {
    return options === undefined ? this.plain : this.#call('write', options, WRITE_OPTIONS);
  }

  /** What a write-through goes by. */
  writeThrough(options: WriteThroughOptions | undefined): Call {
    return options === undefined ? this.plain : this.#call('write_through', options, WRITE_THROUGH_OPTIONS);
  }

  #call(kind: Kind, options: Given, known: readonly string[]): Call {
    checkObject(options, `{ ${known[0]}: … }`);
    // Hits in this process come by here: options that have been read before cost no crossing.
    let name: string | undefined = kind;
    let isPlain = true;
    for (const option in options) {
      if (option === 'tags' || option === 'signal' || option === 'schema') continue;
      isPlain = false;
      const text = nameOf(options[option as keyof Given]);
      name = name === undefined || text === undefined ? undefined : `${name} ${option}=${text}`;
    }
    let base: Base | undefined = isPlain ? this.plain : name === undefined ? undefined : this.#kept.get(name);
    if (base === undefined) {
      base = this.#read(kind, options, known);
      if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
      if (name !== undefined) this.#kept.set(name, base);
    }
    const { tags, signal, schema } = options as AnyGetOptions;
    if (signal !== undefined || schema !== undefined) checkOptions(options, known);
    const { terms } = base;
    const coder = schema === undefined ? base.coder : withSchema(base.coder, schema);
    if (tags === undefined) return { terms, tags: this.plain.tags, signal, coder };
    const named = textsOf(tags);
    const make = () => translated(() => this.#native.terms(terms, kind, { tags: named ?? tags }));
    if (named === undefined) return { terms: make(), tags: this.plain.tags, signal, coder };
    // No entry carries a name that is none, so a call that names one finds nothing held and is refused in `terms`.
    return new TaggedCall(make, [...this.plain.tags, ...named.map((tag) => this.scope + tag)], signal, coder);
  }

  /** Before a tenant's keys and tags: `@tenant:`. */
  get scope(): string {
    return this.plain.terms?.scope ?? '';
  }

  /** Has the options read that stand in a call's name. */
  #read(kind: Kind, options: Given, known: readonly string[]): Base {
    checkOptions(options, known);
    const { tags: _, signal: __, schema: ___, ...rest } = options as AnyGetOptions;
    const terms = translated(() => this.#native.terms(this.plain.terms, kind, rest));
    return { terms, coder: coderOf(terms.codec) };
  }
}

type Given = AnyGetOptions | SetOptions | WriteThroughOptions;
type Kind = 'read' | 'write' | 'write_through' | 'fields';

/** A value as no other is written; undefined for those that are read anew each time. */
function nameOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return `${value.length}:${value}`;
    case 'number':
    case 'boolean':
    case 'undefined':
      return `${value}`;
    default:
      return value === null ? 'null' : undefined;
  }
}

/** A call that names tags: what it goes by is made where the engine is asked, which a hit in this process is not. */
class TaggedCall implements Call {
  #terms: Terms | undefined;
  readonly #make: () => Terms;

  constructor(
    make: () => Terms,
    readonly tags: readonly string[],
    readonly signal: AbortSignal | undefined,
    readonly coder: Coder,
  ) {
    this.#make = make;
  }

  get terms(): Terms {
    this.#terms ??= this.#make();
    return this.#terms;
  }
}

/** Texts as they may be written by another language; undefined for what is no list of texts, which the core refuses. */
function textsOf(tags: unknown): readonly string[] | undefined {
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string')) return undefined;
  tags.forEach(checkKeyText);
  // What its owner does to it later is none of this call's.
  return [...tags];
}
