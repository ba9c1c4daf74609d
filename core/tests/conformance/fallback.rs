//! The fallbacks of a scenario: what they give and say, and the gates that hold them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate::{Context, Error};
use tokio::sync::Notify;

use super::step::Says;

/// What the fallbacks give: JSON, or something that the codec cannot write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Json(Json),
    Unstorable,
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Unstorable => Err(S::Error::custom("unstorable on purpose")),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer).map(Self::Json)
    }
}

/// Why a fallback fails.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    Text(String),
    /// What it said was refused, with this code.
    Refused(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error.code().to_owned())
    }
}

/// How a fallback ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) gives: Result<Given, Fault>,
    pub(super) says: Says,
}

impl End {
    pub(super) fn reach(self, context: &Context) -> Result<Given, Fault> {
        self.says.to(context)?;
        self.gives
    }
}

/// Holds the runs of a fallback until a step lets one go.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    entered: u32,
    /// `ctx.stale` of the run that was entered last.
    saw: Option<Json>,
    /// The fields that the fetch was asked for that was entered last.
    asked: Vec<String>,
    ends: VecDeque<End>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(super) fn entered(&self) -> u32 {
        self.state().entered
    }

    pub(super) fn saw(&self) -> Option<Json> {
        self.state().saw.clone()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    pub(super) fn end_one(&self, end: End) {
        self.state().ends.push_back(end);
        self.changed.notify_waiters();
    }

    pub(super) async fn run(&self, context: Context) -> Result<Given, Fault> {
        self.hold(context.stale()).await.reach(&context)
    }

    /// The same of a `persist`.
    pub(super) async fn persist(&self) -> Result<Given, Fault> {
        self.hold(None).await.gives
    }

    /// The same of a fetch of fields.
    pub(super) async fn fetch(&self, missing: Vec<String>) -> Result<Given, Fault> {
        self.state().asked = missing;
        self.hold(None).await.gives
    }

    async fn hold(&self, saw: Option<Json>) -> End {
        {
            let mut state = self.state();
            state.entered += 1;
            state.saw = saw;
        }
        self.changed.notify_waiters();
        loop {
            let changed = self.changed.notified();
            let end = self.state().ends.pop_front();
            if let Some(end) = end {
                return end;
            }
            changed.await;
        }
    }
}
