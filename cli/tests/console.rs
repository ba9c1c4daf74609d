//! The door for operators' tools: answers of every kind, errors in the server's words, and connections that were lost.

mod running;

use std::time::Duration;

use running::RedisServer;
use tidegate::ports::StoreErrorKind;
use tidegate::store::redis::console::{Answer, Console, Kind, Role};

const TIMEOUT: Duration = Duration::from_secs(10);

fn open(url: &str) -> Console {
    let mut console = Console::new(url, None, TIMEOUT).expect("a right URL");
    console.connect().expect("a server is there");
    console
}

#[test]
fn it_asks_the_one_server_and_reads_what_it_says() {
    let server = RedisServer::start();
    let console = open(&format!("{}?db=3", server.url()));
    assert_eq!((console.kind(), console.servers().len()), (Kind::Unix, 1));
    assert_eq!(console.of_role(Role::Primary).collect::<Vec<_>>(), [0]);
    assert_eq!(console.ask(0, &[b"GET", b"a"]), Ok(Answer::Null));
    console.ask_of(b"a", &[b"HSET", b"a", b"f", b"\xff"]).expect("stored");
    let hash = console.ask(0, &[b"HGETALL", b"a"]).expect("there");
    assert_eq!(hash.field("f").and_then(Answer::bytes).map(|bytes| bytes.to_vec()), Some(vec![0xff]));
    assert_eq!(console.ask(0, &[b"HLEN", b"a"]).expect("there").int(), Some(1));
    assert_eq!(server.raw(&[b"DBSIZE"]), "0", "it went to the database of the URL");
    let refused = console.ask(0, &[b"GET", b"a"]).expect_err("a hash");
    assert!(refused.kind == StoreErrorKind::Refused && refused.message.starts_with("WRONGTYPE"), "{refused:?}");
    assert!(console.ping(0).expect("there") < TIMEOUT);
}

#[test]
fn a_connection_that_was_lost_is_made_anew_and_a_server_that_has_stopped_is_told() {
    let server = RedisServer::start();
    let mut console = Console::new(&server.url(), None, Duration::from_secs(1)).expect("right");
    console.connect().expect("a server is there");
    let id = |console: &Console| console.ask(0, &[b"CLIENT", b"ID"]).expect("there").int();
    let first = id(&console);
    assert_eq!(first, id(&console), "one connection is kept");
    server.command("CLIENT KILL TYPE normal SKIPME yes");
    assert!(id(&console) > first, "another one");
    server.stop();
    let error = console.ask(0, &[b"PING"]).expect_err("it does not answer");
    assert_eq!(error.kind, StoreErrorKind::Timeout, "{error:?}");
    server.go_on();
    // The late answer of the one before is nobody's.
    assert_eq!(console.ask(0, &[b"ECHO", b"a"]).expect("there").text().as_deref(), Some("a"));
}
