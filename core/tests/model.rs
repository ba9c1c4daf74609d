//! The lease protocol and the in-process tier, explored to the end: every order in which what may happen does happen,
//! for small worlds of readers, writers, a server that forgets and a network that delivers late and twice.
//!
//! Each model is small and about one idea (`plans.rs`, `tier_plan.rs`), names the invariants that hold in it, and must
//! have come by what it is about. Then the same models run with each guard taken away in turn (`mutation.rs`), and each
//! must be found out. The model's server is held to the reference that is built (`differential.rs`).
//!
//! Proved here: I1 to I5, I7 to I10, I12. I6 and I11 are about the engine's flights, its waiting and its breaker: the
//! flight's own tests, the simulation and the conformance scenarios are theirs. Of flights only one caller who joins
//! another is here, for whom a value may be given to him (I4, I9).
//!
//! Assumed: TIME differs between two commands that make something of it under one nonce; clocks run equally fast; one
//! server. `cargo test -p tidegate --no-default-features --test model -- --nocapture` prints the tables.

#![allow(unreachable_pub, reason = "each file is a module of this one test")]

mod model {
    pub mod canonical;
    pub mod differential;
    pub mod flight;
    pub mod mutants;
    pub mod mutation;
    pub mod oracle;
    pub mod plan;
    pub mod plans;
    pub mod push;
    pub mod reader;
    pub mod report;
    pub mod server;
    pub mod server_writers;
    pub mod through;
    pub mod tier;
    pub mod tier_plan;
    pub mod world;
    pub mod writer;
}

use std::collections::BTreeMap;

use model::differential::Pair;
use model::mutants::Expected;
use model::oracle::Invariant;
use model::{mutants, plans, report, tier_plan};

#[test]
fn every_model_of_leases_holds_to_its_end() {
    plans::of_leases().into_iter().for_each(report::assert_proved);
}

#[test]
fn every_model_of_write_through_holds_to_its_end() {
    plans::of_writes().into_iter().for_each(report::assert_proved);
}

#[test]
fn every_model_of_tags_and_flights_holds_to_its_end() {
    plans::of_tags().into_iter().for_each(report::assert_proved);
}

#[test]
fn every_model_of_the_in_process_tier_holds_to_its_end() {
    tier_plan::all().into_iter().for_each(report::assert_proved);
}

#[test]
fn every_simpler_way_gives_a_stale_read() {
    for mutant in mutants::simpler_ways() {
        report::assert_found(&format!("{:?}", mutant.mutation), mutant);
    }
}

#[test]
fn every_guard_of_the_protocol_is_missed_when_it_is_gone() {
    for mutant in mutants::guards() {
        report::assert_found(&format!("{:?}", mutant.mutation), mutant);
    }
}

#[test]
fn every_guard_of_the_in_process_tier_is_missed_when_it_is_gone() {
    for mutant in mutants::tier_guards() {
        report::assert_found(&format!("{:?}", mutant.mutation), mutant);
    }
}

#[test]
fn every_invariant_can_be_broken() {
    let of_leases = mutants::simpler_ways().into_iter().chain(mutants::guards()).map(|mutant| mutant.expected);
    let expected: Vec<_> = of_leases.chain(mutants::tier_guards().into_iter().map(|mutant| mutant.expected)).collect();
    let is_broken =
        |invariant| expected.iter().any(|one| matches!(one, Expected::Breaks(broke) if *broke == invariant));
    let untried: Vec<_> = Invariant::ALL.into_iter().filter(|&invariant| !is_broken(invariant)).collect();
    assert!(untried.is_empty(), "no mutation is found by {untried:?}");
}

#[test]
fn every_known_gap_is_where_it_is_said_to_be() {
    for (gap, mutant) in mutants::gaps() {
        report::assert_found(gap, mutant);
    }
}

#[test]
fn the_model_of_the_server_answers_as_the_reference_does() {
    let mut met = BTreeMap::new();
    for seed in 0..3_000 {
        for kind in Pair::new(seed).run() {
            *met.entry(kind).or_insert(0) += 1;
        }
    }
    println!("3,000 seeds: {met:?}");
    assert!(met.len() == 14 && met.values().all(|&times| times >= 20), "each verdict came often: {met:?}");
}
