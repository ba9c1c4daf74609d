//! Workers on the memory store's table: what they promise, step by step; `storm` does the rest.

mod storm;
mod world;

use rustc_hash::FxHashSet;

use super::*;
use crate::ports::Verdict;
use crate::protocol::lease::Nonce;
use crate::protocol::queue::{Owner, QueueAct, QueueReply};
use world::{Fate, Process, World};

fn at_once() -> impl FnMut() -> Fate {
    || Fate::Answered(0)
}

fn rules(batch: usize) -> Rules {
    Rules { batch, max_delay_us: 500_000, max_attempts: 3, coalesce: false }
}

fn keys(items: &[Queued]) -> Vec<&str> {
    items.iter().map(|item| &*item.write.key).collect()
}

/// A process that works, and has been given what is pending.
fn working(world: &mut World, rules: Rules) -> Process {
    let mut process = Process::new(1, rules);
    process.want(world, &mut at_once());
    let until_us = world.now_us;
    process.run(world, until_us, &mut at_once());
    process
}

fn sink(process: &mut Process, world: &mut World, settled: Sunk) {
    let (number, _) = process.batch.take().expect("it has a batch");
    process.step(world, Event::Sunk { number, settled }, &mut at_once());
    process.want(world, &mut at_once());
    let until_us = world.now_us;
    process.run(world, until_us, &mut at_once());
}

#[test]
fn a_batch_goes_when_it_is_full_or_its_first_has_waited() {
    let mut world = World::new();
    let mut process = working(&mut world, rules(2));
    let began_us = world.now_us;
    world.put("a:1");
    process.step(&mut world, Event::Woken, &mut at_once());
    process.run(&mut world, began_us + 490_000, &mut at_once());
    assert!(process.batch.is_none(), "it waits for more");
    process.run(&mut world, began_us + 510_000, &mut at_once());
    assert_eq!(keys(&process.batch.as_ref().expect("waited").1), ["a:1"]);
    for key in ["b:1", "b:2", "b:3"] {
        world.put(key);
    }
    sink(&mut process, &mut world, Sunk::Done);
    assert_eq!(keys(&process.batch.as_ref().expect("full").1), ["b:1", "b:2"]);
    sink(&mut process, &mut world, Sunk::Done);
    assert!(process.batch.is_none());
    process.step(&mut world, Event::Hurry(StreamId { ms: u64::MAX, sequence: 0 }), &mut at_once());
    let now_us = world.now_us;
    process.run(&mut world, now_us, &mut at_once());
    assert_eq!(keys(&process.batch.as_ref().expect("hurried").1), ["b:3"]);
    sink(&mut process, &mut world, Sunk::Done);
    assert_eq!(world.pending(), 0);
}

#[test]
fn a_failed_batch_is_tried_again_in_halves_and_the_bad_one_is_set_aside_alone() {
    let mut world = World::new();
    for key in ["a:1", "poison:1", "a:2", "a:3"] {
        world.put(key);
    }
    let mut process = working(&mut world, rules(4));
    let mut sizes = Vec::new();
    for _ in 0..40 {
        if let Some((_, items)) = &process.batch {
            sizes.push(items.len());
            let settled = if keys(items).contains(&"poison:1") { Sunk::Failed } else { Sunk::Done };
            sink(&mut process, &mut world, settled);
        }
        let until_us = world.now_us + 1_000_000;
        process.run(&mut world, until_us, &mut at_once());
    }
    assert_eq!(sizes, [4, 2, 2, 1, 1, 1], "halves, then alone, twice");
    assert_eq!((world.pending(), world.dead()), (0, vec!["poison:1 sink".to_owned()]));
}

#[test]
fn what_fails_is_halved_from_what_it_was_however_large_a_batch_may_be() {
    let mut world = World::new();
    for key in ["a:1", "poison:1", "a:2"] {
        world.put(key);
    }
    let mut process = working(&mut world, Rules { max_delay_us: 0, ..rules(100) });
    let mut sizes = Vec::new();
    for _ in 0..20 {
        if let Some((_, items)) = &process.batch {
            sizes.push(items.len());
            let settled = if keys(items).contains(&"poison:1") { Sunk::Failed } else { Sunk::Done };
            sink(&mut process, &mut world, settled);
        }
        let until_us = world.now_us + 1_000_000;
        process.run(&mut world, until_us, &mut at_once());
    }
    assert_eq!((sizes, world.dead()), (vec![3, 1, 1, 1, 1], vec!["poison:1 sink".to_owned()]));
}

#[test]
fn later_writes_of_a_key_wait_for_the_one_that_failed_and_others_go_on() {
    let mut world = World::new();
    let first = world.put("a:1");
    world.put("b:1");
    let mut process = working(&mut world, rules(2));
    sink(&mut process, &mut world, Sunk::AllBut(FxHashSet::from_iter([first])));
    world.put("a:1");
    world.put("b:1");
    let now_us = world.now_us;
    process.run(&mut world, now_us + 240_000, &mut at_once());
    assert!(process.batch.is_none(), "b waits for more, a for its turn");
    process.run(&mut world, now_us + 10_000_000, &mut at_once());
    assert_eq!(keys(&process.batch.as_ref().expect("tried again").1), ["a:1"]);
    assert_eq!(process.batch.as_ref().map(|(_, items)| items[0].attempts), Some(2));
    sink(&mut process, &mut world, Sunk::Done);
    let until_us = world.now_us + 600_000;
    process.run(&mut world, until_us, &mut at_once());
    assert_eq!(keys(&process.batch.as_ref().expect("the rest").1), ["a:1", "b:1"]);
}

#[test]
fn what_came_behind_a_failed_write_of_its_key_in_the_same_batch_goes_again_with_it() {
    let mut world = World::new();
    let first = world.put("a:1");
    world.put("a:1");
    world.put("b:1");
    let mut process = working(&mut world, rules(3));
    sink(&mut process, &mut world, Sunk::AllBut(FxHashSet::from_iter([first])));
    assert_eq!(world.pending(), 2, "b is done");
    let until_us = world.now_us + 400_000;
    process.run(&mut world, until_us, &mut at_once());
    let (_, items) = process.batch.as_ref().expect("tried again");
    assert_eq!(keys(items), ["a:1", "a:1"], "together: the sink has named the one that it failed on");
    assert_eq!(items[0].id, first);
}

#[test]
fn of_several_writes_of_a_key_only_the_newest_is_given_where_that_is_asked_for() {
    let mut world = World::new();
    world.put("a:1");
    world.put("b:1");
    let newest = world.put("a:1");
    let mut process = working(&mut world, Rules { coalesce: true, ..rules(3) });
    let (_, items) = process.batch.as_ref().expect("full");
    assert_eq!(keys(items), ["b:1", "a:1"]);
    assert_eq!(items[1].id, newest);
    sink(&mut process, &mut world, Sunk::Done);
    assert_eq!(world.pending(), 0, "the older one is settled with it");
}

#[test]
fn one_owns_at_a_time_and_the_next_begins_when_he_gives_up_or_is_not_heard_of() {
    let mut world = World::new();
    world.put("a:1");
    let mut first = working(&mut world, rules(1));
    let mut second = Process::new(2, rules(1));
    second.want(&mut world, &mut at_once());
    let until_us = world.now_us + 5_000_000;
    second.run(&mut world, until_us, &mut at_once());
    assert!(first.batch.is_some() && second.batch.is_none());
    // The first is not heard of any more.
    let until_us = world.now_us + 10_300_000;
    second.run(&mut world, until_us, &mut at_once());
    assert_eq!(second.batch.as_ref().map(|(_, items)| items[0].attempts), Some(2));
    // What the first says of it comes too late.
    let (number, _) = first.batch.take().expect("it had one");
    first.step(&mut world, Event::Time, &mut at_once());
    first.step(&mut world, Event::Sunk { number, settled: Sunk::Done }, &mut at_once());
    assert_eq!(world.pending(), 1);
    second.step(&mut world, Event::Close { by_us: u64::MAX }, &mut at_once());
    sink(&mut second, &mut world, Sunk::Done);
    assert_eq!((second.over, world.pending()), (Some(true), 0));
    world.put("a:2");
    first.want(&mut world, &mut at_once());
    first.step(&mut world, Event::Woken, &mut at_once());
    let until_us = world.now_us + 1_000;
    first.run(&mut world, until_us, &mut at_once());
    assert_eq!(keys(&first.batch.as_ref().expect("at once").1), ["a:2"]);
}

#[test]
fn a_sink_that_takes_longer_than_the_lease_keeps_the_partition_and_new_writes_are_found_meanwhile() {
    let mut world = World::new();
    for _ in 0..300 {
        world.put("a:1");
    }
    let mut first = working(&mut world, rules(1));
    let mut second = Process::new(2, rules(1));
    second.want(&mut world, &mut at_once());
    for _ in 0..30 {
        let until_us = world.now_us + 1_000_000;
        first.run(&mut world, until_us, &mut at_once());
        second.run(&mut world, until_us, &mut at_once());
        assert!(second.batch.is_none());
    }
    sink(&mut first, &mut world, Sunk::Done);
    assert_eq!((world.pending(), first.batch.is_some()), (299, true));
    let asked = first.asked.len();
    assert!(asked < 400, "{asked} questions in half a minute");
}

#[test]
fn an_owner_whose_host_asks_no_more_gives_up() {
    let mut world = World::new();
    let mut process = working(&mut world, rules(1));
    process.is_wanting = false;
    process.step(&mut world, Event::Unwanted, &mut at_once());
    let until_us = world.now_us + 11_000_000;
    process.run(&mut world, until_us, &mut at_once());
    let owner = Owner { nonce: Nonce([9; 8]), lease_ms: 1_000 };
    assert!(matches!(world.act(QueueAct::Own(owner)), Verdict::Queue(QueueReply::Owned { .. })));
}

#[test]
fn a_close_leaves_at_its_time_though_the_sink_fails() {
    let mut world = World::new();
    world.put("a:1");
    let mut process = working(&mut world, Rules { max_attempts: 100, ..rules(1) });
    let by_us = world.now_us + 2_000_000;
    process.step(&mut world, Event::Close { by_us }, &mut at_once());
    for _ in 0..20 {
        if process.batch.is_some() {
            sink(&mut process, &mut world, Sunk::Failed);
        }
        let until_us = world.now_us + 200_000;
        process.run(&mut world, until_us, &mut at_once());
    }
    assert_eq!((process.over, world.pending() + world.dead().len() as u64), (Some(false), 1));
}

/// Told to close within a minute, with a sink that answers so to each batch, in its order: after how many seconds it is over,
/// whether all was dealt with, and how many batches it took.
fn closing(world: &mut World, process: &mut Process, mut answer: impl FnMut(u32) -> Sunk) -> (u64, bool, u32) {
    let began_us = world.now_us;
    process.step(world, Event::Close { by_us: began_us + 60_000_000 }, &mut at_once());
    let mut batches = 0;
    while process.over.is_none() && world.now_us < began_us + 70_000_000 {
        if process.batch.is_some() {
            batches += 1;
            sink(process, world, answer(batches));
        }
        let until_us = world.now_us + 10_000;
        process.run(world, until_us, &mut at_once());
    }
    ((world.now_us - began_us) / 1_000_000, process.over.expect("by its time"), batches)
}

#[test]
fn a_close_does_not_wait_for_a_sink_that_fails_on_everything() {
    let patient = Rules { max_attempts: 100, ..rules(2) };
    let mut world = World::new();
    for key in ["a:1", "a:2", "a:3", "a:4", "a:5"] {
        world.put(key);
    }
    let mut process = working(&mut world, patient);
    let (seconds, is_clean, batches) = closing(&mut world, &mut process, |_| Sunk::Failed);
    assert_eq!((seconds, is_clean, world.pending()), (2, false, 5));
    assert!((4..9).contains(&batches), "some tries: {batches}");

    // One that has failed for long is tried once more, at once, and no write is brought nearer to the dead letters than that.
    let mut process = Process::new(2, patient);
    process.want(&mut world, &mut at_once());
    for _ in 0..30_000 {
        let until_us = world.now_us + 10_000;
        process.run(&mut world, until_us, &mut at_once());
        if process.batch.is_some() {
            sink(&mut process, &mut world, Sunk::Failed);
        }
    }
    assert_eq!(closing(&mut world, &mut process, |_| Sunk::Failed), (0, false, 1));
    assert_eq!((world.pending(), world.dead().len()), (5, 0));
    // And the next owner has it at once.
    let mut next = Process::new(3, patient);
    next.want(&mut world, &mut at_once());
    let (_, is_clean, _) = closing(&mut world, &mut next, |_| Sunk::Done);
    assert!(is_clean && world.pending() == 0);
}

#[test]
fn what_was_set_aside_long_ago_is_nothing_that_a_sink_fails_on() {
    let mut world = World::new();
    world.put("a:1");
    let mut process = working(&mut world, Rules { max_attempts: 1, ..rules(2) });
    let until_us = world.now_us + 1_000_000;
    process.run(&mut world, until_us, &mut at_once());
    sink(&mut process, &mut world, Sunk::Failed);
    assert_eq!((world.pending(), world.dead().len()), (0, 1));
    let until_us = world.now_us + 3_600_000_000;
    process.run(&mut world, until_us, &mut at_once());

    process.worker.rules.max_attempts = 100;
    world.put("a:2");
    let (_, is_clean, batches) =
        closing(&mut world, &mut process, |batch| if batch == 1 { Sunk::Failed } else { Sunk::Done });
    assert_eq!((is_clean, batches, world.pending()), (true, 2, 0));
}

#[test]
fn a_close_bears_a_sink_that_stumbles_and_tries_what_waits_once_it_is_well() {
    let mut world = World::new();
    for key in ["a:1", "a:2", "a:3"] {
        world.put(key);
    }
    let patient = Rules { max_attempts: 100, ..rules(3) };
    let mut process = working(&mut world, patient);
    // Ten batches fail, until each write waits by itself.
    for _ in 0..9 {
        sink(&mut process, &mut world, Sunk::Failed);
        let until_us = world.now_us + 80_000_000;
        for _ in 0..8_000 {
            let until_us = (world.now_us + 10_000).min(until_us);
            process.run(&mut world, until_us, &mut at_once());
            if process.batch.is_some() {
                break;
            }
        }
    }
    sink(&mut process, &mut world, Sunk::Failed);
    let (seconds, is_clean, _) = closing(&mut world, &mut process, |_| Sunk::Done);
    assert_eq!((seconds, is_clean, world.pending()), (0, true, 0), "it is well");

    for key in ["a:1", "a:2", "a:3"] {
        world.put(key);
    }
    let mut process = working(&mut world, patient);
    let stumbles = |batch| if batch <= 3 { Sunk::Failed } else { Sunk::Done };
    let (seconds, is_clean, _) = closing(&mut world, &mut process, stumbles);
    assert!(seconds <= 3 && is_clean && world.pending() == 0, "{seconds} {is_clean}");
}

#[test]
fn of_a_batch_with_poison_in_it_a_close_brings_the_rest_home_first() {
    let mut world = World::new();
    let poison = "poison:1";
    for key in ["a:1", "a:2", poison, "a:3", "a:4", "a:5", "a:6", "a:7"] {
        world.put(key);
    }
    let mut process = working(&mut world, Rules { max_attempts: 100, ..rules(8) });
    let began_us = world.now_us;
    process.step(&mut world, Event::Close { by_us: began_us + 60_000_000 }, &mut at_once());
    while process.over.is_none() {
        if let Some((_, items)) = &process.batch {
            let settled = if keys(items).contains(&poison) { Sunk::Failed } else { Sunk::Done };
            sink(&mut process, &mut world, settled);
        }
        let until_us = world.now_us + 10_000;
        process.run(&mut world, until_us, &mut at_once());
    }
    assert_eq!((process.over, world.pending()), (Some(false), 1), "the poison");
    assert!(world.now_us - began_us < 8_000_000, "{}", world.now_us - began_us);
}

#[test]
fn a_close_deals_with_what_was_put_since_the_worker_last_looked() {
    let mut world = World::new();
    let mut process = working(&mut world, rules(5));
    world.put("a:1");
    process.step(&mut world, Event::Close { by_us: u64::MAX }, &mut at_once());
    let now_us = world.now_us;
    process.run(&mut world, now_us, &mut at_once());
    assert_eq!((process.over, keys(&process.batch.as_ref().expect("it has looked again").1)), (None, vec!["a:1"]));
    sink(&mut process, &mut world, Sunk::Done);
    assert_eq!((process.over, world.pending()), (Some(true), 0));
}

#[test]
fn a_write_that_ends_its_process_each_time_is_set_aside_in_the_end() {
    let mut world = World::new();
    for key in ["a:1", "poison:1", "a:2"] {
        world.put(key);
    }
    let mut deaths = 0;
    for number in 1..30 {
        let mut process = Process::new(number, rules(2));
        process.want(&mut world, &mut at_once());
        let until_us = world.now_us + 11_000_000;
        process.run(&mut world, until_us, &mut at_once());
        while let Some((_, items)) = &process.batch {
            if keys(items).contains(&"poison:1") {
                deaths += 1;
                break;
            }
            sink(&mut process, &mut world, Sunk::Done);
            let until_us = world.now_us + 600_000;
            process.run(&mut world, until_us, &mut at_once());
        }
    }
    assert_eq!((world.pending(), world.dead(), deaths), (0, vec!["poison:1 died".to_owned()], 3));
}
