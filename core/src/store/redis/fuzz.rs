//! Hostile servers: the targets of [`crate::fuzz`] that read what comes over a connection.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp3::types::BytesFrame as Frame;

use super::batch::{Batch, says_tracking_is_off};
use super::cluster::{ReadTopology, Redirect, SLOTS};
use super::endpoint::{Endpoint, ServerAddress};
use super::errors::refused;
use super::scripts::{Request, ScriptName};
use super::tracking::Tracking;
use super::{redact, reply, resp};
use crate::fuzz::Source;
use crate::ports::Notice;

const DEPTH: usize = 4;

fn must_be_one_line(shown: &str) {
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

pub(crate) fn url(source: &mut Source<'_>) {
    const PASSWORD: &str = "s3cretPassw0rd";
    const HOSTS: &[&str] =
        &["cache", "cache:6379", "a,b:1,c", "[::1]:7", "/run/redis.sock", "", "x y", "é", "10.0.0.1:99999"];
    const ENDS: &[&str] =
        &["", "/0", "/mymaster", "/mymaster/3", "?db=2", "#x", "/\n", "?sentinel_password=s3cretPassw0rd"];
    let scheme = source.pick(&[&super::SCHEMES[..], &["http://", "redis:/", ""]].concat());
    let who = match source.below(4) {
        0 => String::new(),
        1 => format!(":{PASSWORD}@"),
        2 => format!("{}:{PASSWORD}@", source.text()),
        _ => format!("{}:{PASSWORD}{}@", source.text(), source.text()),
    };
    let host = if source.flag() { source.pick(HOSTS).to_owned() } else { source.text() };
    let end = if source.flag() { source.pick(ENDS).to_owned() } else { source.text() };
    let url = format!("{scheme}{who}{host}{end}");
    let shown = redact(&url);
    match Endpoint::parse(&url) {
        Ok(endpoint) => {
            for shown in [endpoint.to_string(), format!("{endpoint:?}"), format!("{:?}", endpoint.credentials), shown] {
                assert!(!shown.contains(PASSWORD), "{shown} of {url:?}");
            }
        }
        Err(error) => {
            must_be_one_line(error.message());
            assert!(!error.message().contains(PASSWORD) && !shown.contains(PASSWORD), "{error} of {url:?}");
        }
    }
}

pub(crate) fn reply(source: &mut Source<'_>) {
    const SCRIPTS: &[ScriptName] =
        &[ScriptName::Acquire, ScriptName::Fill, ScriptName::Beat, ScriptName::Read, ScriptName::EventRead];
    let request = match source.below(8) {
        0 => Request::Get(Bytes::from_static(b"k")),
        1 => Request::ReadTag(Bytes::from_static(b"k")),
        2 => Request::Time,
        3 => Request::Info,
        _ => Request::Script(source.pick(SCRIPTS), Vec::new()),
    };
    let frame = if source.flag() { verdict(source) } else { frame(source, DEPTH) };
    let _ = reply::payload_bytes(&frame);
    if let Err(error) = reply::read(&request, frame) {
        must_be_one_line(&error.message);
    }
}

/// A frame with the head of a script's answer.
fn verdict(source: &mut Source<'_>) -> Frame {
    const NAMES: &[&str] = &[
        "HIT",
        "LEASE",
        "WAIT",
        "SOLO",
        "FOREIGN",
        "STORED",
        "REVOKED",
        "SUPERSEDED",
        "NONCE",
        "OK",
        "LOST",
        "LATE",
        "NOT_STORED",
        "VERSIONS",
        "PUBLISHED",
        "EVENTS",
        "DONE",
        "GONE",
        "DEAD_LETTERS",
        "APPENDED",
        "FULL",
        "OWNED",
        "TAKEN",
        "ITEMS",
        "SETTLED",
        "STATE",
        "DEAD",
        "MOVED",
        "NOVEL",
    ];
    let mut data = vec![string(source.pick(NAMES)), number(source)];
    for _ in 0..source.below(8) {
        let part = match source.below(4) {
            0 => number(source),
            1 => string(source.pick(&[
                "1-1",
                "",
                "1700000000000000-3",
                "-",
                "18446744073709551615-18446744073709551615",
            ])),
            _ => frame(source, DEPTH),
        };
        data.push(part);
    }
    Frame::Array { data, attributes: None }
}

fn string(text: &str) -> Frame {
    Frame::BlobString { data: Bytes::copy_from_slice(text.as_bytes()), attributes: None }
}

fn number(source: &mut Source<'_>) -> Frame {
    let number = source.number();
    if source.flag() {
        string(&number.to_string())
    } else {
        Frame::Number { data: number.cast_signed(), attributes: None }
    }
}

fn frame(source: &mut Source<'_>, depth: usize) -> Frame {
    let attributes = None;
    match source.below(if depth > 0 { 16 } else { 10 }) {
        0 => Frame::Null,
        1 => number(source),
        2 => Frame::SimpleString { data: source.text().into(), attributes },
        3 => Frame::SimpleError { data: source.text().into(), attributes },
        4 => Frame::BlobError { data: source.bytes(), attributes },
        5 => Frame::Double { data: f64::from_bits(source.number()), attributes },
        6 => Frame::Boolean { data: source.flag(), attributes },
        7 => string(&source.text()),
        8 => {
            let format = redis_protocol::resp3::types::VerbatimStringFormat::Text;
            Frame::VerbatimString { data: source.bytes(), format, attributes }
        }
        9 => Frame::BlobString { data: source.bytes(), attributes },
        10 | 11 => Frame::Push { data: frames(source, depth), attributes },
        12 => {
            let data = frames(source, depth).into_iter().zip(frames(source, depth));
            let hashable = data.filter(|(name, _)| matches!(name, Frame::BlobString { .. } | Frame::Number { .. }));
            Frame::Map { data: hashable.collect(), attributes }
        }
        13 => {
            let names = frames(source, depth).into_iter().filter(|one| matches!(one, Frame::BlobString { .. }));
            Frame::Set { data: names.collect(), attributes }
        }
        _ => Frame::Array { data: frames(source, depth), attributes },
    }
}

fn frames(source: &mut Source<'_>, depth: usize) -> Vec<Frame> {
    let count = source.below(7);
    (0..count).map(|_| frame(source, depth - 1)).collect()
}

pub(crate) fn push(source: &mut Source<'_>) {
    let mut batch = Batch::default();
    let mut tracking = Tracking::default();
    let _ = tracking.expect(&[0]);
    let kinds: &[&[u8]] = &[b"invalidate", b"tracking-redir-broken", b"smessage", b""];
    while !source.is_spent() {
        match source.below(4) {
            0 => {
                let frame = frame(source, DEPTH);
                let _ = says_tracking_is_off(&frame);
                batch.take_echo(frame);
            }
            1 => {
                let rest = frames(source, DEPTH);
                let _ = batch.take_tracking(source.pick(kinds), &rest);
            }
            2 => {
                let numbers = [u16::from(source.byte() % 3), u16::from(source.byte() % 3)];
                let _ = tracking.expect(&numbers);
            }
            _ => {
                let notice = match source.below(4) {
                    0 => Notice::Tracking,
                    1 => Notice::PushLost,
                    2 => Notice::AllChanged,
                    _ => Notice::Heartbeat { sent_us: source.number() },
                };
                let _ = tracking.take(u16::from(source.byte() % 3), notice);
            }
        }
    }
    for notice in batch.notices(true) {
        let _ = tracking.take(0, notice);
    }
}

pub(crate) fn topology(source: &mut Source<'_>) {
    let asked = ServerAddress { host: "seed".into(), port: 9 };
    let error = format!("{}{}", source.pick(&["MOVED ", "ASK ", "TRYAGAIN", "MOVED 1 ", "ASK 3999 "]), source.text());
    match Redirect::of(&error, Some(&asked)) {
        Some(Redirect::Moved { to, .. } | Redirect::Ask { to }) => must_be_one_line(&to.to_string()),
        Some(Redirect::TryAgain) | None => {}
    }
    must_be_one_line(&refused(&error).message);
    let node = |source: &mut Source<'_>| {
        let data = vec![frame(source, 1), number(source), frame(source, 1)];
        if source.byte() < 230 { Frame::Array { data, attributes: None } } else { frame(source, 2) }
    };
    let ranges = (0..source.below(5)).map(|_| {
        let data = vec![number(source), number(source), node(source), node(source)];
        if source.byte() < 240 { Frame::Array { data, attributes: None } } else { frame(source, 2) }
    });
    let slots = Frame::Array { data: ranges.collect(), attributes: None };
    let info = string(&format!("cluster_state:ok\r\ncluster_current_epoch:{}\r\n{}", source.number(), source.text()));
    let info = if source.byte() < 240 { info } else { frame(source, 2) };
    if let Some(topology) = ReadTopology::read(&slots, &info, &asked) {
        for (first, last, primary) in &topology.ranges {
            assert!(*first < SLOTS && *last < SLOTS);
            must_be_one_line(&primary.to_string());
        }
        topology.members.iter().for_each(|member| must_be_one_line(&member.to_string()));
    }
    let about = frame(source, DEPTH);
    let _ = (resp::field(&about, "ip"), resp::field(&about, "run_id"), resp::text(&about));
}

pub(crate) fn wire(source: &mut Source<'_>) {
    let is_marked = source.flag();
    let mut buffer = BytesMut::new();
    while !source.is_spent() {
        if is_marked && source.flag() {
            const WITHIN: &[u8] = b"*1\r\n";
            const MARKS: &[&[u8]] = &[
                b"*",
                b"$",
                b">",
                b"%",
                b"~",
                b"_\r\n",
                b"\r\n",
                b"1",
                b"9999999999",
                b"-1",
                b":",
                b"+OK\r\n",
                b"|1\r\n",
                b"?",
                b"=9\r\ntxt:",
                WITHIN,
            ];
            let mark = source.pick(MARKS);
            // Deeper than any stack.
            let times = if mark == WITHIN && buffer.len() < 1 << 16 { 1 << 13 } else { 1 };
            buffer.extend_from_slice(&mark.repeat(times));
        } else {
            let count = source.below(9);
            buffer.extend_from_slice(source.take(count.max(1)));
        }
    }
    let mut left = buffer.len();
    while let Ok(Some(frame)) = resp::read(&mut buffer) {
        assert!(buffer.len() < left, "a frame of no bytes");
        left = buffer.len();
        let _ = (resp::text(&frame), reply::error_text(&frame).map(refused));
    }
}
