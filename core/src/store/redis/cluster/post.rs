//! What the Cluster's task is told.

use tokio::time::Instant;

use super::super::pending::Sending;
use super::topology::Redirect;
use crate::ports::{Address, Command};
use crate::protocol::key::Key;

/// What the handle, the drivers and the push tasks post.
pub(in super::super) enum ClusterPost {
    /// A command whose node is not known.
    Command {
        command: Command,
        address: Address,
        due: Instant,
    },
    /// A command that was sent to the wrong node.
    Redirected {
        sending: Sending,
        redirect: Redirect,
    },
    /// Something says that the topology is not what it was.
    Refresh,
    /// The connection to this node is lost, or stands again.
    Trouble {
        node: u16,
        is_over: bool,
    },
    Watch(Key),
    Unwatch(Key),
    Close,
}
