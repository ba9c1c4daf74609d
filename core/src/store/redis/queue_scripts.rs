//! What is asked of a queue, as scripts, and what they answer.

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::parts::{array, nonsense, number, value};
use super::scripts::{Request, ScriptName, ms, text};
use crate::ports::{StoreError, Verdict};
use crate::protocol::key::Key;
use crate::protocol::queue::{
    DEAD_AT_ONCE, DeadLetter, Ends, Owner, Put, QueueAct, QueueReply, Queued, READ_BYTES_MAX, Write,
};
use crate::protocol::stream::StreamId;

pub(super) fn queue_script(queue: &Key, act: &QueueAct) -> Request {
    let (name, arguments) = match act {
        QueueAct::Put(put) => {
            let Put { operation, kept_ms, not_after_ms, most, write, value } = &**put;
            let fields = fields_of(write);
            let mut arguments =
                vec![text(not_after_ms), ms((*kept_ms).max(1)), text(most), text(&queue.wake()), text(&fields.len())];
            arguments.extend(fields);
            let operation = text(&queue.operation(operation));
            return match value {
                None => {
                    let keys = [Bytes::from_static(b"2"), text(queue.full()), operation];
                    Request::Script(ScriptName::PutAlone, keys.into_iter().chain(arguments).collect())
                }
                Some((key, entry)) => {
                    let keys =
                        [text(key.full()), text(&key.lease()), text(&key.fields()), text(queue.full()), operation];
                    let draft = [entry.bytes.clone(), ms(entry.life.fresh_ms), ms(entry.life.kept_ms)];
                    let all = std::iter::once(Bytes::from_static(b"5")).chain(keys).chain(draft).chain(arguments);
                    Request::Script(ScriptName::Put, all.chain([text(&key.wake())]).collect())
                }
            };
        }
        QueueAct::Own(owner) => (ScriptName::Own, owner_of(owner)),
        QueueAct::Read { owner, after, count } => {
            (ScriptName::Read, with(owner, [text(after), text(count), text(&READ_BYTES_MAX)]))
        }
        QueueAct::Again { owner, items } => (ScriptName::Again, with(owner, pairs(items))),
        QueueAct::Settle { owner, ids } => (ScriptName::SettleWrites, with(owner, ids.iter().map(text))),
        QueueAct::SetAside { owner, items, why } => {
            (ScriptName::SetAside, with(owner, std::iter::once(text(why.reason())).chain(pairs(items))))
        }
        QueueAct::GiveUp { nonce } => (ScriptName::GiveUp, vec![text(nonce)]),
        QueueAct::State => (ScriptName::State, Vec::new()),
        QueueAct::Dead { after, count } => (ScriptName::Dead, vec![text(after), text(count)]),
        QueueAct::Revive { from, to } => (ScriptName::Revive, vec![text(from), text(to), text(&DEAD_AT_ONCE)]),
        QueueAct::DropDead { from, to } => (ScriptName::DropDead, vec![text(from), text(to), text(&DEAD_AT_ONCE)]),
    };
    let keys = [text(queue.full()), text(&queue.owner()), text(&queue.attempts()), text(&queue.dead())];
    let all = std::iter::once(Bytes::from_static(b"4")).chain(keys).chain(arguments);
    Request::Script(name, all.chain([text(&queue.wake())]).collect())
}

fn owner_of(owner: &Owner) -> Vec<Bytes> {
    vec![text(&owner.nonce), ms(owner.lease_ms)]
}

fn with(owner: &Owner, more: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
    owner_of(owner).into_iter().chain(more).collect()
}

fn pairs(items: &[(StreamId, u32)]) -> impl Iterator<Item = Bytes> {
    items.iter().flat_map(|(id, number)| [text(id), text(number)])
}

fn fields_of(write: &Write) -> Vec<Bytes> {
    let name = Bytes::from_static;
    let mut fields =
        vec![name(b"k"), text(&*write.key), name(b"p"), text(&*write.prefix), name(b"c"), text(&write.codec_text())];
    if let Some(bytes) = &write.payload.bytes {
        fields.extend([name(b"v"), bytes.clone()]);
    }
    if let Some(origin) = write.origin {
        fields.extend([name(b"i"), text(&origin)]);
    }
    fields
}

/// The parts behind the verdict and its time; none for a verdict that is no queue's.
pub(super) fn queue_verdict(
    name: &[u8],
    mut next: impl FnMut() -> Result<Frame, StoreError>,
) -> Result<Option<Verdict>, StoreError> {
    Ok(Some(Verdict::Queue(match name {
        b"APPENDED" => {
            let id = id(next()?)?.ok_or_else(nonsense)?;
            QueueReply::Appended { id, pending: number(next()?)?, version: number(next()?)? }
        }
        b"FULL" => QueueReply::Full { pending: number(next()?)? },
        b"OWNED" => QueueReply::Owned { pending: number(next()?)? },
        b"TAKEN" => QueueReply::Taken { left_ms: number(next()?)? },
        b"ITEMS" => {
            let (pending, has_more) = (number(next()?)?, number(next()?)? > 0);
            let (items, attempts) = (array(next()?)?, array(next()?)?);
            let dead = number(next()?)?;
            if items.len() != attempts.len() {
                return Err(nonsense());
            }
            let item = |(item, attempts): (Frame, Frame)| {
                let (id, write) = entry(item)?;
                let attempts = u32::try_from(number(attempts)?).unwrap_or(u32::MAX);
                Ok(Queued { id, write: Write::of_fields(fields(&write)), attempts })
            };
            let items = items.into_iter().zip(attempts).map(item).collect::<Result<_, StoreError>>()?;
            QueueReply::Items { items, has_more, pending, dead }
        }
        b"SETTLED" => QueueReply::Settled { pending: number(next()?)? },
        b"STATE" => {
            let pending = number(next()?)?;
            let ends = Ends { first: id(next()?)?, last: id(next()?)?, last_dead: id(next()?)? };
            QueueReply::State { ends: Box::new(ends), pending }
        }
        b"DEAD" => {
            let letters = array(next()?)?.into_iter().map(dead_letter);
            QueueReply::Dead(letters.collect::<Result<_, _>>()?)
        }
        b"MOVED" => QueueReply::Moved { count: number(next()?)?, has_more: number(next()?)? > 0 },
        _ => return Ok(None),
    })))
}

/// None for an empty text.
fn id(frame: Frame) -> Result<Option<StreamId>, StoreError> {
    let text = value(frame)?.ok_or_else(nonsense)?;
    if text.is_empty() { Ok(None) } else { StreamId::read(&text).map(Some).ok_or_else(nonsense) }
}

/// An entry of a stream: its id, and its fields with their values.
fn entry(frame: Frame) -> Result<(StreamId, Vec<Bytes>), StoreError> {
    let [name, fields] = <[Frame; 2]>::try_from(array(frame)?).map_err(|_| nonsense())?;
    let fields = array(fields)?.into_iter().map(|part| value(part)?.ok_or_else(nonsense));
    Ok((id(name)?.ok_or_else(nonsense)?, fields.collect::<Result<_, StoreError>>()?))
}

fn fields(parts: &[Bytes]) -> impl Iterator<Item = (&[u8], Bytes)> {
    parts.chunks_exact(2).map(|pair| (&pair[0][..], pair[1].clone()))
}

fn dead_letter(frame: Frame) -> Result<DeadLetter, StoreError> {
    let (id, parts) = entry(frame)?;
    let text = |name: &[u8]| {
        let found = fields(&parts).find(|(field, _)| *field == name);
        found.map(|(_, value)| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
    };
    let (attempts, reason) = (text(b"a").parse().unwrap_or(0), text(b"r").into_boxed_str());
    Ok(DeadLetter { id, write: Write::of_fields(fields(&parts)), attempts, reason })
}
