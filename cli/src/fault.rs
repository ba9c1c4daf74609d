//! What ends a command.

use tidegate::ports::{StoreError, StoreErrorKind};
use tidegate::{Error, ErrorKind};

/// The exit codes of docs/command.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    /// Something was found that should not be, or what was asked for is not there.
    Found = 1,
    Usage = 2,
    /// The server cannot be reached, or does not let us in.
    Away = 3,
}

impl Exit {
    pub(crate) fn code(self) -> i32 {
        self as i32
    }
}

pub(crate) type Ending = Result<Exit, Fault>;

/// Why a command could not do what it was asked for, and what helps.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    pub(crate) fn found(message: impl Into<String>) -> Self {
        Self { exit: Exit::Found, message: message.into(), hint: None }
    }

    pub(crate) fn away(message: impl Into<String>) -> Self {
        Self { exit: Exit::Away, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::StoreUnavailable => Exit::Away,
            ErrorKind::ConfigError | ErrorKind::KeyFormatError => Exit::Usage,
            _ => Exit::Found,
        };
        Self { exit, message: error.message().to_owned(), hint: None }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let says = |code: &str| error.message.contains(code);
        let hint = match error.kind {
            StoreErrorKind::Refused if says("NOAUTH") => Some(
                "the server asks for a password; a right example: --url redis://user:password@host:6379/0".to_owned(),
            ),
            StoreErrorKind::Refused if says("WRONGPASS") => Some(
                "user and password of --url are not those of the server; in a URL : / ? # @ % are written as %XX"
                    .to_owned(),
            ),
            StoreErrorKind::Refused if is_of_rights(&error.message) => Some(
                "the user of --url may not do this; `tidegate doctor` lists the rights that are missing".to_owned(),
            ),
            StoreErrorKind::Disconnected => {
                Some("is it the right --url (or TIDEGATE_URL), and is a server listening there?".to_owned())
            }
            StoreErrorKind::Timeout => Some(
                "the server hangs, a firewall drops what is sent, or one side speaks TLS and the other does not (redis://, rediss://)"
                    .to_owned(),
            ),
            _ => None,
        };
        Self { exit: Exit::Away, message: error.message, hint }
    }
}

/// Whether the server says that the user may not.
pub(crate) fn is_of_rights(message: &str) -> bool {
    message.starts_with("NOPERM")
}
