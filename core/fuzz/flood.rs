//! Hash flooding: keys that somebody has looked for so that all of them begin at one place of a table.

use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Instant;

use rustc_hash::{FxBuildHasher, FxHashMap};
use tidegate::key::{Key, KeySpace};

/// A key whose hash anybody can work out beforehand, as it was.
#[derive(PartialEq, Eq)]
struct Naive(Key);

impl Hash for Naive {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.hash()[..8]);
    }
}

/// Where one of so many begins in a table that holds them all.
fn place(key: &impl Hash, count: usize) -> u64 {
    let places = (count * 8 / 7 + 1).next_power_of_two() as u64;
    FxBuildHasher.hash_one(key) & (places - 1)
}

/// How many begin at one place, at the most.
fn most_at_one_place(keys: &[impl Hash]) -> usize {
    let mut at: FxHashMap<u64, usize> = FxHashMap::default();
    keys.iter().for_each(|key| *at.entry(place(key, keys.len())).or_default() += 1);
    at.into_values().max().unwrap_or(0)
}

/// So many keys that begin at the first place of a table that holds them all, without what a process folds in.
fn alike(count: usize) -> Vec<Key> {
    let space = KeySpace::new("billing", 1).expect("right");
    let begins_there = |key: &Key| place(&Naive(key.clone()), count) == 0;
    let keys = (0_u64..).map(|number| space.key(&format!("user:profile:{number}")).expect("right"));
    keys.filter(begins_there).take(count).collect()
}

/// Nanoseconds of one look into a table of all of them.
fn looked_up<K: Hash + Eq>(keys: &[K]) -> f64 {
    let table: FxHashMap<&K, usize> = keys.iter().zip(0..).collect();
    let began = Instant::now();
    let mut found = 0;
    for _ in 0..10 {
        found += keys.iter().filter(|key| table.contains_key(key)).count();
    }
    assert_eq!(found, 10 * keys.len());
    began.elapsed().as_secs_f64() * 1e9 / found as f64
}

pub(crate) fn measured(count: usize) -> serde_json::Value {
    let keys = alike(count);
    let naive: Vec<_> = keys.iter().cloned().map(Naive).collect();
    serde_json::json!({
        "keys": count,
        "naive_alike": most_at_one_place(&naive),
        "naive_ns": looked_up(&naive),
        "alike": most_at_one_place(&keys),
        "ns": looked_up(&keys),
    })
}
