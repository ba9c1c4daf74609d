//! What one manager's handle and tasks have in common.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::endpoint::{Endpoint, ServerAddress};
use super::runtime;
use super::tls::Tls;
use crate::ports::{Address, Inbox, Notice, Reply, StoreError, Verdict};
use crate::protocol::envelope::is_long_to_open;
use crate::protocol::fields::in_bundle;

pub(super) struct Shared {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<Tls>,
    pub(super) client_name: String,
    pub(super) command_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) buffer: usize,
    pub(super) inbox: OnceLock<Weak<dyn Inbox>>,
    pub(super) closed: AtomicBool,
    /// What `Store::track` asked for.
    pub(super) prefixes: OnceLock<Vec<String>>,
    incarnations: AtomicU32,
}

impl Shared {
    pub(super) fn new(endpoint: Endpoint, tls: Option<Tls>, settings: super::RedisSettings) -> Self {
        Self {
            endpoint,
            tls,
            client_name: settings.client_name,
            command_timeout: settings.command_timeout,
            connect_timeout: settings.connect_timeout,
            buffer: settings.buffer,
            inbox: OnceLock::new(),
            closed: AtomicBool::new(false),
            prefixes: OnceLock::new(),
            incarnations: AtomicU32::new(0),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        self.inbox.get().and_then(Weak::upgrade)
    }

    pub(super) fn deliver(&self, address: Address, answer: Result<Reply, StoreError>) {
        let Some(inbox) = self.inbox() else { return };
        if answer.as_ref().is_ok_and(takes_long) {
            // What is behind it on this connection need not wait for it.
            runtime::aside(move || inbox.deliver(address, answer));
        } else {
            inbox.deliver(address, answer);
        }
    }

    pub(super) fn notice(&self, notice: Notice) {
        if let Some(inbox) = self.inbox() {
            inbox.notice(notice);
        }
    }

    /// None where nothing is to be tracked.
    pub(super) fn tracked_prefixes(&self) -> &[String] {
        self.prefixes.get().map_or(&[], Vec::as_slice)
    }

    /// A number that no server has had.
    pub(super) fn next_incarnation(&self) -> u32 {
        self.incarnations.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Where a socket is opened to.
#[derive(Clone)]
pub(super) enum Target {
    Tcp(ServerAddress),
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an answer has an entry that is long in being opened.
fn takes_long(reply: &Reply) -> bool {
    let entry = match &reply.verdict {
        Verdict::Value(entry)
        | Verdict::Lease(_, entry)
        | Verdict::Wait { value: entry, .. }
        | Verdict::Solo(entry) => entry.as_ref(),
        Verdict::Hit(entry) => Some(entry),
        _ => None,
    };
    entry.is_some_and(|entry| is_long_to_open(entry) || in_bundle(entry).any(is_long_to_open))
}
