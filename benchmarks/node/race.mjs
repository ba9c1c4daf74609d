/**
 * An invalidation while a fill is under way: is the value that the fallback read before it kept?
 *
 * The source is a number. A fallback reads it; then another instance of the cache raises it and invalidates; then the
 * fallback returns what it read. From then on every new caller must be given the new number: one who is not was served a
 * value that had been invalidated before he asked, and would be so for its whole ttl.
 */

import { setTimeout as sleep } from 'node:timers/promises';

const LATE_MS = 5;
const OVERLAP_MS = 200; // so long a fill waits for another that may be waiting for it
const PUSHED_MS = 100; // by then a change has reached every instance that it will reach

/**
 * In how many rounds the other instance was given the old value (`stale`); for what holds values in the process too, when
 * all that instances tell each other has arrived, and also in how many the one whose fill it was (`l1_stale`).
 *
 * @param {import('./adapters.mjs').Contender} contender
 * @param {import('./adapters.mjs').Cache} filler
 */
export async function race(contender, filler, { variant, rounds }) {
  const play = VARIANTS[variant];
  if (play === undefined)
    throw new Error(`no variant is named '${variant}'; there are ${Object.keys(VARIANTS).join(', ')}`);
  if (variant === 'tag' && filler.invalidateTag === undefined) return { skipped: 'it has no tags' };
  if (variant === 'held-elsewhere' && contender.tier !== 'both')
    return { skipped: 'it does not hold values in two places' };
  // What is in this process alone has no other instance.
  const other = contender.tier === 'process' ? filler : await contender.open();
  const count = { rounds, stale: 0, ...(contender.tier === 'both' && { l1_stale: 0 }) };
  for (let round = 0; round < rounds; round += 1) {
    const game = new Game(filler, other, `bench:race:${variant}-${process.pid}-${serial++}`);
    await play(game);
    if (contender.tier === 'both') await sleep(PUSHED_MS);
    if (await game.isStale(other)) count.stale += 1;
    if (contender.tier === 'both' && (await game.isStale(filler))) count.l1_stale += 1;
  }
  if (other !== filler) await other.close?.();
  return count;
}

let serial = 0;

const VARIANTS = {
  'invalidate-in-fill': (game) => game.fill(() => game.change()),

  'write-then-invalidate-late-store': (game) =>
    game.fill(async () => {
      await game.change();
      await sleep(LATE_MS);
    }),

  // The second fill begins when the change has returned, and ends before the first, unless it waits for that.
  twice: async (game) => {
    let second;
    await game.fill(async () => {
      await game.change();
      second = game.read(game.other);
      await Promise.race([second, sleep(OVERLAP_MS)]);
    });
    await second;
  },

  // Late as well: a peer that tells times in milliseconds is right by chance where all happens in one.
  tag: (game) => {
    game.tags = [`race:${game.key.replaceAll(':', '-')}`];
    return game.fill(async () => {
      await game.change();
      await sleep(LATE_MS);
    });
  },

  // No race: what the other instance holds in its process when this one invalidates.
  'held-elsewhere': async (game) => {
    await game.read(game.filler);
    await game.read(game.other);
    await game.change(game.filler);
  },
};

/** One round on a key of its own. */
class Game {
  tags;
  #source = 0;

  constructor(filler, other, key) {
    this.filler = filler;
    this.other = other;
    this.key = key;
  }

  /** A call whose fallback has read the source when `meanwhile` runs. */
  fill(meanwhile) {
    return this.filler.get(
      this.key,
      async () => {
        const read = this.#source;
        await meanwhile();
        return { read };
      },
      this.tags,
    );
  }

  /** Raises the source and invalidates, as whoever writes to a database does. */
  async change(by = this.other) {
    this.#source += 1;
    await (this.tags === undefined ? by.invalidate(this.key) : by.invalidateTag(this.tags[0]));
  }

  read(by) {
    return by.get(this.key, async () => ({ read: this.#source }), this.tags);
  }

  /** Whether a new caller is given what was invalidated. */
  async isStale(by) {
    const { read } = await this.read(by);
    return read !== this.#source;
  }
}
