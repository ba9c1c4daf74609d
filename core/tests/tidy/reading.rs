//! Reads sources: what of a file is code, and which modules it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Path (with `/`, from the top of the repository) to text.
pub(crate) type Tree = BTreeMap<String, String>;

/// Every file that git tracks or would track, as text.
pub(crate) fn tree() -> Tree {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("core lies in the repository");
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top)
        .output();
    let listed = listed.expect("git lists the files of a clone");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(top.join(name)).ok()?));
    names.split_terminator('\0').filter_map(read).collect()
}

pub(crate) fn rust<'a>(tree: &'a Tree, under: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
    let test = |file: &str| file.contains("/tests/") || file.ends_with("tests.rs");
    tree.iter().filter(move |(file, _)| {
        file.starts_with(under) && file.contains("/src/") && file.ends_with(".rs") && !test(file)
    })
}

/// `core/src/store/redis/mod.rs` is `store::redis`.
pub(crate) fn module_path(file: &str) -> Vec<String> {
    let inner = file.split_once("/src/").map_or(file, |(_, inner)| inner).trim_end_matches(".rs");
    inner.split('/').filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect()
}

/// The text with comments and the insides of strings blanked out, every line where it was.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    let mut blank = |from: usize, to: usize| out[from..to].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
    let find =
        |from: usize, what: &str| text.get(from..).and_then(|rest| rest.find(what)).map_or(bytes.len(), |n| from + n);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            find(at, "\n")
        } else if rest.starts_with(b"/*") {
            (find(at, "*/") + 2).min(bytes.len())
        } else if !in_word && (rest.starts_with(b"r\"") || rest.starts_with(b"r#\"")) {
            let close = if rest[1] == b'"' { "\"" } else { "\"#" };
            (find(at + close.len() + 1, close) + close.len()).min(bytes.len())
        } else if rest[0] == b'"' {
            let mut close = at + 1;
            while close < bytes.len() && bytes[close] != b'"' {
                close += if bytes[close] == b'\\' { 2 } else { 1 };
            }
            (close + 1).min(bytes.len())
        } else if rest.starts_with(b"'\\") || (rest[0] == b'\'' && rest.get(2) == Some(&b'\'')) {
            find(at + 2 + usize::from(rest[1] == b'\\'), "'") + 1
        } else {
            at += 1;
            continue;
        };
        blank(at, end);
        at = end;
    }
    String::from_utf8(out).expect("whole comments and strings were blanked")
}

/// The code with every item under `#[cfg(test)]` (or `all(test, …)`) blanked out.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    for (start, _) in code.match_indices("#[cfg(test)]").chain(code.match_indices("#[cfg(all(test")) {
        let mut depth = 0usize;
        let after = code[start..].find(']').map_or(code.len(), |n| start + n + 1);
        let end = code[after..].char_indices().find_map(|(n, c)| {
            depth = match c {
                '{' => depth + 1,
                '}' => depth.saturating_sub(1),
                _ => depth,
            };
            (depth == 0 && (c == '}' || c == ';')).then_some(after + n + 1)
        });
        let end = end.unwrap_or(code.len());
        let blanks: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        if blanks.len() == end - start {
            out.replace_range(start..end, &blanks);
        }
    }
    out
}

/// The paths that the code names by `crate::`, `self::`, `super::` and the names of `children`, from the crate's root down.
pub(crate) fn named_paths(code: &str, own: &[String], children: &BTreeSet<String>) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for (at, _) in code.match_indices("::") {
        let first = code[..at].rsplit(|c: char| !is_inside(c)).next().unwrap_or_default();
        let start = match first {
            "crate" => Vec::new(),
            "self" | "super" => own.to_vec(),
            child if children.contains(child) => own.to_vec(),
            _ => continue,
        };
        paths.extend(tails(&code[at - first.len()..]).into_iter().map(|(tail, _)| join(start.clone(), tail)));
    }
    paths
}

/// What `use` brings into a module: the name there, and the path that it stands for.
pub(crate) fn brought(code: &str, own: &[String], children: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
    let uses = code.match_indices("use ").filter(|(at, _)| code[..*at].ends_with(['\n', ' ', '}', ';']) || *at == 0);
    let statements = uses.filter_map(|(at, word)| code[at + word.len()..].split_once(';').map(|(tree, _)| tree.trim()));
    let mut all = Vec::new();
    for (tail, alias) in statements.flat_map(tails) {
        let Some(first) = tail.first().map(String::as_str) else { continue };
        let start = match first {
            "crate" => Vec::new(),
            _ if first == "self" || first == "super" || children.contains(first) => own.to_vec(),
            _ => continue,
        };
        let Some(name) = alias.or_else(|| tail.last().cloned()) else { continue };
        all.push((name, join(start, tail)));
    }
    all
}

/// `start` with what comes behind it; `super` goes up.
fn join(mut path: Vec<String>, tail: Vec<String>) -> Vec<String> {
    for name in tail {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(path.pop()),
            _ => path.push(name),
        }
    }
    path
}

/// `a::{b, c::d as e}` is `a::b` and `a::c::d`, which is called `e`.
fn tails(text: &str) -> Vec<(Vec<String>, Option<String>)> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return parts(group).into_iter().flat_map(tails).collect();
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return vec![(Vec::new(), None)];
    }
    let ahead = |(mut tail, alias): (Vec<String>, _)| {
        tail.insert(0, word.to_owned());
        (tail, alias)
    };
    match rest.strip_prefix("::") {
        Some(rest) => tails(rest).into_iter().map(ahead).collect(),
        None => {
            let alias = rest.strip_prefix(" as ").and_then(|alias| tails(alias).pop()?.0.pop());
            vec![(vec![word.to_owned()], alias)]
        }
    }
}

/// What stands between the commas of a group, whose `{` is gone.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            parts.extend(Some(group[start..at].trim()).filter(|part| !part.is_empty()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    parts
}

/// The names of `mod name;`.
pub(crate) fn declared_modules(code: &str) -> Vec<String> {
    let tokens: Vec<_> =
        code.split_inclusive(';').flat_map(|part| part.rsplit_once("mod ").map(|(_, name)| name)).collect();
    let plain = |name: &&str| name.trim_end_matches(';').trim().chars().all(|c| c.is_alphanumeric() || c == '_');
    tokens.into_iter().filter(plain).map(|name| name.trim_end_matches(';').trim().to_owned()).collect()
}
