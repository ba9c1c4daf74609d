/** Values that have to fit a schema: any that follows the Standard Schema, version 1, such as zod's, valibot's, arktype's. */

import { ConfigError } from './errors.js';
import { shown } from './key.js';

/** A Standard Schema (https://standardschema.dev): `Input` is what is stored, `Output` what callers are given. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Any Standard Schema: of zod, valibot, arktype, … */
// biome-ignore lint/suspicious/noExplicitAny: of whatever input and output
export type AnySchema = StandardSchema<any, any>;

/** What a schema takes. */
export type InputOf<S extends AnySchema> = NonNullable<S['~standard']['types']>['input'];
/** What a schema gives. */
export type OutputOf<S extends AnySchema> = NonNullable<S['~standard']['types']>['output'];

/** A schema, or none. */
export type MaybeSchema = AnySchema | undefined;
/** What a schema gives; a `T` without one. */
export type Made<T, S extends MaybeSchema> = [S] extends [AnySchema] ? OutputOf<S> : T;

/** A value that its schema does not take: where, and why. */
export class Misfit extends Error {}

const ISSUES_MAX = 3;
const PATH_MAX = 80;
const MESSAGE_MAX = 120;

/** Refuses what is no Standard Schema. */
export function checkSchema(schema: unknown): void {
  const standard: unknown = (schema as Partial<StandardSchema> | null | undefined)?.['~standard'];
  const { version, validate } = (standard ?? {}) as Partial<StandardSchema['~standard']>;
  if (version === 1 && typeof validate === 'function') return;
  throw new ConfigError(
    `schema=${shown(schema)} is not a Standard Schema of version 1: schema takes what zod (from 3.24), valibot (from 1) ` +
      "and arktype (from 2) make, or an object with a '~standard' of its own; " +
      'a right example: { schema: z.object({ id: z.number() }) }',
  );
}

/** What a schema makes of what is stored; a null is a null, whatever the schema. Throws `Misfit`, and nothing else. */
export async function given(schema: StandardSchema, stored: unknown): Promise<unknown> {
  if (stored === null) return null;
  let issues: readonly SchemaIssue[] | undefined;
  try {
    const result = await schema['~standard'].validate(stored);
    if (!result.issues) return result.value;
    issues = [...result.issues];
  } catch (error) {
    throw new Misfit(`its schema failed: ${told(error)}`, { cause: error });
  }
  throw new Misfit(`it does not fit its schema: ${listed(issues)}`);
}

function listed(issues: readonly SchemaIssue[]): string {
  const first = issues.slice(0, ISSUES_MAX).map((issue) => `${placed(issue)}: ${told(issue)}`);
  const more = issues.length - first.length;
  return first.join('; ') + (more > 0 ? `; and ${more} more` : '');
}

function placed(issue: Partial<SchemaIssue> | null | undefined): string {
  const path = Array.isArray(issue?.path) ? issue.path : [];
  const steps = path.map((step: unknown) => {
    const key: unknown = typeof step === 'object' && step !== null ? (step as { key?: unknown }).key : step;
    if (typeof key === 'number') return `[${key}]`;
    return typeof key === 'string' && /^[\w$-]+$/.test(key) ? `.${key}` : `[${JSON.stringify(String(key))}]`;
  });
  return shortened(`$${steps.join('')}`, PATH_MAX);
}

/** What a vendor says, without what may be of the value: texts in quotes and numbers. */
function told(said: unknown): string {
  const { message } = (said ?? {}) as { message?: unknown };
  const text = typeof message === 'string' ? message : typeof said;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a log has a line for each message
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
  return shortened(line.replace(/".*"|'.*'|`.*`|".*|\d+/g, '…'), MESSAGE_MAX);
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
