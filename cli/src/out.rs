//! Standard output and error: colour where it is wanted, JSON, and an end without a word where the reader has gone away.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::builder::StyledStr;
use serde_json::{Value, json};

use crate::args::When;
use crate::fault::Fault;

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const HEAD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

pub(crate) struct Out {
    color: bool,
    color_of_errors: bool,
    pub(crate) json: bool,
    /// The reader has gone away; what is written goes nowhere.
    closed: bool,
}

impl Out {
    pub(crate) fn new(when: When, json: bool) -> Self {
        Self {
            color: !json && wants_color(when, io::stdout().is_terminal()),
            color_of_errors: wants_color(when, io::stderr().is_terminal()),
            json,
            closed: false,
        }
    }

    pub(crate) fn has_color_of_errors(&self) -> bool {
        self.color_of_errors
    }

    /// `text` in `style`, where there is colour.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    pub(crate) fn line(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    pub(crate) fn write(&mut self, text: &str) {
        if !self.closed {
            self.closed = write_all(&mut io::stdout().lock(), text.as_bytes()).is_err();
        }
    }

    /// One JSON value and the end of its line.
    pub(crate) fn json(&mut self, value: &Value) {
        self.write(&format!("{value:#}\n"));
    }

    /// Nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn flush(&mut self) {
        let _ = io::stdout().lock().flush();
    }

    /// To standard error; as JSON to standard output.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        if self.json {
            let value = json!({"error": fault.message, "hint": fault.hint, "exit": fault.exit.code()});
            return self.json(&value);
        }
        let (bad, dim) = if self.color_of_errors { (BAD, DIM) } else { (Style::new(), Style::new()) };
        let mut text = format!("{bad}error:{bad:#} {}\n", fault.message);
        if let Some(hint) = &fault.hint {
            text.push_str(&format!("  {dim}{hint}{dim:#}\n"));
        }
        let _ = write_all(&mut io::stderr().lock(), text.as_bytes());
    }
}

/// What the parser of arguments has to say.
pub(crate) fn tell(text: &StyledStr, when: When, is_error: bool) {
    let is_terminal = if is_error { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let text = if wants_color(when, is_terminal) { text.ansi().to_string() } else { text.to_string() };
    let _ = if is_error {
        write_all(&mut io::stderr().lock(), text.as_bytes())
    } else {
        write_all(&mut io::stdout().lock(), text.as_bytes()).and_then(|()| io::stdout().lock().flush())
    };
}

/// What `--color` says, before the whole line is known to be right.
pub(crate) fn asked_color(args: &[OsString]) -> When {
    let words: Vec<_> = args.iter().filter_map(|word| word.to_str()).collect();
    let behind = words.windows(2).find(|pair| pair[0] == "--color").map(|pair| pair[1]);
    match behind.or_else(|| words.iter().find_map(|word| word.strip_prefix("--color="))) {
        Some("always") => When::Always,
        Some("never") => When::Never,
        _ => When::Auto,
    }
}

fn wants_color(when: When, is_terminal: bool) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// A host may have made the pipe one that does not block: it is waited for all the same.
fn write_all(to: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(2)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
