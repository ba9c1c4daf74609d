//! The push connections of one store as one: a Cluster has one to each primary, and L1 may be trusted only while all of
//! them tell of changes. With any of them in doubt it is empty (I7). Pure.

use rustc_hash::FxHashMap;

use crate::ports::Notice;

#[derive(Debug, Default)]
pub(super) struct Tracking {
    /// Of each node: whether it tells, and the sending time of its last answered heartbeat.
    nodes: FxHashMap<u16, Option<u64>>,
    /// What was said last.
    is_told: bool,
}

impl Tracking {
    /// From now on these are the nodes that may answer a read: of one that is new nothing is known yet.
    pub(super) fn expect(&mut self, numbers: &[u16]) -> Option<Notice> {
        let had = self.nodes.len();
        self.nodes.retain(|number, _| numbers.contains(number));
        let has_changed = self.nodes.len() != had || numbers.iter().any(|number| !self.nodes.contains_key(number));
        for number in numbers {
            self.nodes.entry(*number).or_default();
        }
        if !has_changed {
            return None;
        }
        match (self.is_whole(), self.is_told) {
            // Whatever one knew of the keys that go elsewhere now is void.
            (true, true) => Some(Notice::AllChanged),
            (true, false) => {
                self.is_told = true;
                Some(Notice::Tracking)
            }
            (false, was_told) => {
                self.is_told = false;
                was_told.then_some(Notice::PushLost)
            }
        }
    }

    /// A notice of one node's push connection; what the engine is to be told. One that is not expected is on its way out.
    pub(super) fn take(&mut self, node: u16, notice: Notice) -> Option<Notice> {
        match notice {
            Notice::Tracking => {
                *self.nodes.get_mut(&node)? = Some(0);
                let begins = self.is_whole() && !std::mem::replace(&mut self.is_told, true);
                // A node that begins anew has told nothing meanwhile.
                if begins { Some(Notice::Tracking) } else { self.is_told.then_some(Notice::AllChanged) }
            }
            Notice::PushLost => {
                *self.nodes.get_mut(&node)? = None;
                self.is_told = false;
                Some(Notice::PushLost)
            }
            Notice::Heartbeat { sent_us } => {
                *self.nodes.get_mut(&node)?.as_mut()? = sent_us;
                // The oldest speaks for all.
                let least = self.nodes.values().map(|sent_us| sent_us.unwrap_or(0)).min()?;
                (self.is_told && least > 0).then_some(Notice::Heartbeat { sent_us: least })
            }
            other => Some(other),
        }
    }

    fn is_whole(&self) -> bool {
        self.nodes.values().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(sent_us: u64) -> Notice {
        Notice::Heartbeat { sent_us }
    }

    #[test]
    fn one_node_speaks_for_itself() {
        let mut tracking = Tracking::default();
        assert_eq!(tracking.expect(&[0]), None);
        assert_eq!(tracking.take(0, Notice::Tracking), Some(Notice::Tracking));
        assert_eq!(tracking.take(0, beat(5)), Some(beat(5)));
        assert_eq!(tracking.take(0, Notice::PushLost), Some(Notice::PushLost));
        assert_eq!(tracking.take(0, beat(6)), None, "of a connection that is lost");
        assert_eq!(tracking.take(0, Notice::Tracking), Some(Notice::Tracking));
    }

    #[test]
    fn all_nodes_must_track_and_the_oldest_heartbeat_counts() {
        let mut tracking = Tracking::default();
        tracking.expect(&[1, 2]);
        assert_eq!(tracking.take(1, Notice::Tracking), None);
        assert_eq!(tracking.take(1, beat(5)), None);
        assert_eq!(tracking.take(2, Notice::Tracking), Some(Notice::Tracking));
        assert_eq!(tracking.take(2, beat(9)), Some(beat(5)));
        assert_eq!(tracking.take(1, beat(7)), Some(beat(7)));
        assert_eq!(tracking.take(2, Notice::PushLost), Some(Notice::PushLost));
        assert_eq!(tracking.take(1, beat(8)), None);
        assert_eq!(tracking.take(2, Notice::Tracking), Some(Notice::Tracking));
    }

    #[test]
    fn a_node_on_its_way_out_neither_shuts_nor_opens() {
        let mut tracking = Tracking::default();
        tracking.expect(&[1]);
        tracking.take(1, Notice::Tracking);
        assert_eq!(tracking.take(2, Notice::PushLost), None);
        assert_eq!(tracking.take(2, Notice::Tracking), None);
        assert_eq!(tracking.take(1, beat(3)), Some(beat(3)));
    }

    #[test]
    fn nodes_that_come_and_go_void_what_is_held() {
        let mut tracking = Tracking::default();
        tracking.expect(&[1, 2]);
        tracking.take(1, Notice::Tracking);
        tracking.take(2, Notice::Tracking);
        assert_eq!(tracking.expect(&[2, 1]), None);
        assert_eq!(tracking.expect(&[1]), Some(Notice::AllChanged), "its slots are elsewhere now");
        assert_eq!(tracking.expect(&[1, 3]), Some(Notice::PushLost), "the new one does not track yet");
        assert_eq!(tracking.take(3, Notice::Tracking), Some(Notice::Tracking));
    }
}
