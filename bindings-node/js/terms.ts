/** What calls go by: what their view says, and what they say of their own. Made once, read by the engine by reference. */

import { translated } from './errors.js';
import { checkKeyText, describe } from './key.js';
import type { Cache, Terms } from './native.js';
import {
  checkObject,
  checkOptions,
  type GetOptions,
  type SetOptions,
  type TenantOptions,
  type WriteThroughOptions,
} from './options.js';

/** What one call goes by. */
export interface Call {
  /** Null for the manager's own. */
  readonly terms: Terms | null;
  /** Names of the tags that an entry has to carry to be an answer; those of namespaces begin with `~ns:`, a tenant's with `@tenant:`. */
  readonly tags: readonly string[];
  readonly signal: AbortSignal | undefined;
}

const READ_OPTIONS = [
  'ttl',
  'tags',
  'nullTtl',
  'staleIfError',
  'staleWhileRevalidate',
  'errorBackoff',
  'earlyRefresh',
  'wait',
  'softTimeout',
  'hardTimeout',
  'signal',
] as const satisfies readonly (keyof GetOptions)[];
const WRITE_OPTIONS = [
  'ttl',
  'tags',
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
  readonly #kept = new Map<string, Terms>();

  constructor(native: Cache, namespaces: readonly string[] = [], terms: Terms | null = null) {
    this.namespaces = namespaces;
    this.plain = { terms, tags: terms?.tags ?? [], signal: undefined };
    this.#native = native;
  }

  /** The view of a namespace within this one. */
  within(name: string): View {
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

  /** What a read goes by. */
  read(options: GetOptions | undefined): Call {
    return options === undefined ? this.plain : this.#call('read', options, READ_OPTIONS);
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
      if (option === 'tags' || option === 'signal') continue;
      isPlain = false;
      const text = nameOf(options[option as keyof Given]);
      name = name === undefined || text === undefined ? undefined : `${name} ${option}=${text}`;
    }
    let terms = isPlain ? this.plain.terms : name === undefined ? undefined : this.#kept.get(name);
    if (terms === undefined) {
      terms = this.#read(kind, options, known);
      if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
      if (name !== undefined) this.#kept.set(name, terms);
    }
    const { tags, signal } = options as GetOptions;
    if (signal !== undefined) checkOptions(options, known);
    if (tags === undefined) return { terms, tags: this.plain.tags, signal };
    const named = textsOf(tags);
    const make = () => translated(() => this.#native.terms(terms, kind, { tags: named ?? tags }));
    if (named === undefined) return { terms: make(), tags: this.plain.tags, signal };
    // No entry carries a name that is none, so a call that names one finds nothing held and is refused in `terms`.
    const scope = this.plain.terms?.scope ?? '';
    return new TaggedCall(make, [...this.plain.tags, ...named.map((tag) => scope + tag)], signal);
  }

  /** Has the options read that stand in a call's name. */
  #read(kind: Kind, options: Given, known: readonly string[]): Terms {
    checkOptions(options, known);
    const { tags: _, signal: __, ...rest } = options as GetOptions;
    return translated(() => this.#native.terms(this.plain.terms, kind, rest));
  }
}

type Given = GetOptions | SetOptions | WriteThroughOptions;
type Kind = 'read' | 'write' | 'write_through';

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
