/**
 * Values as payloads and back. What a miss returns takes the same way as what a later hit returns.
 *
 * A call writes with its coder. What stands in an entry is read by the codec that the entry names, whatever the call's.
 */

import { types } from 'node:util';
import { packed } from './fields-bytes.js';
import { fromWideJson, toJson } from './json.js';
import { toMsgpack } from './msgpack.js';
import type { Codec } from './options.js';
import { BigText, copied, Fields, kindOf, Packed, type Payload, Unencodable } from './payload.js';
import { given, type StandardSchema } from './schema.js';
import { fromMsgpack } from './unpack.js';

/** A call's way from a value to what is stored, and from what was stored to what its caller is given. */
export interface Coder {
  /** The codec's number in an entry. */
  readonly codec: number;
  /** The payload of a value. Throws `Unencodable`. */
  readonly encode: (value: unknown) => Payload;
  /** Of what a payload holds, what the caller is given; where it is undefined, that itself. Throws `Misfit`. */
  readonly decode: ((stored: unknown) => Promise<unknown>) | undefined;
}

/** What a payload holds. */
export function open(payload: Payload): unknown {
  if (typeof payload === 'string') return JSON.parse(payload);
  if (payload === null) return null;
  if (payload instanceof BigText) return fromWideJson(payload.text);
  if (payload instanceof Fields) return valuesOf(payload);
  return payload instanceof Packed ? fromMsgpack(payload.bytes) : copied(payload);
}

/** A payload for the core, which sees for itself what is inside. */
export function bare(payload: Payload): string | Uint8Array | null {
  if (payload instanceof BigText) return payload.text;
  if (payload instanceof Fields) return packed(payload);
  return payload instanceof Packed ? payload.bytes : payload;
}

/** The values of fields, by name. Own properties, whatever a field is called. */
function valuesOf({ list }: Fields): Record<string, unknown> {
  return Object.fromEntries(list.map(({ name, payload }) => [name, open(payload)]));
}

const PLAIN: Readonly<Record<Codec, Coder>> = {
  raw: { codec: 0, encode: toRaw, decode: undefined },
  json: { codec: 1, encode: toJson, decode: undefined },
  msgpack: { codec: 2, encode: toMsgpack, decode: undefined },
};

/** The coder of a codec that the core has named. */
export function coderOf(codec: string): Coder {
  return PLAIN[codec as Codec];
}

/** The same, whose callers are given what a schema makes of what is stored. */
export function withSchema({ codec, encode }: Coder, schema: StandardSchema): Coder {
  return { codec, encode, decode: (stored) => given(schema, stored) };
}

function toRaw(value: unknown): Uint8Array | null {
  if (value === undefined || value === null) return null;
  // A copy: what its owner does to it later is none of the cache's.
  if (types.isUint8Array(value)) return copied(value);
  if (types.isArrayBuffer(value)) return copied(new Uint8Array(value));
  throw new Unencodable(
    `$ is a ${kindOf(value)}, which the codec raw cannot hold: it takes a Buffer, a Uint8Array or an ArrayBuffer`,
  );
}
