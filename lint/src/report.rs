//! What a person, a program, or GitHub is told.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::code::Finding;

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each, and one of help
    #[default]
    Text,
    /// One object
    Json,
    /// Annotations of a GitHub workflow
    Github,
}

/// A finding with its place as people count: lines and characters from 1.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reported {
    pub path: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    pub code: &'static str,
    pub title: &'static str,
    pub message: String,
    pub help: String,
}

impl Reported {
    pub(crate) fn new(path: &str, source: &str, starts: &[usize], finding: Finding) -> Self {
        let place = |at: usize| {
            let line = starts.partition_point(|start| *start <= at).max(1);
            let text = source.get(starts[line - 1]..at).unwrap_or_default();
            (line, text.trim_start_matches('\u{feff}').chars().count() + 1)
        };
        let ((line, column), (end_line, end_column)) = (place(finding.span.start), place(finding.span.end));
        let Finding { code, message, help, .. } = finding;
        let path = path.to_owned();
        Self { path, line, column, end_line, end_column, code: code.text(), title: code.title(), message, help }
    }
}

/// Where the lines of a source begin.
pub(crate) fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

#[derive(Serialize)]
struct All<'a> {
    findings: &'a [Reported],
    files: usize,
}

/// # Errors
/// When `out` takes no more.
pub(crate) fn write(out: &mut dyn Write, format: Format, findings: &[Reported], files: usize) -> io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &All { findings, files })?;
            writeln!(out)?;
        }
        Format::Text => {
            for one in findings {
                writeln!(out, "{}:{}:{}: {} {}", one.path, one.line, one.column, one.code, plain(&one.message))?;
                writeln!(out, "    help: {}", plain(&one.help))?;
            }
            let many = |count: usize| if count == 1 { "" } else { "s" };
            let (found, looked) = (findings.len(), format!("{files} file{}", many(files)));
            match found {
                0 => writeln!(out, "{looked}: every key is right")?,
                _ => writeln!(out, "{looked}: {found} finding{}", many(found))?,
            }
        }
        Format::Github => {
            for one in findings {
                let Reported { line, column, end_line, end_column, .. } = one;
                let title = property(&format!("{} {}", one.code, one.title));
                let message = data(&format!("{}\n{}", one.message, one.help));
                write!(out, "::error file={},line={line},endLine={end_line}", property(&one.path))?;
                // Columns count for one line only.
                if line == end_line {
                    write!(out, ",col={column},endColumn={end_column}")?;
                }
                writeln!(out, ",title={title}::{message}")?;
            }
        }
    }
    out.flush()
}

/// One line, without what a terminal would act on: paths and keys come from elsewhere.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
