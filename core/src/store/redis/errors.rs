//! The one place where errors of the server become ours. No password and no value passes through here.

use crate::ports::{StoreError, StoreErrorKind};

const MESSAGE_CHARS_MAX: usize = 200;

/// An error reply of the server: its code stays in front. A Cluster that is down answers, but is away.
pub(super) fn refused(reply: &str) -> StoreError {
    let is_away = reply.starts_with("CLUSTERDOWN");
    let kind = if is_away { StoreErrorKind::Disconnected } else { StoreErrorKind::Refused };
    StoreError::new(kind, server_text(reply))
}

/// The server's words, without what it repeats of ours: an unknown command is answered with its arguments, AUTH's
/// password among them.
fn server_text(reply: &str) -> String {
    let head = reply.split(", with args beginning with").next().unwrap_or_default();
    shown(head.split(" script: ").next().unwrap_or_default().trim_end())
}

/// A server's words as they may stand in a log: nobody ends a line there but they themselves.
pub(super) fn shown(words: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    words.chars().map(printable).take(MESSAGE_CHARS_MAX).collect()
}

/// Whether a message begins with a code of the server's, as `READONLY You can't write …` does.
pub(super) fn has_server_code(message: &str) -> bool {
    let code = message.split(' ').next().unwrap_or_default();
    code.len() >= 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_stays_and_our_arguments_do_not() {
        let old = refused("ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `s3cret`, ");
        assert_eq!(old.message, "ERR unknown command `HELLO`");
        let readonly = refused("READONLY You can't write against a read only replica.");
        assert_eq!(readonly.kind, StoreErrorKind::Refused);
        assert!(has_server_code(&readonly.message) && !has_server_code("Connection refused"));
    }
}
