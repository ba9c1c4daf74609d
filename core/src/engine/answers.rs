//! What the store says: replies judged and brought to the flight or operation that asked, pushes, and the state of
//! the connection.

use bytes::Bytes;

use super::event::EventKind;
use super::feed::Push;
use super::flights::{Question, SlotKind, Unjudged};
use super::health::Push as PushState;
use super::judge::{Circumstances, Judged};
use super::numbers::{FlightId, SEQUENCE_RENEW, TARGET_HEALTH, TARGET_NONE, TARGET_OPERATION, TARGET_PROBE, is_feed};
use super::outcome::{Details, Keeps, Older, Renewal};
use super::sheet::Asked as KeyAsked;
use super::sheet::Standing;
use super::submit::read_tag;
use super::ticket::Ticket;
use super::{Engine, journal};
use crate::config::Terms;
use crate::panics;
use crate::ports::{Address, Command, Inbox, Notice, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::answer::public_tags;
use crate::protocol::envelope::{GivenTimes, Reject};
use crate::protocol::flight::{Asked, Event, Filling, Reading};
use crate::protocol::freshness::Life;
use crate::protocol::held::Words;
use crate::protocol::key::Key;
use crate::protocol::tag::Tag;
use crate::sync::{Arc, Ordering};

impl Inbox for Engine {
    fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
        self.surviving(address.target, || self.take_answer(address, answer));
    }

    fn notice(&self, notice: Notice) {
        self.surviving(TARGET_NONE, || self.take_notice(notice));
    }
}

impl Engine {
    fn take_answer(&self, address: Address, answer: Result<Reply, StoreError>) {
        let now_us = self.clock.now_us();
        match &answer {
            Ok(reply) => self.nodes.with(address.node, |node| {
                node.heard_us.store(now_us, Ordering::Relaxed);
                if let Some(server_us) = reply.server_us {
                    node.clock.sample(server_us, address.sent_us, now_us);
                }
            }),
            Err(error) if matches!(error.kind, StoreErrorKind::Closed | StoreErrorKind::BreakerOpen) => {}
            // One failure a question, however many tags were asked with it.
            Err(_) if address.part > 0 => {}
            Err(error) => {
                let key = self.flights.locate(address.target).map(|mut shard| shard.slot(address.target).key.clone());
                self.report(key.as_ref(), error.kind.reason(), &error.message);
            }
        }
        // One count a question, but in a Cluster, where the tags may be with another node (its nodes are not number 0).
        if address.part == 0 || address.node > 0 {
            self.count_for_breaker(address.node, &answer, now_us);
        }
        match address.target {
            TARGET_NONE => {}
            TARGET_PROBE => self.probed(address.node, &answer),
            TARGET_HEALTH => self.health_answered(address, answer),
            feed if is_feed(feed) => self.feed_answered(address, answer),
            operation if operation & TARGET_OPERATION != 0 => {
                self.operation_answered(operation, address, answer);
            }
            _ => self.flight_answered(address, answer),
        }
    }

    fn take_notice(&self, notice: Notice) {
        match notice {
            Notice::Watching(key) => {
                self.note_push(PushState::Connected);
                self.push_came(&key, &Event::Watching);
            }
            Notice::Woken(key) => self.push_came(&key, &Event::Woken),
            Notice::PushLost => {
                self.note_push(PushState::Lost);
                self.with_l1(super::L1::shut);
                let message = "the push connection is lost; meanwhile waiters poll, and L1 is empty";
                self.report(None, "push_lost", message);
                self.event_pushes_lost();
            }
            Notice::Tracking => {
                self.note_push(PushState::Connected);
                self.with_l1(super::L1::open);
            }
            Notice::AllChanged => self.with_l1(super::L1::drop_all),
            Notice::Changed(names) => self.with_l1(|l1| l1.changed(&names)),
            Notice::Heartbeat { sent_us } => {
                self.note_sleep();
                self.with_l1(|l1| l1.heartbeat(sent_us));
            }
            Notice::Connected(node) => {
                self.connection(node, "connected", None);
                // It has just answered: there is no need to wait for the next probe's turn.
                if self.nodes.is_open(node) {
                    self.send_probe(node);
                }
                self.replay();
            }
            Notice::Disconnected(node, reason) => {
                // Another server, with another clock, may answer from now on.
                self.nodes.with(node, |node| node.forget_clock(self.clock.now_us()));
                self.connection.fetch_add(1, Ordering::AcqRel);
                self.with_l1(super::L1::drop_all);
                self.connection(node, "disconnected", Some(reason));
            }
            Notice::NewPrimary => self.primary_changed(),
            Notice::NodeGone(node) => self.node_gone(node),
            Notice::Fault(error) => self.report(None, error.kind.reason(), &error.message),
        }
    }

    fn with_l1(&self, act: impl FnOnce(&super::L1)) {
        if let Some(l1) = &self.l1 {
            act(l1);
        }
    }

    /// One part of the answer to a flight's question.
    pub(super) fn flight_answered(&self, address: Address, answer: Result<Reply, StoreError>) {
        let id = address.target;
        if address.sequence == SEQUENCE_RENEW {
            if let Ok(Reply { verdict: Verdict::Lost, .. }) = answer {
                self.step(id, Event::RenewLost);
            }
            return;
        }
        let Some(answered) = self.last_part(address, answer) else { return };
        panics::pass_by(panics::Place::Answer);
        let event = match answered.question {
            Question::None => return,
            Question::Fill => {
                self.drop_held(&answered.key);
                answered.filled()
            }
            Question::Open => {
                let Answered { standing, led, unsent: Some(unsent), .. } = answered else { return };
                if standing.is_none() {
                    // Whoever goes round again has used his time with the store.
                    self.step_if_awaited(id, address.sequence, Event::StoreAway, Vec::new());
                }
                let standing = standing.filter(|standing| self.stood_before(standing, led));
                let event = self.opened(unsent, standing.is_some());
                // Those of the call stood before the fallback, and so did these.
                return self.step_if_awaited(id, address.sequence, event, standing.unwrap_or_default());
            }
            Question::Get | Question::Ask | Question::Tags | Question::Older => match self.judged(answered) {
                Ok((event, older)) => {
                    return self.step_with(id, |slot| {
                        let is_awaited = slot.sequence == address.sequence;
                        slot.older = older;
                        is_awaited.then_some(event)
                    });
                }
                Err(Unknown::Tags(unjudged, tags)) => {
                    return self.ask_for_tags(id, address.sequence, unjudged, &tags);
                }
                Err(Unknown::Older(unjudged)) => return self.ask_older(id, address.sequence, unjudged),
            },
        };
        self.step_if_awaited(id, address.sequence, event, Vec::new());
    }

    /// Steps, unless another question has been asked meanwhile.
    fn step_if_awaited(&self, id: FlightId, sequence: u32, event: Event<Arc<Ticket>>, standing: Vec<Standing>) {
        self.step_with(id, |slot| {
            let is_awaited = slot.sequence == sequence;
            slot.standing.extend(standing);
            is_awaited.then_some(event)
        });
    }

    /// Enters one part of an answer; the whole of it, with the last. A second delivery finds another sequence, or its part
    /// entered already.
    fn last_part(&self, address: Address, answer: Result<Reply, StoreError>) -> Option<Answered> {
        let mut shard = self.flights.locate(address.target)?;
        let slot = shard.slot(address.target);
        if address.sequence != slot.sequence || !slot.sheet.take(address.part, answer) {
            return None;
        }
        let question = std::mem::replace(&mut slot.question, Question::None);
        let (reply, standing) = std::mem::take(&mut slot.sheet).finish();
        if let (Question::Get | Question::Ask, Some(standing)) = (question, &standing) {
            slot.standing.clone_from(standing);
        }
        let mut known = slot.standing.clone();
        let is_complete = standing.is_some();
        if question == Question::Tags {
            known.extend(standing.clone().unwrap_or_default());
        }
        let goes_on = matches!(question, Question::Tags | Question::Older);
        let unjudged = if goes_on { slot.unjudged.take() } else { None };
        Some(Answered {
            question,
            key: slot.key.clone(),
            terms: Arc::clone(&slot.terms),
            kind: slot.kind,
            life: slot.life,
            keeps: slot.keeps.clone(),
            asked: slot.asked,
            led: (slot.led_us, slot.led_on),
            words: slot.words.clone(),
            reply,
            known,
            is_complete,
            standing,
            unjudged,
            unsent: if question == Question::Open {
                slot.unsent.take().inspect(|unsent| slot.life = Some(unsent.life))
            } else {
                None
            },
        })
    }

    /// What the answer to a read means, or the tags that have to be asked for first.
    fn judged(&self, mut answered: Answered) -> Result<Judgement, Unknown> {
        let (question, reply, mut asked_older) = match answered.unjudged.take().map(|unjudged| *unjudged) {
            Some(Unjudged { question, reply, older }) => (question, Some(Ok(reply)), older),
            None => (answered.question, answered.reply.take(), None),
        };
        let mut may_ask_older = answered.kind == SlotKind::Read && answered.terms.fields().is_none();
        if let (Question::Older, Some(older)) = (answered.question, &mut asked_older) {
            let answer = answered.reply.take();
            // One timeout a call is enough: then the fallback runs.
            may_ask_older = matches!(answer, Some(Ok(_)));
            older.bytes = bytes_of(answer);
        }
        let about = Circumstances {
            key: &answered.key,
            terms: &answered.terms,
            since_ms: self.versions.since_ms(),
            standing: &answered.known,
            words: answered.words.as_ref(),
            // What comes with the answer to ACQUIRE has been read before.
            is_told: answered.kind == SlotKind::Read && question == Question::Ask,
        };
        let again = |reply: Reply| {
            move |tags: Vec<Tag>| Unknown::Tags(Box::new(Unjudged { question, reply, older: None }), tags)
        };
        let counts = answered.is_complete && !self.is_in_doubt(&answered.key, answered.asked);
        let is_free = |reply: &Reply| matches!(&reply.verdict, Verdict::Lease(_, None));
        let mut older = None;
        if let Some(Ok(reply)) = &reply
            && counts
            && may_ask_older
            && is_free(reply)
        {
            older = self.older(&about, question, reply, asked_older)?;
        }
        let answer = match reply {
            Some(Ok(reply)) if counts => match question {
                Question::Get => self.read_of(&about, &reply).map_err(again(reply))?.map(Event::Read),
                _ => self.asked_of(&about, &reply).map_err(again(reply))?.map(Event::Asked),
            },
            // Without its tags, or in doubt, nothing can be made of it: a lease that came with it is given back.
            Some(Ok(Reply { verdict: Verdict::Lease(grant, _), .. })) => {
                self.give_back(Command::Release { key: answered.key.clone(), grant });
                None
            }
            _ => None,
        };
        let is_refresh = answered.kind == SlotKind::Renewal(Renewal::Explicit);
        if is_refresh {
            if answer.is_none() {
                self.owe(&answered.key, journal::Owed::Invalidate);
            } else {
                self.remember(&answered.key, journal::Owed::Invalidate);
            }
            // Those who joined a fill that began before the REFRESH have their own; nobody joins it now.
            self.flights.detach(&answered.key);
        }
        Ok((answer.unwrap_or(Event::StoreAway), older))
    }

    fn read_of(&self, about: &Circumstances<'_>, reply: &Reply) -> Result<Option<Reading>, Vec<Tag>> {
        let Verdict::Value(bytes) = &reply.verdict else { return Ok(None) };
        if about.terms.fields().is_some() {
            return self.read_of_fields(about, bytes.as_ref()).map(Some);
        }
        let Some(bytes) = bytes else { return Ok(Some(Reading::Miss { seen: 0, stale: None })) };
        match self.judge(about, bytes) {
            Judged::Counts(entry) => Ok(Some(self.reading(about, *entry))),
            Judged::Dead { seen } => Ok(Some(Reading::Miss { seen, stale: None })),
            Judged::Unknown(tags) => Err(tags),
        }
    }

    fn asked_of(&self, about: &Circumstances<'_>, reply: &Reply) -> Result<Option<Asked>, Vec<Tag>> {
        let server_ms = reply.server_us.unwrap_or_default() / 1_000;
        let are_fields = about.terms.fields().is_some();
        let stale = |bytes: &Option<Bytes>| {
            if are_fields {
                return self.stale_of_fields(about, bytes.as_ref(), server_ms);
            }
            let Some(bytes) = bytes else { return Ok(None) };
            match self.judge(about, bytes) {
                Judged::Counts(entry) => Ok(self.stale_of(about.terms, *entry, server_ms)),
                Judged::Dead { .. } => Ok(None),
                Judged::Unknown(tags) => Err(tags),
            }
        };
        Ok(Some(match &reply.verdict {
            Verdict::Hit(bytes) if are_fields => {
                self.hit_of_fields(&Circumstances { is_told: false, ..*about }, bytes, server_ms)?
            }
            Verdict::Hit(bytes) => match self.judge(&Circumstances { is_told: false, ..*about }, bytes) {
                Judged::Counts(entry) => Asked::Hit(self.held_hit(about, *entry, server_ms)),
                Judged::Dead { seen } => Asked::Dead { seen },
                Judged::Unknown(tags) => return Err(tags),
            },
            Verdict::Lease(grant, bytes) => Asked::Lease(grant.clone(), stale(bytes)?),
            Verdict::Wait { left_ms, value } => Asked::Wait { left_us: left_ms * 1_000, stale: stale(value)? },
            Verdict::Solo(bytes) => Asked::Solo(stale(bytes)?),
            Verdict::Foreign if about.is_told => Asked::Solo(None),
            Verdict::Foreign => {
                let message = format!("an entry of a newer format stands at {:?}: left alone", about.key.relative());
                self.report(Some(about.key), Reject::Foreign.reason(), &message);
                Asked::Solo(None)
            }
            _ => return Ok(None),
        }))
    }

    /// An entry carries tags that nobody has named: how they stand is asked before anything is said of it.
    fn ask_for_tags(&self, id: FlightId, sequence: u32, unjudged: Box<Unjudged>, tags: &[Tag]) {
        let _busy = self.busy();
        let sequence = {
            let Some(mut shard) = self.flights.locate(id) else { return };
            let slot = shard.slot(id);
            if slot.sequence != sequence {
                return;
            }
            slot.ask(Question::Tags, false, self.asked_tags(tags));
            slot.unjudged = Some(unjudged);
            if let (Some(l1), Some(words)) = (&self.l1, &mut slot.words) {
                l1.capture_tags(words, tags);
            }
            slot.sequence
        };
        self.submit_tags(tags, 0, &read_tag, id, sequence);
    }

    fn push_came(&self, key: &Key, event: &Event<Arc<Ticket>>) {
        for id in self.watches.of(key) {
            if is_feed(id) {
                let push = if matches!(event, Event::Woken) { Push::Woken } else { Push::Watching };
                self.feed_pushed(id, key, push);
            } else {
                self.step(id, event.clone());
            }
        }
    }

    pub(super) fn connection(&self, node: u16, state: &'static str, reason: Option<String>) {
        self.metrics.connection(state);
        if self.observers.is_listening() {
            let mut event = self.event(EventKind::Connection, None);
            event.node = self.node_name(node);
            event.state = Some(state);
            event.reason = reason;
            event.source = Some(self.source);
            self.observers.emit(event);
        }
    }
}

/// A question, answered.
struct Answered {
    question: Question,
    key: Key,
    terms: Arc<Terms>,
    kind: SlotKind,
    life: Option<Life>,
    keeps: Option<Keeps>,
    asked: KeyAsked,
    /// When its fallback was started, and on which command connection.
    led: (u64, u64),
    words: Option<Words>,
    reply: Option<Result<Reply, StoreError>>,
    /// How the tags stand that have been asked for, now or with the question before.
    known: Vec<Standing>,
    /// Whether every tag that was asked for now got an answer.
    is_complete: bool,
    /// Of the tags that were asked for now.
    standing: Option<Vec<Standing>>,
    unjudged: Option<Box<Unjudged>>,
    unsent: Option<super::flights::Unsent>,
}

impl Answered {
    /// What FILL's answer says.
    fn filled(self) -> Event<Arc<Ticket>> {
        let tags = public_tags(self.known.iter().map(|known| known.tag.name()));
        Event::Filled(match self.reply {
            Some(Ok(Reply { verdict: Verdict::Stored { version }, server_us })) => {
                let created_ms = server_us.unwrap_or(version) / 1_000;
                let life = self.life.unwrap_or(Life { fresh_ms: 0, kept_ms: 0 });
                let times = self.keeps.map_or_else(|| GivenTimes::from_now(created_ms, life), |keeps| keeps.times);
                Filling::Stored(stored_details(version, times, tags))
            }
            Some(Ok(Reply { verdict: Verdict::Revoked, .. })) => Filling::Revoked,
            Some(Ok(Reply { verdict: Verdict::Superseded, .. })) => Filling::Superseded,
            _ => Filling::NoAnswer,
        })
    }
}

/// What FILL made of the entry, for those who share it.
fn stored_details(version: u64, times: GivenTimes, tags: Vec<String>) -> Details {
    let GivenTimes { created_ms, fresh_until_ms, stale_until_ms } = times;
    Details { version, created_ms, fresh_until_ms, stale_until_ms, tags }
}

/// The bytes that a GET brought.
fn bytes_of(reply: Option<Result<Reply, StoreError>>) -> Option<Bytes> {
    match reply {
        Some(Ok(Reply { verdict: Verdict::Value(bytes), .. })) => bytes,
        _ => None,
    }
}

/// What an answer means to its flight, and what an older version holds for whoever leads it.
type Judgement = (Event<Arc<Ticket>>, Option<Box<Older>>);

/// What has to be asked for before an answer says anything.
pub(super) enum Unknown {
    /// How the tags stand that its entry carries too.
    Tags(Box<Unjudged>, Vec<Tag>),
    /// What an older version holds.
    Older(Box<Unjudged>),
}
