//! The push connections: in order, late, lost.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tidegate::ports::Notice;
use tidegate::protocol::key::Key;

use crate::world::{Happening, World};

const HEARTBEAT_US: u64 = 1_000_000;

impl World {
    /// The server tells every process that tracks.
    pub(crate) fn tell_changed(&mut self, key: &Key) {
        let full = Bytes::copy_from_slice(key.full().as_bytes());
        for at in 0..self.processes.len() {
            self.push(at, Notice::Changed(vec![full.clone()]));
        }
    }

    /// One push: in order, later than those before it; lost with its connection.
    pub(crate) fn push(&mut self, at: usize, notice: Notice) {
        if !self.processes[at].pushes.is_connected {
            return;
        }
        let trip_us = self.trip_us().unwrap_or(100_000);
        let pushes = &mut self.processes[at].pushes;
        pushes.latest_us = pushes.latest_us.max(self.clock.0.load(Ordering::Relaxed) + trip_us);
        let (latest_us, session) = (pushes.latest_us, pushes.session);
        let process = self.processes[at].number;
        self.at(latest_us, Happening::Pushed { process, session, notice });
    }

    pub(crate) fn heartbeat(&mut self, at: usize, process: u64, session: u64) {
        let now_us = self.now_us();
        let pushes = &self.processes[at].pushes;
        if pushes.session != session || !pushes.is_connected {
            return;
        }
        self.push(at, Notice::Heartbeat { sent_us: now_us });
        self.at(now_us + HEARTBEAT_US, Happening::Heartbeat { process, session });
    }

    /// The push connection of a process dies. Mostly that is noticed in time, now and then long after the trust in its last
    /// heartbeat has run out; then it is made anew.
    pub(crate) fn lose_pushes(&mut self, at: usize) {
        let now_us = self.now_us();
        let longest_us = if self.chance.u8(0..4) == 0 { 10_000_000 } else { 3_000_000 };
        let noticed_us = now_us + self.chance.u64(0..longest_us);
        let process = &mut self.processes[at];
        if !process.pushes.is_connected {
            return;
        }
        process.pushes.is_connected = false;
        process.pushes.session += 1;
        process.pushes.doubt_until_us = noticed_us + 4_000_000;
        let number = process.number;
        self.met.pushes_lost += 1;
        self.at(noticed_us, Happening::Notice { process: number, notice: Notice::PushLost });
        let made_us = noticed_us + self.chance.u64(1_000..500_000);
        self.at(made_us, Happening::Connects { process: number });
    }
}
