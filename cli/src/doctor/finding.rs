//! One thing that was looked at.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Ok,
    Note,
    Warning,
    Error,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// A stable name.
    pub(super) check: &'static str,
    pub(super) server: Option<String>,
    pub(super) what: String,
    pub(super) why: Option<String>,
    /// What to do: a command for redis-cli, or a line.
    pub(super) mend: Option<String>,
}

impl Finding {
    fn new(severity: Severity, check: &'static str, what: impl Into<String>) -> Self {
        Self { severity, check, server: None, what: what.into(), why: None, mend: None }
    }

    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, check, what)
    }

    pub(super) fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, what)
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, what)
    }

    pub(super) fn error(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, check, what)
    }

    pub(super) fn why(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    pub(super) fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    pub(super) fn at(self, server: impl Into<String>) -> Self {
        Self { server: Some(server.into()), ..self }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "check": self.check,
            "server": self.server,
            "what": self.what,
            "why": self.why,
            "mend": self.mend,
        })
    }
}
