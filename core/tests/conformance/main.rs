//! Runs the scenarios of `tests/conformance/*.toml` (its README is the grammar) on memory and on a real Redis.

mod act;
mod fallback;
mod fields;
mod fleet;
mod handlers;
mod queues;
mod scene;
mod step;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use scene::Scene;
use tidegate::Manager;
use tokio::task::LocalSet;
use toml::{Table, Value};

/// Scenarios wait more than they work.
const WORKERS: usize = 4;

fn scenarios() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the scenarios are there")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 60, "the scenarios are all here");
    // One at a time, by name: `TIDEGATE_SCENARIO=soft_timeout cargo test --test conformance`.
    if let Ok(wanted) = std::env::var("TIDEGATE_SCENARIO") {
        files.retain(|path| path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with(&wanted)));
    }
    files
}

/// Plays one scenario; whether it can be played on this store.
fn play(path: &PathBuf, on: &str) -> bool {
    let scenario: Table = std::fs::read_to_string(path).expect("readable").parse().expect("TOML");
    let stores = scenario.get("stores").and_then(Value::as_array);
    if stores.is_some_and(|stores| !stores.iter().any(|store| store.as_str() == Some(on))) {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let scene = Scene::new(&scenario, on);
    let mut at = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(LocalSet::new().run_until(async {
            for step in scenario["steps"].as_array().expect("steps") {
                at += 1;
                scene.step(step.as_table().expect("a step is a table")).await;
            }
        }));
    }));
    if let Err(panic) = outcome {
        let steps = scenario["steps"].as_array().expect("steps");
        eprintln!("{} on {on}, step {at}: {}", path.display(), steps[at - 1]);
        eprintln!("it proves: {}", scenario["proves"]);
        std::panic::resume_unwind(panic);
    }
    true
}

fn play_all(on: &str) {
    let files = scenarios();
    let (next, played) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(|| play(path, on)) {
                        Ok(is_played) => drop(played.fetch_add(usize::from(is_played), Ordering::Relaxed)),
                        Err(_) => failed.lock().expect("no panic").push(path.file_name().map(ToOwned::to_owned)),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "on {on} these do not hold (see above): {failed:?}");
    let played = played.into_inner();
    assert!(played * 3 >= files.len() * 2, "{played} scenarios were played on {on}");
}

#[test]
fn every_scenario_holds_on_memory() {
    play_all("memory");
}

#[test]
fn every_scenario_holds_on_redis() {
    play_all("redis");
}

#[test]
fn one_engine_serves_callers_on_many_threads() {
    let manager = Arc::new(
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(Manager::builder("memory://").build())
            .expect("right options"),
    );
    let runs = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                runtime.block_on(async {
                    for round in 0..500 {
                        let key = format!("round:number:{round}");
                        let value = manager
                            .get_or_fetch(&key, || async {
                                runs.fetch_add(1, Ordering::Relaxed);
                                tokio::task::yield_now().await;
                                Ok::<_, String>(round)
                            })
                            .await;
                        assert_eq!(value.ok(), Some(round));
                    }
                });
            });
        }
    });
    assert_eq!(runs.load(Ordering::Relaxed), 500, "one fallback a key");
}
