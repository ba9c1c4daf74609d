//! A primary that dies, and the replica that takes its place: it has copied everything up to a moment before.

use std::sync::atomic::Ordering;

use tidegate::ports::{Inbox, Notice};
use tidegate::store::memory::table::Table;

use crate::world::{Happening, World};

/// How far a replica lags behind at most.
const LAG_US: u64 = 50_000;
/// How long it takes a process to learn of the new primary.
const NOTICED_US: u64 = 400_000;

impl World {
    pub(crate) fn plan_failover(&mut self) {
        let copied_us = self.now_us();
        let copy = Box::new(self.table.clone());
        let dies_us = copied_us + self.chance.u64(0..LAG_US);
        self.at(dies_us, Happening::FailsOver { copy, copied_us });
    }

    pub(crate) fn fail_over(&mut self, copy: Table, copied_us: u64) {
        // A later copy cannot come of an earlier primary.
        if self.failed_over_us > copied_us {
            return;
        }
        self.failed_over_us = self.now_us();
        self.met.failovers += 1;
        self.table = copy;
        self.era += 1;
        self.floors.iter_mut().for_each(|floors| floors.forget_since(copied_us));
        for at in 0..self.processes.len() {
            let (process, era) = (self.processes[at].number, self.era);
            let noticed_us = self.now_us() + self.chance.u64(1_000..NOTICED_US);
            self.at(noticed_us, Happening::Switches { process, era });
            // Until then nobody tells of what changes at the new one.
            self.processes[at].pushes.doubt_until_us =
                self.processes[at].pushes.doubt_until_us.max(noticed_us + 4_000_000);
            self.processes[at].pushes.session += 1;
            self.processes[at].pushes.is_connected = false;
        }
    }

    /// Whether a process has learnt of the latest failover.
    pub(crate) fn is_at_the_primary(&self, at: usize) -> bool {
        self.processes[at].store.era.load(Ordering::Relaxed) == self.era
    }

    /// As a driver tells it: the loss, and that another primary answers before anything is sent to it.
    pub(crate) fn switch(&mut self, at: usize, process: u64, era: u32) {
        let store = &self.processes[at].store;
        if store.era.load(Ordering::Relaxed) >= era {
            return;
        }
        let engine = self.processes[at].engine.clone();
        engine.notice(Notice::Disconnected(0, "simulated".to_owned()));
        if self.features.has_l1 {
            self.processes[at].pushes.is_known_lost = true;
            engine.notice(Notice::PushLost);
            let made_us = self.now_us() + self.chance.u64(1_000..500_000);
            self.at(made_us, Happening::Connects { process });
        }
        self.processes[at].store.era.store(era, Ordering::Relaxed);
        engine.notice(Notice::NewPrimary);
        engine.notice(Notice::Connected(0));
        for (command, address) in std::mem::take(&mut self.processes[at].held) {
            if let Some(trip_us) = self.trip_us() {
                self.at(self.now_us() + trip_us, Happening::Arrives { process, command, address, era });
            }
        }
    }
}
