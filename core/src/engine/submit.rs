//! What is sent: commands on their way to the store, and the envelopes in them.

use super::Engine;
use super::numbers::TARGET_NONE;
use crate::config::{TAG_KEPT_MS, Terms};
use crate::ports::{Address, Command, Inbox, StoreError, StoreErrorKind};
use crate::protocol::envelope::{Draft, Payload, Saying};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::tag::{Tag, TagNonce};
use crate::sync::Ordering;

impl Engine {
    pub(super) fn draft(
        &self,
        key: &Key,
        payload: &Payload,
        tags: &[(Tag, TagNonce)],
        life: Life,
        cost_us: u64,
    ) -> Draft {
        self.draft_of(key.hash(), payload, tags, life, cost_us)
    }

    /// The same for what has this hash: a key, or a field of one.
    pub(super) fn draft_of(
        &self,
        hash: &[u8; 16],
        payload: &Payload,
        tags: &[(Tag, TagNonce)],
        life: Life,
        cost_us: u64,
    ) -> Draft {
        let cost_ms = u32::try_from(cost_us / 1_000).unwrap_or(u32::MAX);
        let saying = Saying { tags, schema: self.config.version, life, cost_ms, is_behind: false };
        Draft::sealed(hash, payload, &saying, &self.seal.keys)
    }

    /// A command about a key, to the node that the key is on.
    pub(super) fn submit(&self, command: Command, target: u64, sequence: u32) {
        self.submit_part(command, target, sequence, 0);
    }

    pub(super) fn submit_part(&self, command: Command, target: u64, sequence: u32, part: u16) {
        let node = command.key().map_or(0, |key| self.store.primary(key).node);
        let address = Address { target, sequence, part, node, sent_us: self.clock.now_us() };
        if self.nodes.is_open(node) {
            let message = "the breaker of its node is open";
            return self.deliver(address, Err(StoreError::new(StoreErrorKind::BreakerOpen, message)));
        }
        self.store.submit(command, address);
    }

    /// The parts of a question that are about tags, in their order: from 1 where the key's own command is part 0, else
    /// from 0.
    pub(super) fn submit_tags(
        &self,
        tags: &[Tag],
        first_part: u16,
        command: &dyn Fn(&Tag) -> Command,
        target: u64,
        sequence: u32,
    ) {
        for (part, tag) in (first_part..).zip(tags) {
            self.submit_part(command(tag), target, sequence, part);
        }
    }

    /// A nonce never used before is a nonce never used before, whichever of several tags it opens. Its key outlives the
    /// entries under it.
    pub(super) fn open_tag(&self, tag: &Tag, nonce: Nonce) -> Command {
        Command::OpenTag { tag: tag.clone(), nonce, kept_ms: self.tag_kept_ms() }
    }

    pub(super) fn tag_kept_ms(&self) -> u64 {
        TAG_KEPT_MS.max(self.longest_life_ms.load(Ordering::Relaxed).saturating_mul(2))
    }

    /// RELEASE and PASS: nobody waits for the answer. With the store away the lease runs out by itself.
    pub(super) fn give_back(&self, command: Command) {
        self.submit(command, TARGET_NONE, 0);
    }
}

/// The read that a call's terms mean.
pub(super) fn get_of(key: &Key, terms: &Terms) -> Command {
    let key = key.clone();
    match terms.fields.clone() {
        None => Command::Get { key },
        Some(names) => Command::GetFields { key, names },
    }
}

pub(super) fn read_tag(tag: &Tag) -> Command {
    Command::ReadTag { tag: tag.clone() }
}
