//! `tidegate lint`: finds what takes keys in Python, JavaScript and TypeScript sources, and checks it by the rules of
//! `docs/keys.md`, which the core knows, and by the project's own.
//!
//! ```text
//! files ─ parsers ─┬─ python ─────┬─ value::Use ─ rules ─ suppress ─ report
//!                  └─ javascript ─┘
//! ```
//!
//! A program of its own, because the parsers' tables are as large as the rest of tidegate; it ships beside the modules.

pub mod code;
mod files;
mod javascript;
mod judge;
mod language;
mod python;
mod receiver;
pub mod report;
mod rules;
mod scope;
mod settings;
mod suppress;
mod template;
mod value;
mod walking;

use std::fs;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf, absolute};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::code::{Code, Finding};
use crate::report::{Format, Reported, line_starts};
use crate::settings::{Folders, read_codes, read_pattern};

/// Nothing was found.
pub const CLEAN: u8 = 0;
/// Something was.
pub const FOUND: u8 = 1;
/// What was asked cannot be done.
pub const WRONG: u8 = 2;

/// So many files are done before a person would wonder.
const FILES_WITHOUT_PROGRESS: usize = 2_000;

/// Check the cache keys in Python, JavaScript and TypeScript sources
#[derive(Args, Clone, Debug, Default)]
pub struct LintArgs {
    /// Files and folders
    #[arg(default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// A regular expression that every key matches, instead of the project's
    #[arg(long, value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Only these findings: TG002,TG005
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    pub select: Vec<String>,
    /// All but these findings
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Leave out what matches, as in .gitignore
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Also what git ignores, hidden folders, node_modules, .venv and target
    #[arg(long)]
    pub all_files: bool,
    /// Also report comments that suppress nothing
    #[arg(long)]
    pub report_unused: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// Lints, writes what was found to `out`, and gives the exit code.
pub fn run(args: &LintArgs, out: &mut dyn Write) -> u8 {
    let done = lint(args).and_then(|(findings, files)| {
        let format = if args.json { Format::Json } else { args.format };
        report::write(out, format, &findings, files)
            .map_err(|error| format!("the report cannot be written: {error}"))?;
        Ok(if findings.is_empty() { CLEAN } else { FOUND })
    });
    done.unwrap_or_else(|error| {
        let _ = writeln!(stderr(), "error: {error}");
        WRONG
    })
}

/// What is found, in order, and in how many files.
///
/// # Errors
/// What is wrong with the arguments or with the settings.
pub fn lint(args: &LintArgs) -> Result<(Vec<Reported>, usize), String> {
    let asked = Asked {
        pattern: args.pattern.as_deref().map(read_pattern).transpose().map_err(|error| format!("--{error}"))?,
        select: read_codes("select", &args.select).map_err(|error| format!("--{error}"))?,
        ignore: read_codes("ignore", &args.ignore).map_err(|error| format!("--{error}"))?,
        report_unused: args.report_unused,
        folders: Folders::new()?,
    };
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { here.as_slice() } else { &args.paths };
    let files = files::list(paths, &args.exclude, args.all_files)?;
    let progress = progress(files.len());
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = asked.check(file);
                    progress.inc(1);
                    let Ok(mut all) = found.lock() else { return };
                    match (&mut *all, one) {
                        (Ok(all), Ok(mut one)) => all.append(&mut one),
                        (Ok(_), Err(error)) => *all = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    progress.finish_and_clear();
    let mut found = found.into_inner().map_err(|_| "a thread has panicked".to_owned())??;
    found.sort();
    Ok((found, files.len()))
}

/// What the command line asks of every file.
struct Asked {
    pattern: Option<regex::Regex>,
    select: Vec<Code>,
    ignore: Vec<Code>,
    report_unused: bool,
    folders: Folders,
}

impl Asked {
    fn check(&self, file: &Path) -> Result<Vec<Reported>, String> {
        let path = absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let folder = self.folders.of(path.parent().unwrap_or(Path::new("/")))?;
        let Some(language) = language::Language::of(file) else { return Ok(Vec::new()) };
        let settings = folder.settings(language);
        if settings.excludes(&path) {
            return Ok(Vec::new());
        }
        let shown = file.strip_prefix(".").unwrap_or(file).to_string_lossy();
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        let (mut findings, unused) = files::check(&path, &bytes, &folder, self.pattern.as_ref());
        if self.report_unused {
            findings.extend(unused);
        }
        findings.retain(|finding| self.reports(finding, settings));
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let source = String::from_utf8_lossy(&bytes);
        let starts = line_starts(&source);
        Ok(findings.into_iter().map(|finding| Reported::new(&shown, &source, &starts, finding)).collect())
    }

    fn reports(&self, finding: &Finding, settings: &settings::Settings) -> bool {
        let is_selected =
            if self.select.is_empty() { settings.reports(finding.code) } else { self.select.contains(&finding.code) };
        is_selected && !self.ignore.contains(&finding.code)
    }
}

/// On a terminal only, and over many files only.
fn progress(files: usize) -> ProgressBar {
    if files < FILES_WITHOUT_PROGRESS || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left");
    style.map_or_else(|_| ProgressBar::hidden(), |style| ProgressBar::new(files as u64).with_style(style))
}
