/** The value of msgpack's bytes. What it takes is what every language reads alike; all else throws. */

import { copied, LARGEST_EXACT, narrowed } from './payload.js';

const WIDTH_32 = 2 ** 32;
/** Up to here a look at each byte takes less time than a decoder does. */
const SHORT_TEXT = 48;
const TIME = -1;
const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function fromMsgpack(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.isAtEnd) throw new Error('has more behind its value');
  return value;
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(): unknown {
    const first = this.#byte();
    if (first < 0x80) return first;
    if (first < 0x90) return this.#map(first & 0x0f);
    if (first < 0xa0) return this.#list(first & 0x0f);
    if (first < 0xc0) return this.#text(first & 0x1f);
    if (first >= 0xe0) return first - 0x100;
    switch (first) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return copied(this.#slice(this.#byte()));
      case 0xc5:
        return copied(this.#slice(this.#unsigned16()));
      case 0xc6:
        return copied(this.#slice(this.#unsigned32()));
      case 0xc7:
        return this.#extension(this.#byte());
      case 0xc8:
        return this.#extension(this.#unsigned16());
      case 0xc9:
        return this.#extension(this.#unsigned32());
      case 0xca:
        return this.#bytes.readFloatBE(this.#passed(4));
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#passed(8));
      case 0xcc:
        return this.#byte();
      case 0xcd:
        return this.#unsigned16();
      case 0xce:
        return this.#unsigned32();
      case 0xcf:
        return this.#wide(this.#bytes.readUInt32BE(this.#at), false);
      case 0xd0:
        return this.#bytes.readInt8(this.#passed(1));
      case 0xd1:
        return this.#bytes.readInt16BE(this.#passed(2));
      case 0xd2:
        return this.#bytes.readInt32BE(this.#passed(4));
      case 0xd3:
        return this.#wide(this.#bytes.readInt32BE(this.#at), true);
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(2 ** (first - 0xd4));
      case 0xd9:
        return this.#text(this.#byte());
      case 0xda:
        return this.#text(this.#unsigned16());
      case 0xdb:
        return this.#text(this.#unsigned32());
      case 0xdc:
        return this.#list(this.#unsigned16());
      case 0xdd:
        return this.#list(this.#unsigned32());
      case 0xde:
        return this.#map(this.#unsigned16());
      case 0xdf:
        return this.#map(this.#unsigned32());
      default:
        throw new Error('has a byte that begins nothing');
    }
  }

  /** Of any count: it ends where the bytes do. */
  #list(count: number): unknown[] {
    const list: unknown[] = [];
    for (let at = 0; at < count; at += 1) list.push(this.value());
    return list;
  }

  #map(count: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let at = 0; at < count; at += 1) {
      const name = this.value();
      if (typeof name !== 'string') throw new Error('has a name that is no text');
      const value = this.value();
      // As JSON.parse has it: a name like any other, and no prototype.
      if (name === '__proto__') {
        Object.defineProperty(map, name, { value, writable: true, enumerable: true, configurable: true });
      } else {
        map[name] = value;
      }
    }
    return map;
  }

  #text(length: number): string {
    const bytes = this.#bytes;
    const at = this.#passed(length);
    const end = at + length;
    let isAscii = length <= SHORT_TEXT;
    for (let look = at; isAscii && look < end; look += 1) isAscii = (bytes[look] as number) < 0x80;
    return isAscii ? bytes.toString('latin1', at, end) : TEXT.decode(bytes.subarray(at, end));
  }

  /** An integer of eight bytes, of which these are the upper four: a number up to 2^53, else a bigint. */
  #wide(high: number, isSigned: boolean): number | bigint {
    const at = this.#passed(8);
    const value = high * WIDTH_32 + this.#bytes.readUInt32BE(at + 4);
    if (Math.abs(value) < LARGEST_EXACT) return value;
    return narrowed(isSigned ? this.#bytes.readBigInt64BE(at) : this.#bytes.readBigUInt64BE(at));
  }

  #extension(size: number): Date {
    const type = this.#bytes.readInt8(this.#passed(1));
    const at = this.#passed(size);
    if (type !== TIME) throw new Error(`has an extension of type ${type}, which nobody knows`);
    if (size === 4) return time(this.#bytes.readUInt32BE(at), 0);
    if (size === 8) {
      const high = this.#bytes.readUInt32BE(at);
      return time((high % 4) * WIDTH_32 + this.#bytes.readUInt32BE(at + 4), Math.floor(high / 4));
    }
    if (size === 12) return time(Number(this.#bytes.readBigInt64BE(at + 4)), this.#bytes.readUInt32BE(at));
    throw new Error('has a time of a length that no time has');
  }

  #slice(length: number): Buffer {
    const at = this.#passed(length);
    return this.#bytes.subarray(at, at + length);
  }

  #byte(): number {
    return this.#bytes.readUInt8(this.#passed(1));
  }

  #unsigned16(): number {
    return this.#bytes.readUInt16BE(this.#passed(2));
  }

  #unsigned32(): number {
    return this.#bytes.readUInt32BE(this.#passed(4));
  }

  /** Goes on by so many bytes; where they began. */
  #passed(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new Error('ends too early');
    this.#at = at + count;
    return at;
  }
}

/** A Date, which knows milliseconds: what is smaller is cut off. */
function time(seconds: number, nanoseconds: number): Date {
  const date = new Date(seconds * 1_000 + Math.floor(nanoseconds / 1e6));
  if (Number.isNaN(date.getTime()) || nanoseconds >= 1e9) throw new Error('has a time that no Date can hold');
  return date;
}
