/** What every contender is given alike. */

export const TTL_MS = 3_600_000; // nothing runs out while it is measured
export const ENTRIES_MAX = 1_000_000; // in the process
export const BYTES_MAX = 4 * 2 ** 30; // in the process; nothing is put out while it is measured
