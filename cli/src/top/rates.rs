//! What each process does in a second: the difference of its last two reports. Pure.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::fleet::{Process, share};
use crate::stats::as_json;

/// Looks that the history of the whole fleet goes back.
const HISTORY: usize = 120;

/// Of one process, by the second; none until it has told of itself twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// Those without Redis too.
    pub(crate) requests: f64,
    pub(crate) misses: f64,
    pub(crate) unavailable: f64,
    pub(crate) errors: f64,
    pub(crate) waits: f64,
    /// Of what came between the two; none of nothing.
    pub(crate) hit_rate: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) process: Process,
    pub(crate) rate: Option<Rate>,
}

impl Row {
    /// The hit rate of late, or since it began.
    pub(crate) fn hit_rate(&self) -> Option<f64> {
        let figures = &self.process.figures;
        let whole = share(figures.hits, figures.requests());
        self.rate.map_or(whole, |rate| rate.hit_rate.or(whole))
    }

    pub(crate) fn json(&self) -> Value {
        let mut said = as_json(&self.process);
        said["per_second"] = self.rate.map_or(Value::Null, |rate| {
            json!({
                "requests": rate.requests,
                "misses": rate.misses,
                "unavailable": rate.unavailable,
                "errors": rate.errors,
                "waits": rate.waits,
                "hit_rate": rate.hit_rate,
            })
        });
        said
    }
}

/// What rows stand in the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Name,
    HitRate,
    Requests,
    Misses,
    P99,
    Errors,
}

impl Order {
    const ALL: [Self; 6] = [Self::Name, Self::HitRate, Self::Requests, Self::Misses, Self::P99, Self::Errors];

    pub(crate) fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Name => "process",
            Self::HitRate => "hit rate",
            Self::Requests => "req/s",
            Self::Misses => "miss/s",
            Self::P99 => "p99",
            Self::Errors => "err/s",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// The last report of each, and what it did before that.
    last: HashMap<String, (Process, Option<Rate>)>,
    /// The hit rate of the whole fleet, in thousandths, at each look.
    pub(crate) hit_rates: VecDeque<u64>,
    /// And its misses in a second.
    pub(crate) misses: VecDeque<u64>,
}

impl Rates {
    pub(crate) fn take(&mut self, processes: Vec<Process>, order: Order) -> Vec<Row> {
        let mut last = HashMap::new();
        let mut rows = Vec::with_capacity(processes.len());
        for process in processes {
            let rate = match self.last.get(&process.id) {
                // Looked at twice between two reports.
                Some((before, rate)) if before.figures.at == process.figures.at => *rate,
                Some((before, _)) => rate_of(before, &process),
                None => None,
            };
            last.insert(process.id.clone(), (process.clone(), rate));
            rows.push(Row { process, rate });
        }
        self.last = last;
        sort(&mut rows, order);
        let whole = self.whole(&rows);
        remember(&mut self.hit_rates, (whole.hit_rate.unwrap_or(0.0) * 1_000.0) as u64);
        remember(&mut self.misses, whole.misses as u64);
        rows
    }

    /// All of them together.
    pub(crate) fn whole(&self, rows: &[Row]) -> Rate {
        let rates = || rows.iter().filter_map(|row| row.rate);
        if rates().next().is_none() {
            return Rate::default();
        }
        let requests: f64 = rates().map(|rate| rate.requests).sum();
        let misses: f64 = rates().map(|rate| rate.misses).sum();
        let unavailable: f64 = rates().map(|rate| rate.unavailable).sum();
        let asked = requests - unavailable;
        Rate {
            requests,
            misses,
            unavailable,
            errors: rates().map(|rate| rate.errors).sum(),
            waits: rates().map(|rate| rate.waits).sum(),
            hit_rate: (asked > 0.0).then(|| 1.0 - misses / asked),
        }
    }
}

fn remember(history: &mut VecDeque<u64>, value: u64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

/// None where a counter went back: nobody else should have this id, but nothing is made of it.
fn rate_of(before: &Process, now: &Process) -> Option<Rate> {
    let (before, now) = (&before.figures, &now.figures);
    let seconds = now.at.checked_sub(before.at).filter(|ms| *ms > 0)? as f64 / 1_000.0;
    let (hits, misses) = (now.hits.checked_sub(before.hits)?, now.misses.checked_sub(before.misses)?);
    let unavailable = now.unavailable.checked_sub(before.unavailable)?;
    let (errors, waits) = (now.errors.checked_sub(before.errors)?, now.waits.checked_sub(before.waits)?);
    Some(Rate {
        requests: (hits + misses + unavailable) as f64 / seconds,
        misses: misses as f64 / seconds,
        unavailable: unavailable as f64 / seconds,
        errors: errors as f64 / seconds,
        waits: waits as f64 / seconds,
        hit_rate: share(hits, hits + misses),
    })
}

/// What should be looked at first comes first.
pub(crate) fn sort(rows: &mut [Row], order: Order) {
    let rate = |row: &Row| row.rate.unwrap_or_default();
    let micro = |value: f64| (value * 1e6) as u64;
    rows.sort_by_cached_key(|row| {
        let first = match order {
            Order::Name => Reverse(0),
            Order::HitRate => Reverse(micro(1.0 - row.hit_rate().unwrap_or(1.0))),
            Order::Requests => Reverse(micro(rate(row).requests)),
            Order::Misses => Reverse(micro(rate(row).misses)),
            Order::P99 => Reverse(micro(row.process.figures.p99_ms)),
            Order::Errors => Reverse(micro(rate(row).errors)),
        };
        (first, row.process.name(), row.process.id.clone())
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fleet::Figures;

    pub(crate) fn process(id: &str, at: u64, hits: u64, misses: u64) -> Process {
        let figures =
            Figures { host: id.into(), pid: 7, at, hits, misses, breaker: "closed".into(), ..Figures::default() };
        Process { id: id.into(), figures, said: json!({"hits": hits}) }
    }

    #[test]
    fn a_second_is_told_from_two_reports() {
        let mut rates = Rates::default();
        let first = rates.take(vec![process("a", 1_000, 100, 10)], Order::Name);
        assert_eq!((first[0].rate, first[0].hit_rate()), (None, Some(100.0 / 110.0)), "only since it began");
        let rows = rates.take(vec![process("a", 3_000, 118, 12)], Order::Name);
        let rate = rows[0].rate.expect("two reports");
        assert_eq!((rate.requests, rate.misses, rate.hit_rate), (10.0, 1.0, Some(0.9)));
        // The same report once more is no second without requests.
        assert_eq!(rates.take(vec![process("a", 3_000, 118, 12)], Order::Name)[0].rate, Some(rate));
        let idle = rates.take(vec![process("a", 8_000, 118, 12)], Order::Name);
        assert_eq!((idle[0].rate.map(|rate| rate.requests), idle[0].hit_rate()), (Some(0.0), Some(118.0 / 130.0)));
        let anew = rates.take(vec![process("a", 9_000, 1, 1)], Order::Name);
        assert_eq!(anew[0].rate, None, "it counts from nothing again");
        assert_eq!(rates.hit_rates, [0, 900, 900, 0, 0]);
    }

    #[test]
    fn reads_without_redis_are_requests_and_move_no_hit_rate() {
        let mut rates = Rates::default();
        let _ = rates.take(vec![process("a", 0, 0, 0)], Order::Name);
        let mut away = process("a", 1_000, 9, 1);
        away.figures.unavailable = 30;
        let rows = rates.take(vec![away], Order::Name);
        let rate = rows[0].rate.expect("two reports");
        assert_eq!((rate.requests, rate.unavailable, rate.hit_rate), (40.0, 30.0, Some(0.9)));
        assert_eq!(rates.whole(&rows), rate);
    }

    #[test]
    fn the_worst_comes_first_and_a_whole_is_the_sum() {
        let mut rates = Rates::default();
        let _ = rates.take(vec![process("a", 0, 0, 0), process("b", 0, 0, 0)], Order::Name);
        let rows = rates.take(vec![process("a", 1_000, 90, 10), process("b", 1_000, 50, 50)], Order::Misses);
        assert_eq!(rows.iter().map(|row| &*row.process.id).collect::<Vec<_>>(), ["b", "a"]);
        let whole = rates.whole(&rows);
        assert_eq!((whole.requests, whole.misses, whole.hit_rate), (200.0, 60.0, Some(0.7)));
        let mut rows = rows;
        sort(&mut rows, Order::Name);
        assert_eq!(rows[0].process.id, "a");
        assert_eq!((0..6).fold(Order::Name, |order, _| order.next()), Order::Name, "s goes round");
    }
}
