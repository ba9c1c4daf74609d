//! The little of RESP3 that is needed: writing a command, reading frames.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp3::decode::complete::decode_bytes_mut;
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::whole;

/// A frame that is still not whole at this length is not waited for: the other side speaks no RESP3, or tells of so many
/// changes at once (a quarter of a million keys) that to begin anew is cheaper.
const UNREAD_BYTES_MAX: usize = 16 << 20;
/// Each try at a frame reads it from its beginning. From this length on it is tried only when the bytes may be its last.
const EAGER_BYTES_MAX: usize = 64 << 10;

/// Appends one command.
pub(super) fn write(out: &mut BytesMut, parts: &[&[u8]]) {
    begin(out, parts.len());
    parts.iter().for_each(|part| add(out, part));
}

/// Begins a command of so many parts, each to be added.
pub(super) fn begin(out: &mut BytesMut, parts: usize) {
    head(out, b'*', parts);
}

pub(super) fn add(out: &mut BytesMut, part: &[u8]) {
    head(out, b'$', part.len());
    out.extend_from_slice(part);
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut BytesMut, kind: u8, mut count: usize) {
    const DIGITS: usize = 20;
    let mut head = [0; DIGITS + 3];
    let mut at = head.len() - 2;
    head[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        head[at] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            break;
        }
    }
    at -= 1;
    head[at] = kind;
    out.extend_from_slice(&head[at..]);
}

/// Takes one whole frame from the front.
pub(super) fn read(buffer: &mut BytesMut) -> Result<Option<Frame>, String> {
    // Whatever the server has written in full ends so; when it does not, more is on its way.
    let may_be_whole = buffer.len() <= EAGER_BYTES_MAX || buffer.ends_with(b"\r\n");
    if !may_be_whole && buffer.len() <= UNREAD_BYTES_MAX {
        return Ok(None);
    }
    match read_reply(buffer)? {
        None if buffer.len() > UNREAD_BYTES_MAX => Err("a frame larger than anything we ask for".into()),
        found => Ok(found),
    }
}

/// The same of what was asked for: values, as large as settings let them be, and few to a frame.
pub(super) fn read_reply(buffer: &mut BytesMut) -> Result<Option<Frame>, String> {
    let Some(end) = whole::first_frame(buffer).map_err(|what| format!("no RESP3: {what}"))? else { return Ok(None) };
    match decode_bytes_mut(buffer) {
        Ok(Some((frame, length, _))) if length == end => Ok(Some(frame)),
        Ok(_) => Err("no RESP3: a frame that ends elsewhere".into()),
        Err(error) => Err(format!("no RESP3: {}", error.kind().to_str())),
    }
}

/// The bytes of a string frame.
pub(super) fn string(frame: Frame) -> Option<Bytes> {
    match frame {
        Frame::BlobString { data, .. } | Frame::SimpleString { data, .. } => Some(data),
        _ => None,
    }
}

/// The text of a string frame.
pub(super) fn text(frame: &Frame) -> Option<String> {
    match frame {
        // INFO is verbatim.
        Frame::BlobString { data, .. } | Frame::SimpleString { data, .. } | Frame::VerbatimString { data, .. } => {
            std::str::from_utf8(data).ok().map(str::to_owned)
        }
        Frame::Number { data, .. } => Some(data.to_string()),
        _ => None,
    }
}

/// A named field: of a map, or of an array of names and values.
pub(super) fn field(frame: &Frame, wanted: &str) -> Option<String> {
    match frame {
        Frame::Map { data, .. } => {
            data.iter().find(|(name, _)| text(name).as_deref() == Some(wanted)).and_then(|(_, value)| text(value))
        }
        Frame::Array { data, .. } => {
            data.chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some(wanted)).and_then(|pair| text(&pair[1]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let mut buffer = BytesMut::from(&b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$0\r\n"[..]);
        assert_eq!(read(&mut buffer), Ok(None));
        buffer.extend_from_slice(b"\r\n+PONG\r\n");
        assert!(matches!(read(&mut buffer), Ok(Some(Frame::Push { .. }))));
        assert_eq!(read(&mut buffer).expect("right").and_then(string), Some(Bytes::from_static(b"PONG")));
        assert_eq!(read(&mut buffer), Ok(None));
        assert!(read(&mut BytesMut::from(&b"HTTP/1.1 400\r\n\r\n"[..])).is_err());
    }

    #[test]
    fn a_large_frame_is_read_when_its_last_bytes_are_there_and_not_waited_for_without_end() {
        let name = "k".repeat(EAGER_BYTES_MAX);
        let frame = format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{name}\r\n", name.len());
        let (head, tail) = frame.split_at(frame.len() - 1);
        let mut buffer = BytesMut::from(head);
        assert_eq!(read(&mut buffer), Ok(None));
        buffer.extend_from_slice(tail.as_bytes());
        assert!(matches!(read(&mut buffer), Ok(Some(Frame::Push { .. }))));
        let mut buffer = BytesMut::from(&b">2\r\n$10\r\ninvalidate\r\n*999999\r\n"[..]);
        while buffer.len() <= UNREAD_BYTES_MAX {
            assert_eq!(read(&mut buffer), Ok(None));
            buffer.extend_from_slice(format!("${}\r\n{name}\r\n", name.len()).repeat(16).as_bytes());
        }
        assert!(read(&mut buffer).is_err());
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = BytesMut::new();
        write(&mut out, &[b"SUBSCRIBE", b"a", b"0123456789", b""]);
        assert_eq!(&out[..], b"*4\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$10\r\n0123456789\r\n$0\r\n\r\n");
    }
}
