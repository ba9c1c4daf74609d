//! The process's one I/O thread, `tidegate-io`, with a tokio runtime of that thread alone; started at the first need
//! and shared by all stores.
//!
//! A fork copies memory but no threads. So whatever belongs to the I/O thread is kept by process *generation*: the
//! child bumps the counter ([`after_fork`]), finds nothing of its own and starts anew; what it inherited is leaked,
//! never joined, never dropped, since its locks may have been held at the fork.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::ports::{StoreError, StoreErrorKind};
use crate::signals;

/// Threads for long payloads; they end when they have had nothing to do for a while.
const ASIDE_MAX: usize = 8;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static IO: PerProcess<Io> = PerProcess::new();

/// To be called in the child of a fork, before anything else of tidegate's. Safe there: it only counts.
pub fn after_fork() {
    GENERATION.fetch_add(1, Ordering::Release);
}

struct Io {
    handle: Handle,
    /// The thread runs until this is dropped: never, unless two threads started one at once.
    _stop: oneshot::Sender<()>,
}

/// Runs a task on the I/O thread.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), StoreError> {
    IO.get_or_open(start)?.handle.spawn(task);
    Ok(())
}

/// Does work that would keep the I/O thread, or its caller's, for too long.
pub(super) fn aside(work: impl FnOnce() + Send + 'static) {
    match IO.get_or_open(start) {
        Ok(io) => drop(io.handle.spawn_blocking(work)),
        Err(_) => work(),
    }
}

fn start() -> Result<Io, StoreError> {
    let fault = |error: std::io::Error| {
        StoreError::new(StoreErrorKind::Disconnected, format!("the I/O thread could not be started: {error}"))
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_name("tidegate-aside")
        .on_thread_start(signals::leave_to_host)
        .max_blocking_threads(ASIDE_MAX)
        .build()
        .map_err(fault)?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    let body = move || {
        signals::leave_to_host();
        // Err: the sender was dropped, which is the sign.
        let _ = runtime.block_on(stopped);
    };
    std::thread::Builder::new().name("tidegate-io".into()).spawn(body).map_err(fault)?;
    Ok(Io { handle, _stop: stop })
}

/// A `T` for each process of a line of forks: the running process sees only its own. Made of `OnceLock`s alone, which
/// are never held while anything else is done, so that a fork finds none of them locked by a thread it has lost.
pub(super) struct PerProcess<T> {
    slot: OnceLock<(u64, T)>,
    next: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    pub(super) const fn new() -> Self {
        Self { slot: OnceLock::new(), next: OnceLock::new() }
    }

    pub(super) fn get(&self) -> Option<&T> {
        let generation = GENERATION.load(Ordering::Acquire);
        let mut node = self;
        loop {
            match node.slot.get() {
                Some((made_in, value)) if *made_in == generation => return Some(value),
                Some(_) => node = node.next.get()?,
                None => return None,
            }
        }
    }

    /// This process's `T`, opened now if there is none. Another thread may open one at the same time: one of the two is
    /// kept, so what `open` gives must be harmless to drop.
    pub(super) fn get_or_open(&self, open: impl FnOnce() -> Result<T, StoreError>) -> Result<&T, StoreError> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let generation = GENERATION.load(Ordering::Acquire);
        let mut offered = (generation, open()?);
        let mut node = self;
        loop {
            match node.slot.set(offered) {
                Ok(()) => break,
                Err(_) if node.slot.get().is_some_and(|(made_in, _)| *made_in == generation) => break,
                Err(back) => {
                    offered = back;
                    node = node.next.get_or_init(|| Box::new(Self::new()));
                }
            }
        }
        let (_, value) = node.slot.get().expect("set just now, here or by another thread");
        Ok(value)
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        if let Some((made_in, value)) = self.slot.take() {
            if made_in == GENERATION.load(Ordering::Acquire) {
                drop(value);
            } else {
                std::mem::forget(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_generation_opens_its_own_once() {
        let cell = PerProcess::new();
        let open = |value: u32| move || Ok(value);
        assert!(cell.get().is_none());
        assert_eq!(cell.get_or_open(open(1)), Ok(&1));
        assert_eq!(cell.get_or_open(open(2)), Ok(&1));
        after_fork();
        assert!(cell.get().is_none());
        assert_eq!(cell.get_or_open(open(3)), Ok(&3));
        assert_eq!(cell.get(), Some(&3));
    }
}
