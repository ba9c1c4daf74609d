//! Payloads on their way in: which of them may be stored, and their compression.

use super::Engine;
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind};
use crate::payload::DEPTH_MAX;
use crate::protocol::envelope::{Payload, Reject};
use crate::protocol::key::Key;

impl Engine {
    /// Whether a payload is one that may be stored.
    ///
    /// # Errors
    /// `ValueTooLarge`; `EncodeError` for what no reader takes.
    pub(super) fn check_payload(&self, key: &Key, payload: &Payload) -> Result<(), Error> {
        let key = key.relative();
        match &payload.fields {
            None => self.check_one(|| format!("the value of {key:?}"), payload),
            Some(fields) => fields.iter().try_for_each(|field| {
                self.check_one(|| format!("the field {:?} of {key:?}", field.name), &field.payload)
            }),
        }
    }

    fn check_one(&self, named: impl Fn() -> String, payload: &Payload) -> Result<(), Error> {
        let (len, limit) = (payload.len(), self.config.max_value_bytes);
        if len > limit {
            let option = Dialect::of_host().spell("max_value_bytes");
            let message = format!("{} has {len} bytes, {option} is {limit}", named());
            return Err(Error::new(ErrorKind::ValueTooLarge, message));
        }
        let why = match payload.fault() {
            None => return Ok(()),
            Some(Reject::Nesting) => format!("it is nested deeper than {DEPTH_MAX} levels"),
            Some(fault) => fault.reason().to_owned(),
        };
        Err(Error::new(ErrorKind::EncodeError, format!("{} is not stored: {why}", named())))
    }

    /// Has a payload compressed, here or on a thread of its own where that takes long, and goes on with it.
    pub(super) fn with_packed(&self, payload: Payload, go_on: impl FnOnce(&Self, Payload) + Send + 'static) {
        if !self.seal.is_long(payload.len()) {
            return go_on(self, self.packed(payload));
        }
        let me = self.me.clone();
        // Busy until it has gone on: a close waits for it.
        std::mem::forget(self.busy());
        self.store.aside(Box::new(move || {
            let Some(engine) = me.upgrade() else { return };
            let _busy = engine.still_busy();
            let packed = engine.packed(payload);
            go_on(&engine, packed);
        }));
    }

    /// A fallback's value that goes to its callers only.
    pub(super) fn report_unstorable(&self, key: &Key, error: &Error) {
        let reason = if error.kind() == ErrorKind::ValueTooLarge { "too_large" } else { "encode" };
        self.report(Some(key), reason, error.message());
    }
}
