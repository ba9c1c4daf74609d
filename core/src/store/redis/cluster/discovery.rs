//! When a Cluster's nodes are asked for the topology, and how: several at once, the first good answer wins.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::super::endpoint::ServerAddress;
use super::super::session::Session;
use super::super::shared::{Shared, Target};
use super::topology::Topology;
use crate::ports::{StoreError, StoreErrorKind};

/// Nodes that are asked at once.
const ASKED_MAX: usize = 6;

pub(super) enum Discovery {
    Idle {
        next: Instant,
        last: Option<Instant>,
    },
    Asking {
        since: Instant,
        answer: Pin<Box<dyn Future<Output = Result<Topology, StoreError>> + Send>>,
        /// Somebody has asked for another look meanwhile.
        again: Option<Duration>,
    },
}

impl Discovery {
    pub(super) fn begin(shared: &Arc<Shared>, nodes: Vec<ServerAddress>) -> Self {
        let answer = Box::pin(ask_all(Arc::clone(shared), nodes));
        Self::Asking { since: Instant::now(), answer, again: None }
    }

    /// The next thing that happens: an answer, or none for the time to ask. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Option<Result<Topology, StoreError>> {
        match self {
            Self::Idle { next, .. } => {
                sleep_until(*next).await;
                None
            }
            Self::Asking { answer, .. } => Some(answer.await),
        }
    }

    /// The answer has been taken: the next look is due in `pause`.
    pub(super) fn end(&mut self, pause: Duration) {
        if let Self::Asking { since, again, .. } = self {
            let pause = again.map_or(pause, |again| again.min(pause));
            *self = Self::Idle { next: Instant::now() + pause, last: Some(*since) };
        }
    }

    /// A look is wanted as soon as `least` has passed since the last one.
    pub(super) fn hurry(&mut self, least: Duration) {
        match self {
            Self::Idle { next, last } => {
                let soonest = last.map_or_else(Instant::now, |last| last + least);
                *next = soonest.min(*next);
            }
            Self::Asking { again, .. } => *again = Some(least),
        }
    }
}

async fn ask_all(shared: Arc<Shared>, nodes: Vec<ServerAddress>) -> Result<Topology, StoreError> {
    let mut waiting = nodes.into_iter();
    let mut asked = FuturesUnordered::new();
    let mut failure = StoreError::new(StoreErrorKind::Disconnected, "the URL lists no node of a Cluster");
    loop {
        while asked.len() < ASKED_MAX
            && let Some(node) = waiting.next()
        {
            asked.push(ask(&shared, node));
        }
        match asked.next().await {
            Some(Ok(topology)) => return Ok(topology),
            // What a server says weighs more than that another one is away.
            Some(Err(error)) if failure.kind != StoreErrorKind::Refused => failure = error,
            Some(Err(_)) => {}
            None => return Err(failure),
        }
    }
}

async fn ask(shared: &Shared, node: ServerAddress) -> Result<Topology, StoreError> {
    let told = |error: StoreError| StoreError { message: format!("{node}: {}", error.message), ..error };
    let target = Target::Tcp(node.clone());
    let name = format!("{}:topology", shared.client_name);
    let both = async {
        let mut session = Session::connect(shared, &target, &shared.endpoint.credentials, &name).await?;
        let slots = session.ask(&[b"CLUSTER", b"SLOTS"]).await?;
        let info = session.ask(&[b"CLUSTER", b"INFO"]).await?;
        Ok((slots, info))
    };
    let limit = 2 * shared.connect_timeout;
    let answer = tokio::time::timeout(limit, both).await.unwrap_or_else(|_| {
        Err(StoreError::new(StoreErrorKind::Timeout, format!("no answer within {} ms", limit.as_millis())))
    });
    let (slots, info) = answer.map_err(|error: StoreError| {
        if error.message.contains("cluster support disabled") {
            let message = "this server is no node of a Cluster: for a single server the URL is redis://host:port/db";
            return told(StoreError::new(StoreErrorKind::Refused, message));
        }
        told(error)
    })?;
    Topology::read(&slots, &info, &node)
        .ok_or_else(|| told(StoreError::new(StoreErrorKind::Protocol, "it does not say which nodes serve which slots")))
}
