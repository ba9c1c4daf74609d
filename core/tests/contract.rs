//! Errors, events, figures and options are the same in every language. The pages in `docs/` stand between them: each
//! language holds itself to the pages, in both directions (`tests/docs`, `tests/node/contract.test.ts`, and here).

use std::collections::BTreeSet;

use tidegate::config::{Config, Dialect, OptionValue};
use tidegate::engine::EventKind;
use tidegate::{Engine, ErrorKind};

type Names = BTreeSet<String>;

fn page(name: &str) -> String {
    let path = format!("{}/../docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

/// What stands in backticks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The first cell of each row of the page's tables, where it is in backticks.
fn rows(page: &str) -> Names {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn the_errors_of_the_page_are_the_errors_there_are() {
    let page = page("errors");
    let listed: Names = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| words(line).take(2).collect::<Vec<_>>().join("="))
        .collect();
    let known: Names = ErrorKind::ALL.iter().map(|kind| format!("{}={}", kind.name(), kind.code())).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_options_of_a_queue_are_the_options_there_are() {
    let page = page("write-behind");
    let (_, options) = page.split_once("## Options").expect("the page tells of them");
    assert_eq!(rows(options), tidegate::config::BEHIND_OPTIONS.iter().map(ToString::to_string).collect());
}

#[test]
fn the_events_of_the_page_are_the_events_there_are() {
    let page = page("events");
    let (events, _) = page.split_once("| reason |").expect("the reasons come after the events");
    assert_eq!(rows(events), EventKind::ALL.iter().map(|kind| kind.name().to_owned()).collect());
}

#[test]
fn the_figures_of_the_page_are_the_figures_there_are() {
    let page = page("events");
    let (_, figures) = page.split_once("`stats()` gives").expect("the page tells of stats()");
    let states = ["closed", "open", "half_open"];
    let listed: Names = words(figures).filter(|word| !states.contains(word)).map(str::to_owned).collect();
    let engine = Engine::open("memory://", Config::default()).expect("memory needs nothing");
    let mut known: Names = engine.stats(None).iter().map(|(name, _)| (*name).to_owned()).collect();
    known.insert("breaker".into());
    assert_eq!(listed, known);
}

#[test]
fn the_options_of_the_page_are_the_options_there_are() {
    let unknown = [("zzzzzz".to_owned(), OptionValue::Int(1))];
    let error = Config::from_options("memory://", &unknown, Dialect::Rust).expect_err("no such option");
    let (_, names) = error.message().split_once("the options are ").expect("the error lists them");
    assert_eq!(rows(&page("options")), names.split(", ").map(str::to_owned).collect());
}
