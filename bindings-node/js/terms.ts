/** What calls go by: what their view says, and what they say of their own. Made once, read by the engine by reference. */

import { translated } from './errors.js';
import { checkKeyText } from './key.js';
import type { Cache, Terms } from './native.js';
import { checkOptions, type GetOptions, type SetOptions } from './options.js';

/** What one call goes by. */
export interface Call {
  /** Null for the manager's own. */
  readonly terms: Terms | null;
  /** Names of the tags that an entry has to carry to be an answer; those of namespaces begin with `~ns:`. */
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

// Options that are the same in many calls are read once; what is beyond this many is forgotten, to be read again.
const KEPT_MAX = 256;

/** A manager, or a view of it through namespaces. */
export class View {
  /** The namespaces, the outermost first. */
  readonly namespaces: readonly string[];
  /** What calls go by that say nothing of their own. */
  readonly plain: Call;
  readonly #native: Cache;
  readonly #kept = new Map<string, Terms>();

  constructor(native: Cache, namespaces: readonly string[] = []) {
    const terms = namespaces.length === 0 ? null : translated(() => native.view([...namespaces]));
    this.namespaces = namespaces;
    this.plain = { terms, tags: terms?.tags ?? [], signal: undefined };
    this.#native = native;
  }

  /** The view of a namespace within this one. */
  within(name: string): View {
    const outer = this.namespaces.at(-1);
    return new View(this.#native, [...this.namespaces, outer === undefined ? name : `${outer}:${name}`]);
  }

  /** What a read goes by. */
  read(options: GetOptions | undefined): Call {
    if (options === undefined) return this.plain;
    checkOptions(options, READ_OPTIONS);
    const { signal, tags, ...rest } = options;
    return this.#call(true, rest, tags, signal);
  }

  /** What a write goes by. */
  write(options: SetOptions | undefined): Call {
    if (options === undefined) return this.plain;
    checkOptions(options, WRITE_OPTIONS);
    const { tags, ...rest } = options;
    return this.#call(false, rest, tags, undefined);
  }

  #call(isRead: boolean, rest: object, tags: unknown, signal: AbortSignal | undefined): Call {
    const terms = this.#made(isRead, rest);
    if (tags === undefined) return { terms, tags: this.plain.tags, signal };
    const named = textsOf(tags);
    // No entry carries a name that is none, so a call that names one finds nothing held and is refused here.
    const make = () => translated(() => this.#native.terms(terms, isRead, { tags: named ?? tags }));
    if (named === undefined) return { terms: make(), tags: this.plain.tags, signal };
    return new TaggedCall(make, [...this.plain.tags, ...named], signal);
  }

  #made(isRead: boolean, options: object): Terms | null {
    let name = isRead ? 'r' : 'w';
    let isNamed = true;
    let isPlain = true;
    for (const [option, value] of Object.entries(options)) {
      if (value === undefined) continue;
      isPlain = false;
      isNamed &&= typeof value !== 'object' && typeof value !== 'function';
      if (isNamed) name += ` ${option}:${typeof value}:${String(value)}`;
    }
    if (isPlain) return this.plain.terms;
    const make = () => translated(() => this.#native.terms(this.plain.terms, isRead, options));
    if (!isNamed) return make();
    const kept = this.#kept.get(name) ?? make();
    if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
    this.#kept.set(name, kept);
    return kept;
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
