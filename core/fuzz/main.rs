//! Hostile input at length: mutates the corpus over every target, on a thread per core, and watches what is allocated.
//!
//!     tidegate-fuzz CORPUS --inputs 10000000 --seed 7 [--target entry] [--naive]
//!
//! Prints its figures as one line of JSON. What breaks a promise is written into the corpus as `found-…`, and ends the run.
//! With `--naive` a reader is run that believes what an entry says of its length, to see that the limit bites. With `--flood`
//! keys are made whose hashes begin alike, and looked for in a table: as it was, and as it is (`flood.rs`).

mod flood;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidegate::fuzz::{Target, naive_reader};

const INPUT_BYTES_MAX: usize = 4_096;
/// Longer than any input may take; a machine that is busy takes a hundredth of it.
const SLOW: Duration = Duration::from_secs(2);

/// Counts what this thread holds, and the most that it has held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // While a thread ends its counters may be gone.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: the system's allocator does all of it; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as the caller has promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as the caller has promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What is held beyond what was held before, at the most, while `work` runs.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    work();
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

struct Asked {
    corpus: PathBuf,
    inputs: u64,
    seed: u64,
    targets: Vec<Target>,
    is_naive: bool,
    /// So many keys that begin alike.
    flood: usize,
}

fn asked() -> Result<Asked, String> {
    let mut words = std::env::args().skip(1);
    let mut asked = Asked {
        corpus: PathBuf::new(),
        inputs: 1_000_000,
        seed: 1,
        targets: Target::ALL.to_vec(),
        is_naive: false,
        flood: 0,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} of what?"));
        let number = |text: String| text.replace('_', "").parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--inputs" => asked.inputs = number(value()?)?,
            "--seed" => asked.seed = number(value()?)?,
            "--naive" => asked.is_naive = true,
            "--flood" => asked.flood = usize::try_from(number(value()?)?).map_err(|error| error.to_string())?,
            "--target" => {
                let name = value()?;
                asked.targets.retain(|target| target.name() == name);
            }
            path => asked.corpus = path.into(),
        }
    }
    if asked.targets.is_empty() || !asked.corpus.is_dir() {
        return Err("usage: tidegate-fuzz CORPUS [--inputs N] [--seed S] [--target NAME] [--naive]".into());
    }
    Ok(asked)
}

/// The inputs of a target that are known.
fn known(corpus: &Path, target: Target) -> Vec<Vec<u8>> {
    let Ok(folder) = std::fs::read_dir(corpus.join(target.name())) else { return vec![Vec::new()] };
    let mut paths: Vec<_> = folder.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

fn mutated(pool: &[Vec<u8>], chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = chance.choice(pool).cloned().unwrap_or_default();
    if chance.u8(..) < 24 {
        input = (0..chance.usize(..400)).map(|_| chance.u8(..)).collect();
    }
    for _ in 0..chance.usize(1..8) {
        mutate(&mut input, pool, chance);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], chance: &mut fastrand::Rng) {
    let at = chance.usize(..=input.len());
    let count = chance.usize(1..17);
    let end = (at + count).min(input.len());
    match chance.u8(..9) {
        0 if at < input.len() => input[at] ^= 1 << chance.u8(..8),
        1 if at < input.len() => input[at] = chance.u8(..),
        2 if at < input.len() => input[at] = *chance.choice(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]).expect("some"),
        3 => drop(input.drain(at..end)),
        4 => {
            let more: Vec<u8> = (0..count).map(|_| chance.u8(..)).collect();
            input.splice(at..at, more);
        }
        5 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        6 => {
            if let Some(other) = chance.choice(pool) {
                let from = chance.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        7 if at + 4 <= input.len() => {
            let number = input[at].wrapping_add(chance.u8(..)).wrapping_sub(16);
            input[at..at + 4].copy_from_slice(&u32::from(number).to_le_bytes());
        }
        _ => input.truncate(at),
    }
}

#[derive(Default)]
struct Seen {
    inputs: BTreeMap<&'static str, u64>,
    most_held: usize,
    over_limit: u64,
    slowest: Duration,
}

/// Runs its share; what breaks a promise is kept.
fn share(asked: &Asked, inputs: u64, seed: u64) -> Result<Seen, String> {
    let pools: Vec<_> = asked.targets.iter().map(|target| known(&asked.corpus, *target)).collect();
    let weights: u64 = asked.targets.iter().map(|target| target.weight()).sum();
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut seen = Seen::default();
    for _ in 0..inputs {
        let mut left = chance.u64(..weights);
        let (target, pool) = asked
            .targets
            .iter()
            .zip(&pools)
            .find(|(target, _)| {
                let is_it = left < target.weight();
                left = left.saturating_sub(target.weight());
                is_it
            })
            .expect("the weights are of these");
        let input = mutated(pool, &mut chance);
        let began = Instant::now();
        let mut outcome = Ok(());
        let held = most_held(|| {
            outcome = std::panic::catch_unwind(|| {
                if asked.is_naive {
                    std::hint::black_box(naive_reader(&input));
                } else {
                    target.run(&input);
                }
            });
        });
        let took = began.elapsed();
        *seen.inputs.entry(target.name()).or_default() += 1;
        seen.most_held = seen.most_held.max(held);
        seen.slowest = seen.slowest.max(took);
        let is_over = held > target.allowance(&input);
        seen.over_limit += u64::from(is_over);
        if asked.is_naive {
            continue;
        }
        if outcome.is_err() || is_over || took > SLOW {
            let path = asked.corpus.join(target.name()).join(format!("found-{:016x}", chance.u64(..)));
            std::fs::write(&path, &input).map_err(|error| error.to_string())?;
            let what = format!("panic: {}, held {held} bytes, took {took:?}", outcome.is_err());
            return Err(format!("{} ({what})", path.display()));
        }
    }
    Ok(seen)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    if asked.flood > 0 {
        println!("{}", flood::measured(asked.flood));
        return ExitCode::SUCCESS;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let began = Instant::now();
    let shares: Vec<_> = std::thread::scope(|scope| {
        let one = |number| {
            let inputs = asked.inputs / threads + u64::from(number < asked.inputs % threads);
            let asked = &asked;
            scope.spawn(move || share(asked, inputs, asked.seed.wrapping_mul(1_000_003).wrapping_add(number)))
        };
        let running: Vec<_> = (0..threads).map(one).collect();
        running.into_iter().map(|thread| thread.join().expect("a target's panic is caught")).collect()
    });
    let mut total = Seen::default();
    let mut found = Vec::new();
    for share in shares {
        match share {
            Ok(seen) => {
                seen.inputs.into_iter().for_each(|(name, count)| *total.inputs.entry(name).or_default() += count);
                total.most_held = total.most_held.max(seen.most_held);
                total.over_limit += seen.over_limit;
                total.slowest = total.slowest.max(seen.slowest);
            }
            Err(what) => found.push(what),
        }
    }
    let figures = serde_json::json!({
        "inputs": total.inputs.values().sum::<u64>(),
        "by_target": total.inputs,
        "most_held_bytes": total.most_held,
        "over_limit": total.over_limit,
        "slowest_ms": total.slowest.as_secs_f64() * 1_000.0,
        "seconds": began.elapsed().as_secs_f64(),
        "seed": asked.seed,
        "found": found,
    });
    println!("{figures}");
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
