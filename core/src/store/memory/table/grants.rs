//! Grants: who may fill, and who has to wait.

use bytes::Bytes;

use super::{Lease, Row};
use crate::ports::Verdict;
use crate::protocol::lease::{Grant, Nonce};

impl Row {
    pub(super) fn lease_or_wait(
        &mut self,
        nonce: Nonce,
        (exclusive_ms, validity_ms): (u64, u64),
        value: Option<Bytes>,
        now_us: u64,
    ) -> Verdict {
        let now_ms = now_us / 1_000;
        if let Some(lease) = &self.lease {
            if lease.solo_until_ms > now_ms {
                return Verdict::Solo(value);
            }
            let left_ms = lease.exclusive_until_ms.saturating_sub(now_ms);
            // An exclusive time longer than any we grant is a clock that stepped: not believed.
            if lease.holder != Some(nonce) && left_ms > 0 && left_ms <= validity_ms {
                return Verdict::Wait { left_ms, value };
            }
        }
        if self.has_writers(now_ms) {
            return Verdict::Solo(value);
        }
        // Of writers that died: nobody fills under their generation.
        self.lease.take_if(|lease| !lease.writers.is_empty());
        self.grant(nonce, (exclusive_ms, validity_ms), value, now_us)
    }

    /// The same grant to the holder that asks again (its first reply was lost); else the next one.
    pub(super) fn grant(
        &mut self,
        nonce: Nonce,
        (exclusive_ms, validity_ms): (u64, u64),
        value: Option<Bytes>,
        now_us: u64,
    ) -> Verdict {
        let now_ms = now_us / 1_000;
        let lease = self.lease.get_or_insert_default();
        let generation = match &lease.generation {
            Some(generation) => generation.clone(),
            None => Grant::generation(nonce, now_us),
        };
        if lease.holder != Some(nonce) || lease.generation.is_none() {
            lease.granted += 1;
            lease.generation = Some(generation.clone());
            lease.holder = Some(nonce);
            lease.exclusive_until_ms = now_ms + exclusive_ms;
            lease.expires_ms = now_ms + validity_ms;
        }
        let grant = Grant { generation, number: lease.granted };
        Verdict::Lease(grant, value)
    }

    /// Takes every right to fill away (I1). A settle time that runs stays: nothing that was read from a lagging replica
    /// may be stored.
    pub(super) fn revoke(&mut self, now_ms: u64) {
        let until_ms =
            if self.is_settling(now_ms) { self.lease.as_ref().map_or(0, |lease| lease.solo_until_ms) } else { 0 };
        self.lease = None;
        self.settle(until_ms.saturating_sub(now_ms), now_ms);
    }

    /// Whether the settle time of an INVALIDATE runs. A solo time beside a reader's generation is a PASS's.
    pub(super) fn is_settling(&self, now_ms: u64) -> bool {
        let is_own = |lease: &Lease| lease.generation.is_none() || !lease.writers.is_empty();
        self.lease.as_ref().is_some_and(|lease| is_own(lease) && lease.solo_until_ms > now_ms)
    }

    /// Says why a grant does not stand; else it is used up.
    pub(super) fn use_up(&mut self, grant: &Grant) -> Option<Verdict> {
        let Some(lease) = self.lease_of(&grant.generation) else { return Some(Verdict::Revoked) };
        if grant.number <= lease.filled {
            return Some(Verdict::Superseded);
        }
        if grant.number == lease.granted {
            self.lease = None;
        } else {
            lease.filled = grant.number;
        }
        None
    }

    /// The lease while its generation stands.
    pub(super) fn lease_of(&mut self, generation: &str) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|lease| lease.generation.as_deref() == Some(generation))
    }

    /// The lease while this very grant is the latest one.
    pub(super) fn lease_at(&mut self, grant: &Grant) -> Option<&mut Lease> {
        self.lease_of(&grant.generation).filter(|lease| lease.granted == grant.number)
    }
}
