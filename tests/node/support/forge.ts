/** Entries as another program may write them straight into the server: any payload under any codec, with right sums. */
import { Redis } from 'ioredis';
import type { CacheManager } from 'tidegate';
import { type Stage, sharedServer } from './stage.js';

const CODECS = { raw: 0, json: 1, msgpack: 2 };
const AT_FLAGS = 3;
const AT_CODEC = 4;
const PATCHED = [12, 44] as const;
const AT_CRC = 68;

/** A connection of its own, ended behind `work`. */
export async function withRedis<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis((await sharedServer()).url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

export function nameOf(stage: Stage, key: string): string {
  return `${stage.service}:v1:${key}`;
}

/** Puts a payload where the managers of a stage look for the key. */
export async function forge(
  stage: Stage,
  key: string,
  codec: keyof typeof CODECS,
  payload: string | Uint8Array,
  flags = 0,
): Promise<void> {
  const writer: CacheManager = stage.make({ compression: null });
  await writer.set(key, Buffer.from(payload), { codec: 'raw' });
  await withRedis(async (redis) => {
    const name = nameOf(stage, key);
    const entry = await redis.getBuffer(name);
    if (entry === null) throw new Error('nothing was written');
    entry[AT_CODEC] = CODECS[codec];
    entry[AT_FLAGS] = (entry[AT_FLAGS] ?? 0) | flags;
    const summed = Buffer.from(entry);
    summed.fill(0, ...PATCHED).fill(0, AT_CRC, AT_CRC + 4);
    entry.writeUInt32LE(crc32c(summed), AT_CRC);
    await redis.set(name, entry, 'KEEPTTL');
  });
}

function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0x82f63b78 : sum >>> 1;
  }
  return (sum ^ 0xffffffff) >>> 0;
}
