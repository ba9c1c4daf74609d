//! One put: durable in its queue before its caller is answered, and the value set with it. Where both are on one server, that
//! is one script. In a Cluster the value's readers are held off first (BEGIN_WRITE), then the write is put, then the value is
//! committed with the id of the write.
//!
//! A put whose answer is lost is sent again under the same operation, which the store drops if the first one ran.

use super::super::Engine;
use super::super::feed::{Feed, FeedId};
use super::super::journal::Owed;
use super::super::outcome::{Begun, Failure, Outcome};
use super::super::server_clock::ServerClock;
use super::super::sheet::{Sheet, Standing};
use super::super::ticket::{Queue, Ticket};
use super::{Behind, unavailable};
use crate::config::{Terms, WRITE_VALIDITY_MS};
use crate::error::{Error, ErrorKind};
use crate::ports::{Address, Command, Reply, StoreError, StoreErrorKind, Verdict};
use crate::protocol::envelope::{Draft, Payload};
use crate::protocol::freshness::Life;
use crate::protocol::key::Key;
use crate::protocol::lease::Nonce;
use crate::protocol::queue::{OPERATION_BYTES_MAX, QueueAct, QueueReply, Write, partition_of};
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

struct Putting {
    behind: Arc<Behind>,
    partition: usize,
    key: Key,
    write: Write,
    life: Life,
    operation: Box<str>,
    kept_ms: u64,
    ticket: Arc<Ticket>,
    tags: Vec<Standing>,
    stage: Stage,
    sequence: u32,
    sends: u32,
    not_after_ms: u64,
    /// In a Cluster, the writer's mark on the value.
    nonce: Nonce,
    generation: Option<Box<str>>,
    /// And whether the value is committed with its end.
    keeps: bool,
    id: StreamId,
    armed_us: Option<u64>,
}

enum Stage {
    /// Whether the server keeps a queue.
    Durability,
    /// The server's time, and the tags' nonces.
    Preparing(Sheet),
    /// In a Cluster.
    Beginning,
    Putting,
    /// Before it is sent again.
    Pausing,
    /// In a Cluster: the value, or what stood there.
    Ending,
    Over,
}

/// What is to be done once the lock is gone.
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
        let value_key = self.open_key(key)?;
        let life = self.life_of_set(&value_key, &payload, terms)?;
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
        let feed = Arc::new(PutFeed { id: feed, state: Mutex::new(putting) });
        self.feeds.insert(feed.id, Arc::clone(&feed) as Arc<dyn Feed>);
        feed.begin(self);
        Ok(Self::leave_call(ticket))
    }
}

/// An operation is of one key: another key's put of the same name is another one.
fn name_of(operation: &str, key: &str) -> Result<Box<str>, Error> {
    if operation.is_empty() || operation.len() > OPERATION_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::ConfigError,
            format!(
                "operation={operation:?} is not accepted: operation takes a text of 1 to {OPERATION_BYTES_MAX} bytes; a \
                 right example: operation=\"order-1234\""
            ),
        ));
    }
    let hash = crate::protocol::key::hash128(format!("{operation}\0{key}").as_bytes());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("u{digits}").into())
}

impl Putting {
    fn stream(&self) -> &Key {
        &self.behind.partitions[self.partition].stream
    }

    fn entry(&self, engine: &Engine) -> Draft {
        let tags: Vec<_> = self.tags.iter().filter_map(|known| Some((known.tag.clone(), known.nonce?))).collect();
        Draft::behind(&self.key, &self.write.payload, &tags, engine.config.version, self.life)
    }

    fn put_command(&self, engine: &Engine) -> Command {
        let value = (!engine.store.is_cluster()).then(|| (self.key.clone(), self.entry(engine)));
        let partitions = u64::from(self.behind.options.partitions);
        self.behind.partitions[self.partition].command(QueueAct::Put {
            operation: self.operation.clone(),
            kept_ms: self.kept_ms,
            not_after_ms: self.not_after_ms,
            most: self.behind.options.max_pending.div_ceil(partitions),
            write: self.write.clone(),
            value,
        })
    }

    /// What ends the writer's mark on the value, and with it what stands there.
    fn end_command(&self, engine: &Engine, entry: Option<Draft>) -> Command {
        let settle_ms = engine.config.settle_ms;
        match &self.generation {
            Some(generation) => Command::Commit {
                key: self.key.clone(),
                generation: generation.clone(),
                nonce: self.nonce,
                settle_ms,
                entry,
            },
            None => Command::Invalidate { key: self.key.clone(), settle_ms },
        }
    }

    fn failed(&self, error: Option<&StoreError>) -> Next {
        Next::Over(Outcome::Failed(unavailable("the put of a write into the queue", &self.behind.name, error)))
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
        let Some(server_us) = engine.server_us(put.stream(), ServerClock::at_least) else { return put.failed(None) };
        // One that sits in a buffer must not run after its caller was told that it had not.
        put.not_after_ms = server_us / 1_000 + PATIENCE * engine.config.command_timeout_ms;
        if !engine.store.is_cluster() {
            return Next::Put;
        }
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
                    (put.put_command(engine), put.key.clone())
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
                            "the queue {:?} is full: {pending} writes are pending, max_pending is {}",
                            put.behind.name, put.behind.options.max_pending
                        );
                        Next::Over(Outcome::Failed(Failure::Own(Error::new(ErrorKind::QueueFull, message))))
                    }
                    _ => put.failed(None),
                }
            }
            Ok(_) => put.failed(None),
            Err(error) if may_pass(error) && put.sends < SENDS_MAX => {
                put.stage = Stage::Pausing;
                Next::Pause(PAUSE_US << put.sends.saturating_sub(1))
            }
            Err(error) => put.failed(Some(error)),
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
        let (key, id, started_us) = {
            let put = lock(&self.state);
            (put.key.clone(), put.id, put.ticket.started_us)
        };
        match value {
            Value::Owed => engine.owe(&key, Owed::Invalidate),
            Value::Set { version } => {
                engine.forget_here(&key, Owed::Invalidate);
                engine.remember(&key, Owed::Invalidate);
                if *version > 0 {
                    engine.stored(&key, *version, engine.clock.now_us().saturating_sub(started_us));
                }
            }
        }
        self.end(engine, Outcome::Put(id));
    }
}

/// Whether the same put may do better in a moment.
fn may_pass(error: &StoreError) -> bool {
    match error.kind {
        StoreErrorKind::Timeout | StoreErrorKind::Disconnected => true,
        StoreErrorKind::Refused => ["LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK"]
            .iter()
            .any(|word| error.message.starts_with(word)),
        _ => false,
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
                    Err(error) => put.failed(Some(&error)),
                },
                Stage::Preparing(sheet) => {
                    if !sheet.take(address.part, answer) {
                        return;
                    }
                    match std::mem::take(sheet).finish() {
                        (Some(Err(error)), _) => put.failed(Some(&error)),
                        (_, None) => put.failed(None),
                        (_, Some(standing)) => {
                            put.tags = standing;
                            self.start(engine, &mut put)
                        }
                    }
                }
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
