//! The streams of domain events, as the scripts `store/redis/lua/event_*.lua` have them: the reference.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rustc_hash::FxHashMap;

use crate::ports::{Reply, Verdict};
use crate::protocol::event::{DEAD_LETTERS_MAX, DeadLetter, Delivered, EventAsk, EventReply, Events, Message, Reading};
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::stream::StreamId;

/// What one look at those that others have left takes of each.
const PENDING_MAX: usize = 256;

/// All streams of one server.
#[derive(Clone, Default)]
pub(super) struct Streams {
    by_key: FxHashMap<Key, Stream>,
}

#[derive(Clone, Default)]
struct Stream {
    entries: VecDeque<Entry>,
    last_id: StreamId,
    /// The number of the last event.
    last: u64,
    /// Where the operations of late have led, and until when that is remembered.
    operations: HashMap<Box<str>, (StreamId, u64)>,
    groups: HashMap<Box<str>, Group>,
    dead: HashMap<Box<str>, VecDeque<DeadLetter>>,
}

#[derive(Clone)]
struct Entry {
    id: StreamId,
    number: u64,
    /// The one service that it is for.
    only: Option<Box<str>>,
    message: Message,
}

#[derive(Clone, Default)]
struct Group {
    /// The last entry that was given, and its number.
    read: StreamId,
    position: u64,
    pending: BTreeMap<StreamId, Pending>,
    consumers: FxHashMap<Nonce, u64>,
    missed: Option<u64>,
    /// Who sees to what was missed, and until when.
    gap: Option<(Nonce, u64)>,
    /// Some were left behind by those who have ended.
    has_left: bool,
}

#[derive(Clone)]
struct Pending {
    /// None: left behind.
    consumer: Option<Nonce>,
    attempt: u64,
}

impl Streams {
    /// Answers, and says whether those who watch the stream are woken.
    pub(super) fn apply(&mut self, stream: &Key, ask: &EventAsk, now_us: u64) -> (Reply, bool) {
        let now_ms = now_us / 1_000;
        let stream = self.by_key.entry(stream.clone()).or_default();
        let (reply, wakes) = match ask {
            EventAsk::Publish { operation, kept_ms, message, max_len } => {
                stream.publish(operation, *kept_ms, message, *max_len, now_ms)
            }
            EventAsk::Read(reading) => (EventReply::Events(stream.read(reading, now_ms)), false),
            EventAsk::Retry { service, consumer, id, attempt } => {
                let pending = stream.groups.get_mut(service).and_then(|group| group.pending.get_mut(id));
                match pending.filter(|pending| pending.consumer == Some(*consumer)) {
                    Some(pending) => {
                        pending.attempt = *attempt;
                        (EventReply::Done, false)
                    }
                    None => (EventReply::Gone, false),
                }
            }
            EventAsk::Ack { service, id } => {
                stream.acknowledge(service, *id);
                (EventReply::Done, false)
            }
            EventAsk::SetAside { service, event, error } => {
                if stream.acknowledge(service, event.id) {
                    let dead = stream.dead.entry(service.clone()).or_default();
                    let newest = dead.back().map_or(StreamId::default(), |letter| letter.id);
                    let id = StreamId { ms: now_ms, sequence: 0 }.max(newest.next());
                    dead.push_back(DeadLetter { id, event: event.clone(), error: error.clone() });
                    while dead.len() > DEAD_LETTERS_MAX {
                        dead.pop_front();
                    }
                }
                (EventReply::Done, false)
            }
            EventAsk::Leave { service, consumer } => {
                let has_left = stream.groups.get_mut(service).is_some_and(|group| group.leave(*consumer));
                (EventReply::Done, has_left)
            }
            EventAsk::GapDone { service, missed } => {
                if let Some(group) = stream.groups.get_mut(service).filter(|group| group.missed == Some(*missed)) {
                    (group.missed, group.gap) = (None, None);
                }
                (EventReply::Done, false)
            }
            EventAsk::DeadLetters { service, behind, count } => {
                let dead = stream.dead.get(service).into_iter().flatten();
                let letters = dead.filter(|letter| letter.id > *behind).take(*count).cloned();
                (EventReply::DeadLetters(letters.collect()), false)
            }
            EventAsk::TakeDeadLetter { service, id, again } => {
                let dead = stream.dead.entry(service.clone()).or_default();
                match dead.iter().position(|letter| letter.id == *id).and_then(|at| dead.remove(at)) {
                    Some(letter) => {
                        if *again {
                            stream.append(letter.event.message, Some(service.clone()), now_ms);
                        }
                        (EventReply::Done, *again)
                    }
                    None => (EventReply::Gone, false),
                }
            }
        };
        (Reply { server_us: Some(now_us), verdict: Verdict::Event(reply) }, wakes)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
    }
}

impl Stream {
    fn publish(
        &mut self,
        operation: &str,
        kept_ms: u64,
        message: &Message,
        max_len: u64,
        now_ms: u64,
    ) -> (EventReply, bool) {
        self.operations.retain(|_, (_, expires_ms)| *expires_ms > now_ms);
        if let Some((id, _)) = self.operations.get(operation) {
            return (EventReply::Published(*id), false);
        }
        let id = self.append(message.clone(), None, now_ms);
        while self.entries.len() as u64 > max_len.max(1) {
            self.entries.pop_front();
        }
        self.operations.insert(operation.into(), (id, now_ms + kept_ms.max(1)));
        (EventReply::Published(id), true)
    }

    fn append(&mut self, message: Message, only: Option<Box<str>>, now_ms: u64) -> StreamId {
        let id = StreamId { ms: now_ms, sequence: 0 }.max(self.last_id.next());
        self.last += 1;
        self.last_id = id;
        self.entries.push_back(Entry { id, number: self.last, only, message });
        id
    }

    /// True when it was pending.
    fn acknowledge(&mut self, service: &str, id: StreamId) -> bool {
        self.groups.get_mut(service).is_some_and(|group| group.pending.remove(&id).is_some())
    }

    fn read(&mut self, reading: &Reading, now_ms: u64) -> Events {
        let Reading { service, consumer, count, claims, dead_ms, held, known } = reading;
        let (last, last_id) = (self.last, self.last_id);
        let mut is_lost = *known > last;
        let group = self.groups.entry(service.clone()).or_insert_with(|| {
            // A service begins with what comes from now on. One that had begun has lost its group.
            is_lost |= *known > 0;
            let (read, position) = if *known > 0 { Default::default() } else { (last_id, last) };
            Group { read, position, ..Group::default() }
        });
        group.consumers.insert(*consumer, now_ms);
        let mut events = Vec::new();
        if is_lost {
            group.miss(0);
        }
        let first = self.entries.partition_point(|entry| entry.id <= group.read);
        let fresh: Vec<&Entry> = self.entries.iter().skip(first).take(*count).collect();
        for entry in &fresh {
            group.read = entry.id;
            let skipped = entry.number.saturating_sub(group.position + 1);
            if skipped > 0 && !is_lost {
                group.miss(skipped);
            }
            group.position = entry.number;
            if entry.only.as_ref().is_none_or(|only| only == service) {
                group.pending.insert(entry.id, Pending { consumer: Some(*consumer), attempt: 1 });
                events.push(Delivered { id: entry.id, attempt: 1, message: entry.message.clone() });
            }
        }
        let mut has_more = fresh.len() == *count;
        if !has_more {
            group.position = last;
        }
        if *claims || group.has_left {
            let entry_of = |id: StreamId| {
                let at = self.entries.partition_point(|entry| entry.id < id);
                self.entries.get(at).filter(|entry| entry.id == id)
            };
            has_more |= group.claim(&entry_of, *consumer, *count, *dead_ms, held, now_ms, &mut events);
        }
        let is_mine = group.gap.is_none_or(|(holder, until_ms)| holder == *consumer || until_ms <= now_ms);
        let missed = group.missed.filter(|_| is_mine);
        if missed.is_some() {
            group.gap = Some((*consumer, now_ms + dead_ms));
        }
        Events { last, missed, has_more, events }
    }
}

impl Group {
    /// 0 where nobody knows how many.
    fn miss(&mut self, number: u64) {
        self.missed = Some(if number == 0 || self.missed == Some(0) { 0 } else { self.missed.unwrap_or(0) + number });
    }

    /// Takes what others have left; true when there is more of it.
    #[expect(clippy::too_many_arguments, reason = "a part of the read, which has all of these")]
    fn claim<'a>(
        &mut self,
        entry_of: &impl Fn(StreamId) -> Option<&'a Entry>,
        me: Nonce,
        count: usize,
        dead_ms: u64,
        held: &[StreamId],
        now_ms: u64,
        events: &mut Vec<Delivered>,
    ) -> bool {
        let given: Vec<StreamId> = events.iter().map(|event| event.id).collect();
        let is_dead = |seen_ms: Option<&u64>| seen_ms.is_none_or(|seen_ms| now_ms.saturating_sub(*seen_ms) > dead_ms);
        let mut wanted: Vec<StreamId> = Vec::new();
        for (id, pending) in &self.pending {
            let is_left = pending.consumer != Some(me)
                && pending.consumer.is_none_or(|consumer| is_dead(self.consumers.get(&consumer)));
            let is_unseen = pending.consumer == Some(me) && !held.contains(id) && !given.contains(id);
            if (is_left || is_unseen) && wanted.len() < PENDING_MAX {
                wanted.push(*id);
            }
        }
        for id in wanted.iter().take(count) {
            let Some(entry) = entry_of(*id) else {
                self.pending.remove(id);
                self.miss(1);
                continue;
            };
            let pending = self.pending.get_mut(id).expect("found there, and this is the one hand on it");
            pending.consumer = Some(me);
            pending.attempt += 1;
            events.push(Delivered { id: *id, attempt: pending.attempt, message: entry.message.clone() });
        }
        let pending = &self.pending;
        self.consumers.retain(|consumer, seen_ms| {
            !is_dead(Some(seen_ms)) || pending.values().any(|one| one.consumer == Some(*consumer))
        });
        let has_more = wanted.len() > count;
        self.has_left &= has_more;
        has_more
    }

    /// True when others have something to do with it.
    fn leave(&mut self, consumer: Nonce) -> bool {
        let mut has_left = self.gap.take_if(|(holder, _)| *holder == consumer).is_some();
        for pending in self.pending.values_mut().filter(|pending| pending.consumer == Some(consumer)) {
            pending.consumer = None;
            // The attempt that its next consumer counts is the one that did not happen here.
            pending.attempt = pending.attempt.saturating_sub(1);
            has_left = true;
        }
        self.consumers.remove(&consumer);
        self.has_left |= has_left;
        has_left
    }
}
