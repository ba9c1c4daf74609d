/** Values as msgpack: what JSON takes, and besides it bytes, times, numbers that are none, and integers of 64 bits. */

import { types } from 'node:util';
import { shown } from './key.js';
import {
  circular,
  DEPTH_MAX,
  isLossy,
  LARGEST_EXACT,
  narrowed,
  Packed,
  refusal,
  tooDeep,
  Unencodable,
  written,
} from './payload.js';

const FIRST_BYTES = 1_024;
const NIL = 0xc0;
/** From here on a length stands before a text. */
const SHORT_TEXT = 32;
const WIDTH_32 = 2 ** 32;
const LARGEST_UNSIGNED = 2n ** 64n - 1n;
const SMALLEST_SIGNED = -(2n ** 63n);
/** Of the extension for times. */
const TIME = 0xff;
/** Seconds of a time that fit beside its nanoseconds into eight bytes. */
const LONG_SECONDS = 2 ** 34;

/** The msgpack of a value; null for what comes to nil, which is stored without it. Throws `Unencodable`. */
export function toMsgpack(value: unknown): Packed | null {
  if (value === undefined || value === null) return null;
  const bytes = written(() => new Writer().whole(value));
  return bytes.length === 1 && bytes[0] === NIL ? null : new Packed(bytes);
}

/** One for each value: what a getter of it does may write values of its own. */
class Writer {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;
  /** The names and places that lead to what is written; what is deeper is of before. */
  readonly #path: (string | number)[] = [];
  /** The objects around what is written, likewise. */
  readonly #around: object[] = [];

  whole(value: unknown): Uint8Array {
    this.#value(value, 0);
    return this.#bytes.subarray(0, this.#at);
  }

  #value(value: unknown, depth: number): void {
    switch (typeof value) {
      case 'string':
        this.#text(value, depth);
        break;
      case 'number':
        this.#number(value);
        break;
      case 'boolean':
        this.#byte(value ? 0xc3 : 0xc2);
        break;
      case 'undefined':
        this.#byte(NIL);
        break;
      case 'bigint':
        this.#bigint(value, depth);
        break;
      case 'object':
        if (value === null) this.#byte(NIL);
        else this.#object(value, depth);
        break;
      default:
        this.#refuse(value, depth);
    }
  }

  #object(value: object, depth: number): void {
    if (Array.isArray(value)) this.#list(value, depth);
    else if (types.isUint8Array(value)) this.#binary(value);
    else if (types.isArrayBuffer(value)) this.#binary(new Uint8Array(value));
    else if (types.isDate(value)) this.#time(value.getTime());
    else if (types.isBoxedPrimitive(value)) this.#value(value.valueOf(), depth);
    else this.#other(value, depth);
  }

  #other(value: object, depth: number): void {
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON !== 'function' || ArrayBuffer.isView(value)) {
      this.#map(value, depth);
      return;
    }
    const given: unknown = toJSON.call(value, '');
    // As JSON has it: what it gives is not asked again.
    const isAnswer = typeof given === 'object' && given !== null && 'toJSON' in given && !types.isDate(given);
    if (isAnswer) this.#map(given, depth);
    else this.#value(given, depth);
  }

  #list(list: readonly unknown[], depth: number): void {
    this.#open(list, depth);
    this.#head(list.length, 0x90, 16, 0, 0xdc);
    for (let at = 0; at < list.length; at += 1) {
      this.#path[depth] = at;
      this.#value(list[at], depth + 1);
    }
  }

  #map(map: object, depth: number): void {
    if (isLossy(map)) this.#refuse(map, depth);
    this.#open(map, depth);
    const pairs = Object.entries(map).filter(([, value]) => value !== undefined);
    this.#head(pairs.length, 0x80, 16, 0, 0xde);
    for (const [name, value] of pairs) {
      this.#path[depth] = name;
      this.#text(name, depth, `: the name ${shown(name)}`);
      this.#value(value, depth + 1);
    }
  }

  #open(value: object, depth: number): void {
    this.#around[depth] = value;
    if (depth < DEPTH_MAX) return;
    // Looked for only here, where what contains itself ends up.
    for (let at = 1; at <= depth; at += 1) {
      const inner = this.#around[at];
      if (inner !== undefined && this.#around.indexOf(inner) < at) {
        throw new Unencodable(circular(this.#pathTo(at), 'msgpack'));
      }
    }
    throw new Unencodable(tooDeep(this.#pathTo(depth)));
  }

  #text(text: string, depth: number, what = ''): void {
    if (text.length < SHORT_TEXT && this.#isAscii(text)) return;
    if (!text.isWellFormed()) throw new Unencodable(refusal(text, this.#pathTo(depth) + what, 'msgpack'));
    const size = Buffer.byteLength(text);
    this.#head(size, 0xa0, SHORT_TEXT, 0xd9, 0xda);
    this.#room(size);
    this.#at += this.#bytes.write(text, this.#at, 'utf8');
  }

  /** Writes a short text, if all of it is ASCII. */
  #isAscii(text: string): boolean {
    this.#room(SHORT_TEXT);
    const first = this.#at + 1;
    for (let at = 0; at < text.length; at += 1) {
      const letter = text.charCodeAt(at);
      if (letter >= 0x80) return false;
      this.#bytes[first + at] = letter;
    }
    this.#bytes[this.#at] = 0xa0 | text.length;
    this.#at = first + text.length;
    return true;
  }

  #binary(bytes: Uint8Array): void {
    this.#head(bytes.length, 0, 0, 0xc4, 0xc5);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #number(value: number): void {
    // -0 is a whole number, and no integer has its sign.
    if (!Number.isInteger(value) || Math.abs(value) > LARGEST_EXACT || Object.is(value, -0)) {
      this.#byte(0xcb);
      this.#room(8);
      this.#at = this.#bytes.writeDoubleBE(value, this.#at);
    } else if (value >= 0) this.#unsigned(value);
    else this.#negative(value);
  }

  #unsigned(value: number): void {
    this.#room(9);
    const bytes = this.#bytes;
    if (value < 0x80) bytes[this.#at++] = value;
    else if (value < 0x100) this.#at = bytes.writeUInt8(value, bytes.writeUInt8(0xcc, this.#at));
    else if (value < 0x1_0000) this.#at = bytes.writeUInt16BE(value, bytes.writeUInt8(0xcd, this.#at));
    else if (value < WIDTH_32) this.#at = bytes.writeUInt32BE(value, bytes.writeUInt8(0xce, this.#at));
    else this.#at = bytes.writeBigUInt64BE(BigInt(value), bytes.writeUInt8(0xcf, this.#at));
  }

  #negative(value: number): void {
    this.#room(9);
    const bytes = this.#bytes;
    if (value >= -0x20) bytes[this.#at++] = 0x100 + value;
    else if (value >= -0x80) this.#at = bytes.writeInt8(value, bytes.writeUInt8(0xd0, this.#at));
    else if (value >= -0x8000) this.#at = bytes.writeInt16BE(value, bytes.writeUInt8(0xd1, this.#at));
    else if (value >= -0x8000_0000) this.#at = bytes.writeInt32BE(value, bytes.writeUInt8(0xd2, this.#at));
    else this.#at = bytes.writeBigInt64BE(BigInt(value), bytes.writeUInt8(0xd3, this.#at));
  }

  #bigint(value: bigint, depth: number): void {
    const narrow = narrowed(value);
    if (typeof narrow === 'number') {
      this.#number(narrow);
      return;
    }
    if (value > LARGEST_UNSIGNED || value < SMALLEST_SIGNED) {
      throw new Unencodable(`${this.#pathTo(depth)} is a bigint beyond 64 bits, which msgpack cannot hold`);
    }
    this.#byte(value > 0n ? 0xcf : 0xd3);
    this.#room(8);
    if (value > 0n) this.#at = this.#bytes.writeBigUInt64BE(value, this.#at);
    else this.#at = this.#bytes.writeBigInt64BE(value, this.#at);
  }

  #time(ms: number): void {
    const seconds = Math.floor(ms / 1_000);
    const nanoseconds = (ms - seconds * 1_000) * 1e6;
    this.#room(15);
    const bytes = this.#bytes;
    // As JSON has it.
    if (Number.isNaN(ms)) this.#byte(NIL);
    else if (seconds >= 0 && seconds < WIDTH_32 && nanoseconds === 0) {
      bytes.set([0xd6, TIME], this.#at);
      this.#at = bytes.writeUInt32BE(seconds, this.#at + 2);
    } else if (seconds >= 0 && seconds < LONG_SECONDS) {
      bytes.set([0xd7, TIME], this.#at);
      const high = bytes.writeUInt32BE(nanoseconds * 4 + Math.floor(seconds / WIDTH_32), this.#at + 2);
      this.#at = bytes.writeUInt32BE(seconds % WIDTH_32, high);
    } else {
      bytes.set([0xc7, 12, TIME], this.#at);
      this.#at = bytes.writeBigInt64BE(BigInt(seconds), bytes.writeUInt32BE(nanoseconds, this.#at + 3));
    }
  }

  /** How much follows: in the byte itself below `few`, else in one byte behind `word8` (0: there is none), two or four. */
  #head(count: number, fix: number, few: number, word8: number, word16: number): void {
    this.#room(5);
    const bytes = this.#bytes;
    if (count < few) bytes[this.#at++] = fix | count;
    else if (count < 0x100 && word8 !== 0) this.#at = bytes.writeUInt8(count, bytes.writeUInt8(word8, this.#at));
    else if (count < 0x1_0000) this.#at = bytes.writeUInt16BE(count, bytes.writeUInt8(word16, this.#at));
    else this.#at = bytes.writeUInt32BE(count, bytes.writeUInt8(word16 + 1, this.#at));
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = byte;
  }

  #room(more: number): void {
    const needed = this.#at + more;
    if (needed <= this.#bytes.length) return;
    const wider = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    wider.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = wider;
  }

  #refuse(value: unknown, depth: number): never {
    throw new Unencodable(refusal(value, this.#pathTo(depth), 'msgpack'));
  }

  #pathTo(depth: number): string {
    const steps = this.#path.slice(0, depth).map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`));
    return `$${steps.join('')}`;
  }
}
