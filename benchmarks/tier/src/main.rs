//! quick_cache beside moka, as tidegate's L1 uses them: texts as keys, `Arc`s as values, bounded by weight, read by
//! `&str`. Interleaved rounds in one run; medians with their spread.
//!
//! `cargo run --release --manifest-path benchmarks/tier/Cargo.toml`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const ENTRIES: usize = 100_000;
const READS: usize = 2_000_000;
const ROUNDS: usize = 7;
const PAYLOAD: usize = 1_024;

type Value = Arc<Vec<u8>>;

trait Tier: Send + Sync {
    fn get(&self, key: &str) -> Option<Value>;
    fn insert(&self, key: &str, value: Value);
    fn remove(&self, key: &str);
}

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<Box<str>, Value> for ByBytes {
    fn weight(&self, key: &Box<str>, value: &Value) -> u64 {
        (key.len() + value.len()) as u64
    }
}

struct Quick(quick_cache::sync::Cache<Box<str>, Value, ByBytes>);

impl Tier for Quick {
    fn get(&self, key: &str) -> Option<Value> {
        self.0.get(key)
    }
    fn insert(&self, key: &str, value: Value) {
        self.0.insert(key.into(), value);
    }
    fn remove(&self, key: &str) {
        self.0.remove(key);
    }
}

struct Moka(moka::sync::Cache<Box<str>, Value>);

impl Tier for Moka {
    fn get(&self, key: &str) -> Option<Value> {
        self.0.get(key)
    }
    fn insert(&self, key: &str, value: Value) {
        self.0.insert(key.into(), value);
    }
    fn remove(&self, key: &str) {
        self.0.invalidate(key);
    }
}

fn tier(name: &str, bytes: u64) -> Box<dyn Tier> {
    match name {
        "quick_cache" => Box::new(Quick(quick_cache::sync::Cache::with_weighter(ENTRIES, bytes, ByBytes))),
        _ => Box::new(Moka(
            moka::sync::Cache::builder()
                .max_capacity(bytes)
                .weigher(|key: &Box<str>, value: &Value| (key.len() + value.len()) as u32)
                .build(),
        )),
    }
}

fn key(number: usize) -> String {
    format!("user:profile:{number}")
}

fn value() -> Value {
    Arc::new(vec![7; PAYLOAD])
}

/// Nanoseconds per operation of each thread.
fn timed(threads: usize, each: usize, run: impl Fn(&mut fastrand::Rng) + Sync) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let run = &run;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                (0..each).for_each(|_| run(&mut random));
            });
        }
    });
    began.elapsed().as_nanos() as f64 / each as f64
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second figure");
    pages * 4_096
}

/// In a process of its own: what another tier has given back would be used again.
fn bytes_over(name: &str) -> f64 {
    let keys: Vec<String> = (0..ENTRIES).map(key).collect();
    let before = resident_bytes();
    let full = tier(name, 1 << 34);
    keys.iter().for_each(|key| full.insert(key, value()));
    let grown = resident_bytes().saturating_sub(before) as f64;
    black_box(full.get(&keys[0]));
    let user: usize = keys.iter().map(|key| key.len() + PAYLOAD).sum();
    (grown - user as f64) / ENTRIES as f64
}

fn main() {
    if let Some(name) = std::env::args().nth(1) {
        return println!("{}", bytes_over(&name));
    }
    let names = ["quick_cache", "moka"];
    let keys: Vec<String> = (0..ENTRIES * 2).map(key).collect();
    let mut figures: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        for at in 0..names.len() {
            let name = names[(at + round) % names.len()];
            let mut note = |what, figure| figures.entry((what, name)).or_default().push(figure);
            let full = tier(name, 1 << 34);
            let inserted = timed(1, 1, |_| keys[..ENTRIES].iter().for_each(|key| full.insert(key, value())));
            note("insert, ns", inserted / ENTRIES as f64);
            let hit = |random: &mut fastrand::Rng| drop(black_box(full.get(&keys[random.usize(0..ENTRIES)])));
            note("hit, 1 thread, ns", timed(1, READS, hit));
            note("hit, 2 threads, ns", timed(2, READS, hit));
            let one = |_: &mut fastrand::Rng| drop(black_box(full.get(&keys[0])));
            note("hit, 2 threads on one key, ns", timed(2, READS, one));
            let absent = |random: &mut fastrand::Rng| full.remove(&keys[ENTRIES + random.usize(0..ENTRIES)]);
            note("remove what is not there, ns", timed(1, READS / 4, absent));
            if round == 0 {
                let this = std::env::current_exe().expect("it runs");
                let printed = std::process::Command::new(this).arg(name).output().expect("it runs").stdout;
                let bytes = String::from_utf8_lossy(&printed).trim().parse().expect("a number");
                note("bytes over key and payload", bytes);
            }
            drop(full);
            // A tenth of what is asked for fits; keys are asked for as popular ones are (Zipf, exponent 1).
            let small = tier(name, (ENTRIES / 10 * (PAYLOAD + 18)) as u64);
            let mut random = fastrand::Rng::with_seed(round as u64);
            let asked = 1_000_000;
            let mut hits = 0;
            for _ in 0..asked {
                let rank = ((ENTRIES as f64).powf(random.f64()) as usize).min(ENTRIES - 1);
                match small.get(&keys[rank]) {
                    Some(_) => hits += 1,
                    None => small.insert(&keys[rank], value()),
                }
            }
            note("hit rate with room for a tenth, %", f64::from(hits) / f64::from(asked) * 100.0);
        }
    }
    println!("| | {} | {} |\n|---|---|---|", names[0], names[1]);
    let mut what: Vec<&str> = figures.keys().map(|(what, _)| *what).collect();
    what.dedup();
    for what in what {
        let cell = |name| {
            let mut all = figures[&(what, name)].clone();
            all.sort_by(f64::total_cmp);
            format!("{:.1} ({:.1}-{:.1})", all[all.len() / 2], all[0], all[all.len() - 1])
        };
        println!("| {what} | {} | {} |", cell(names[0]), cell(names[1]));
    }
}
