//! What one manager's handle and tasks have in common, and what belongs to one of its nodes.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc::WeakUnboundedSender;

use super::cluster::ClusterPost;
use super::endpoint::{Endpoint, Place, ServerAddress};
use super::sentinel;
use super::tls::Tls;
use super::tracking::Tracking;
use crate::ports::{Address, Inbox, Notice, Reply, StoreError};

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
        if let Some(inbox) = self.inbox() {
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

/// One node: a place that answers for keys, whichever server that is just now.
pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u16,
    /// In a Cluster: its address. Elsewhere the URL says, or the Sentinels.
    pub(super) fixed: Option<ServerAddress>,
    /// The way to the Cluster's task.
    cluster: Option<WeakUnboundedSender<ClusterPost>>,
    incarnation: AtomicU32,
    here: Mutex<Here>,
    /// Of all nodes of the store.
    tracking: Arc<Mutex<Tracking>>,
    /// The Sentinels that are known, those of the URL and those that they know.
    pub(super) sentinels: Mutex<Vec<ServerAddress>>,
}

/// What is known of the server that the command connection leads, or led, to.
#[derive(Default)]
struct Here {
    address: Option<ServerAddress>,
    /// One run of a server; None in `Some` where the server's user may not know it.
    run_id: Option<Option<String>>,
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

impl Node {
    /// The one node of what is no Cluster.
    pub(super) fn only(shared: Arc<Shared>) -> Self {
        let mut tracking = Tracking::default();
        // Nothing is held yet that could be in doubt.
        let _ = tracking.expect(&[0]);
        let sentinels =
            if let Place::Sentinel { seeds, .. } = &shared.endpoint.place { seeds.clone() } else { Vec::new() };
        Self {
            shared,
            number: 0,
            fixed: None,
            cluster: None,
            incarnation: AtomicU32::new(0),
            here: Mutex::default(),
            tracking: Arc::new(Mutex::new(tracking)),
            sentinels: Mutex::new(sentinels),
        }
    }

    pub(super) fn of_cluster(
        shared: Arc<Shared>,
        number: u16,
        address: ServerAddress,
        cluster: WeakUnboundedSender<ClusterPost>,
        tracking: Arc<Mutex<Tracking>>,
    ) -> Self {
        let incarnation = AtomicU32::new(shared.next_incarnation());
        Self {
            shared,
            number,
            fixed: Some(address),
            cluster: Some(cluster),
            incarnation,
            here: Mutex::default(),
            tracking,
            sentinels: Mutex::default(),
        }
    }

    pub(super) fn is_of_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Where its server is: asks the Sentinels, where there are any.
    ///
    /// # Errors
    /// No Sentinel answers, or none knows the master.
    pub(super) async fn find(&self) -> Result<Target, StoreError> {
        if let Some(address) = &self.fixed {
            return Ok(Target::Tcp(address.clone()));
        }
        match &self.shared.endpoint.place {
            Place::Tcp(address) => Ok(Target::Tcp(address.clone())),
            Place::Unix(path) => Ok(Target::Unix(path.clone())),
            Place::Sentinel { .. } => sentinel::master(self).await.map(Target::Tcp),
            Place::Cluster { .. } => unreachable!("a Cluster's nodes have addresses"),
        }
    }

    /// The same for a connection that goes where the command connection went.
    pub(super) async fn follow(&self) -> Result<Target, StoreError> {
        let known = lock(&self.here).address.clone();
        match known {
            Some(address) => Ok(Target::Tcp(address)),
            None => self.find().await,
        }
    }

    /// A command connection stands. Where it leads to another server than the last one did, that is told before any
    /// command gets there.
    pub(super) fn arrive(&self, target: &Target, run_id: Option<String>) {
        let is_another = {
            let mut here = lock(&self.here);
            here.address = if let Target::Tcp(address) = target { Some(address.clone()) } else { None };
            // One that does not tell its run may be another one each time.
            let is_another = here.run_id.as_ref().is_some_and(|last| last.is_none() || *last != run_id);
            here.run_id = Some(run_id);
            is_another
        };
        if is_another {
            self.incarnation.store(self.shared.next_incarnation(), Ordering::Release);
            self.shared.notice(Notice::NewPrimary);
        }
    }

    /// The address is no longer to be believed.
    pub(super) fn depart(&self) {
        lock(&self.here).address = None;
    }

    /// A notice of the push connection.
    pub(super) fn push_notice(&self, notice: Notice) {
        let notice = lock(&self.tracking).take(self.number, notice);
        if let Some(notice) = notice {
            self.shared.notice(notice);
        }
    }

    /// Tells the Cluster's task; false where there is none.
    pub(super) fn tell_cluster(&self, post: ClusterPost) -> bool {
        let sender = self.cluster.as_ref().and_then(WeakUnboundedSender::upgrade);
        sender.is_some_and(|sender| sender.send(post).is_ok())
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match &self.fixed {
            Some(address) => address.to_string(),
            None => {
                lock(&self.here).address.as_ref().map_or_else(|| self.shared.endpoint.to_string(), ToString::to_string)
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
