//! One node of a store: which server it is just now, and who cares.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::WeakUnboundedSender;

use super::cluster::post::ClusterPost;
use super::endpoint::{Place, ServerAddress};
use super::sentinel::Sentinels;
use super::shared::{Shared, Target, lock};
use super::tracking::Tracking;
use crate::ports::{Notice, StoreError};

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
    pub(super) sentinels: Arc<Sentinels>,
}

/// What is known of the server that the command connection leads, or led, to.
#[derive(Default)]
struct Here {
    address: Option<ServerAddress>,
    /// One run of a server; None in `Some` where the server's user may not know it.
    run_id: Option<Option<String>>,
}

impl Node {
    /// The one node of what is no Cluster.
    pub(super) fn only(shared: Arc<Shared>) -> Self {
        let mut tracking = Tracking::default();
        // Nothing is held yet that could be in doubt.
        let _ = tracking.expect(&[0]);
        let sentinels = Arc::new(Sentinels::of(&shared.endpoint.place));
        Self {
            shared,
            number: 0,
            fixed: None,
            cluster: None,
            incarnation: AtomicU32::new(0),
            here: Mutex::default(),
            tracking: Arc::new(Mutex::new(tracking)),
            sentinels,
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
            sentinels: Arc::default(),
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
            Place::Sentinel { .. } => self.sentinels.master(&self.shared).await.map(Target::Tcp),
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

    /// What people call it; the same whether it is away or not, where its place does not change.
    pub(super) fn name(&self) -> String {
        match (&self.fixed, &self.shared.endpoint.place) {
            (Some(address), _) | (None, Place::Tcp(address)) => address.to_string(),
            (None, _) => {
                lock(&self.here).address.as_ref().map_or_else(|| self.shared.endpoint.to_string(), ToString::to_string)
            }
        }
    }
}
