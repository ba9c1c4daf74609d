//! Values in every codec and compression, of every size, from end to end in Rust on a real Redis.

mod support;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use support::*;
use tidegate::config::OptionValue;
use tidegate::engine::Event;
use tidegate::{ErrorKind, Manager};

const KEY: &str = "user:profile:42";
const STORED: &str = "shop:v1:user:profile:42";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    #[serde(with = "serde_bytes")]
    picture: Vec<u8>,
}

fn rows(count: u64) -> Vec<Row> {
    (0..count).map(|id| Row { id, name: format!("user {id}"), picture: vec![1, 2, 3] }).collect()
}

fn text(text: &str) -> OptionValue {
    OptionValue::Text(text.to_owned())
}

async fn manager(server: &RedisServer, options: &[(&str, OptionValue)]) -> Manager {
    // Not a test of time.
    let patient = [("command_timeout", OptionValue::Int(5_000))];
    let options = patient.iter().chain(options).cloned();
    let builder = Manager::builder(&server.url()).service("shop");
    let builder = options.fold(builder, |builder, (name, value)| builder.option(name, value));
    builder.build().await.expect("a manager")
}

fn on_redis(behaviour: impl AsyncFnOnce(&RedisServer)) {
    let server = RedisServer::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(behaviour(&server));
}

fn stored(server: &RedisServer) -> usize {
    server.command(&format!("STRLEN {STORED}")).parse().expect("a number")
}

fn reasons(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|event| event.reason.clone()).collect()
}

#[test]
fn every_codec_and_compression_gives_back_what_was_stored_whatever_its_size() {
    on_redis(async |server| {
        let reader = manager(server, &[("max_value_bytes", OptionValue::Int(64 << 20))]).await;
        for codec in ["json", "msgpack"] {
            for compression in ["lz4", "zstd", "zlib"] {
                let options = [
                    ("codec", text(codec)),
                    ("compression", text(compression)),
                    ("max_value_bytes", OptionValue::Int(64 << 20)),
                ];
                let writer = manager(server, &options).await;
                for count in [1, 50, 2_000, 100_000] {
                    let value = rows(count);
                    assert!(writer.set(KEY, &value, None).await.expect("set"), "{codec}, {compression}, {count}");
                    // Whoever reads goes by what stands there.
                    assert_eq!(reader.get::<Vec<Row>>(KEY).await.expect("read"), Some(value));
                    let length = server.command(&format!("GETRANGE {STORED} 4 5"));
                    let is_packed = length.as_bytes()[1] != 0;
                    assert_eq!(is_packed, count > 1, "{codec}, {compression}, {count}");
                }
                assert!(stored(server) < 3_000_000, "{}", stored(server));
            }
        }
    });
}

#[test]
fn a_fill_and_a_write_through_of_a_long_value_are_compressed_too() {
    on_redis(async |server| {
        let manager = manager(server, &[("compression", text("zlib"))]).await;
        let value = rows(10_000);
        let fetched = manager.get_or_fetch(KEY, || async { Ok::<_, String>(rows(10_000)) }).await.expect("a value");
        assert_eq!(fetched, value);
        assert!(stored(server) < 150_000, "{}", stored(server));
        assert_eq!(manager.get::<Vec<Row>>(KEY).await.expect("read").as_ref(), Some(&value));
        let persist = |_| async { Ok::<_, String>(()) };
        assert!(manager.write_through(KEY, value.clone(), persist).await.expect("written"));
        assert!((1..150_000).contains(&stored(server)), "{}", stored(server));
        assert!(manager.close().await, "what was compressed on the side has ended");
    });
}

#[test]
fn short_values_are_left_as_they_are_and_so_is_everything_without_compression() {
    on_redis(async |server| {
        let off = manager(server, &[("compression", OptionValue::Null)]).await;
        let over = manager(server, &[("compress_over", OptionValue::Int(100_000))]).await;
        for manager in [&off, &over] {
            let value = "0123456789".repeat(1_000);
            assert!(manager.set(KEY, &value, None).await.expect("set"));
            assert_eq!(stored(server), 72 + 10_002);
        }
        let value = "0123456789".repeat(20_000);
        assert!(over.set(KEY, &value, None).await.expect("set"));
        assert!(stored(server) < 2_000, "{}", stored(server));
    });
}

#[test]
fn raw_is_bytes_and_nothing_else() {
    on_redis(async |server| {
        let manager = manager(server, &[("codec", text("raw"))]).await;
        let bytes = serde_bytes::ByteBuf::from(vec![0, 255, 1, 128]);
        assert!(manager.set(KEY, &bytes, None).await.expect("set"));
        assert_eq!(stored(server), 72 + 4);
        assert_eq!(manager.get::<serde_bytes::ByteBuf>(KEY).await.expect("read"), Some(bytes));
        let error = manager.set(KEY, &"text", None).await.expect_err("no bytes");
        assert_eq!(error.kind(), ErrorKind::EncodeError);
        assert!(error.to_string().contains("raw takes bytes"), "{error}");
        assert!(manager.set(KEY, &None::<serde_bytes::ByteBuf>, None).await.expect("a null is a null in every codec"));
    });
}

#[test]
fn a_call_may_write_in_a_codec_of_its_own() {
    on_redis(async |server| {
        let manager = manager(server, &[]).await;
        let call = || manager.call().option("codec", text("msgpack"));
        assert!(call().set(KEY, &rows(1)).await.expect("set"));
        assert_eq!(server.command(&format!("GETRANGE {STORED} 4 4")), "\u{2}");
        assert_eq!(manager.get::<Vec<Row>>(KEY).await.expect("read"), Some(rows(1)));
        let error = manager.call().option("codec", text("yaml")).set(KEY, &1).await.expect_err("no such codec");
        assert!(error.to_string().contains("codec=\"yaml\" is not accepted"), "{error}");
    });
}

#[test]
fn what_is_too_large_says_both_figures_on_a_set_and_is_given_uncached_on_a_fill() {
    on_redis(async |server| {
        let manager = manager(server, &[("max_value_bytes", OptionValue::Int(1_000))]).await;
        manager.listen(true);
        let value = "x".repeat(2_000);
        let error = manager.set(KEY, &value, None).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::ValueTooLarge);
        assert!(error.to_string().contains("has 2002 bytes, max_value_bytes is 1000"), "{error}");
        let fetched = manager.get_or_fetch(KEY, || async { Ok::<_, String>("x".repeat(2_000)) }).await;
        assert_eq!(fetched.expect("a value"), value);
        assert_eq!(stored(server), 0);
        assert_eq!(reasons(&manager.take_events()), ["too_large"]);
        // What others have stored is not taken in either, though it is compressed to less than that.
        let other = self::manager(server, &[]).await;
        assert!(other.set(KEY, &"x".repeat(1_500), None).await.expect("set"));
        assert!(stored(server) < 1_000);
        assert_eq!(manager.get::<String>(KEY).await.expect("read"), None);
        assert_eq!(reasons(&manager.take_events()), ["too_large"]);
    });
}

#[test]
fn what_is_nested_too_deep_is_neither_stored_nor_read() {
    on_redis(async |server| {
        let nested = |depth: usize| (0..depth).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
        for codec in ["json", "msgpack"] {
            let manager = manager(server, &[("codec", text(codec))]).await;
            manager.listen(true);
            assert!(manager.set(KEY, &nested(64), None).await.expect("set"));
            assert_eq!(manager.get::<serde_json::Value>(KEY).await.expect("read"), Some(nested(64)));
            let error = manager.set(KEY, &nested(65), None).await.expect_err("too deep");
            assert_eq!(error.kind(), ErrorKind::EncodeError);
            assert!(error.to_string().contains("nested deeper than 64 levels"), "{error}");
            let fetched = manager.refresh(KEY, || async { Ok::<_, String>(nested(65)) }).await;
            assert_eq!(fetched.expect("a value"), nested(65));
            let events = manager.take_events();
            assert!(reasons(&events).contains(&"encode".to_owned()), "{events:?}");
        }
    });
}

#[test]
fn short_values_are_read_beside_many_long_ones_that_are_opened() {
    on_redis(async |server| {
        let manager =
            manager(server, &[("compression", text("zlib")), ("max_value_bytes", OptionValue::Int(64 << 20))]).await;
        let long = rows(50_000);
        assert!(manager.set("long:value:1", &long, None).await.expect("set"));
        assert!(manager.set("short:value:1", &1, None).await.expect("set"));
        let reads: Vec<_> = (0..8)
            .map(|_| {
                let manager = manager.clone();
                tokio::spawn(async move {
                    manager.get::<Vec<Row>>("long:value:1").await.expect("read").map(|rows| rows.len())
                })
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(manager.get::<u64>("short:value:1").await.expect("read"), Some(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for read in reads {
            assert_eq!(read.await.expect("no panic"), Some(50_000));
        }
    });
}
