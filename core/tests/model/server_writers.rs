//! The server's part of write-through, in the order of section 4 of the design.

use super::mutation::Mutation;
use super::server::{Command, Draft, Grant, Key, Lease, Nonce, Server, Verdict};

fn mark(nonce: Nonce) -> u32 {
    1 << nonce
}

impl Server {
    /// INVALIDATE, EXPIRE, REFRESH and SET beside writers; none where there are none, or of another command.
    pub fn contended(&mut self, command: Command, m: Mutation) -> Option<Verdict> {
        let (key, settle, verdict) = match command {
            Command::Invalidate { key, settle } => (key, settle, Verdict::Ok),
            Command::Expire { key } => (key, false, Verdict::Ok),
            Command::Refresh { key, .. } => (key, false, Verdict::Solo(None)),
            Command::Set { key, is_late: false, .. } if m != Mutation::SetIgnoresWriters => {
                (key, false, Verdict::NotStored)
            }
            _ => return None,
        };
        let row = &mut self.rows[key];
        if !row.has_writers() || (m == Mutation::InvalidateIsNotTold && matches!(command, Command::Invalidate { .. })) {
            return None;
        }
        row.entry = None;
        let lease = row.lease.get_or_insert_default();
        lease.contended = true;
        lease.solo |= settle;
        Some(verdict)
    }

    pub fn begin_write(&mut self, key: Key, nonce: Nonce, m: Mutation) -> Verdict {
        let row = &mut self.rows[key];
        if let Some(lease) = row.lease.filter(|lease| lease.marks & mark(nonce) != 0) {
            return Verdict::Lease(Grant { g: lease.g, n: 1 }, None);
        }
        if m == Mutation::WriteEndsByFill {
            // A refresh whose fallback is the writer.
            row.lease = None;
            return self.grant(key, nonce, m);
        }
        if m != Mutation::BeginKeepsEntry {
            row.entry = None;
        }
        let is_alone = !row.has_writers();
        if is_alone {
            row.revoke(m);
        }
        self.generations += 1;
        let before = row.lease.unwrap_or_default();
        row.lease = Some(Lease {
            g: self.generations,
            n: 1,
            exclusive: true,
            holder: 0,
            filled: 0,
            marks: before.marks | mark(nonce),
            contended: before.contended || !is_alone,
            ..before
        });
        Verdict::Lease(Grant { g: self.generations, n: 1 }, None)
    }

    pub fn commit(
        &mut self,
        key: Key,
        (g, nonce): (u8, Nonce),
        settle: bool,
        draft: Option<Draft>,
        m: Mutation,
    ) -> Verdict {
        let row = &mut self.rows[key];
        let ends_by_release = matches!(m, Mutation::WriteEndsByRelease | Mutation::WriteEndsByFill);
        match draft {
            Some(draft) if m == Mutation::WriteEndsByFill => return self.fill(key, Grant { g, n: 1 }, draft, m),
            None if ends_by_release => {
                if let Some(lease) = row.lease.as_mut().filter(|lease| lease.g == g) {
                    lease.marks &= !mark(nonce);
                    lease.exclusive = false;
                }
                return Verdict::NotStored;
            }
            _ => {}
        }
        let stands = |lease: &Lease| lease.g == g && g != 0 && lease.marks & mark(nonce) != 0;
        let is_contended = |lease: &Lease| lease.contended && m != Mutation::CommitIgnoresContended;
        let may_store = row.lease.is_some_and(|lease| stands(&lease) && !is_contended(&lease));
        if let (Some(draft), true) = (draft, may_store) {
            row.revoke(m);
            return self.store(key, draft, Grant::default());
        }
        let others = row.lease.map_or(0, |lease| lease.marks & !mark(nonce));
        if m != Mutation::CommitLeavesEntry {
            row.entry = None;
        }
        match &mut row.lease {
            Some(lease) if others != 0 => {
                lease.marks = others;
                lease.contended = true;
            }
            // Whoever was granted since may have read the row before it was changed.
            _ if m != Mutation::CommitKeepsLease => row.revoke(m),
            Some(lease) => lease.marks = 0,
            None => {}
        }
        if settle {
            row.lease.get_or_insert_default().solo = true;
        }
        Verdict::NotStored
    }

    /// The mark of a writer runs out; with the last one L does, but for a settle time.
    pub fn mark_runs_out(&mut self, key: Key, nonce: Nonce) {
        let row = &mut self.rows[key];
        let Some(lease) = &mut row.lease else { return };
        lease.marks &= !mark(nonce);
        if lease.marks == 0 {
            row.lease = lease.solo.then(|| Lease { solo: true, ..Lease::default() });
        }
    }

    pub fn has_mark(&self, key: Key, nonce: Nonce) -> bool {
        self.rows[key].lease.is_some_and(|lease| lease.marks & mark(nonce) != 0)
    }
}
