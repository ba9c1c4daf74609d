//! What a store says, as the worker on a partition understands it, and what the worker hands out, as a host does.

use super::super::batch::Item;
use crate::ports::{Reply, StoreError, Verdict};
use crate::protocol::queue::worker::Answer;
use crate::protocol::queue::{QueueReply, Queued};

/// What the worker understands of an answer.
pub(super) fn answer_of(answer: Result<Reply, StoreError>) -> Answer {
    let Ok(Reply { server_us, verdict }) = answer else { return Answer::None };
    match verdict {
        Verdict::Ok => Answer::Counted,
        Verdict::Lost => Answer::Lost,
        Verdict::Queue(QueueReply::Owned { .. }) => Answer::Owned,
        Verdict::Queue(QueueReply::Taken { left_ms }) => Answer::Taken { left_us: left_ms.saturating_mul(1_000) },
        Verdict::Queue(QueueReply::Settled { .. }) => Answer::Settled,
        Verdict::Queue(QueueReply::State { ends, .. }) => Answer::State { last: ends.last },
        Verdict::Queue(QueueReply::Items { items, has_more, .. }) => {
            Answer::Items { items, has_more, server_ms: server_us.unwrap_or_default() / 1_000 }
        }
        _ => Answer::None,
    }
}

pub(super) fn item(queued: &Queued) -> Item {
    let id = queued.shown_id();
    Item {
        id,
        key: Some(queued.write.key.clone()),
        topic: None,
        payload: queued.write.payload.clone(),
        attempt: queued.attempts,
        published_ms: id.ms,
        service: None,
    }
}
