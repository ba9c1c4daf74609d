//! `tidegate bench`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tidegate::Manager;
use tidegate::config::OptionValue;
use tidegate::store::redis::console::Role;
use tokio::task::JoinSet;

use crate::args::{ServerArgs, SpaceArgs, seconds};
use crate::fault::{Ending, Exit, Fault};
use crate::out::{DIM, HEAD, Out};
use crate::progress;
use crate::server::block_on;

/// A service of its own.
const SERVICE: &str = "tidegate-bench";
/// Keys that are read in turn.
const KEYS: u64 = 100;
const VALUE_BYTES: usize = 110;
/// Steps of the bar.
const STEPS: u64 = 1_000;

/// How fast this server is from here
#[derive(Debug, Args)]
#[command(after_help = "\
Reads and writes keys of a service of its own, tidegate-bench, and removes them at the end.
L2 is Redis, L1 the tier in the process. Figures are of the Rust client: hosts add their own work.

Example:
  tidegate bench --url redis://redis.internal:6379/0 --seconds 20")]
pub(crate) struct BenchArgs {
    /// How long all of it takes
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    server: ServerArgs,
}

struct Figure {
    name: &'static str,
    callers: usize,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[derive(Clone, Copy)]
enum Work {
    Hit,
    Miss,
    Invalidate,
}

const PLAN: [(&str, Work, usize, bool); 6] = [
    ("L2 hits", Work::Hit, 1, false),
    ("L2 hits", Work::Hit, 16, false),
    ("L2 hits", Work::Hit, 64, false),
    ("misses, computed and stored", Work::Miss, 1, false),
    ("invalidations", Work::Invalidate, 1, false),
    ("L1 hits", Work::Hit, 1, true),
];

pub(crate) fn run(args: &BenchArgs, out: &mut Out) -> Ending {
    let console = args.server.console()?;
    let each = Duration::from_secs_f64(args.seconds / (PLAN.len() + 1) as f64);
    let bar = progress::bar(STEPS, "ping", out);
    let began = Instant::now();
    let whole = Duration::from_secs_f64(args.seconds);
    let mut figures = vec![];
    let primary = console.of_role(Role::Primary).next().unwrap_or(0);
    let until = Instant::now() + each;
    let mut times = Vec::new();
    while Instant::now() < until {
        times.push(console.ping(primary)?);
        tick(&bar, began, whole);
    }
    figures.push(figure("ping", 1, times, each));
    let space = SpaceArgs { service: SERVICE.into(), key_version: None, tenant: None };
    let measured = block_on(async {
        let plain = manager(args, &space, false).await?;
        let with_l1 = manager(args, &space, true).await?;
        let done = measure(&plain, &with_l1, &bar, (began, whole, each), &mut figures).await;
        // What was stored goes, whatever came of it.
        let swept = sweep(&plain).await;
        with_l1.close().await;
        plain.close().await;
        done.and(swept)
    })?;
    bar.finish_and_clear();
    measured?;
    forget(&console, &space);
    if out.json {
        let rows = figures.iter().map(|one| {
            let (p50, p99) = (one.p50.as_secs_f64() * 1e6, one.p99.as_secs_f64() * 1e6);
            json!({"what": one.name, "callers": one.callers, "per_second": one.per_second, "p50_us": p50, "p99_us": p99})
        });
        out.json(&json!({
            "url": console.shown_url(),
            "seconds": args.seconds,
            "value_bytes": VALUE_BYTES,
            "figures": rows.collect::<Vec<_>>(),
        }));
        return Ok(Exit::Fine);
    }
    let head =
        out.paint(HEAD, format!("{:<30} {:>7} {:>12} {:>12} {:>12}", "what", "callers", "per second", "p50", "p99"));
    out.line(head);
    for one in &figures {
        let (p50, p99) = (micros(one.p50), micros(one.p99));
        out.line(format!("{:<30} {:>7} {:>12.0} {p50:>12} {p99:>12}", one.name, one.callers, one.per_second));
    }
    let note = out.paint(
        DIM,
        format!("{}, values of {VALUE_BYTES} bytes, one process, one thread of callers", console.shown_url()),
    );
    out.line(note);
    Ok(Exit::Fine)
}

fn micros(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us >= 1_000.0 { format!("{:.2} ms", us / 1_000.0) } else { format!("{us:.1} us") }
}

fn tick(bar: &ProgressBar, began: Instant, whole: Duration) {
    let share = began.elapsed().as_secs_f64() / whole.as_secs_f64();
    bar.set_position((share * STEPS as f64) as u64);
}

async fn manager(args: &BenchArgs, space: &SpaceArgs, has_l1: bool) -> Result<Manager, Fault> {
    let options = if has_l1 { vec![("l1".to_owned(), OptionValue::Text("64MB".into()))] } else { Vec::new() };
    args.server.manager_with(space, 1, options).await
}

async fn measure(
    plain: &Manager,
    with_l1: &Manager,
    bar: &ProgressBar,
    (began, whole, each): (Instant, Duration, Duration),
    figures: &mut Vec<Figure>,
) -> Result<(), Fault> {
    let value = "x".repeat(VALUE_BYTES - 2);
    for number in 0..KEYS {
        if !plain.set(&key(number), &value, None).await? {
            return Err(Fault::away("the server did not confirm a write; `tidegate doctor` says what may be wrong"));
        }
    }
    for (name, work, callers, has_l1) in PLAN {
        bar.set_message(name);
        let manager = if has_l1 { with_l1 } else { plain };
        if has_l1 {
            // The reads before found what was invalidated.
            for number in 0..KEYS {
                with_l1.set(&key(number), &value, None).await?;
                let _: Option<String> = with_l1.get(&key(number)).await?;
            }
        }
        let turns = Arc::new(AtomicU64::new(0));
        let until = Instant::now() + each;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(calls(manager.clone(), work, Arc::clone(&turns), until, value.clone()));
        }
        let mut times = Vec::new();
        while let Some(done) = watched(tasks.join_next(), bar, began, whole).await {
            times.extend(done.map_err(|error| Fault::found(error.to_string()))??);
        }
        figures.push(figure(name, callers, times, start.elapsed()));
    }
    Ok(())
}

/// The bar goes on while something is waited for.
async fn watched<T>(task: impl Future<Output = T>, bar: &ProgressBar, began: Instant, whole: Duration) -> T {
    let mut task = std::pin::pin!(task);
    loop {
        match tokio::time::timeout(Duration::from_millis(100), &mut task).await {
            Ok(done) => return done,
            Err(_) => tick(bar, began, whole),
        }
    }
}

async fn calls(
    manager: Manager,
    work: Work,
    turns: Arc<AtomicU64>,
    until: Instant,
    value: String,
) -> Result<Vec<Duration>, Fault> {
    let mut times = Vec::new();
    loop {
        let key = key(turns.fetch_add(1, Ordering::Relaxed) % KEYS);
        if let Work::Miss = work {
            manager.invalidate(&key).await?;
        }
        let began = Instant::now();
        if began >= until {
            return Ok(times);
        }
        match work {
            Work::Hit | Work::Miss => {
                let value = value.clone();
                let got = manager.get_or_fetch(&key, || async { Ok::<_, std::convert::Infallible>(value) }).await;
                got.map_err(|error| Fault::found(error.to_string()))?;
            }
            Work::Invalidate => drop(manager.invalidate(&key).await?),
        }
        times.push(began.elapsed());
        // An L1 hit never waits: others want their turn.
        if times.len() % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn key(number: u64) -> String {
    format!("bench:key:{number}")
}

fn figure(name: &'static str, callers: usize, mut times: Vec<Duration>, took: Duration) -> Figure {
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    let (p50, p99) = (at(0.5).copied().unwrap_or_default(), at(0.99).copied().unwrap_or_default());
    // What lies between the calls of a miss is not counted.
    let busy: Duration = times.iter().sum::<Duration>() / u32::try_from(callers).unwrap_or(1);
    let within = if busy.is_zero() { took } else { busy };
    Figure { name, callers, per_second: times.len() as f64 / within.as_secs_f64(), p50, p99 }
}

async fn sweep(manager: &Manager) -> Result<(), Fault> {
    for number in 0..KEYS {
        manager.invalidate(&key(number)).await?;
    }
    Ok(())
}

/// The list of versions goes too; it would end by itself.
fn forget(console: &tidegate::store::redis::console::Console, space: &SpaceArgs) {
    if let Ok(space) = space.space(1) {
        let list = space.versions_key();
        drop(console.ask_of(list.full().as_bytes(), &[b"UNLINK", list.full().as_bytes()]));
    }
}
