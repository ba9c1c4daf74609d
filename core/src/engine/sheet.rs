//! A question's sheet: what was asked for a key and for the tags with it, and the answers so far. A question is answered
//! when all its parts are; each part counts once, however often it is delivered.

use crate::ports::{Primary, Reply, StoreError, Verdict};
use crate::protocol::tag::{Tag, TagNonce};

/// What was known of a key when its store was asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) primary: Primary,
    pub(super) was_owed: bool,
}

/// A tag as its store holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) tag: Tag,
    pub(super) nonce: Option<TagNonce>,
    /// The time of the server that holds it, where the command took it.
    pub(super) server_us: Option<u64>,
    /// What was known when it was asked for: the nonce may be an old one, though by now that has been mended.
    pub(super) asked: Asked,
}

/// A tag to be asked for.
#[derive(Clone, Debug)]
pub(super) struct AskedTag {
    pub(super) tag: Tag,
    pub(super) asked: Asked,
}

#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// The answer to part 0, the key's own command.
    reply: Option<Result<Reply, StoreError>>,
    asks_key: bool,
    /// The parts behind it; from 0 where there is none.
    tags: Vec<(AskedTag, Option<Result<Reply, StoreError>>)>,
}

impl Sheet {
    pub(super) fn new(asks_key: bool, tags: Vec<AskedTag>) -> Self {
        Self { reply: None, asks_key, tags: tags.into_iter().map(|tag| (tag, None)).collect() }
    }

    /// Takes one part's answer; true when it was the last that was missing.
    pub(super) fn take(&mut self, part: u16, answer: Result<Reply, StoreError>) -> bool {
        let slot = match usize::from(part).checked_sub(usize::from(self.asks_key)) {
            None => &mut self.reply,
            Some(at) => match self.tags.get_mut(at) {
                Some((_, slot)) => slot,
                None => return false,
            },
        };
        if slot.is_some() {
            return false;
        }
        *slot = Some(answer);
        (self.reply.is_some() || !self.asks_key) && self.tags.iter().all(|(_, answer)| answer.is_some())
    }

    /// The answer to the key's command, and how the tags stand; none for those when one of them got no answer.
    pub(super) fn finish(self) -> (Option<Result<Reply, StoreError>>, Option<Vec<Standing>>) {
        let standing = self.tags.into_iter().map(|(AskedTag { tag, asked }, answer)| match answer {
            Some(Ok(Reply { server_us, verdict: Verdict::Nonce(nonce) })) => {
                Some(Standing { tag, nonce, server_us, asked })
            }
            _ => None,
        });
        (self.reply, standing.collect())
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::protocol::key::KeySpace;

    #[test]
    fn a_question_is_answered_by_all_its_parts_each_once() {
        let tag = KeySpace::new("app", 1).expect("right").tag("a").expect("right");
        let mut sheet = Sheet::new(true, vec![AskedTag { tag: tag.clone(), asked: Asked::default() }]);
        let ok = Ok(Reply { server_us: None, verdict: Verdict::Value(None) });
        let nonce = Ok(Reply { server_us: Some(7), verdict: Verdict::Nonce(None) });
        assert!(!sheet.take(0, ok.clone()));
        assert!(!sheet.take(0, ok.clone()) && !sheet.take(2, nonce.clone()));
        assert!(sheet.take(1, nonce));
        let (reply, standing) = sheet.finish();
        assert_eq!(reply, Some(ok));
        assert_eq!(standing, Some(vec![Standing { tag, nonce: None, server_us: Some(7), asked: Asked::default() }]));
    }
}
