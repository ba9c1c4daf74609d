//! What holds whatever gets lost, comes late or dies.

use std::collections::BTreeMap;

use super::*;

/// Workers that die, answers that are lost, late or never sent, sinks that fail by chance and always on poison.
#[test]
fn whatever_happens_nothing_is_lost_each_keys_order_is_kept_and_only_poison_is_set_aside() {
    for seed in 0..30 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let rules = Rules {
            batch: chance.usize(1..9),
            max_delay_us: chance.u64(0..300_000),
            max_attempts: 12,
            coalesce: chance.bool(),
        };
        let mut number = 0;
        let mut start = || {
            number += 1;
            Process::new(number, rules)
        };
        let mut fleet = [start(), start()];
        let mut fates = fastrand::Rng::with_seed(seed + 1_000);
        let mut is_calm = false;
        let mut newest: BTreeMap<String, StreamId> = BTreeMap::new();
        for turn in 0..3_000 {
            is_calm |= turn > 400;
            let mut fate = || match fates.u32(0..20) {
                0 if !is_calm => Fate::Lost,
                1 if !is_calm => Fate::Unsent,
                _ => Fate::Answered(fates.u64(0..20_000)),
            };
            if turn < 300 && chance.u32(0..3) > 0 {
                let key = if chance.u32(0..25) == 0 {
                    format!("poison:{}", chance.u32(0..9))
                } else {
                    format!("a:{}", chance.u32(0..4))
                };
                let id = world.put(&key);
                newest.insert(key, id);
            }
            let at = chance.usize(0..2);
            if !is_calm && chance.u32(0..60) == 0 {
                fleet[at] = start();
            }
            let process = &mut fleet[at];
            if let Some((number, items)) = process.batch.take_if(|_| chance.bool()) {
                let fails = |item: &Queued| item.write.key.starts_with("poison");
                let breaks = !is_calm && chance.u32(0..8) == 0;
                let failed: FxHashSet<_> = items.iter().filter(|item| fails(item)).map(Queued::shown_id).collect();
                // A sink applies what is newer than its row, and in this one a batch with poison fails as a whole at times.
                let is_whole = breaks || (!failed.is_empty() && chance.bool());
                let mut told = BTreeMap::new();
                for item in items.iter().filter(|item| !is_whole && !fails(item)) {
                    let before = told.insert(item.write.key.clone(), item.id);
                    assert!(before < Some(item.id), "seed {seed}: the order within a batch");
                    let row = world.rows.entry(item.write.key.to_string()).or_default();
                    *row = (*row).max(item.shown_id());
                    *world.delivered.entry(item.id).or_default() += 1;
                }
                let settled = match (is_whole, failed.is_empty()) {
                    (true, _) => Sunk::Failed,
                    (_, true) => Sunk::Done,
                    _ => Sunk::AllBut(failed),
                };
                process.step(&mut world, Event::Sunk { number, settled }, &mut fate);
            }
            if process.batch.is_none() && !process.is_wanting {
                process.want(&mut world, &mut fate);
            }
            let until_us = world.now_us + chance.u64(0..500_000) * if is_calm { 4 } else { 1 };
            process.run(&mut world, until_us, &mut fate);
        }
        let dead = world.dead();
        assert_eq!(world.pending(), 0, "seed {seed}: {:?}", fleet[0].worker);
        assert!(dead.iter().all(|letter| letter.starts_with("poison")), "seed {seed}: {dead:?}");
        newest.retain(|key, _| !key.starts_with("poison"));
        assert_eq!(world.rows, newest, "seed {seed}: each row is of its key's newest write");
    }
}
