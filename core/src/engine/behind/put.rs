//! One put: durable in its queue before its caller is answered, and the value set with it. Where both are on one server, that
//! is one script. In a Cluster the value's readers are held off first (BEGIN_WRITE), then the write is put, then the value is
//! committed with the id of the write.
//!
//! A put whose answer is lost is sent again under the same operation, which the store drops if the first one ran.

use std::sync::Weak;

use super::super::Engine;
use super::super::feed::{Feed, FeedId};
use super::super::journal::Owed;
use super::super::outcome::{Begun, Failure, Outcome};
use super::super::server_clock::ServerClock;
use super::super::sheet::Sheet;
use super::super::ticket::{Queue, Ticket};
use super::Behind;
use super::putting::{Putting, Stage, may_pass, name_of};
use crate::config::{Terms, WRITE_VALIDITY_MS};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::ports::{Address, Command, Reply, StoreError, Verdict};
use crate::protocol::envelope::Payload;
use crate::protocol::queue::{QueueReply, Write, partition_of};
use crate::protocol::stream::StreamId;
use crate::sync::{Arc, Mutex, lock};

/// A put may be sent so often,
const SENDS_MAX: u32 = 4;
/// with such pauses, doubled each time,
const PAUSE_US: u64 = 20_000;
/// within so many times the time that a command may take.
const PATIENCE: u64 = 5;
/// What the engine's own retries go by is remembered for longer than they may come.
const OWN_KEPT_MS: u64 = 5_000;
/// What a user calls an operation is remembered for so long.
const USERS_KEPT_MS: u64 = 300_000;

/// What is to be done once the lock is gone.
#[expect(clippy::large_enum_variant, reason = "one lives for a moment on the stack")]
enum Next {
    Ask(Vec<Command>),
    Prepare {
        asks_time: bool,
    },
    Pause(u64),
    Put,
    End,
    /// The write is in its queue.
    Done(Value),
    Over(Outcome),
    Nothing,
}

/// What became of the value.
enum Value {
    /// Under this version; 0: there is none, or a repeat's.
    Set {
        version: u64,
    },
    Owed,
}

struct PutFeed {
    me: Weak<Self>,
    id: FeedId,
    state: Mutex<Putting>,
}

impl Engine {
    /// Puts a write into its queue: [`Outcome::Put`] with its id, once the store holds it; [`Outcome::Failed`] with
    /// `QueueFull`, `StoreUnavailable` (it may have been put all the same), or `ConfigError` for a server that is no place
    /// for a queue. Within five minutes a second put of the same `operation` and key is answered as the first was.
    ///
    /// # Errors
    /// `KeyFormatError`; `ClosedError`; `ValueTooLarge`; `ConfigError` for an operation that is none.
    #[expect(clippy::too_many_arguments, reason = "a host's verb: each is what its user said")]
    pub fn put(
        &self,
        behind: &Arc<Behind>,
        key: &str,
        payload: Payload,
        operation: Option<&str>,
        terms: Option<&Arc<Terms>>,
        queue: &Arc<Queue>,
        id: u64,
    ) -> Result<Begun, Error> {
        behind.check_open(self)?;
        let terms = terms.unwrap_or(&self.terms);
        let value_key = self.open_key(key, terms)?;
        let life = self.life_of_set(&value_key, &payload, terms)?;
        // Puts of a key keep the order of their calls: nothing of them is done on the side.
        let payload = if self.seal.is_long(payload.len()) { payload } else { payload.packed(&self.seal) };
        let nonce = self.moment().nonce;
        let (operation, kept_ms) = match operation {
            None => (format!("o{nonce}").into_boxed_str(), OWN_KEPT_MS + PATIENCE * self.config.command_timeout_ms),
            Some(name) => (name_of(name, key)?, USERS_KEPT_MS),
        };
        let ticket = self.ticket(queue, id, terms);
        let feed = self.feeds.number();
        let putting = Putting {
            partition: partition_of(&value_key, behind.options.partitions) as usize,
            behind: Arc::clone(behind),
            write: Write { prefix: value_key.prefix().into(), key: key.into(), payload, origin: None },
            key: value_key,
            life,
            operation,
            kept_ms,
            ticket: Arc::clone(&ticket),
            tags: Vec::new(),
            stage: Stage::Durability,
            sequence: 0,
            sends: 0,
            not_after_ms: 0,
            nonce,
            generation: None,
            keeps: false,
            id: StreamId::default(),
            armed_us: None,
        };
        let feed = Arc::new_cyclic(|me| PutFeed { me: me.clone(), id: feed, state: Mutex::new(putting) });
        self.feeds.insert(feed.id, Arc::clone(&feed) as Arc<dyn Feed>);
        self.with_versions_for(life.kept_ms, move |engine, listed| match listed {
            Some(_) => feed.begin(engine),
            None => {
                let failed = lock(&feed.state).failed(None);
                feed.end(engine, failed);
            }
        });
        Ok(self.stand_by(ticket))
    }
}

impl PutFeed {
    fn begin(&self, engine: &Engine) {
        let next = {
            let mut put = lock(&self.state);
            match engine.is_durable(put.stream()) {
                Some(Ok(())) => self.prepare(engine, &mut put),
                Some(Err(error)) => Next::Over(Outcome::Failed(Failure::Own(error))),
                None => Next::Ask(vec![Engine::ask_durability(put.stream())]),
            }
        };
        self.go(engine, next);
    }

    fn prepare(&self, engine: &Engine, put: &mut Putting) -> Next {
        let asks_time = engine.server_us(put.stream(), ServerClock::at_least).is_none();
        if !asks_time && put.ticket.terms.tags.is_empty() {
            return self.start(engine, put);
        }
        put.stage = Stage::Preparing(Sheet::new(asks_time, engine.asked_tags(&put.ticket.terms.tags)));
        Next::Prepare { asks_time }
    }

    /// Everything is known that has to be.
    fn start(&self, engine: &Engine, put: &mut Putting) -> Next {
        let Some(server_us) = engine.server_us(put.stream(), ServerClock::at_least) else {
            return Next::Over(put.failed(None));
        };
        // One that sits in a buffer must not run after its caller was told that it had not.
        put.not_after_ms = server_us / 1_000 + PATIENCE * engine.config.command_timeout_ms;
        if !engine.store.is_cluster() {
            return Next::Put;
        }
        if put.kept_ms == USERS_KEPT_MS {
            put.stage = Stage::Recalling;
            return Next::Ask(vec![put.put_command(engine, 0)]);
        }
        Self::hold_readers(engine, put)
    }

    /// The writer's mark on the value.
    fn hold_readers(engine: &Engine, put: &mut Putting) -> Next {
        put.stage = Stage::Beginning;
        Next::Ask(vec![Command::BeginWrite {
            key: put.key.clone(),
            nonce: put.nonce,
            exclusive_ms: engine.config.lease_ms,
            validity_ms: WRITE_VALIDITY_MS,
        }])
    }

    /// No lock is held: the store may answer in the same call.
    fn go(&self, engine: &Engine, next: Next) {
        let submit = |command, part| {
            let sequence = lock(&self.state).sequence;
            engine.submit_part(command, self.id.target(), sequence, part);
        };
        let asks = !matches!(next, Next::Done(_) | Next::Over(_) | Next::Nothing);
        if asks {
            lock(&self.state).sequence += 1;
        }
        match next {
            Next::Nothing => {}
            Next::Ask(commands) => commands.into_iter().for_each(|command| submit(command, 0)),
            Next::Prepare { asks_time } => {
                let (stream, tags, nonce, sequence) = {
                    let put = lock(&self.state);
                    (put.stream().clone(), put.ticket.terms.tags.clone(), put.nonce, put.sequence)
                };
                if asks_time {
                    submit(Command::Time { key: stream }, 0);
                }
                let open = |tag: &_| engine.open_tag(tag, nonce);
                engine.submit_tags(&tags, u16::from(asks_time), &open, self.id.target(), sequence);
            }
            Next::Pause(pause_us) => {
                let at_us = engine.clock.now_us() + pause_us;
                let before = lock(&self.state).armed_us.replace(at_us);
                engine.rearm(self.id.target(), before, Some(at_us));
            }
            Next::Put => {
                let (command, key) = {
                    let mut put = lock(&self.state);
                    put.stage = Stage::Putting;
                    put.sends += 1;
                    (put.put_command(engine, put.room()), put.key.clone())
                };
                // Here and on the answer, as a SET.
                engine.forget_here(&key, Owed::Invalidate);
                submit(command, 0);
            }
            Next::End => {
                let (command, key) = {
                    let mut put = lock(&self.state);
                    put.stage = Stage::Ending;
                    let entry = put.keeps.then(|| put.entry(engine).of_write(put.id));
                    (put.end_command(engine, entry), put.key.clone())
                };
                engine.forget_here(&key, Owed::Invalidate);
                submit(command, 0);
            }
            Next::Done(value) => self.done(engine, &value),
            Next::Over(outcome) => self.end(engine, outcome),
        }
    }

    fn end(&self, engine: &Engine, outcome: Outcome) {
        let (ticket, armed_us, give_back) = {
            let mut put = lock(&self.state);
            let was_begun = matches!(put.stage, Stage::Beginning | Stage::Putting | Stage::Pausing);
            let is_failed = matches!(outcome, Outcome::Failed(_));
            let give_back =
                (is_failed && was_begun && engine.store.is_cluster()).then(|| put.end_command(engine, None));
            put.stage = Stage::Over;
            put.sequence += 1;
            (Arc::clone(&put.ticket), put.armed_us.take(), give_back)
        };
        if let Some(command) = give_back {
            engine.give_back(command);
        }
        engine.rearm(self.id.target(), armed_us, None);
        engine.answer(&ticket, outcome);
        engine.feed_over(self.id);
    }

    /// What a queue said to the put.
    fn put_answered(put: &mut Putting, engine: &Engine, answer: &Result<Reply, StoreError>) -> Next {
        match answer {
            Ok(Reply { verdict: Verdict::Queue(reply), .. }) => {
                put.behind.partitions[put.partition].heard(reply);
                match reply {
                    QueueReply::Appended { id, version, .. } if engine.store.is_cluster() => {
                        put.id = *id;
                        // A repeat commits nothing: what came in between may be newer.
                        put.keeps = *version > 0;
                        Next::End
                    }
                    QueueReply::Appended { id, version, .. } => {
                        put.id = *id;
                        Next::Done(Value::Set { version: *version })
                    }
                    QueueReply::Full { pending } => {
                        let message = format!(
                            "the queue {:?} is full: {pending} writes are pending, {} is {}",
                            put.behind.name,
                            Dialect::of_host().spell("max_pending"),
                            put.behind.options.max_pending
                        );
                        Next::Over(Outcome::Failed(Failure::Own(Error::new(ErrorKind::QueueFull, message))))
                    }
                    _ => Next::Over(put.failed(None)),
                }
            }
            Ok(_) => Next::Over(put.failed(None)),
            Err(error) if may_pass(error) && put.sends < SENDS_MAX => {
                put.stage = Stage::Pausing;
                Next::Pause(PAUSE_US << put.sends.saturating_sub(1))
            }
            Err(error) => Next::Over(put.failed(Some(error))),
        }
    }

    /// In a Cluster: what became of the value. The write itself is in its queue.
    fn ended(put: &Putting, engine: &Engine, address: Address, answer: &Result<Reply, StoreError>) -> Next {
        let is_kept = address.node == engine.store.primary(&put.key).node;
        Next::Done(match answer {
            Ok(Reply { verdict: Verdict::Stored { version }, .. }) if is_kept => Value::Set { version: *version },
            Ok(_) if is_kept => Value::Set { version: 0 },
            _ => Value::Owed,
        })
    }

    fn done(&self, engine: &Engine, value: &Value) {
        let (key, id, ticket) = {
            let mut put = lock(&self.state);
            // A second answer says nothing more.
            put.stage = Stage::Over;
            put.sequence += 1;
            (put.key.clone(), put.id, Arc::clone(&put.ticket))
        };
        let (terms, started_us) = (&ticket.terms, ticket.started_us);
        match value {
            Value::Owed => engine.owe(&key, Owed::Invalidate),
            Value::Set { version } => {
                engine.forget_here(&key, Owed::Invalidate);
                engine.remember(&key, Owed::Invalidate);
                if *version > 0 {
                    engine.stored(&key, terms, *version, engine.clock.now_us().saturating_sub(started_us));
                }
            }
        }
        let (me, value_key) = (self.me.clone(), key.clone());
        let end = move |engine: &Engine, is_confirmed: bool| {
            if !is_confirmed {
                engine.owe(&key, Owed::Invalidate);
            }
            if let Some(feed) = me.upgrade() {
                feed.end(engine, Outcome::Put(id));
            }
        };
        // The value is of this version; the others lose theirs before the caller is answered.
        engine.end_others(value_key, Box::new(end));
    }
}

impl Feed for PutFeed {
    fn close(&self, engine: &Engine, timeout_ms: u64, _: Option<Arc<Ticket>>) {
        if timeout_ms == 0 {
            self.end(engine, Outcome::Failed(Failure::Own(Error::closed())));
        }
    }

    fn answered(&self, engine: &Engine, address: Address, answer: Result<Reply, StoreError>) {
        // Learnt without the lock, since it may be told to the host.
        let stream = {
            let put = lock(&self.state);
            let is_asked = address.sequence == put.sequence && matches!(put.stage, Stage::Durability);
            is_asked.then(|| put.stream().clone())
        };
        let learnt = stream.map(|stream| engine.learn_durability(&stream, &answer));
        let next = {
            let mut put = lock(&self.state);
            if address.sequence != put.sequence {
                return;
            }
            match &mut put.stage {
                Stage::Durability => match learnt.expect("asked, and answered") {
                    Ok(Ok(())) => self.prepare(engine, &mut put),
                    Ok(Err(error)) => Next::Over(Outcome::Failed(Failure::Own(error))),
                    Err(error) => Next::Over(put.failed(Some(&error))),
                },
                Stage::Preparing(sheet) => {
                    if !sheet.take(address.part, answer) {
                        return;
                    }
                    match std::mem::take(sheet).finish() {
                        (Some(Err(error)), _) => Next::Over(put.failed(Some(&error))),
                        (_, None) => Next::Over(put.failed(None)),
                        (_, Some(standing)) => {
                            put.tags = standing;
                            self.start(engine, &mut put)
                        }
                    }
                }
                Stage::Recalling => match answer {
                    Ok(Reply { verdict: Verdict::Queue(QueueReply::Appended { id, .. }), .. }) => {
                        // Whoever put it may have died before the others' entries had ended.
                        put.id = id;
                        Next::Done(Value::Set { version: 0 })
                    }
                    Ok(_) => Self::hold_readers(engine, &mut put),
                    Err(error) => Next::Over(put.failed(Some(&error))),
                },
                Stage::Beginning => {
                    // Without a mark what stands there is invalidated when the write has been put.
                    if let Ok(Reply { verdict: Verdict::Lease(grant, _), .. }) = answer {
                        put.generation = Some(grant.generation);
                    }
                    Next::Put
                }
                Stage::Putting => Self::put_answered(&mut put, engine, &answer),
                Stage::Ending => Self::ended(&put, engine, address, &answer),
                Stage::Pausing | Stage::Over => Next::Nothing,
            }
        };
        self.go(engine, next);
    }

    fn on_time(&self, engine: &Engine) {
        let is_pausing = {
            let mut put = lock(&self.state);
            put.armed_us = None;
            matches!(put.stage, Stage::Pausing)
        };
        if is_pausing {
            self.go(engine, Next::Put);
        }
    }
}
