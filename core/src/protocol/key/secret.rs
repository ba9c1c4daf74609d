//! What the tables of this process's keys go by. A key's own hash is spread well enough for any table; but anybody can work it
//! out, and look for keys whose hashes begin alike. So what nobody outside knows is folded in.

use std::sync::OnceLock;

static SECRET: OnceLock<[u64; 2]> = OnceLock::new();

/// Has the tables of this process's keys go by `seed`, so that what depends on their order can be seen again. For tests;
/// before the first key.
pub fn seed_tables(seed: u64) {
    // A second seed is another test's of the same process.
    let _ = SECRET.set([seed | 1, seed.rotate_left(32) | 1]);
}

/// 64 bits of the 128.
pub(super) fn folded(hash: &[u8; 16]) -> u64 {
    let [one, other] = *SECRET.get_or_init(|| [fastrand::u64(..) | 1, fastrand::u64(..) | 1]);
    let half = |at: usize| u64::from_le_bytes(hash[at..at + 8].try_into().expect("eight bytes"));
    let product = u128::from(half(0) ^ one) * u128::from(half(8) ^ other);
    product as u64 ^ (product >> 64) as u64
}
