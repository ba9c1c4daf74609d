//! Fields: GET_FIELDS, ACQUIRE_FIELDS, FILL_FIELDS, SET_FIELDS, INVALIDATE_FIELDS. They are under the one lease of their key.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Row, version_after};
use crate::ports::Verdict;
use crate::protocol::envelope::{self, Draft};
use crate::protocol::fields::{FieldNames, bundle};
use crate::protocol::freshness::{Freshness, judge};
use crate::protocol::lease::{Grant, Nonce};

/// F: as long as the longest of its fields.
#[derive(Clone, Default)]
pub(super) struct Fields {
    values: BTreeMap<Box<str>, Bytes>,
    pub(super) expires_ms: u64,
}

impl Fields {
    pub(super) fn of(&self, names: &FieldNames) -> Bytes {
        bundle(&names.iter().map(|name| self.values.get(name).cloned()).collect::<Vec<_>>())
    }
}

impl Row {
    pub(super) fn acquire_fields(
        &mut self,
        names: &FieldNames,
        nonce: Nonce,
        (exclusive_ms, validity_ms): (u64, u64),
        seen: u64,
        now_us: u64,
    ) -> Verdict {
        let now_ms = now_us / 1_000;
        let mut is_hit = true;
        let mut values = Vec::with_capacity(names.len());
        for name in names.iter() {
            let bytes = self.fields.as_ref().and_then(|fields| fields.values.get(name));
            if bytes.is_some_and(|bytes| envelope::is_foreign(bytes)) {
                return Verdict::Foreign;
            }
            let times = bytes.and_then(|bytes| envelope::header_times(bytes));
            is_hit &= times.is_some_and(|times| {
                let freshness = judge(times.created_ms, times.fresh_until_ms, times.stale_until_ms, now_ms);
                freshness == Freshness::Fresh && times.version > seen
            });
            values.push(bytes.filter(|_| times.is_some()).cloned());
        }
        let values = bundle(&values);
        if is_hit {
            return Verdict::Hit(values);
        }
        self.lease_or_wait(nonce, (exclusive_ms, validity_ms), Some(values), now_us)
    }

    pub(super) fn fill_fields(&mut self, grant: &Grant, entries: &[(Box<str>, Draft)], now_us: u64) -> Verdict {
        self.use_up(grant).unwrap_or_else(|| self.store_fields(entries, now_us))
    }

    pub(super) fn set_fields(&mut self, not_after_ms: u64, entries: &[(Box<str>, Draft)], now_us: u64) -> Verdict {
        let now_ms = now_us / 1_000;
        if now_ms > not_after_ms {
            return Verdict::Late;
        }
        self.value = None;
        self.revoke(now_ms);
        self.store_fields(entries, now_us)
    }

    pub(super) fn invalidate_fields(&mut self, settle_ms: u64, names: &FieldNames, now_ms: u64) {
        self.value = None;
        self.lease = None;
        if let Some(fields) = &mut self.fields {
            fields.values.retain(|name, _| !names.iter().any(|gone| gone == &**name));
        }
        self.fields.take_if(|fields| fields.values.is_empty());
        self.settle(settle_ms, now_ms);
    }

    fn store_fields(&mut self, entries: &[(Box<str>, Draft)], now_us: u64) -> Verdict {
        let now_ms = now_us / 1_000;
        let fields = self.fields.get_or_insert_default();
        let mut version = now_us;
        for (name, entry) in entries {
            let own = version_after(fields.values.get(name), now_us);
            version = version.max(own);
            fields.values.insert(name.clone(), entry.stamped(own, now_ms));
            fields.expires_ms = fields.expires_ms.max(entry.times(now_ms).stale_until_ms.max(now_ms + 1));
        }
        Verdict::Stored { version }
    }
}
