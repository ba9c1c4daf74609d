//! How an outcome reaches its caller. The engine's threads push to a queue and ring; the loop's one callback then takes
//! all that is ready through the [`Desk`]'s mailbox, a buffer that both sides keep. Nothing is made per call on the way.
//!
//! A record of the mailbox, little-endian, at a multiple of 8: the call's number (f64), what it is (u32, [`Word`] and
//! flags), the length of its text (u32), what it may be held under (only with [`crate::record::HELD`]), and the text in
//! UTF-8, or bytes of a codec that is none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use napi::bindgen_prelude::{Buffer, Function, Uint8Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, JsString, Status, sys};
use rustc_hash::{FxHashMap, FxHashSet};
use tidegate::engine::ticket::{Completion, Queue, Ticket};
use tidegate::engine::{Batch, Begun, HostObject, Outcome, outcome};
use tidegate::panics;
use tidegate::ports::Wake;

use crate::record::{self, HAS_STALE, HELD, LARGE, LetGo, Record};
use crate::word::{Body, Word};

/// Head of a record.
const HEAD_BYTES: usize = 16;
/// Longer texts are fetched one by one.
const INLINE_MAX: usize = 16 << 10;
/// Nothing is held under more than this: 40 bytes, a key's 200, and 32 tags of 208 at the most.
const HELD_MAX: usize = 8 << 10;

type Ring = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Weak: it does not keep the process alive unless a call is out.
pub(crate) struct Bell {
    ring: Ring,
}

impl Bell {
    pub(crate) fn new(on_ring: &Function<'_, (), ()>) -> napi::Result<Arc<Self>> {
        let ring = on_ring.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        Ok(Arc::new(Self { ring }))
    }

    /// Whether the process stays while nothing else keeps it.
    pub(crate) fn set_ref(&self, env: Env, on: bool) {
        let set = if on { sys::napi_ref_threadsafe_function } else { sys::napi_unref_threadsafe_function };
        self.ring.handle.with_read_aborted(|is_gone| {
            if !is_gone {
                // SAFETY: this is the loop's own thread, since only JavaScript calls here, and the function lives.
                unsafe { set(env.raw(), self.ring.raw()) };
            }
        });
    }
}

impl Wake for Bell {
    fn wake(&self) {
        // A loop that ends (a worker is terminated) is told nothing more.
        let _ = self.ring.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// Where the calls of one manager meet their outcomes. Touched by its loop's thread only.
pub(crate) struct Desk {
    pub(crate) queue: Arc<Queue>,
    mailbox: RefCell<Buffer>,
    /// Taken from the queue, or given in the very call; not yet in the mailbox.
    ready: RefCell<VecDeque<Completion>>,
    /// The loop is to turn before more is taken; the bell has been rung for that.
    is_turn_over: Cell<bool>,
    leases: RefCell<FxHashMap<u64, outcome::Lease>>,
    /// Writes that have begun, by the number of the call that began them.
    writes: RefCell<FxHashMap<u64, outcome::Write>>,
    /// By the number of the call that they were given to.
    batches: RefCell<FxHashMap<u64, Batch>>,
    /// Those of callers who may go away.
    tickets: RefCell<FxHashMap<u64, Arc<Ticket>>>,
    /// Reads that asked for all that is known of an entry.
    in_detail: RefCell<FxHashSet<u64>>,
    /// In the order in which they are fetched.
    large: RefCell<VecDeque<Body>>,
    let_go: LetGo,
}

impl Desk {
    pub(crate) fn new(bell: Arc<Bell>, mailbox: Buffer) -> Self {
        Self {
            queue: Queue::new(Box::new(bell)),
            mailbox: RefCell::new(mailbox),
            ready: RefCell::default(),
            is_turn_over: Cell::default(),
            leases: RefCell::default(),
            writes: RefCell::default(),
            batches: RefCell::default(),
            tickets: RefCell::default(),
            in_detail: RefCell::default(),
            large: RefCell::default(),
            let_go: Arc::default(),
        }
    }

    /// Keeps what a verb answered; true when that is an outcome already, so that the caller drains now.
    pub(crate) fn keep(&self, id: u64, begun: Result<Begun, tidegate::Error>, can_cancel: bool) -> bool {
        let outcome = match begun {
            Ok(Begun::Ready(outcome)) => outcome,
            Ok(Begun::Waiting(ticket)) => {
                if can_cancel {
                    self.tickets.borrow_mut().insert(id, ticket);
                }
                return false;
            }
            Err(error) => Outcome::Failed(outcome::Failure::Own(error)),
        };
        self.put(id, outcome);
        true
    }

    /// The hit of this call is to come with all that is known of it.
    pub(crate) fn ask_in_detail(&self, id: u64) {
        self.in_detail.borrow_mut().insert(id);
    }

    /// Writes what is ready to the mailbox, as much as it holds; how many bytes.
    pub(crate) fn drain(&self) -> u32 {
        if self.ready.borrow().is_empty() && !self.is_turn_over.take() {
            let mut taken = Vec::new();
            self.is_turn_over.set(self.queue.drain_a_turn(&mut taken));
            self.ready.borrow_mut().extend(taken);
        }
        let mut mailbox = self.mailbox.borrow_mut();
        let mut at = 0;
        while at + HEAD_BYTES + HELD_MAX + INLINE_MAX <= mailbox.len() {
            let Some(Completion { id, outcome }) = self.ready.borrow_mut().pop_front() else { break };
            if !self.tickets.borrow().is_empty() {
                self.tickets.borrow_mut().remove(&id);
            }
            let written = panics::handed_over(|| self.write(&mut mailbox, at, id, outcome));
            // One caller's bad luck is no other's.
            let failed = |error| self.write(&mut mailbox, at, id, Outcome::Failed(outcome::Failure::Own(error)));
            at = written.unwrap_or_else(failed);
        }
        u32::try_from(at).expect("the mailbox is small")
    }

    fn write(&self, mailbox: &mut [u8], at: usize, id: u64, outcome: Outcome) -> usize {
        let Record { mut word, mut head, mut body } = match outcome {
            Outcome::Batch(mut batch) => {
                // What stays is the right to settle them.
                let record = record::batch(&std::mem::take(&mut batch.items));
                let before = self.batches.borrow_mut().insert(id, batch);
                drop(before);
                record
            }
            Outcome::Lease(lease) => {
                let flag = if lease.stale.is_some() { HAS_STALE } else { 0 };
                let before = self.leases.borrow_mut().insert(id, lease);
                drop(before);
                Record { word: Word::Lease as u32 | flag, head: Vec::new(), body: Body::None }
            }
            Outcome::Write(write) => {
                let before = self.writes.borrow_mut().insert(id, write);
                drop(before);
                Record { word: Word::Write as u32, head: Vec::new(), body: Body::None }
            }
            other => record::outcome(other, self.in_detail.borrow_mut().remove(&id)),
        };
        if head.len() > HELD_MAX {
            word &= !HELD;
            head.clear();
        }
        if body.len() > INLINE_MAX {
            self.large.borrow_mut().push_back(std::mem::replace(&mut body, Body::None));
            word |= LARGE;
        }
        let text = body.as_bytes();
        let length = u32::try_from(text.len()).expect("INLINE_MAX bytes at most");
        mailbox[at..at + 8].copy_from_slice(&(id as f64).to_le_bytes());
        mailbox[at + 8..at + 12].copy_from_slice(&word.to_le_bytes());
        mailbox[at + 12..at + HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        let at = at + HEAD_BYTES;
        mailbox[at..at + head.len()].copy_from_slice(&head);
        let at = at + head.len();
        mailbox[at..at + text.len()].copy_from_slice(text);
        (at + text.len()).next_multiple_of(8)
    }

    pub(crate) fn take_large<'env>(&self, env: &'env Env) -> napi::Result<JsString<'env>> {
        let body = self.large.borrow_mut().pop_front().unwrap_or(Body::None);
        match body.as_bytes() {
            // One byte a letter in any writing: copied as it is, where UTF-8 is looked at byte by byte.
            plain if plain.is_ascii() => env.create_string_latin1(plain),
            text => env.create_string(String::from_utf8_lossy(text)),
        }
    }

    pub(crate) fn take_large_bytes(&self) -> Uint8Array {
        let body = self.large.borrow_mut().pop_front().unwrap_or(Body::None);
        body.as_bytes().to_vec().into()
    }

    pub(crate) fn take_lease(&self, id: u64) -> Option<outcome::Lease> {
        self.leases.borrow_mut().remove(&id)
    }

    pub(crate) fn take_write(&self, id: u64) -> Option<outcome::Write> {
        self.writes.borrow_mut().remove(&id)
    }

    pub(crate) fn take_batch(&self, id: u64) -> Option<Batch> {
        self.batches.borrow_mut().remove(&id)
    }

    /// A look at a lease that is not settled.
    pub(crate) fn with_lease<T>(&self, id: u64, look: impl FnOnce(&outcome::Lease) -> T) -> Option<T> {
        self.leases.borrow().get(&id).map(look)
    }

    /// Puts an outcome where the next drain finds it.
    pub(crate) fn put(&self, id: u64, outcome: Outcome) {
        self.ready.borrow_mut().push_back(Completion { id, outcome });
    }

    pub(crate) fn take_ticket(&self, id: u64) -> Option<Arc<Ticket>> {
        self.tickets.borrow_mut().remove(&id)
    }

    /// An object of JavaScript's, by its number in the package's table, on its way through the engine to others.
    pub(crate) fn to_host(&self, object: u32) -> HostObject {
        record::to_host(object, Arc::clone(&self.let_go))
    }

    /// The objects that nobody needs any more.
    pub(crate) fn take_let_go(&self) -> Vec<u32> {
        std::mem::take(&mut *self.let_go.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The loop is gone, or nobody holds the manager: what comes late is dropped, and leases give themselves back.
        self.queue.close();
    }
}
