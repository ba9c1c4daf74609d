//! `tidegate invalidate`.

use clap::Args;
use serde_json::{Value, json};
use tidegate::Manager;
use tidegate::key::KeySpace;
use tidegate::protocol::tag::{Tag, TagNonce};
use tidegate::store::redis::console::Console;

use crate::args::{ServerArgs, SpaceArgs};
use crate::fault::{Ending, Exit, Fault};
use crate::out::{BAD, DIM, GOOD, Out, WARN};
use crate::server::{Live, block_on, now_ms};
use crate::text::{from_now, visible};

/// Ends what is cached, for every process, caller and version of the service
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all are confirmed (after this nobody is given what was cached before), 3 one is not.

Examples:
  tidegate invalidate user:profile:42 user:name:42 --service billing
  tidegate invalidate --tag user:42 --service billing
  tidegate invalidate --namespace catalog --service shop --tenant acme --dry-run")]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["keys", "tag", "namespace"])))]
pub(crate) struct InvalidateArgs {
    /// Keys as the program has them, or whole as they stand in Redis
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// All entries that carry this tag; may be given more than once
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// All entries of this namespace; may be given more than once
    #[arg(long, value_name = "NAME")]
    namespace: Vec<String>,
    /// Say what it would reach, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Key(&'a str),
    Tag(&'a str),
    Namespace(&'a str),
}

impl What<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tag(_) => "tag",
            Self::Namespace(_) => "namespace",
        }
    }

    fn name(&self) -> &str {
        let (Self::Key(name) | Self::Tag(name) | Self::Namespace(name)) = self;
        name
    }
}

pub(crate) fn run(args: &InvalidateArgs, out: &mut Out) -> Ending {
    let keys = args.keys.iter().map(|key| What::Key(key));
    let all: Vec<What<'_>> = keys
        .chain(args.tag.iter().map(|tag| What::Tag(tag)))
        .chain(args.namespace.iter().map(|name| What::Namespace(name)))
        .collect();
    // All are right before one is sent.
    check(args, &all, args.space.key_version.unwrap_or(1))?;
    let console = args.server.console()?;
    let live = args.space.live(&console)?;
    let version = args.space.version(&live);
    if args.dry_run { dry_run(args, &all, &console, &live, version, out) } else { act(args, &all, version, out) }
}

fn check(args: &InvalidateArgs, all: &[What<'_>], version: u32) -> Result<KeySpace, Fault> {
    let space = args.space.space(version)?;
    for what in all {
        match what {
            What::Key(key) => drop(relative(args, key, version)?),
            What::Tag(tag) => drop(space.tag(tag)?),
            What::Namespace(name) => drop(space.namespace_tag(name)?),
        }
    }
    Ok(space)
}

/// The key as the program has it.
fn relative(args: &InvalidateArgs, given: &str, version: u32) -> Result<String, Fault> {
    let whole = format!("{}:v", args.space.service);
    let said =
        given.strip_prefix(&whole).and_then(|rest| rest.split_once(':')).and_then(|(digits, _)| digits.parse().ok());
    let key = args.space.key(given, said.unwrap_or(version))?;
    // A shortened key has lost the text that its identity is of.
    Ok(if said.is_some() { key.relative().to_owned() } else { given.to_owned() })
}

fn act(args: &InvalidateArgs, all: &[What<'_>], version: u32, out: &mut Out) -> Ending {
    let done = block_on(async {
        let manager = args.server.manager(&args.space, version).await?;
        manager.listen(true);
        let mut done = Vec::new();
        for what in all {
            let is_confirmed = invalidate(&manager, args, *what, version).await?;
            let why = manager.take_events().into_iter().rev().find_map(|event| event.message);
            done.push((*what, is_confirmed, why.filter(|_| !is_confirmed)));
        }
        // What was not confirmed is sent again until then.
        let is_clean = manager.close().await;
        Ok::<_, Fault>(
            done.into_iter().map(|(what, is_confirmed, why)| (what, is_confirmed || is_clean, why)).collect::<Vec<_>>(),
        )
    })??;
    let is_well = done.iter().all(|(_, is_confirmed, _)| *is_confirmed);
    if out.json {
        let rows = done.iter().map(|(what, is_confirmed, why)| {
            json!({"kind": what.kind(), "name": what.name(), "confirmed": is_confirmed, "why": why})
        });
        out.json(&json!({"invalidated": rows.collect::<Vec<_>>(), "confirmed": is_well}));
    } else {
        for (what, is_confirmed, why) in &done {
            let state = if *is_confirmed {
                out.paint(GOOD, "confirmed")
            } else {
                let why = why.as_deref().unwrap_or("no answer");
                out.paint(BAD, format!("not confirmed: {}", visible(why)))
            };
            out.line(format!("{:<10} {}  {state}", what.kind(), visible(what.name())));
        }
    }
    if is_well {
        return Ok(Exit::Fine);
    }
    if !out.json {
        let text = "What is not confirmed may still be served. It is forgotten now: run the command again.";
        let text = out.paint(WARN, text);
        out.line(text);
    }
    Ok(Exit::Away)
}

async fn invalidate(manager: &Manager, args: &InvalidateArgs, what: What<'_>, version: u32) -> Result<bool, Fault> {
    Ok(match what {
        What::Key(key) => manager.invalidate(&relative(args, key, version)?).await?,
        What::Tag(tag) => manager.invalidate_tag(tag).await?,
        What::Namespace(name) => manager.namespace(name)?.clear().await?,
    })
}

fn dry_run(
    args: &InvalidateArgs,
    all: &[What<'_>],
    console: &Console,
    live: &[Live],
    version: u32,
    out: &mut Out,
) -> Ending {
    let space = check(args, all, version)?;
    let mut versions: Vec<u32> = live.iter().map(|one| one.version).chain([version]).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut rows = Vec::new();
    for what in all {
        let (stored_at, last_ms) = match what {
            What::Key(key) => {
                let key = args.space.space(version)?.key(&relative(args, key, version)?)?;
                let reached = versions.iter().map(|version| key.in_version(*version));
                let reached = reached.map(|key| Ok((is_there(console, key.full())?, key.full().to_owned())));
                (reached.collect::<Result<Vec<_>, Fault>>()?, None)
            }
            What::Tag(name) => of_tag(console, &space.tag(name)?)?,
            What::Namespace(name) => of_tag(console, &space.namespace_tag(name)?)?,
        };
        rows.push((what, stored_at, last_ms));
    }
    if out.json {
        let reached = |all: &[(bool, String)]| {
            all.iter().map(|(there, key)| json!({"key": key, "stored": there})).collect::<Vec<Value>>()
        };
        let rows = rows.iter().map(|(what, keys, last_ms)| {
            json!({"kind": what.kind(), "name": what.name(), "keys": reached(keys), "made_ms": last_ms})
        });
        out.json(&json!({"dry_run": true, "versions": versions, "would_invalidate": rows.collect::<Vec<_>>()}));
        return Ok(Exit::Fine);
    }
    let now_ms = now_ms(console, 0)?;
    for (what, keys, last_ms) in rows {
        out.line(format!("{:<10} {}", what.kind(), visible(what.name())));
        for (is_there, key) in keys {
            let state = match (what, is_there, last_ms) {
                (What::Key(_), true, _) => out.paint(WARN, "would end"),
                (What::Key(_), false, _) => {
                    out.paint(DIM, "holds nothing; whoever computes it just now would not store it")
                }
                (_, true, Some(ms)) => format!("would get a new nonce; this one is from {}", from_now(ms, now_ms)),
                _ => out.paint(DIM, "no entry has carried it"),
            };
            out.line(format!("  {}  {state}", visible(&key)));
        }
    }
    let note = out.paint(DIM, "Nothing was done (--dry-run).");
    out.line(note);
    Ok(Exit::Fine)
}

fn is_there(console: &Console, key: &str) -> Result<bool, Fault> {
    // As the rights of a manager allow: EXISTS is not among them.
    let answer = console.ask_of(key.as_bytes(), &[b"PTTL", key.as_bytes()])?;
    Ok(answer.int() != Some(-2))
}

/// The keys that something would reach, each whether it is there; and when the nonce was made that a tag holds.
type Reached = (Vec<(bool, String)>, Option<u64>);

/// A tag's key, and when the nonce that it holds was made.
fn of_tag(console: &Console, tag: &Tag) -> Result<Reached, Fault> {
    let answer = console.ask_of(tag.full().as_bytes(), &[b"GET", tag.full().as_bytes()])?;
    let nonce = answer.bytes().and_then(|bytes| TagNonce::read(bytes));
    Ok((vec![(nonce.is_some(), tag.full().to_owned())], nonce.map(|nonce| nonce.made_us() / 1_000)))
}
