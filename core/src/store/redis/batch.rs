//! What one batch of frames says, and the order in which it is told: changes, the heartbeat behind them, wakes last.
//!
//! The server sends a script's wake at once and its invalidation at the end of its cycle, so the order of arrival is
//! the wrong one: whoever is woken must find that L1 has let go of the key. Pure but for [`Batch::tell`].

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::node::Node;
use super::resp;
use crate::ports::Notice;
use crate::protocol::key::Key;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    changed: Vec<Bytes>,
    /// Names were left out, or not understood.
    is_all_changed: bool,
    /// The latest answered heartbeat's time of sending.
    heartbeat_us: Option<u64>,
    pub(super) wakes: Vec<Key>,
}

impl Batch {
    /// Takes a push that belongs to tracking; false for any other kind.
    pub(super) fn take_tracking(&mut self, kind: &[u8], rest: &[Frame]) -> bool {
        match kind {
            b"invalidate" => match names(rest) {
                Some(names) => self.changed.extend(names),
                None => self.is_all_changed = true,
            },
            b"tracking-redir-broken" => self.is_all_changed = true,
            _ => return false,
        }
        true
    }

    /// Takes an answer that is no push: the echo of a PING.
    pub(super) fn take_echo(&mut self, frame: Frame) {
        let sent_us = resp::string(frame).and_then(|echo| std::str::from_utf8(&echo).ok()?.parse().ok());
        self.heartbeat_us = self.heartbeat_us.max(sent_us);
    }

    pub(super) fn tell(self, node: &Node, is_tracking: bool) {
        for notice in self.notices(is_tracking) {
            node.push_notice(notice);
        }
    }

    pub(super) fn notices(self, is_tracking: bool) -> Vec<Notice> {
        let change = match (self.is_all_changed, self.changed.is_empty()) {
            (true, _) => Some(Notice::AllChanged),
            (false, false) => Some(Notice::Changed(self.changed)),
            (false, true) => None,
        };
        let heartbeat = self.heartbeat_us.filter(|_| is_tracking).map(|sent_us| Notice::Heartbeat { sent_us });
        change.into_iter().chain(heartbeat).chain(self.wakes.into_iter().map(Notice::Woken)).collect()
    }
}

/// Whether this is the answer to `CLIENT TRACKINGINFO` of a connection that is told of nothing any more.
pub(super) fn says_tracking_is_off(frame: &Frame) -> bool {
    let Frame::Map { data, .. } = frame else { return false };
    let flags = data.iter().find(|(name, _)| resp::string((*name).clone()).is_some_and(|name| &name[..] == b"flags"));
    let is_set = |flag: &[u8]| match flags {
        Some((_, Frame::Set { data, .. })) => data.iter().any(|one| is_text(one, flag)),
        Some((_, Frame::Array { data, .. })) => data.iter().any(|one| is_text(one, flag)),
        _ => false,
    };
    !(is_set(b"on") && is_set(b"bcast")) || is_set(b"broken_redirect")
}

fn is_text(frame: &Frame, text: &[u8]) -> bool {
    resp::string(frame.clone()).is_some_and(|string| &string[..] == text)
}

/// The keys of an invalidation; none where they are left out (a flush) or make no sense.
fn names(rest: &[Frame]) -> Option<Vec<Bytes>> {
    match rest {
        [Frame::Array { data, .. }] => data.iter().map(|name| resp::string(name.clone())).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::protocol::key::KeySpace;

    fn take(batch: &mut Batch, wire: &str) {
        let mut buffer = BytesMut::from(wire.as_bytes());
        while let Some(frame) = resp::read(&mut buffer).expect("RESP3") {
            if let Frame::Push { data, .. } = frame {
                let kind = resp::string(data[0].clone()).expect("a kind");
                assert!(batch.take_tracking(&kind, &data[1..]), "{kind:?}");
            } else {
                batch.take_echo(frame);
            }
        }
    }

    #[test]
    fn changes_are_told_at_once_then_the_heartbeat_then_the_wakes() {
        let key = KeySpace::new("billing", 1).expect("right").key("user:1").expect("right");
        let mut batch = Batch { wakes: vec![key.clone()], ..Batch::default() };
        take(&mut batch, ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n$2\r\n17\r\n$2\r\n16\r\n");
        take(&mut batch, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
        let changed = Notice::Changed(["a", "b", "a"].map(Bytes::from).to_vec());
        let expected = [changed, Notice::Heartbeat { sent_us: 17 }, Notice::Woken(key)];
        assert_eq!(batch.notices(true), expected);
    }

    #[test]
    fn what_is_not_understood_but_belongs_to_tracking_means_everything() {
        for wire in [
            ">2\r\n$10\r\ninvalidate\r\n_\r\n",
            ">2\r\n$10\r\ninvalidate\r\n:1\r\n",
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n:1\r\n",
            ">1\r\n$10\r\ninvalidate\r\n",
            ">2\r\n$21\r\ntracking-redir-broken\r\n:1\r\n",
        ] {
            let mut batch = Batch::default();
            take(&mut batch, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
            take(&mut batch, wire);
            assert_eq!(batch.notices(true), [Notice::AllChanged], "{wire:?}");
        }
        assert!(!Batch::default().take_tracking(b"message", &[]));
    }

    #[test]
    fn the_server_says_whether_it_tracks() {
        let says_off = |flags: &str| {
            let wire = format!("%3\r\n$5\r\nflags\r\n{flags}$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n");
            let mut buffer = BytesMut::from(wire.as_bytes());
            says_tracking_is_off(&resp::read(&mut buffer).expect("RESP3").expect("whole"))
        };
        assert!(!says_off("~2\r\n$2\r\non\r\n$5\r\nbcast\r\n"));
        assert!(!says_off("*2\r\n$2\r\non\r\n$5\r\nbcast\r\n"));
        assert!(says_off("~1\r\n$3\r\noff\r\n"));
        assert!(says_off("~1\r\n$2\r\non\r\n"), "by key, not broadcasting");
        assert!(!says_tracking_is_off(&Frame::Null));
    }

    #[test]
    fn a_connection_that_does_not_track_has_no_heartbeat_to_tell() {
        let mut batch = Batch::default();
        take(&mut batch, "$2\r\n17\r\n+PONG\r\n");
        assert_eq!(batch.notices(false), []);
    }
}
