//! The way to a server by its name. A name may have several addresses, some of which swallow what is sent to them: each is
//! tried with a head start over the next, and the first that answers is taken (RFC 8305). A resolver may hang for half a
//! minute: each name is looked up by a thread of its own, of which there is one at a time, and nobody else waits for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::endpoint::ServerAddress;
use super::runtime::PerProcess;
use super::shared::lock;
use crate::{panics, signals};

/// What an address has over the next; less where the whole has little time.
const HEAD_START: Duration = Duration::from_millis(100);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Names that are looked up at once: a server says them, and each takes a thread.
const NAMES_MAX: usize = 64;
/// Attempts to connect are seconds apart.
const LATE_KEPT: Duration = Duration::from_secs(30);

/// With the scope of those that are of one link only.
type Found = Result<Vec<SocketAddr>, String>;
type Lookups = Mutex<HashMap<String, Lookup>>;

enum Lookup {
    /// Who waits for it.
    UnderWay(Vec<oneshot::Sender<Found>>),
    /// It came when nobody waited any more: for who asks next. A resolver that is slower than they may wait would never
    /// be heard.
    Late(Instant, Vec<SocketAddr>),
}

impl Lookup {
    fn is_old(&self) -> bool {
        matches!(self, Self::Late(since, _) if since.elapsed() > LATE_KEPT)
    }
}

static LOOKUPS: PerProcess<Lookups> = PerProcess::new();

/// Connects, in about `limit` at the most.
pub(super) async fn connect(address: &ServerAddress, limit: Duration) -> io::Result<TcpStream> {
    let host = address.bare_host();
    let found = match host.parse::<IpAddr>() {
        Ok(number) => vec![SocketAddr::new(number, address.port)],
        Err(_) => {
            let lookups =
                LOOKUPS.get_or_open(|| Ok(Mutex::default())).map_err(|error| io::Error::other(error.message))?;
            look_up(lookups, host, resolve).await?
        }
    };
    let mut places = in_turn(found);
    places.iter_mut().for_each(|place| place.set_port(address.port));
    first_of(places, HEAD_START.min(limit / 4)).await
}

fn resolve(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

async fn look_up(
    lookups: &'static Lookups,
    host: &str,
    resolve: fn(&str) -> io::Result<Vec<SocketAddr>>,
) -> io::Result<Vec<SocketAddr>> {
    let (tell, told) = oneshot::channel();
    let is_first = {
        let mut names = lock(lookups);
        names.retain(|_, lookup| !lookup.is_old());
        let are_many = names.len() >= NAMES_MAX;
        match names.entry(host.to_owned()) {
            Entry::Occupied(mut standing) => match standing.get_mut() {
                Lookup::UnderWay(waiting) => {
                    // Those who have waited in vain are gone.
                    waiting.retain(|tell| !tell.is_closed());
                    waiting.push(tell);
                    false
                }
                Lookup::Late(_, found) => {
                    let found = std::mem::take(found);
                    standing.remove();
                    return Ok(found);
                }
            },
            Entry::Vacant(_) if are_many => {
                return Err(io::Error::other("too many names are being looked up"));
            }
            Entry::Vacant(nobody) => {
                nobody.insert(Lookup::UnderWay(vec![tell]));
                true
            }
        }
    };
    if is_first {
        let name = host.to_owned();
        let body = move || {
            signals::leave_to_host();
            let found = panics::caught(|| resolve(&name).map_err(|error| error.to_string()));
            let found = found.unwrap_or_else(|panic| Err(panic.message().to_owned()));
            let mut names = lock(lookups);
            let Some(Lookup::UnderWay(waiting)) = names.remove(&name) else { return };
            let mut is_late = true;
            for tell in waiting {
                // One who has waited in vain does not take it.
                is_late &= tell.send(found.clone()).is_err();
            }
            if let (true, Ok(found)) = (is_late, found) {
                names.insert(name, Lookup::Late(Instant::now(), found));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("tidegate-lookup".into()).spawn(body) {
            lock(lookups).remove(host);
            return Err(error);
        }
    }
    match told.await {
        Ok(found) => found.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the name could not be looked up")),
    }
}

/// IPv6 and IPv4 by turns, from the one that the system puts first.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let leads = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|place| place.is_ipv6() == leads);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while let (one @ Some(_), other) | (one @ None, other @ Some(_)) = (first.next(), second.next()) {
        turns.extend(one.into_iter().chain(other));
    }
    turns.truncate(ADDRESSES_MAX);
    turns
}

async fn first_of(places: Vec<SocketAddr>, head_start: Duration) -> io::Result<TcpStream> {
    let mut waiting = places.into_iter();
    let mut failure = io::Error::other("the name has no address");
    let mut tried = FuturesUnordered::new();
    tried.extend(waiting.next().map(TcpStream::connect));
    while !tried.is_empty() {
        tokio::select! {
            Some(connected) = tried.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    failure = error;
                    tried.extend(waiting.next().map(TcpStream::connect));
                }
            },
            () = sleep(head_start), if waiting.len() > 0 => tried.extend(waiting.next().map(TcpStream::connect)),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn numbers(texts: &[&str]) -> Vec<SocketAddr> {
        let number = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
        texts.iter().map(number).collect()
    }

    #[test]
    fn both_families_are_tried_by_turns() {
        let found = numbers(&["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(in_turn(found), numbers(&["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]));
        assert_eq!(in_turn(numbers(&["10.0.0.1", "10.0.0.2"])), numbers(&["10.0.0.1", "10.0.0.2"]));
        assert!(in_turn(Vec::new()).is_empty());
    }

    /// Takes no connection and refuses none, as what is behind a broken route.
    #[cfg(target_os = "linux")]
    fn hole() -> (SocketAddr, Vec<std::net::TcpStream>) {
        use std::os::fd::AsRawFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        // SAFETY: a plain system call on a socket of our own.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let place = listener.local_addr().expect("bound");
        let mut inside = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&place, Duration::from_millis(200)) {
            inside.push(stream);
            assert!(inside.len() < 64, "it takes any number of them");
        }
        std::mem::forget(listener);
        (place, inside)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_that_swallows_everything_does_not_stand_before_one_that_answers() {
        let (hole, _inside) = hole();
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let place = server.local_addr().expect("bound");
        runtime().block_on(async {
            let since = Instant::now();
            let stream = first_of(vec![hole, place], HEAD_START).await.expect("the second answers");
            assert_eq!(stream.peer_addr().expect("connected"), place);
            assert!(since.elapsed() >= HEAD_START, "the first has its head start: {:?}", since.elapsed());
            // One that refuses at once has no head start to use up.
            let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port");
            let stream = first_of(vec![nobody, place], Duration::from_secs(600)).await.expect("the second answers");
            assert_eq!(stream.peer_addr().expect("connected"), place);
            let refused = first_of(vec![nobody, nobody], HEAD_START).await.expect_err("nobody");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            assert!(first_of(Vec::new(), HEAD_START).await.is_err());
        });
    }

    #[test]
    fn a_resolver_that_hangs_holds_one_thread_and_nobody_who_asks_for_another_name() {
        static GATE: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let hangs = |_: &str| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            let gate = lock(&GATE).take().expect("asked once");
            let _ = gate.recv();
            Ok(numbers(&["10.0.0.1"]))
        };
        let (open, gate) = mpsc::channel();
        *lock(&GATE) = Some(gate);
        let lookups: &'static Lookups = Box::leak(Box::default());
        runtime().block_on(async {
            let late = Duration::from_millis(30);
            for _ in 0..4 {
                assert!(tokio::time::timeout(late, look_up(lookups, "hung.example", hangs)).await.is_err(), "it hangs");
            }
            let other = look_up(lookups, "other.example", |_| Ok(numbers(&["10.0.0.2"]))).await;
            assert_eq!(other.expect("answered"), numbers(&["10.0.0.2"]));
            let (found, ()) = tokio::join!(look_up(lookups, "hung.example", hangs), async { drop(open) });
            assert_eq!(found.expect("it goes on"), numbers(&["10.0.0.1"]));
            assert_eq!(ASKED.load(Ordering::SeqCst), 1);
            let failed = look_up(lookups, "none.example", |_| Err(io::Error::other("no such name"))).await;
            assert_eq!(failed.expect_err("none").to_string(), "no such name");
            assert!(look_up(lookups, "bad.example", |_| panic!("on purpose")).await.is_err(), "nobody is left waiting");
            assert!(lock(lookups).is_empty());
            lock(lookups)
                .extend((0..NAMES_MAX).map(|number| (format!("{number}.example"), Lookup::UnderWay(Vec::new()))));
            let beyond = look_up(lookups, "other.example", |_| panic!("not asked")).await;
            assert_eq!(beyond.expect_err("no thread for it").to_string(), "too many names are being looked up");
        });
    }

    #[test]
    fn what_a_slow_resolver_says_when_nobody_waits_any_more_is_for_who_asks_next() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let slow = |_: &str| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(60));
            Ok(numbers(&["10.0.0.1"]))
        };
        let lookups: &'static Lookups = Box::leak(Box::default());
        runtime().block_on(async {
            let first = tokio::time::timeout(Duration::from_millis(5), look_up(lookups, "slow.example", slow)).await;
            assert!(first.is_err(), "it is slow");
            while !matches!(lock(lookups).get("slow.example"), Some(Lookup::Late(..))) {
                sleep(Duration::from_millis(5)).await;
            }
            let found = look_up(lookups, "slow.example", slow).await.expect("known");
            assert_eq!((found, ASKED.load(Ordering::SeqCst)), (numbers(&["10.0.0.1"]), 1));
            look_up(lookups, "slow.example", slow).await.expect("once only");
            assert_eq!(ASKED.load(Ordering::SeqCst), 2);
            assert!(lock(lookups).is_empty());
        });
    }
}
