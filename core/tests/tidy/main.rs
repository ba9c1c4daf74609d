//! The house rules of the source, run as a test: which layer may name which, no circles among files, what only one place
//! may call, no dead file, no giant file, nothing of one machine in the tree. Each rule is also shown to bite, on a tree made
//! for it.

mod circles;
mod reading;

use std::collections::BTreeSet;

use self::circles::circles;
use self::reading::{Tree, code, declared_modules, module_path, named_paths, rust, tree, without_tests};

/// What each module of the core may name of the others. A new module has to find its place here.
const LAYERS: &[(&str, &[&str])] = &[
    ("dialect", &[]),
    ("error", &["dialect"]),
    ("sync", &[]),
    ("signals", &[]),
    ("panics", &["error"]),
    ("payload", &["dialect", "error"]),
    ("protocol", &["dialect", "error", "payload"]),
    ("tenant", &["error", "protocol"]),
    ("config", &["dialect", "error", "payload", "protocol", "tenant"]),
    ("ports", &["error", "protocol"]),
    ("clock", &["ports"]),
    ("store", &["clock", "config", "dialect", "error", "panics", "ports", "protocol", "signals", "sync"]),
    ("engine", &["config", "dialect", "error", "panics", "payload", "ports", "protocol", "signals", "sync", "tenant"]),
    ("testing", &["clock", "config", "engine", "error", "ports", "protocol", "store"]),
    ("client", &["clock", "config", "engine", "error", "ports", "protocol", "store", "sync", "testing"]),
    // Tests of all that is read of others.
    ("fuzz", &["config", "engine", "error", "panics", "payload", "ports", "protocol", "store", "sync"]),
    (
        "lib",
        &[
            "client", "clock", "config", "dialect", "engine", "error", "panics", "payload", "ports", "protocol",
            "signals", "store", "sync", "tenant", "testing",
        ],
    ),
];

/// Files that may name one module more, each with its reason.
const EXCEPT: &[(&str, &str, &str)] = &[
    ("core/src/store/redis/fuzz.rs", "fuzz", "what it gives to the driver's own parsers"),
    ("core/src/engine/mod.rs", "store", "opens the store that a URL names"),
    ("core/src/engine/mod.rs", "clock", "the real clocks, where no other is given"),
    ("core/src/engine/timers.rs", "clock", "the thread that sleeps until a deadline, in real time"),
];

/// Words that stand in the code of these places only.
const HOMES: &[(&str, &[&str])] = &[
    ("redis_protocol", &["core/src/store/redis"]),
    ("pyo3", &["bindings-python/"]),
    ("napi", &["bindings-node/"]),
    // In the Redis driver it is tokio's, for the timers of its sockets.
    ("Instant::now", &["core/src/clock.rs", "core/src/store/redis"]),
    ("SystemTime::now", &["core/src/clock.rs"]),
    (".unwrap()", &[]),
];

/// What the protocol does without: it is values and transitions, nothing else.
const NOT_IN_PROTOCOL: &[&str] = &[
    "async",
    "await",
    "tokio",
    "Mutex",
    "RwLock",
    "Condvar",
    "Instant",
    "SystemTime",
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "std::sync::atomic",
];

const LINES_MAX: usize = 450;
/// Longer files, each with its reason.
const LONG: &[(&str, &str)] =
    &[("core/src/protocol/flight.rs", "the state machine is read whole against the invariants")];

/// Written in halves, so that this file does not hold what it forbids.
const OF_ONE_MACHINE: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("py", "pi.org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.", "npmjs"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("deb.", "debian.org"),
];

type Rule = fn(&Tree) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("layers", layers),
    ("circles", circles),
    ("homes", homes),
    ("protocol is pure", protocol_is_pure),
    ("no dead file", no_dead_file),
    ("no giant file", no_giant_file),
    ("nothing of one machine", nothing_of_one_machine),
];

#[test]
fn the_tree_is_tidy() {
    let tree = tree();
    assert!(tree.contains_key("core/src/lib.rs"), "the list of files is wrong: {:?}", tree.keys().take(9));
    let findings: Vec<_> =
        RULES.iter().flat_map(|(name, rule)| rule(&tree).into_iter().map(move |f| (name, f))).collect();
    let lines: Vec<_> = findings.iter().map(|(name, finding)| format!("  {name}: {finding}")).collect();
    assert!(lines.is_empty(), "the house rules (style of core/tests/tidy) are broken:\n{}", lines.join("\n"));
}

#[test]
fn every_rule_bites() {
    let long = "// a line\n".repeat(LINES_MAX + 1);
    let path = format!("see {}me/notes", OF_ONE_MACHINE[0]);
    let cases: &[(Rule, &str, &str, usize)] = &[
        (layers, "core/src/protocol/key.rs", "use crate::engine::Engine;", 1),
        (layers, "core/src/engine/drive.rs", "use crate::{error::Error, store::{self, memory}};", 1),
        (layers, "core/src/store/redis/mod.rs", "fn f() { super::super::engine::run() }", 1),
        (layers, "core/src/novel/mod.rs", "use crate::error::Error;", 1),
        (layers, "core/src/protocol/key.rs", "use crate::error::Error; use super::lease::Grant;", 0),
        (layers, "core/src/protocol/key.rs", "#[cfg(test)]\nmod tests { use crate::engine::Engine; }", 0),
        (layers, "core/src/protocol/key.rs", "/// See [`Engine`](crate::engine::Engine).\nstruct A;", 0),
        (homes, "core/src/engine/mod.rs", "use redis_protocol::redis_keyslot;", 1),
        (homes, "core/src/store/redis/connect.rs", "use redis_protocol::redis_keyslot;", 0),
        (homes, "core/src/engine/mod.rs", "let now = std::time::Instant::now();", 1),
        (homes, "core/src/engine/mod.rs", "x.unwrap(); y.unwrap_or(\".unwrap()\")", 1),
        (homes, "core/src/engine/mod.rs", "#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }", 0),
        (homes, "core/src/lib.rs", "use pyo3::prelude::*;", 1),
        (homes, "bindings-python/src/lib.rs", "use pyo3::prelude::*;", 0),
        (protocol_is_pure, "core/src/protocol/flight.rs", "pub async fn f() {}", 1),
        (protocol_is_pure, "core/src/protocol/flight.rs", "use std::sync::Mutex;", 1),
        (protocol_is_pure, "core/src/engine/flights.rs", "use std::sync::Mutex;", 0),
        (no_dead_file, "core/src/engine/forgotten.rs", "", 1),
        (no_giant_file, "core/src/engine/mod.rs", &long, 1),
        (nothing_of_one_machine, "README.md", &path, 1),
        (nothing_of_one_machine, "README.md", "a rootless framework/homework", 0),
    ];
    for (rule, file, text, expected) in cases {
        let tree = Tree::from([("core/src/lib.rs".into(), "mod a;".into()), ((*file).into(), (*text).into())]);
        let mut findings = rule(&tree);
        findings.retain(|finding| finding.starts_with(file));
        assert_eq!(findings.len(), *expected, "{file} with {text:?}: {findings:?}");
    }
}

fn layers(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, text) in rust(tree, "core/src/") {
        let path = module_path(file);
        let own = path.first().map_or("lib", String::as_str);
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
            findings.push(format!("{file}: LAYERS has no place for the module {own}"));
            continue;
        };
        let paths = named_paths(&without_tests(&code(text)), &path, &BTreeSet::new());
        let names: BTreeSet<_> = paths.into_iter().filter_map(|path| path.into_iter().next()).collect();
        for name in names {
            let known = LAYERS.iter().any(|(layer, _)| *layer == name);
            let excepted = EXCEPT.iter().any(|(at, module, _)| at == file && *module == name);
            if known && name != own && !allowed.contains(&name.as_str()) && !excepted {
                findings.push(format!("{file}: {own} must not name {name}"));
            }
        }
    }
    findings
}

fn homes(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, text) in rust(tree, "core/src/").chain(rust(tree, "bindings-")) {
        let code = without_tests(&code(text));
        let elsewhere = HOMES.iter().filter(|(_, homes)| !homes.iter().any(|home| file.starts_with(home)));
        findings.extend(lines_with(file, &code, elsewhere.map(|(word, _)| *word)));
    }
    findings
}

fn protocol_is_pure(tree: &Tree) -> Vec<String> {
    let files = rust(tree, "core/src/protocol/");
    files
        .flat_map(|(file, text)| lines_with(file, &without_tests(&code(text)), NOT_IN_PROTOCOL.iter().copied()))
        .collect()
}

fn no_dead_file(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for root in ["core/src/", "bindings-python/src/", "bindings-node/src/", "cli/src/"] {
        let mut live = BTreeSet::new();
        let mut next = vec![format!("{root}lib.rs"), format!("{root}main.rs")];
        while let Some(file) = next.pop() {
            let Some(text) = tree.get(&file) else { continue };
            let folder = file.trim_end_matches(".rs").trim_end_matches("/lib").trim_end_matches("/mod").to_owned();
            for name in declared_modules(&code(text)) {
                next.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
            }
            live.insert(file);
        }
        let dead = rust(tree, root).map(|(file, _)| file).filter(|file| !live.contains(*file));
        findings.extend(dead.map(|file| format!("{file}: no `mod` leads here")));
    }
    findings
}

fn no_giant_file(tree: &Tree) -> Vec<String> {
    let source = |file: &str| [".rs", ".py", ".ts", ".mjs", ".lua"].iter().any(|end| file.ends_with(end));
    let mut findings = Vec::new();
    for (file, text) in tree.iter().filter(|(file, _)| source(file)) {
        let (lines, listed) = (text.lines().count(), LONG.iter().any(|(long, _)| long == file));
        match (lines > LINES_MAX, listed) {
            (true, false) => findings.push(format!("{file}: {lines} lines; split an idea off, or give LONG a reason")),
            (false, true) => findings.push(format!("{file}: {lines} lines need no place in LONG")),
            _ => {}
        }
    }
    let gone = LONG.iter().filter(|(long, _)| !tree.contains_key(*long));
    findings.extend(gone.map(|(long, _)| format!("{long}: LONG lists a file that there is not")));
    findings
}

fn nothing_of_one_machine(tree: &Tree) -> Vec<String> {
    let findings = tree.iter().filter(|(file, _)| *file != "Cargo.lock").flat_map(|(file, text)| {
        let leaks = |line: &&str| OF_ONE_MACHINE.iter().any(|leak| starts_a_path(line, leak));
        text.lines().filter(leaks).map(move |line| format!("{file}: {}", line.trim())).collect::<Vec<_>>()
    });
    findings.collect()
}

/// A finding for every line on which one of the words stands as a word.
fn lines_with<'a>(file: &str, code: &str, words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let stands = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back().filter(|_| !word.starts_with('.'));
            let after = line[at + word.len()..].chars().next().filter(|_| !word.ends_with(')'));
            !before.is_some_and(inside) && !after.is_some_and(inside)
        })
    };
    let words: Vec<_> = words.collect();
    let lines = code.lines().enumerate();
    let hits =
        lines.flat_map(|(n, line)| words.iter().filter(move |word| stands(line, word)).map(move |word| (n, word)));
    hits.map(|(n, word)| format!("{file}:{}: `{word}` does not belong here", n + 1)).collect()
}

/// Whether `leak` stands in the line, and, where it is a path, at the path's beginning.
fn starts_a_path(line: &str, leak: &str) -> bool {
    line.match_indices(leak).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !leak.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "_-.~/}".contains(c))
    })
}
