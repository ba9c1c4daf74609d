//! Files that name each other in a circle. A child may name what is above it, which it is a part of; that siblings come back
//! to each other is a sign that something stands in the wrong file.

use std::collections::{BTreeMap, BTreeSet};

use crate::reading::{Tree, brought, code, declared_modules, module_path, named_paths, rust, without_tests};

/// Circles that are right as they are, each with its reason.
const CIRCLES: &[(&str, &[&str], &str)] = &[
    (
        "core/src/",
        &["protocol::answer", "protocol::held"],
        "an answer may be what L1 holds, which tells its details as one",
    ),
    (
        "core/src/",
        &["engine::outcome", "engine::ticket"],
        "a ticket is answered with an outcome; a lease is one, with a ticket",
    ),
    (
        "core/src/",
        &[
            "engine::ending",
            "engine::event_letters",
            "engine::operations",
            "engine::peek",
            "engine::publish",
            "engine::versions",
            "engine::write",
            "engine::write_through",
        ],
        "what an operation has to remember stands beside its verbs, and the table of those that are out holds one of each",
    ),
    (
        "bindings-python/src/",
        &["batch", "lease", "outcome", "wake", "write"],
        "an outcome may be an order to the host, and what the host then says has an outcome of its own",
    ),
    (
        "bindings-python/src/",
        &["cache", "testing"],
        "a manager is made on a store, which may fail one manager's commands",
    ),
    ("bindings-node/src/", &["cache", "testing"], "as in Python"),
];

type Module = Vec<String>;

pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for root in ["core/src/", "bindings-python/src/", "bindings-node/src/", "cli/src/", "lint/src/"] {
        let files: BTreeMap<Module, &String> = rust(tree, root).map(|(file, _)| (module_path(file), file)).collect();
        let arrows = arrows(tree, &files);
        let found = rings(&arrows);
        let names = |ring: &BTreeSet<&Module>| ring.iter().map(|module| module.join("::")).collect::<Vec<_>>();
        let listed = |names: &[String]| CIRCLES.iter().any(|(of, ring, _)| *of == root && *ring == names);
        for ring in &found {
            let names = names(ring);
            let first = ring.iter().next().map_or("", |module| files[*module].as_str());
            if !listed(&names) {
                findings.push(format!("{first}: a circle of {}", names.join(", ")));
            }
        }
        let gone = CIRCLES.iter().filter(|(of, ring, _)| *of == root && !found.iter().any(|one| names(one) == *ring));
        findings.extend(gone.map(|(_, ring, _)| format!("CIRCLES lists one that is gone: {}", ring.join(", "))));
    }
    findings
}

/// Which module names which others, but for those that it is a part of.
fn arrows(tree: &Tree, files: &BTreeMap<Module, &String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut faces = BTreeMap::new();
    let mut named = BTreeMap::new();
    for (own, file) in files {
        let text = without_tests(&code(&tree[*file]));
        let children = declared_modules(&text).into_iter().collect();
        let name = |(name, path): (String, Module)| ([&own[..], &[name]].concat(), path);
        faces.extend(brought(&text, own, &children).into_iter().map(name));
        named.insert(own.clone(), named_paths(&text, own, &children));
    }
    let arrow = |(own, paths): (Module, BTreeSet<Module>)| {
        let homes = paths.into_iter().filter_map(|path| home(path, files, &faces));
        let others = homes.filter(|home| !own.starts_with(home)).collect();
        (own, others)
    };
    named.into_iter().map(arrow).collect()
}

/// The module that a path leads to, through whatever hands the name on; none where it is the crate's own.
fn home(mut path: Module, files: &BTreeMap<Module, &String>, faces: &BTreeMap<Module, Module>) -> Option<Module> {
    const HANDS_MAX: usize = 8;
    for _ in 0..HANDS_MAX {
        let within = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
        match path.get(..=within).and_then(|name| faces.get(name)) {
            Some(meant) => path = [meant, &path[within + 1..]].concat(),
            None => return Some(path[..within].to_vec()),
        }
    }
    None
}

/// Sets of modules each of which leads to all others of its set.
fn rings(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<&Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = arrows
        .keys()
        .map(|from| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                next.extend(arrows.get(at).into_iter().flatten().filter(|to| seen.insert(*to)));
            }
            (from, seen)
        })
        .collect();
    let ring = |one: &&Module| {
        let others = reached[one].iter().filter(|other| reached.get(**other).is_some_and(|back| back.contains(one)));
        others.copied().collect::<BTreeSet<_>>()
    };
    let rings: BTreeSet<_> = reached.keys().map(ring).filter(|ring| ring.len() > 1).collect();
    rings.into_iter().collect()
}

#[test]
fn circles_are_found() {
    let cases: &[(&[(&str, &str)], usize)] = &[
        (&[("a", "use super::b::B;"), ("b", "use crate::a::A;")], 1),
        (
            &[
                ("a", "use crate::{c, b::{self, B}};"),
                ("b", "fn f() { super::c::f() }"),
                ("c", "use super::a::A as B;"),
            ],
            1,
        ),
        (&[("a", "use super::b::B;"), ("b", "use super::c::C;"), ("c", "")], 0),
        // A part names what it is a part of, and that its parts.
        (&[("a/mod", "mod b; use b::B; struct A;"), ("a/b", "use super::A; use crate::a::A;")], 0),
        (&[("a/mod", "mod b; use self::b::B;"), ("a/b", "use crate::c::C;"), ("c", "use crate::a::A;")], 1),
        // By a name that another hands on.
        (&[("lib", "pub use a::A; mod a; mod b;"), ("a", "use super::b::B;"), ("b", "use crate::A;")], 1),
        (&[("lib", "mod a; use a::A as C; mod b;"), ("a", "use super::b::B;"), ("b", "use super::C;")], 1),
        (
            &[
                ("a", "use super::b::B;"),
                ("b", "/// See [`A`](crate::a::A).\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
            ],
            0,
        ),
    ];
    for (files, expected) in cases {
        let file = |(module, text): &(&str, &str)| (format!("lint/src/{module}.rs"), (*text).to_owned());
        let tree: Tree = files.iter().map(file).collect();
        let findings: Vec<_> = circles(&tree).into_iter().filter(|finding| finding.starts_with("lint/")).collect();
        assert_eq!(findings.len(), *expected, "{files:?}: {findings:?}");
    }
}
