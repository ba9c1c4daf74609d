/** Values that are split over fields as the bytes that cross: `bindings-node/src/fields.rs` says how. */

import { BigText, type Field, Fields, Packed, type Single } from './payload.js';

/** Instead of the number of a codec. */
export const FIELDS_CODEC = 255;

const STATES = ['fresh', 'stale', 'new'] as const;
const HEAD_BYTES = 8;
const NULL = 255;
/** What a payload is: the numbers of `word.rs`. */
const TEXT = 1;
const BIG_TEXT = 2;
const RAW = 26;
const PACKED = 27;

export function packed({ list }: Fields): Uint8Array {
  const parts = list.flatMap(({ name, state, payload }) => {
    const [codec, body] = bodyOf(payload);
    const label = Buffer.from(name);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt8(STATES.indexOf(state), 0);
    head.writeUInt8(codec, 1);
    head.writeUInt16LE(label.length, 2);
    head.writeUInt32LE(body.length, 4);
    return [head, label, body];
  });
  return Buffer.concat(parts);
}

function bodyOf(payload: Single): [codec: number, body: Uint8Array] {
  if (payload === null) return [NULL, Buffer.alloc(0)];
  if (typeof payload === 'string') return [1, Buffer.from(payload)];
  if (payload instanceof BigText) return [1, Buffer.from(payload.text)];
  return payload instanceof Packed ? [2, payload.bytes] : [0, payload];
}

export function unpacked(bytes: Uint8Array): Fields {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const list: Field[] = [];
  for (let at = 0; at < all.length; ) {
    const state = STATES[all.readUInt8(at)] ?? 'stale';
    const word = all.readUInt8(at + 1);
    const nameAt = at + HEAD_BYTES;
    const bodyAt = nameAt + all.readUInt16LE(at + 2);
    at = bodyAt + all.readUInt32LE(at + 4);
    const name = all.toString('utf8', nameAt, bodyAt);
    list.push({ name, state, payload: payloadOf(word, all.subarray(bodyAt, at)) });
  }
  return new Fields(list);
}

function payloadOf(word: number, body: Uint8Array): Single {
  switch (word) {
    case TEXT:
      return Buffer.from(body).toString();
    case BIG_TEXT:
      return new BigText(Buffer.from(body).toString());
    case RAW:
      return body;
    case PACKED:
      return new Packed(body);
    default:
      // A null; or no UTF-8, which is read as text of another kind: no JSON.
      return body.length === 0 ? null : new BigText('');
  }
}
