//! When a Cluster's nodes are asked for the topology, and how: some at once, and what they say is compared.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::endpoint::ServerAddress;
use super::super::session::Session;
use super::super::shared::{Shared, Target};
use super::topology::Topology;
use crate::ports::{StoreError, StoreErrorKind};

/// Nodes that are asked at once, and whose answers are compared.
const ASKED_AT_ONCE: usize = 3;
/// While none of them answers twice as many are asked, each time so much has passed: they may all be gone, and nothing comes back
/// from where they were.
const PATIENCE: Duration = Duration::from_millis(500);
const ASKED_MOST: usize = 48;
/// Once one has answered the others have this long.
const COMPARED_WITHIN: Duration = Duration::from_millis(100);
/// From one look to the next while something is wrong: doubled as long as nothing new is found, up to what a promoted
/// replica may go unnoticed.
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_millis(500);

type Answer = Result<Vec<Topology>, StoreError>;

pub(super) struct Discovery {
    /// The look that is under way, and whether another one is wanted behind it.
    asking: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    is_wanted_again: bool,
    next: Instant,
    last: Option<Instant>,
    pause: Duration,
}

impl Discovery {
    pub(super) fn new() -> Self {
        Self { asking: None, is_wanted_again: false, next: Instant::now(), last: None, pause: PAUSE_LEAST }
    }

    pub(super) fn begin(&mut self, shared: &Arc<Shared>, nodes: Vec<ServerAddress>) {
        self.asking = Some(Box::pin(ask_all(Arc::clone(shared), nodes)));
        self.is_wanted_again = false;
        self.last = Some(Instant::now());
    }

    /// The next thing that happens: an answer, or none for the time to ask. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        match &mut self.asking {
            None => {
                sleep_until(self.next).await;
                None
            }
            Some(answer) => Some(answer.await),
        }
    }

    /// The answer has been taken: the next look is due in `calm`, where all is well.
    pub(super) fn end(&mut self, is_news: bool, calm: Option<Duration>) {
        self.asking = None;
        self.pause = if is_news { PAUSE_LEAST } else { (2 * self.pause).min(PAUSE_MOST) };
        let soon = self.pause.mul_f64(1.0 - fastrand::f64() / 4.0);
        self.next = Instant::now() + calm.filter(|_| !self.is_wanted_again).unwrap_or(soon);
    }

    /// A look is wanted as soon as may be.
    pub(super) fn hurry(&mut self) {
        self.is_wanted_again = true;
        let soonest = self.last.map_or_else(Instant::now, |last| last + self.pause);
        self.next = self.next.min(soonest);
    }

    /// The same, and there surely is something new to be found.
    pub(super) fn hurry_for_news(&mut self) {
        self.pause = PAUSE_LEAST;
        self.hurry();
    }
}

/// What the first of `nodes` that answer say, from one to three of them.
async fn ask_all(shared: Arc<Shared>, nodes: Vec<ServerAddress>) -> Answer {
    let mut waiting = nodes.into_iter();
    let mut asked = FuturesUnordered::new();
    let mut failure = StoreError::new(StoreErrorKind::Disconnected, "the URL lists no node of a Cluster");
    let mut said = Vec::new();
    let mut at_once = ASKED_AT_ONCE;
    loop {
        while asked.len() < at_once
            && let Some(node) = waiting.next()
        {
            asked.push(ask(&shared, node));
        }
        let Ok(answer) = timeout(PATIENCE, asked.next()).await else {
            at_once = (2 * at_once).min(ASKED_MOST);
            continue;
        };
        match answer {
            Some(Ok(topology)) => {
                said.push(topology);
                break;
            }
            // What a server says weighs more than that another one is away.
            Some(Err(error)) if failure.kind != StoreErrorKind::Refused => failure = error,
            Some(Err(_)) => {}
            None => return Err(failure),
        }
    }
    let patience = sleep(COMPARED_WITHIN);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            () = &mut patience => return Ok(said),
            answer = asked.next() => match answer {
                Some(answer) => {
                    said.extend(answer.ok());
                    if said.len() == ASKED_AT_ONCE {
                        return Ok(said);
                    }
                }
                None => return Ok(said),
            },
        }
    }
}

pub(in super::super) async fn ask(shared: &Shared, node: ServerAddress) -> Result<Topology, StoreError> {
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
    let answer = timeout(limit, both).await.unwrap_or_else(|_| {
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
