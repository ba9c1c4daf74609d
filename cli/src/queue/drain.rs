//! `tidegate queue drain`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{DrainArgs, of_name};
use crate::fault::{Ending, Exit, Fault};
use crate::out::{GOOD, Out, WARN};
use crate::progress;
use crate::text::{count, span};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(args: &DrainArgs, out: &mut Out) -> Ending {
    let (console, mine) = of_name(&args.common, &args.name)?;
    let began = Instant::now();
    let within = Duration::from_secs_f64(args.within);
    let first: u64 = mine.iter().map(|one| one.pending).sum();
    let bar = progress::bar(first, &format!("draining {}", args.name), out);
    let left = loop {
        let mut left = 0;
        for one in &mine {
            let length = console.ask_of(one.stream.as_bytes(), &[b"XLEN", one.stream.as_bytes()])?;
            left += length.int().unwrap_or(0).unsigned_abs();
        }
        // Others go on putting.
        bar.set_length(first.max(left));
        bar.set_position(first.max(left) - left);
        if left == 0 || began.elapsed() >= within {
            break left;
        }
        sleep(PAUSE.min(within));
    };
    bar.finish_and_clear();
    let took = began.elapsed();
    if out.json {
        out.json(&json!({
            "queue": args.name,
            "empty": left == 0,
            "pending_before": first,
            "pending": left,
            "seconds": took.as_secs_f64(),
        }));
        return Ok(if left == 0 { Exit::Fine } else { Exit::Found });
    }
    let took = span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if left == 0 {
        let text = out.paint(GOOD, format!("empty: {} dealt with in {took}", count(first, "write")));
        out.line(text);
        return Ok(Exit::Fine);
    }
    let (_, now) = of_name(&args.common, &args.name)?;
    if now.iter().any(|one| one.pending > 0 && one.owner.is_none()) {
        let text = out.paint(WARN, "nobody works on it: is a process with a sink for this queue running?");
        out.line(text);
    }
    Err(Fault::found(format!("{} still pending after {took}", count(left, "write"))))
}
