//! Whether the URL's user may do what a manager does, by the list of docs/production.md, and how much more than that.

use tidegate::store::redis::console::{Console, Kind, Role};

use super::UsedFor;
use super::finding::Finding;
use crate::fault::is_of_rights;

/// Asks whether a command may be run, and runs none.
const MAY: &[u8] = b"local known, may = pcall(redis.acl_check_cmd, unpack(ARGV)) \
                     if not known then return -1 end return may and 1 or 0";

/// What it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Nothing,
    Entry,
    Tag,
    Lease,
    Fields,
    Queue,
    Owner,
    Attempts,
    Dead,
    Operation,
    Wake,
}

impl On {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Entry,
        Self::Tag,
        Self::Lease,
        Self::Fields,
        Self::Queue,
        Self::Owner,
        Self::Attempts,
        Self::Dead,
        Self::Operation,
        Self::Wake,
    ];

    /// 0 for nothing, 1 for a key, 2 for a channel: what a command is on it is on all of its kind.
    fn kind(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Wake => 2,
            _ => 1,
        }
    }

    /// A key, or a channel, of its kind.
    fn name(self, service: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Entry => format!("{service}:v1:~doctor"),
            Self::Tag => format!("{service}:~tag:~doctor"),
            Self::Queue => format!("{service}:~queue:~doctor:0"),
            Self::Lease => format!("{{{service}:v1:~doctor}}:lease"),
            Self::Fields => format!("{{{service}:v1:~doctor}}:fields"),
            Self::Owner => format!("{{{service}:~queue:~doctor:0}}:owner"),
            Self::Attempts => format!("{{{service}:~queue:~doctor:0}}:attempts"),
            Self::Dead => format!("{{{service}:~queue:~doctor:0}}:dead"),
            Self::Operation => format!("{{{service}:~queue:~doctor:0}}:op:~doctor"),
            Self::Wake => format!("{{{service}:v1:~doctor}}:wake"),
        }
    }

    /// What gives the right to it.
    fn pattern(self, service: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Entry | Self::Tag | Self::Queue => format!("~{service}:*"),
            Self::Lease => format!("~{{{service}:*}}:lease"),
            Self::Fields => format!("~{{{service}:*}}:fields"),
            Self::Owner => format!("~{{{service}:*}}:owner"),
            Self::Attempts => format!("~{{{service}:*}}:attempts"),
            Self::Dead => format!("~{{{service}:*}}:dead"),
            Self::Operation => format!("~{{{service}:*}}:op:*"),
            Self::Wake => format!("&{{{service}:*}}:wake"),
        }
    }
}

/// Who needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    All,
    /// A manager without it works, and is slower or notices less.
    Better,
    L1,
    Cluster,
    Queue,
}

type Right = (Need, &'static str, On, &'static [&'static str]);

/// Each command, what it is on, and what stands behind that.
const RIGHTS: &[Right] = &[
    (Need::All, "client|setname", On::Nothing, &["doctor"]),
    (Need::All, "role", On::Nothing, &[]),
    (Need::All, "time", On::Nothing, &[]),
    (Need::All, "get", On::Entry, &[]),
    (Need::All, "get", On::Tag, &[]),
    (Need::All, "set", On::Entry, &["v"]),
    (Need::All, "set", On::Tag, &["v"]),
    (Need::All, "getrange", On::Entry, &["0", "1"]),
    (Need::All, "setrange", On::Entry, &["0", "v"]),
    (Need::All, "unlink", On::Entry, &[]),
    (Need::All, "unlink", On::Lease, &[]),
    (Need::All, "unlink", On::Fields, &[]),
    (Need::All, "pexpire", On::Lease, &["1"]),
    (Need::All, "pttl", On::Lease, &[]),
    (Need::All, "hmget", On::Lease, &["g"]),
    (Need::All, "hset", On::Lease, &["g", "v"]),
    (Need::All, "hdel", On::Lease, &["g"]),
    (Need::All, "hmget", On::Fields, &["f"]),
    (Need::All, "hset", On::Fields, &["f", "v"]),
    (Need::All, "hgetall", On::Entry, &[]),
    (Need::All, "evalsha", On::Nothing, &["0000000000000000000000000000000000000000", "0"]),
    (Need::Better, "info", On::Nothing, &[]),
    (Need::Better, "mget", On::Entry, &[]),
    (Need::Better, "spublish", On::Wake, &["v"]),
    (Need::Better, "ssubscribe", On::Wake, &[]),
    (Need::Better, "sunsubscribe", On::Wake, &[]),
    (Need::L1, "subscribe", On::Wake, &[]),
    (Need::L1, "client|tracking", On::Nothing, &["on"]),
    (Need::L1, "client|trackinginfo", On::Nothing, &[]),
    (Need::Cluster, "asking", On::Nothing, &[]),
    (Need::Cluster, "cluster|info", On::Nothing, &[]),
    (Need::Cluster, "cluster|slots", On::Nothing, &[]),
    (Need::Queue, "xadd", On::Queue, &["*", "f", "v"]),
    (Need::Queue, "xdel", On::Queue, &["1-1"]),
    (Need::Queue, "xlen", On::Queue, &[]),
    (Need::Queue, "xrange", On::Queue, &["-", "+"]),
    (Need::Queue, "xrevrange", On::Queue, &["+", "-"]),
    (Need::Queue, "set", On::Owner, &["v"]),
    (Need::Queue, "pexpire", On::Owner, &["1"]),
    (Need::Queue, "hget", On::Attempts, &["f"]),
    (Need::Queue, "hset", On::Attempts, &["f", "v"]),
    (Need::Queue, "xadd", On::Dead, &["*", "f", "v"]),
    (Need::Queue, "set", On::Operation, &["v"]),
];

/// What no manager needs, and what comes of it.
const TOO_WIDE: &[(&[&str], &str)] = &[
    (&["FLUSHALL"], "delete everything (FLUSHALL)"),
    (&["CONFIG", "SET", "maxmemory", "0"], "change the server's settings (CONFIG SET)"),
    (&["SHUTDOWN"], "end the server (SHUTDOWN)"),
    (&["KEYS", "*"], "stop the server for seconds (KEYS)"),
    (&["ACL", "SETUSER", "x"], "make users (ACL SETUSER)"),
];

/// How it is found out what a user may.
enum Way {
    Script,
    DryRun(String),
}

pub(super) fn examine(console: &Console, service: &str, used_for: UsedFor, findings: &mut Vec<Finding>) {
    // Users are the same on all of them, or replicas and failovers would have told.
    let Some(server) = console.of_role(Role::Primary).next() else { return };
    let Some(way) = way(console, server) else {
        let finding = Finding::error("rights", "this user may run no scripts")
            .why("each write and each lease is a script: nothing can be stored or invalidated");
        findings.push(finding.mend("ACL SETUSER <user> +eval +evalsha, and the rest of docs/production.md"));
        return;
    };
    if matches!(way, Way::DryRun(_)) {
        findings.push(
            Finding::error("rights", "missing: +eval")
                .why("each write and each lease is a script")
                .mend("ACL SETUSER <user> +eval +evalsha"),
        );
    }
    let mut is_well = true;
    for (need, why) in needs(console, used_for) {
        let missing = missing(console, server, &way, service, need);
        if missing.is_empty() {
            continue;
        }
        is_well = false;
        let what = format!("missing: {}", missing.join(" "));
        let finding = if need == Need::Better || need == Need::L1 {
            Finding::note("rights", what)
        } else {
            Finding::error("rights", what)
        };
        findings.push(finding.why(why).mend(format!("ACL SETUSER <user> {}", missing.join(" "))));
    }
    if is_well {
        findings.push(Finding::ok("rights", format!("all that a {} of {service} needs", used_for.name())));
    }
    too_wide(console, server, &way, service, findings);
}

fn needs(console: &Console, used_for: UsedFor) -> Vec<(Need, &'static str)> {
    let mut needs = vec![
        (Need::All, "without it nothing can be read, stored or invalidated"),
        (Need::Better, "waits end by polling, a restart is noticed later, reads go one by one"),
        (Need::L1, "only for managers with L1, the tier in the process"),
    ];
    if console.kind() == Kind::Cluster {
        needs.push((Need::Cluster, "without it no node of the Cluster is found"));
    }
    if used_for == UsedFor::Queue {
        needs.push((Need::Queue, "without it nothing can be put or worked on"));
    }
    needs
}

/// The rights of a need that are not there, as ACL SETUSER takes them: keys first.
fn missing(console: &Console, server: usize, way: &Way, service: &str, need: Need) -> Vec<String> {
    let may_on = |right: &Right, on: On| may(console, server, way, &words(&(right.0, right.1, on, right.3), service));
    let refused: Vec<&Right> = RIGHTS.iter().filter(|right| right.0 == need && !may_on(right, right.2)).collect();
    let alike = |on: On| RIGHTS.iter().filter(move |right| right.2.kind() == on.kind());
    let (mut keys, mut commands) = (Vec::new(), Vec::new());
    for right in refused {
        let (_, command, on, _) = *right;
        if on == On::Nothing {
            commands.push(format!("+{command}"));
            continue;
        }
        // A command that works elsewhere is not what is missing; nor is a key that another command works on.
        let is_known =
            On::ALL.into_iter().any(|other| other.kind() == on.kind() && other != on && may_on(right, other));
        let is_open = alike(on).any(|other| may_on(other, on));
        if !is_known {
            commands.push(format!("+{command}"));
        }
        if !is_open {
            keys.push(on.pattern(service));
        }
    }
    keys.sort_unstable();
    commands.sort_unstable();
    keys.append(&mut commands);
    keys.dedup();
    keys
}

fn words(right: &Right, service: &str) -> Vec<String> {
    let (_, command, on, behind) = right;
    let name = Some(on.name(service)).filter(|name| !name.is_empty());
    command.split('|').map(str::to_owned).chain(name).chain(behind.iter().map(|word| (*word).to_owned())).collect()
}

fn way(console: &Console, server: usize) -> Option<Way> {
    if console.ask(server, &[b"EVAL", b"return 1", b"0"]).is_ok() {
        return Some(Way::Script);
    }
    let user = console.ask(server, &[b"ACL", b"WHOAMI"]).ok()?.text()?;
    let tried = console.ask(server, &[b"ACL", b"DRYRUN", user.as_bytes(), b"PING"]);
    tried.is_ok().then_some(Way::DryRun(user))
}

/// Whether a command may be used. One that cannot be asked about counts as allowed: nothing is told that is not known.
fn may(console: &Console, server: usize, way: &Way, words: &[String]) -> bool {
    let words = words.iter().map(String::as_bytes);
    match way {
        Way::Script => {
            let command: Vec<&[u8]> = [&b"EVAL"[..], MAY, b"0"].into_iter().chain(words).collect();
            console.ask(server, &command).ok().and_then(|answer| answer.int()) != Some(0)
        }
        Way::DryRun(user) => {
            let command: Vec<&[u8]> = [&b"ACL"[..], b"DRYRUN", user.as_bytes()].into_iter().chain(words).collect();
            match console.ask(server, &command) {
                Ok(answer) => answer.text().as_deref() == Some("OK"),
                Err(error) => !is_of_rights(&error.message),
            }
        }
    }
}

fn too_wide(console: &Console, server: usize, way: &Way, service: &str, findings: &mut Vec<Finding>) {
    let mut more: Vec<String> = TOO_WIDE
        .iter()
        .filter(|(words, _)| {
            may(console, server, way, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        })
        .map(|(_, what)| (*what).to_owned())
        .collect();
    let foreign = ["GET".to_owned(), format!("not-{service}:v1:~doctor")];
    if may(console, server, way, &foreign) {
        more.push("read other services' keys".into());
    }
    if !more.is_empty() {
        findings.push(
            Finding::note("rights", format!("wider than needed: this user may {}", more.join(", ")))
                .why("a mistake, or a stranger with its password, can do as much")
                .mend("ACL SETUSER as docs/production.md has it"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Of connections, which could not be made without, and of scripts, which the question is asked by.
    const UNASKED: [&str; 5] = ["hello", "auth", "ping", "quit", "eval"];
    const OF_DOMAIN_EVENTS: [&str; 7] =
        ["xack", "xclaim", "xpending", "xreadgroup", "xgroup|create", "xgroup|delconsumer", "xinfo|consumers"];

    #[test]
    fn what_is_asked_about_is_what_the_document_gives() {
        let page = include_str!("../../../docs/production.md");
        let line = page.lines().find(|line| line.starts_with("user billing on")).expect("the line of the data nodes");
        let given: BTreeSet<&str> = line.split(' ').filter_map(|word| word.strip_prefix('+')).collect();
        let asked = RIGHTS.iter().map(|right| right.1).chain(UNASKED).chain(OF_DOMAIN_EVENTS).collect::<BTreeSet<_>>();
        assert_eq!(given, asked);
        let keys: BTreeSet<String> = line
            .split(' ')
            .filter(|word| word.starts_with(['~', '&']) && !word.contains("events"))
            .map(str::to_owned)
            .collect();
        let patterns: BTreeSet<String> =
            On::ALL.iter().map(|on| on.pattern("billing")).filter(|pattern| !pattern.is_empty()).collect();
        assert_eq!(keys, patterns);
    }
}
