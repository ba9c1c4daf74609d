//! What can be found: each code, its name, and what it says in one line. `docs/lint.md` has a part on each.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal, $title:literal;)*) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written in settings, comments and reports: `TG005`.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

codes! {
    Unparsed = "TG001", "a file that cannot be parsed";
    Flat = "TG002", "a key of one segment";
    Empty = "TG003", "an empty segment";
    Reserved = "TG004", "a character that no key holds";
    Unescaped = "TG005", "data in a key without the builder";
    NoParameter = "TG006", "a name that is no parameter";
    NotInTemplate = "TG007", "a parameter that is not in the template";
    Malformed = "TG008", "a template that makes no sure key";
    OffPattern = "TG009", "a key outside the project's pattern";
    TooLong = "TG010", "a key of more than 200 bytes";
    BadName = "TG011", "a name of a tag, namespace, queue or event that is none";
    BadKeySpace = "TG012", "a service or version that is none";
    NoText = "TG013", "a value that makes no part of a key";
    TwoTypes = "TG014", "one template for two types of values";
    UnusedIgnore = "TG015", "a suppression of nothing";
}

impl Code {
    /// The code that is written so.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.text() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Bytes of a source, from and to.
pub type Span = std::ops::Range<usize>;

/// Something found at a place of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub span: Span,
    pub message: String,
    /// What is right instead.
    pub help: String,
}
