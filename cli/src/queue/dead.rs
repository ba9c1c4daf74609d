//! `tidegate queue dead`.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use serde_json::{Value, json};
use tidegate::WriteBehind;
use tidegate::config::OptionValue;
use tidegate::engine::behind::Letter;

use super::{DeadArgs, of_name};
use crate::fault::{Ending, Exit, Fault};
use crate::out::{BAD, DIM, GOOD, NAME, Out};
use crate::payload;
use crate::server::block_on;
use crate::text::{count, from_now, visible};

/// Bytes of a value in the list.
const SHOWN_BYTES: usize = 200;

pub(super) fn run(args: &DeadArgs, out: &mut Out) -> Ending {
    let (console, mine) = of_name(&args.common, &args.name)?;
    let dead: u64 = mine.iter().map(|one| one.dead).sum();
    if let Some(which) = &args.drop {
        sure(args, which, dead)?;
    }
    let partitions = mine.iter().map(|one| one.partition + 1).max().unwrap_or(1);
    let live = args.common.space.live(&console)?;
    let version = args.common.space.version(&live);
    let now_ms = mine.first().map_or(0, |one| one.now_ms);
    let acted = args.retry.as_deref().map(|which| (which, true)).or(args.drop.as_deref().map(|which| (which, false)));
    let (acted, letters) = block_on(async {
        let manager = args.common.server.manager(&args.common.space, version).await?;
        let queue = manager.write_behind(&args.name).option("partitions", OptionValue::Int(i64::from(partitions)));
        let queue: WriteBehind<Value> = queue.without_sink()?;
        let count = match acted {
            Some((which, retries)) => {
                let which = Some(which).filter(|which| *which != "all");
                Some(if retries {
                    queue.retry_dead_letters(which).await?
                } else {
                    queue.drop_dead_letters(which).await?
                })
            }
            None => None,
        };
        let letters = queue.dead_letters(args.limit as usize).await?;
        manager.close().await;
        Ok::<_, Fault>((count, letters))
    })??;
    let verb = acted.and(if args.retry.is_some() {
        Some("retried")
    } else if args.drop.is_some() {
        Some("dropped")
    } else {
        None
    });
    if out.json {
        out.json(&json!({
            "queue": args.name,
            "retried": acted.filter(|_| args.retry.is_some()),
            "dropped": acted.filter(|_| args.drop.is_some()),
            "dead": letters.iter().map(of).collect::<Vec<Value>>(),
        }));
    } else {
        if let (Some(verb), Some(number)) = (verb, acted) {
            let style = if number == 0 { BAD } else { GOOD };
            let text = out.paint(style, format!("{} {verb}", count(number, "dead letter")));
            out.line(text);
        }
        show(&letters, now_ms, out);
    }
    let is_all = [&args.retry, &args.drop].into_iter().flatten().any(|which| which == "all");
    if acted == Some(0) && !is_all {
        return Err(
            Fault::found("no dead letter has this id").hint(format!("tidegate queue dead {} lists them", args.name))
        );
    }
    Ok(if letters.is_empty() { Exit::Fine } else { Exit::Found })
}

/// Asks whoever sits at the terminal.
fn sure(args: &DeadArgs, which: &str, dead: u64) -> Result<(), Fault> {
    if args.yes {
        return Ok(());
    }
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Fault::usage("--drop forgets writes that never came to the database")
            .hint("--yes drops without a question"));
    }
    let what = if which == "all" { count(dead, "dead letter") } else { format!("the dead letter {which}") };
    // Standard output is the answer's.
    let _ = write!(stderr(), "Drop {what} of {} for good? [y/N] ", args.name).and_then(|()| stderr().flush());
    let mut said = String::new();
    let _ = stdin().lock().read_line(&mut said);
    if matches!(said.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Fault::found("nothing was dropped")) }
}

fn of(letter: &Letter) -> Value {
    json!({
        "id": letter.id,
        "write_id": letter.write_id.to_string(),
        "key": letter.key,
        "attempts": letter.attempts,
        "reason": &*letter.reason,
        "set_aside_ms": letter.set_aside_ms,
        "value": payload::as_json(&letter.payload),
    })
}

fn show(letters: &[Letter], now_ms: u64, out: &mut Out) {
    for letter in letters {
        let why = match &*letter.reason {
            "sink" => "the sink failed on it".to_owned(),
            "died" => "whoever worked on it died".to_owned(),
            other => visible(other),
        };
        let (id, key) = (out.paint(NAME, visible(&letter.id)), visible(&letter.key));
        let tried = count(u64::from(letter.attempts), "time");
        out.line(format!("{id}  {key}: {why}, tried {tried}, set aside {}", from_now(letter.set_aside_ms, now_ms)));
        let value = payload::as_text(&letter.payload, Some(SHOWN_BYTES)).replace('\n', " ");
        let value = out.paint(DIM, format!("    {value}"));
        out.line(value);
    }
    if letters.is_empty() {
        out.line("No dead letters.");
    }
}
