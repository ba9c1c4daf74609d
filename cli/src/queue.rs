//! `tidegate queue`.

mod dead;
mod drain;
mod partitions;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::partitions::{Partition, partitions};
use crate::args::{ServerArgs, SpaceArgs, seconds};
use crate::fault::{Ending, Exit, Fault};
use crate::out::{BAD, DIM, HEAD, Out, WARN};
use crate::text::{count, span, visible};

/// The queues of write-behind: what is pending, who works on it, what was set aside
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// All queues of the service
    ///
    /// Exit codes: 0 all is well, 1 there are dead letters, or writes that nobody works on.
    List(Common),
    /// What was set aside: to look at, to try again or to drop
    ///
    /// Exit codes: 0 there are none (any more), 1 there are.
    Dead(DeadArgs),
    /// Waits until the sinks have emptied a queue
    ///
    /// Exit codes: 0 it is empty, 1 it is not, within the time.
    Drain(DrainArgs),
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct DeadArgs {
    /// The queue
    name: String,
    /// Put this one, or all of them, at the end of the queue again
    #[arg(long, value_name = "ID|all", conflicts_with = "drop")]
    retry: Option<String>,
    /// Forget this one, or all of them, for good
    #[arg(long, value_name = "ID|all")]
    drop: Option<String>,
    /// Drop without a question
    #[arg(long, short)]
    yes: bool,
    /// How many are listed
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct DrainArgs {
    /// The queue
    name: String,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    within: f64,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: &QueueArgs, out: &mut Out) -> Ending {
    match &args.act {
        Act::List(common) => list(common, out),
        Act::Dead(args) => dead::run(args, out),
        Act::Drain(args) => drain::run(args, out),
    }
}

fn list(common: &Common, out: &mut Out) -> Ending {
    let console = common.server.console()?;
    let found = partitions(&console, &common.space)?;
    let is_well = found.iter().all(Partition::is_well);
    if out.json {
        out.json(&json!({"service": common.space.service, "queues": found.iter().map(of).collect::<Vec<Value>>()}));
    } else if found.is_empty() {
        out.line(format!("No queue of {} has anything in it.", visible(&common.space.service)));
    } else {
        let head =
            format!("{:<28} {:>9} {:>10} {:>8}  {:<16} owner", "queue", "partition", "pending", "dead", "oldest");
        let head = out.paint(HEAD, head);
        out.line(head);
        for one in &found {
            let dead = format!("{:>8}", one.dead);
            let dead = if one.dead > 0 { out.paint(BAD, dead) } else { dead };
            let oldest = one.oldest_ms.map_or_else(|| "-".into(), |ms| span(one.now_ms.saturating_sub(ms)));
            let owner = match &one.owner {
                Some((nonce, left)) => format!("{} for {}", visible(nonce), span(*left)),
                None if one.pending > 0 => out.paint(WARN, "nobody works on it"),
                None => out.paint(DIM, "nobody"),
            };
            let name = visible(&one.name);
            out.line(format!("{name:<28} {:>9} {:>10} {dead}  {oldest:<16} {owner}", one.partition, one.pending));
        }
        let (pending, dead) = (found.iter().map(|one| one.pending).sum(), found.iter().map(|one| one.dead).sum());
        let sum = format!("{} pending, {}", count(pending, "write"), count(dead, "dead letter"));
        let sum = out.paint(DIM, sum);
        out.line(sum);
    }
    Ok(if is_well { Exit::Fine } else { Exit::Found })
}

fn of(one: &Partition) -> Value {
    json!({
        "queue": one.name,
        "tenant": one.tenant,
        "partition": one.partition,
        "pending": one.pending,
        "dead": one.dead,
        "oldest_ms": one.oldest_ms,
        "oldest_age_ms": one.oldest_ms.map(|ms| one.now_ms.saturating_sub(ms)),
        "owner": one.owner.as_ref().map(|(nonce, left)| json!({"nonce": nonce, "lease_ms": left})),
        "server": one.server,
    })
}

/// The partitions of one queue.
fn of_name(common: &Common, name: &str) -> Result<(tidegate::store::redis::console::Console, Vec<Partition>), Fault> {
    common.space.space(1)?.queue(name, 0)?;
    let console = common.server.console()?;
    let all = partitions(&console, &common.space)?;
    let mine = all.into_iter().filter(|one| one.name == name && one.is_of(common.space.tenant.as_deref()));
    let mine: Vec<_> = mine.collect();
    Ok((console, mine))
}
