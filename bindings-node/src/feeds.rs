//! The verbs of streams: domain events, and the queues of write-behind.

use napi::bindgen_prelude::{Either, Object};
use napi_derive::napi;
use tidegate::config::Dialect;
use tidegate::engine::behind::LetterAct;
use tidegate::engine::events::Handled;
use tidegate::engine::publish::Publishing;
use tidegate::engine::{Begun, FeedId, Outcome, Settled};
use tidegate::protocol::envelope::Codec;
use tidegate::protocol::stream::StreamId;
use tidegate::protocol::subscription::Rules;
use tidegate_guard::guarded;

use crate::behind::Behind;
use crate::cache::{Cache, inner};
use crate::convert::{self, Given};
use crate::error::{OrThrow, Thrown, broken};
use crate::terms::Terms;

#[expect(clippy::too_many_arguments, reason = "of `put`: its caller is JavaScript")]
#[guarded]
#[napi]
impl Cache {
    /// Publishes an event (null is a null): the text of its id, once the store has it.
    #[napi]
    pub fn publish_event(
        &self,
        id: f64,
        name: String,
        payload: Option<String>,
        max_len: f64,
        operation: Option<String>,
    ) -> bool {
        let how = Publishing { max_len: max_len as u64, operation: operation.as_deref() };
        let payload = convert::payload(payload.map(Either::A), Codec::Json as u32);
        let begun = self.engine.publish(&name, payload, how, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// The events of this name that were set aside.
    #[napi]
    pub fn event_letters(&self, id: f64, name: String, limit: u32) -> bool {
        let begun = self.engine.event_letters(&name, limit as usize, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// Takes one of them away, to be handled again or to be forgotten: whether it was there.
    #[napi]
    pub fn take_event_letter(&self, id: f64, name: String, letter: String, again: bool) -> bool {
        let begun = self.engine.take_event_letter(&name, &letter, again, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// Begins to read the events of this name: the number of a feed.
    #[napi]
    pub fn subscribe(
        &self,
        name: String,
        max_attempts: f64,
        dead_ms: f64,
        has_gap_handler: bool,
        view: Option<&Terms>,
    ) -> Result<f64, Thrown> {
        let rules = Rules { max_attempts: max_attempts as u64, dead_ms: dead_ms as u64, has_gap_handler };
        Ok(self.engine.subscribe(&name, inner(view), rules).or_throw()?.0 as f64)
    }

    /// Waits until the service's group is there, for so long if it says so: true; false when that time was over, or the feed
    /// ended, before that.
    #[napi]
    pub fn subscription_started(&self, id: f64, feed: f64, timeout_ms: Option<f64>) -> bool {
        let timeout_ms = timeout_ms.map(|ms| ms as u64);
        let begun = self.engine.subscription_started(FeedId(feed as u64), timeout_ms, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// Says what a handler made of the event that the call of number `given` got: what it names is invalidated, or it failed
    /// with these words.
    #[napi]
    pub fn settle_event(
        &self,
        id: f64,
        given: f64,
        keys: Vec<String>,
        tags: Vec<String>,
        error: Option<String>,
    ) -> bool {
        let handled = error.map_or(Handled::Done { keys, tags }, Handled::Failed);
        let begun = match self.desk.take_batch(given as u64) {
            Some(batch) => self.engine.settle_event(batch, handled, &self.desk.queue, id as u64),
            None => Begun::Ready(Outcome::Confirmed(false)),
        };
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// The next batch of a feed, or the word that none will come any more.
    #[napi]
    pub fn feed_next(&self, id: f64, feed: f64) -> bool {
        let begun = self.engine.feed_next(FeedId(feed as u64), &self.desk.queue, id as u64);
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// Says what became of the batch that the call of number `given` got: `failed` are the ids that are to be handed out
    /// again, none is all of them.
    #[napi]
    pub fn settle_batch(&self, id: f64, given: f64, failed: Option<Vec<String>>) -> bool {
        let settled = failed.map_or(Settled::Failed, |ids| {
            let ids: Vec<_> = ids.iter().filter_map(|id| StreamId::read(id.as_bytes())).collect();
            if ids.is_empty() { Settled::Done } else { Settled::AllBut(ids) }
        });
        let begun = match self.desk.take_batch(given as u64) {
            Some(batch) => self.engine.settle_batch(batch, settled, &self.desk.queue, id as u64),
            None => Begun::Ready(Outcome::Confirmed(false)),
        };
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// Ends a feed, within that time; whether all that was under way ended.
    #[napi]
    pub fn feed_close(&self, id: f64, feed: f64, timeout_ms: f64) -> bool {
        let begun = self.engine.feed_close(FeedId(feed as u64), timeout_ms as u64, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, Ok(begun), false)
    }

    /// A queue of write-behind; with `works` this host has a sink for it.
    #[napi]
    pub fn behind(
        &self,
        name: String,
        view: Option<&Terms>,
        options: Object<'_>,
        works: bool,
    ) -> Result<Behind, Thrown> {
        let options = convert::options(&options).map_err(broken)?;
        Ok(Behind { inner: self.engine.behind(&name, inner(view), &options, Dialect::Node, works).or_throw()? })
    }

    /// Puts a write (null is a null): the word with its id.
    #[napi]
    pub fn put(
        &self,
        id: f64,
        behind: &Behind,
        key: String,
        #[napi(ts_arg_type = "string | Uint8Array | null")] payload: Given<'_>,
        codec: u32,
        operation: Option<String>,
        terms: Option<&Terms>,
    ) -> bool {
        let (payload, operation) = (convert::payload(payload, codec), operation.as_deref());
        let queue = &self.desk.queue;
        let begun = self.engine.put(&behind.inner, &key, payload, operation, inner(terms), queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// Waits until what is pending now has been dealt with.
    #[napi]
    pub fn flush(&self, id: f64, behind: &Behind, timeout_ms: f64) -> bool {
        let begun = self.engine.flush(&behind.inner, timeout_ms as u64, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// What was set aside, the oldest first.
    #[napi]
    pub fn letters(&self, id: f64, behind: &Behind, limit: u32) -> bool {
        let begun = self.engine.letters(&behind.inner, limit as usize, &self.desk.queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }

    /// Puts what was set aside into its queue again, or drops it; all of it without `which`.
    #[napi]
    pub fn act_on_letters(&self, id: f64, behind: &Behind, drops: bool, which: Option<String>) -> bool {
        let act = if drops { LetterAct::Drop } else { LetterAct::Retry };
        let queue = &self.desk.queue;
        let begun = self.engine.act_on_letters(&behind.inner, act, which.as_deref(), queue, id as u64);
        self.desk.keep(id as u64, begun, false)
    }
}
