//! The driver's link to the server: where it stands, and the next thing that happens to it.

use std::future::Future;
use std::pin::Pin;

use tokio::time::{Instant, Sleep};

use super::connect::Connection;
use super::lane::Lane;
use super::watchdog::Watchdog;
use crate::ports::StoreError;

/// Where the connection is. Commands that find none are held while there is hope of one within their time, and
/// answered at once while there is not.
pub(super) enum Link {
    /// Nothing has been asked yet, so nothing is open.
    Idle,
    /// `error` is why there is none: none known yet, so commands are held.
    Dialing {
        attempt: Pin<Box<dyn Future<Output = Result<Connection, StoreError>> + Send>>,
        error: Option<StoreError>,
    },
    Up(Box<Up>),
    Down {
        until: Pin<Box<Sleep>>,
        error: StoreError,
    },
}

pub(super) struct Up {
    pub(super) lane: Lane,
    pub(super) since: Instant,
    pub(super) watchdog: Watchdog,
    pub(super) next_ping: Pin<Box<Sleep>>,
    /// Ends, with why, when commands should go to another server.
    pub(super) moved: Pin<Box<dyn Future<Output = StoreError> + Send>>,
}

/// What happened to the link.
pub(super) enum LinkEvent {
    Connected(Box<Connection>),
    DialFailed(StoreError),
    /// Something has come over it.
    Heard,
    Lost(StoreError),
    PingDue,
    RetryDue,
}

impl Link {
    /// Whether a command finds a connection that takes it.
    pub(super) fn has_room(&self) -> bool {
        matches!(self, Self::Up(up) if !up.lane.is_full())
    }

    /// The next thing that happens to the link; never, while idle. Nothing is lost when this is dropped halfway.
    pub(super) async fn event(&mut self) -> LinkEvent {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Dialing { attempt, .. } => match attempt.await {
                Ok(connection) => LinkEvent::Connected(Box::new(connection)),
                Err(error) => LinkEvent::DialFailed(error),
            },
            Self::Up(up) => tokio::select! {
                biased;
                () = &mut up.next_ping => LinkEvent::PingDue,
                why = &mut up.moved => LinkEvent::Lost(why),
                turned = up.lane.turn() => match turned {
                    Ok(()) => LinkEvent::Heard,
                    Err(error) => LinkEvent::Lost(error),
                },
            },
            Self::Down { until, .. } => {
                until.await;
                LinkEvent::RetryDue
            }
        }
    }
}
