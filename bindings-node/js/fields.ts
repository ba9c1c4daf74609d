/** Values that are split over fields: what a call of some of them reads and writes with, and its fallback. */

import { throwIfAborted } from './abort.js';
import { type Coder, coderOf, open, withSchema } from './codec.js';
import { ConfigError, EncodeError, translated } from './errors.js';
import { FIELDS_CODEC, packed } from './fields-bytes.js';
import { type Flow, refused } from './flow.js';
import { checkFetch, confirmed, isRequired, pairsOf } from './given.js';
import { checkKeyText, shown } from './key.js';
import type { FieldsOptions, InvalidateOptions, SetOptions } from './options.js';
import { type Field, Fields, type Payload, Unencodable } from './payload.js';
import { peekOr } from './peek.js';
import { type AnySchema, checkSchema } from './schema.js';
import { isDisabled, isOutside, leads } from './scope.js';
import type { Call, View } from './terms.js';
import { warnIfUntyped } from './untyped.js';

/** Gives the values of the fields that it is asked for, as an object or a Map; one that it leaves out is cached as null. */
export type FetchFields = (names: string[], ask: { readonly signal: AbortSignal }) => unknown;
export type AnyFieldsOptions = FieldsOptions<AnySchema | Readonly<Record<string, AnySchema>> | undefined>;
export type Values = Record<string, unknown>;

const RIGHT = "cache.getFields('user:profile:42', ['name', 'email'], fetch)";

/** What a fallback found: where it is, its values. The rest goes to the store as it says here. */
const FOUND = new WeakMap<object, { readonly standing: readonly Field[]; readonly fetched: readonly string[] }>();

export async function getFields(
  flow: Flow,
  view: View,
  key: string,
  names: Iterable<string>,
  fetchMissing: FetchFields | undefined,
  options: AnyFieldsOptions | undefined,
): Promise<Values> {
  const { schema, ...rest } = options ?? {};
  const base = view.fields(rest as FieldsOptions);
  const asked = namesOf(names);
  checkKeyText(key);
  const terms = translated(() => flow.native.fieldsTerms(base.terms, asked));
  const coder = coderOf(terms.codec);
  const tell = (name: string, value: unknown, payload: Payload) =>
    warnIfUntyped(flow.port, key, value, payload, coder, name);
  const call: Call = { ...base, terms, coder: fieldsCoder(coder, schema, tell) };
  if (fetchMissing === undefined) return inOrder(asked, await peekOr(flow, key, call, {}));
  checkFetch(fetchMissing, RIGHT);
  throwIfAborted(call.signal);
  return inOrder(asked, await run(flow, key, call, fillingUp(asked, fetchMissing)));
}

function run(flow: Flow, key: string, call: Call, fallback: Parameters<Flow['settle']>[2]): Promise<unknown> {
  if (!isOutside()) {
    if (isDisabled(flow.port)) return flow.alone(key, fallback, call);
    if (leads(flow.port, flow.scope, key)) {
      flow.reportNested(key);
      return flow.alone(key, fallback, call);
    }
  }
  return flow.settle(flow.begin(key, null, call), key, fallback, call);
}

export async function setFields(
  flow: Flow,
  view: View,
  key: string,
  values: unknown,
  options: SetOptions | undefined,
): Promise<boolean> {
  const base = view.write(options);
  checkKeyText(key);
  const pairs = pairsOf(values, "cache.setFields('user:profile:42', { name: 'Ada' })");
  const names = namesOf(pairs.map(([name]) => name));
  const { native, port } = flow;
  const terms = translated(() => native.fieldsTerms(base.terms, names));
  const coder = coderOf(terms.codec);
  if (isDisabled(port)) return false;
  let list: Field[];
  try {
    list = pairs.map(([name, value]) => field(name, value, coder));
  } catch (error) {
    throw new EncodeError(refused(key, error), { cause: error });
  }
  const payload = fieldsCoder(coder, undefined).pack(list);
  return confirmed(await port.callMany(1, (first) => native.set(first, [key], [payload], FIELDS_CODEC, terms)));
}

export async function invalidateFields(
  { native, port }: Flow,
  view: View,
  key: string,
  names: string | Iterable<string>,
  options: InvalidateOptions | undefined,
): Promise<boolean> {
  const required = isRequired(options);
  checkKeyText(key);
  const asked = namesOf(typeof names === 'string' ? [names] : names);
  const terms = translated(() => native.fieldsTerms(view.plain.terms, asked));
  return confirmed(await port.callMany(1, (first) => native.invalidate(first, [key], required, terms)));
}

/** Fetches the fields that do not stand in the store, fresh. */
function fillingUp(asked: readonly string[], fetchMissing: FetchFields): Parameters<Flow['settle']>[2] {
  return async (context) => {
    const standing = context.fields.filter(({ state }) => state === 'fresh');
    const values = new Map(standing.map(({ name, payload }) => [name, open(payload)]));
    const fetched = asked.filter((name) => !values.has(name));
    const ask = {
      get signal() {
        return context.signal;
      },
    };
    const given: unknown = await fetchMissing([...fetched], ask);
    const found = new Map(pairsOf(given, RIGHT, 'what fetchMissing gave'));
    for (const name of fetched) values.set(name, found.get(name) ?? null);
    const whole = Object.fromEntries(values);
    FOUND.set(whole, { standing, fetched });
    return whole;
  };
}

interface FieldsCoder extends Coder {
  readonly pack: (list: readonly Field[]) => Uint8Array;
}

/**
 * Instead of the coder of one value. `schema` is every field's, or each one's by its name; `tell` is told of what is written
 * without one.
 */
function fieldsCoder(
  coder: Coder,
  schema: AnyFieldsOptions['schema'],
  tell: (name: string, value: unknown, payload: Payload) => void = () => {},
): FieldsCoder {
  const schemas = schemasOf(schema);
  const encode = (value: unknown): Fields => {
    const found = FOUND.get(value as object) ?? { standing: [], fetched: Object.keys(value as Values) };
    const fetched = found.fetched.map((name) => {
      const given = (value as Values)[name];
      const made = field(name, given, coder);
      if (schemas?.(name) === undefined) tell(name, given, made.payload);
      return made;
    });
    return new Fields([...found.standing, ...fetched]);
  };
  const decode = async (stored: unknown): Promise<Values> => {
    const made = Object.entries(stored as Values).map(async ([name, value]) => {
      const own = schemas?.(name);
      return [name, own === undefined ? value : await withSchema(coder, own).decode?.(value)] as const;
    });
    return Object.fromEntries(await Promise.all(made));
  };
  const pack = (list: readonly Field[]) => packed(new Fields(list));
  return { codec: FIELDS_CODEC, encode, decode: schemas === undefined ? undefined : decode, pack };
}

function schemasOf(schema: AnyFieldsOptions['schema']): ((name: string) => AnySchema | undefined) | undefined {
  if (schema === undefined || schema === null) return undefined;
  if ('~standard' in schema || typeof schema !== 'object') {
    checkSchema(schema);
    return () => schema as AnySchema;
  }
  for (const own of Object.values(schema)) checkSchema(own);
  const byName = new Map(Object.entries(schema));
  return (name) => byName.get(name);
}

function field(name: string, value: unknown, coder: Coder): Field {
  try {
    return { name, state: 'new', payload: coder.encode(value) as Field['payload'] };
  } catch (error) {
    if (error instanceof Unencodable) throw new Unencodable(`field ${shown(name)}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The names that a call asks for, once each. */
function namesOf(names: Iterable<string>): string[] {
  if (typeof names === 'string' || typeof names?.[Symbol.iterator] !== 'function') {
    throw new ConfigError(`names=${shown(names)} is no list of fields; a right example: ${RIGHT}`);
  }
  const list = [...new Set(names)];
  for (const name of list) {
    if (typeof name !== 'string') throw new ConfigError(`field ${shown(name)} is no text; a right example: ${RIGHT}`);
    checkKeyText(name);
  }
  return list;
}

/** The fields in the order in which they were asked for. */
function inOrder(asked: readonly string[], found: unknown): Values {
  const values = found as Values;
  return Object.fromEntries(asked.filter((name) => Object.hasOwn(values, name)).map((name) => [name, values[name]]));
}
