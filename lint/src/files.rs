//! Which files are read, and what is found in one.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;
use regex::Regex;
use tree_sitter::{Node, ParseOptions, Parser, Tree};

use crate::code::{Code, Finding, Span};
use crate::language::Language;
use crate::scope::{Visitor, walk};
use crate::settings::Folder;
use crate::value::Use;
use crate::walking::World;
use crate::{javascript, python, rules, suppress};

/// A longer source was made by a program, and is no one's to mend.
const BYTES_MAX: usize = 16 << 20;
/// A grammar may need very long for what no one wrote by hand: so many hundreds of its steps at most, which are seconds.
/// (Not a time: what is found must not depend on how busy a machine is.)
const STEPS_MAX: usize = 2_000_000;
/// Folders of what others wrote, or programs made.
const NOT_OWN: &[&str] = &["node_modules", ".venv", "venv", "target", "dist", "__pycache__", "site-packages", ".git"];

/// The sources under the paths, in order; `everything`: those too that git ignores, and those of [`NOT_OWN`].
///
/// # Errors
/// Which path there is not.
pub(crate) fn list(paths: &[PathBuf], exclude: &[String], everything: bool) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut excludes = OverrideBuilder::new(".");
    for glob in exclude {
        excludes.add(&format!("!{glob}")).map_err(|error| format!("--exclude {glob:?}: {error}"))?;
    }
    let excludes = excludes.build().map_err(|error| error.to_string())?;
    for path in paths {
        if path.is_file() {
            let is_excluded = excludes.matched(path, false).is_ignore();
            files.extend((!is_excluded && Language::of(path).is_some()).then(|| path.clone()));
            continue;
        }
        if !path.is_dir() {
            return Err(format!("{} is no file and no folder", path.display()));
        }
        let mut walker = WalkBuilder::new(path);
        walker.standard_filters(!everything).require_git(false).overrides(excludes.clone());
        walker.sort_by_file_name(Ord::cmp);
        walker.filter_entry(move |entry| {
            let is_own = entry.file_name().to_str().is_none_or(|name| !NOT_OWN.contains(&name));
            // What is named is meant.
            everything || is_own || entry.depth() == 0
        });
        let found =
            walker.build().filter_map(Result::ok).filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        files.extend(found.map(ignore::DirEntry::into_path).filter(|path| Language::of(path).is_some()));
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// What is found in a source: the findings, and the suppressions of nothing.
pub(crate) fn check(
    path: &Path,
    bytes: &[u8],
    folder: &Folder,
    pattern: Option<&Regex>,
) -> (Vec<Finding>, Vec<Finding>) {
    let Some(language) = Language::of(path) else { return Default::default() };
    let settings = folder.settings(language);
    let has = |wanted: &str| memchr::memmem::find(bytes, wanted.as_bytes()).is_some();
    // Most sources have nothing of a cache, and need no parser.
    let may_name_a_cache = folder.uses_tidegate && settings.hints.iter().any(|hint| has(hint));
    if !has("tidegate") && !may_name_a_cache {
        return Default::default();
    }
    let unread = |message: String, at: Span| {
        let help = "nothing in this file was checked".to_owned();
        (vec![Finding { code: Code::Unparsed, span: at, message, help }], Vec::new())
    };
    if bytes.len() > BYTES_MAX {
        return unread(format!("has {} bytes; up to {BYTES_MAX} are read", bytes.len()), 0..0);
    }
    let source = match std::str::from_utf8(bytes) {
        Ok(source) => source,
        Err(error) => return unread(format!("is not UTF-8 at byte {}", error.valid_up_to()), 0..0),
    };
    let Some((language, tree)) = parse(source, language) else {
        return unread("needs too many steps to parse".to_owned(), 0..0);
    };
    let root = tree.root_node();
    let world = World { names: &settings.names, uses_tidegate: folder.uses_tidegate, file: path };
    let uses: Vec<Use> = match language {
        Language::Python => python::uses(root, source, &world),
        _ => javascript::uses(root, source, &world),
    };
    if root.has_error() {
        // Where nothing takes keys, it is another's to say: grammars are a little behind their languages.
        let is_ours = has("tidegate") || !uses.is_empty();
        return if is_ours { unread("does not parse here".to_owned(), first_error(root)) } else { Default::default() };
    }
    let mut findings =
        rules::judge(&uses, language, pattern.or(settings.project.pattern.as_ref()), &settings.project.domains);
    let unused = suppress::apply(root, source, &mut findings);
    (findings, unused)
}

/// None: it needs too many steps.
fn parse(source: &str, language: Language) -> Option<(Language, Tree)> {
    let tree = parse_as(source, language)?;
    // Types in a .js file: Flow's are nearly TypeScript's.
    if tree.root_node().has_error() && language == Language::JavaScript {
        let typed = parse_as(source, Language::Tsx)?;
        if !typed.root_node().has_error() {
            return Some((Language::Tsx, typed));
        }
    }
    Some((language, tree))
}

fn parse_as(source: &str, language: Language) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).expect("the grammars are of this version of tree-sitter");
    let mut steps = 0;
    let mut stop = |_: &tree_sitter::ParseState| {
        steps += 1;
        if steps > STEPS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let bytes = source.as_bytes();
    parser.parse_with_options(
        &mut |at, _| bytes.get(at..).unwrap_or_default(),
        None,
        Some(ParseOptions::new().progress_callback(&mut stop)),
    )
}

fn first_error(root: Node<'_>) -> Span {
    struct First(Option<Span>);
    impl<'t> Visitor<'t> for First {
        fn enter(&mut self, node: Node<'t>) {
            if self.0.is_none() && (node.is_error() || node.is_missing()) {
                self.0 = Some(node.start_byte()..node.start_byte());
            }
        }
        fn leave(&mut self, _: Node<'t>) {}
    }
    let mut first = First(None);
    walk(root, &mut first);
    first.0.unwrap_or(0..0)
}
