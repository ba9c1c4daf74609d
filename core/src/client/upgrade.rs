//! Entries of an older version of the service, taken over by functions of the host's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Manager;
use super::calls::{Arrival, Call};
use super::fetch::{Fetch, Turn};
use super::wire::Wire;
use crate::engine::{Begun, Lease};
use crate::protocol::envelope::Payload;

/// What a function of [`ManagerBuilder::upgrade`](super::ManagerBuilder::upgrade) may fail with.
pub type UpgradeError = Box<dyn std::error::Error + Send + Sync>;

/// One version's value made of the one before.
pub(super) type Upgrade = Arc<dyn Fn(Value) -> Result<Value, UpgradeError> + Send + Sync>;

/// By the version whose values each takes.
pub(super) type Upgrades = Arc<BTreeMap<u32, Upgrade>>;

impl Fetch<'_> {
    /// Makes the value of what an older version holds, where there is something, and settles the lease with it.
    pub(super) async fn take_over<T: Wire, E>(&self, lease: Lease, mut place: Call) -> Turn<T, E> {
        let Some(older) = &lease.older else { return Turn::Lead(lease, place) };
        match self.manager.upgraded(older.version, &older.payload).and_then(|value| {
            let payload = value.to_payload(self.terms.codec())?;
            Ok((T::of_payload(&payload)?, payload))
        }) {
            Ok((value, payload)) => {
                if let Begun::Waiting(_) = self.manager.engine.fill_upgraded(lease, payload) {
                    // The soft timeout may come first: the value was right behind it.
                    while let Arrival::Served(_, next) = place.await {
                        place = next;
                    }
                }
                Turn::Over(Ok(value))
            }
            Err(error) => {
                let message =
                    format!("what version {} holds at {:?} is not taken over: {error}", older.version, self.key);
                self.manager.engine.report_host(Some(self.key), Some(&self.terms), "upgrade", &message);
                Turn::Lead(lease, place)
            }
        }
    }
}

impl Manager {
    fn upgraded(&self, version: u32, payload: &Payload) -> Result<Value, UpgradeError> {
        let value = Value::of_payload(payload)?;
        // A null is a null in every version.
        if payload.bytes.is_none() {
            return Ok(value);
        }
        self.upgrades.range(version..).try_fold(value, |value, (_, step)| step(value))
    }
}
