//! Which node serves which slot, as a Cluster's nodes tell it: CLUSTER SLOTS, CLUSTER INFO, MOVED and ASK. Trusts nothing.

use redis_protocol::resp3::types::BytesFrame as Frame;

use super::super::endpoint::ServerAddress;
use super::super::resp;

/// Slots of every Cluster.
pub(in super::super) const SLOTS: u16 = 16_384;

/// What one node says of its Cluster.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Topology {
    /// Its `cluster_current_epoch`: it grows with each failover and each slot that has moved.
    pub(in super::super) epoch: u64,
    /// First slot, last slot, their primary.
    pub(in super::super) ranges: Vec<(u16, u16, ServerAddress)>,
    /// Those who can be asked again: primaries and replicas.
    pub(in super::super) members: Vec<ServerAddress>,
}

impl Topology {
    /// Reads the answers of `asked`, which stands for a host that is left out.
    pub(in super::super) fn read(slots: &Frame, info: &Frame, asked: &ServerAddress) -> Option<Self> {
        let info = resp::text(info)?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let epoch = field("cluster_current_epoch")?.trim().parse().ok()?;
        let Frame::Array { data, .. } = slots else { return None };
        let (mut ranges, mut members) = (Vec::new(), Vec::new());
        for range in data {
            let Frame::Array { data: parts, .. } = range else { return None };
            let [first, last, primary, replicas @ ..] = &parts[..] else { return None };
            let slot = |frame: &Frame| resp::text(frame)?.parse::<u16>().ok().filter(|slot| *slot < SLOTS);
            let primary = server(primary, asked)?;
            for member in std::iter::once(primary.clone()).chain(replicas.iter().filter_map(|one| server(one, asked))) {
                if !members.contains(&member) {
                    members.push(member);
                }
            }
            ranges.push((slot(first)?, slot(last)?, primary));
        }
        // A node that knows of no slots has just been made, or has been forgotten: others know better.
        (!ranges.is_empty()).then_some(Self { epoch, ranges, members })
    }
}

fn server(frame: &Frame, asked: &ServerAddress) -> Option<ServerAddress> {
    let Frame::Array { data, .. } = frame else { return None };
    let host = resp::text(data.first()?).filter(|host| !host.is_empty() && host != "?");
    let port = resp::text(data.get(1)?)?.parse().ok()?;
    Some(match host {
        Some(host) => ServerAddress::told(&host, port),
        None => ServerAddress { host: asked.host.clone(), port },
    })
}

/// What a node says instead of an answer.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Redirect {
    /// The slot is that node's now.
    Moved { slot: u16, to: ServerAddress },
    /// This one key has gone there already; its slot has not yet.
    Ask { to: ServerAddress },
    /// Some keys of the command have gone and some have not.
    TryAgain,
}

impl Redirect {
    /// Reads an error of `asked`; none when it is an error and nothing else.
    pub(in super::super) fn of(error: &str, asked: Option<&ServerAddress>) -> Option<Self> {
        let mut words = error.split(' ');
        let kind = words.next()?;
        if kind == "TRYAGAIN" {
            return Some(Self::TryAgain);
        }
        if kind != "MOVED" && kind != "ASK" {
            return None;
        }
        let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let host = if host.is_empty() || host == "?" { asked?.host.as_str() } else { host };
        let to = ServerAddress::told(host, port.parse().ok()?);
        Some(if kind == "MOVED" { Self::Moved { slot, to } } else { Self::Ask { to } })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn frame(wire: &str) -> Frame {
        resp::read(&mut BytesMut::from(wire.as_bytes())).expect("RESP3").expect("whole")
    }

    fn at(host: &str, port: u16) -> ServerAddress {
        ServerAddress { host: host.into(), port }
    }

    #[test]
    fn the_slots_are_read_with_their_primaries_and_whom_to_ask_again() {
        let node = |host: &str, port: u16| format!("*4\r\n${}\r\n{host}\r\n:{port}\r\n$2\r\nid\r\n*0\r\n", host.len());
        let range = |first: u16, last: u16, nodes: &[String]| {
            format!("*{}\r\n:{first}\r\n:{last}\r\n{}", nodes.len() + 2, nodes.concat())
        };
        let slots = frame(&format!(
            "*2\r\n{}{}",
            range(0, 8_191, &[node("10.0.0.1", 1), node("10.0.0.2", 2)]),
            range(8_192, 16_383, &[node("", 3)])
        ));
        let info = "cluster_state:ok\r\ncluster_current_epoch:7\r\ncluster_my_epoch:2\r\n";
        let info = frame(&format!("={}\r\ntxt:{info}\r\n", info.len() + 4));
        let read = Topology::read(&slots, &info, &at("seed", 9)).expect("right");
        assert_eq!(read.epoch, 7);
        assert_eq!(read.ranges, [(0, 8_191, at("10.0.0.1", 1)), (8_192, 16_383, at("seed", 3))]);
        assert_eq!(read.members, [at("10.0.0.1", 1), at("10.0.0.2", 2), at("seed", 3)]);
        assert_eq!(Topology::read(&frame("*0\r\n"), &info, &at("seed", 9)), None);
        assert_eq!(Topology::read(&frame("*1\r\n*2\r\n:0\r\n:99999\r\n"), &info, &at("seed", 9)), None);
    }

    #[test]
    fn redirects_are_told_from_errors() {
        let here = at("here", 1);
        let read = |error: &str| Redirect::of(error, Some(&here));
        assert_eq!(
            read("MOVED 3999 127.0.0.1:6381"),
            Some(Redirect::Moved { slot: 3_999, to: at("127.0.0.1", 6_381) })
        );
        assert_eq!(read("MOVED 3999 ::1:6381"), Some(Redirect::Moved { slot: 3_999, to: at("[::1]", 6_381) }));
        for unnamed in ["MOVED 3999 :6381", "MOVED 3999 ?:6381"] {
            assert_eq!(read(unnamed), Some(Redirect::Moved { slot: 3_999, to: at("here", 6_381) }), "{unnamed}");
        }
        assert_eq!(read("ASK 3999 a.example:6381"), Some(Redirect::Ask { to: at("a.example", 6_381) }));
        assert_eq!(read("TRYAGAIN Multiple keys request during rehashing of slot"), Some(Redirect::TryAgain));
        for error in ["ERR MOVED 1 a:1", "MOVED", "MOVED 99999 a:1", "ASK 1 a", "ASK 1 a:port", "OOM"] {
            assert_eq!(read(error), None, "{error}");
        }
    }
}
