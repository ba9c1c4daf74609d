//! Writers under way: BEGIN_WRITE, RENEW_WRITE, COMMIT, and what the other commands do beside them.

use super::{Lease, Row};
use crate::ports::{Command, Verdict};
use crate::protocol::envelope::Draft;
use crate::protocol::lease::{Grant, Nonce};

impl Row {
    /// While there are any nothing is stored, and none of their marks is removed. A mark past its time is of a writer that
    /// died, and counts no more.
    pub(super) fn has_writers(&self, now_ms: u64) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.writers.iter().any(|(_, until_ms)| *until_ms >= now_ms))
    }

    /// What INVALIDATE, EXPIRE, REFRESH, SET and SETTLE_VALUE do beside writers: the entry goes, the writers learn of it. None where there
    /// are no writers, or of another command.
    pub(super) fn contended(&mut self, command: &Command, now_ms: u64) -> Option<(Verdict, bool)> {
        let (verdict, settle_ms) = match command {
            Command::Invalidate { settle_ms, .. } | Command::InvalidateFields { settle_ms, .. } => {
                (Verdict::Ok, *settle_ms)
            }
            Command::Expire { .. } | Command::SettleValue { .. } => (Verdict::Ok, 0),
            Command::Refresh { .. } => (Verdict::Solo(None), 0),
            Command::Set { not_after_ms, .. } | Command::SetFields { not_after_ms, .. } if now_ms <= *not_after_ms => {
                (Verdict::NotStored, 0)
            }
            _ => return None,
        };
        if !self.has_writers(now_ms) {
            return None;
        }
        self.contend();
        self.settle(settle_ms, now_ms);
        Some((verdict, true))
    }

    fn contend(&mut self) {
        (self.value, self.fields) = (None, None);
        self.lease.get_or_insert_default().is_contended = true;
    }

    /// For so long at the least nothing is stored that was read from anywhere.
    pub(super) fn settle(&mut self, settle_ms: u64, now_ms: u64) {
        if settle_ms > 0 {
            let lease = self.lease.get_or_insert_default();
            lease.solo_until_ms = lease.solo_until_ms.max(now_ms + settle_ms);
            lease.expires_ms = lease.expires_ms.max(now_ms + settle_ms);
        }
    }

    /// A repeat finds its mark. Beside another writer neither may store: which of the two changes the row last is not known
    /// here.
    pub(super) fn begin_write(&mut self, nonce: Nonce, exclusive_ms: u64, validity_ms: u64, now_us: u64) -> Verdict {
        let now_ms = now_us / 1_000;
        let granted = |generation: Box<str>| Verdict::Lease(Grant { generation, number: 1 }, None);
        if let Some(lease) = self.lease_of_writer(nonce, now_ms) {
            return granted(lease.generation.clone().expect("a writer's lease has one"));
        }
        (self.value, self.fields) = (None, None);
        let is_alone = !self.has_writers(now_ms);
        if is_alone {
            self.revoke(now_ms);
        }
        let lease = self.lease.get_or_insert_default();
        lease.is_contended |= !is_alone;
        let generation = Grant::generation(nonce, now_us);
        lease.generation = Some(generation.clone());
        lease.granted = 1;
        lease.filled = 0;
        lease.exclusive_until_ms = now_ms + exclusive_ms;
        lease.mark(nonce, validity_ms, now_ms);
        granted(generation)
    }

    pub(super) fn renew_write(&mut self, nonce: Nonce, exclusive_ms: u64, validity_ms: u64, now_ms: u64) -> Verdict {
        let Some(lease) = self.lease_of_writer(nonce, now_ms) else { return Verdict::Lost };
        lease.exclusive_until_ms = now_ms + exclusive_ms;
        lease.mark(nonce, validity_ms, now_ms);
        Verdict::Ok
    }

    /// Stores if nothing came between. In every other case this is an invalidation, which takes the rights to fill away that
    /// were granted since; so a repeat, or one that comes late, costs a miss at most.
    pub(super) fn commit(
        &mut self,
        generation: &str,
        nonce: Nonce,
        settle_ms: u64,
        entry: Option<&Draft>,
        now_us: u64,
    ) -> Verdict {
        let now_ms = now_us / 1_000;
        let mark = self.lease_of_writer(nonce, now_ms);
        let may_store =
            mark.is_some_and(|lease| lease.generation.as_deref() == Some(generation) && !lease.is_contended);
        if let (Some(entry), true) = (entry, may_store) {
            self.fields = None;
            self.revoke(now_ms);
            return self.store(entry, now_us);
        }
        let is_other = |(writer, until_ms): &(Nonce, u64)| *writer != nonce && *until_ms >= now_ms;
        match &mut self.lease {
            Some(lease) if lease.writers.iter().any(is_other) => {
                lease.writers.retain(is_other);
                self.contend();
            }
            _ => {
                (self.value, self.fields) = (None, None);
                self.revoke(now_ms);
            }
        }
        self.settle(settle_ms, now_ms);
        Verdict::NotStored
    }

    fn lease_of_writer(&mut self, nonce: Nonce, now_ms: u64) -> Option<&mut Lease> {
        let is_there = |(writer, until_ms): &(Nonce, u64)| *writer == nonce && *until_ms >= now_ms;
        self.lease.as_mut().filter(|lease| lease.writers.iter().any(is_there))
    }
}

impl Lease {
    /// Sets a writer's mark, and lives for as long at the least.
    fn mark(&mut self, nonce: Nonce, validity_ms: u64, now_ms: u64) {
        let until_ms = now_ms + validity_ms;
        self.writers.retain(|(writer, ends_ms)| *writer != nonce && *ends_ms >= now_ms);
        self.writers.push((nonce, until_ms));
        self.expires_ms = self.expires_ms.max(until_ms);
    }
}
