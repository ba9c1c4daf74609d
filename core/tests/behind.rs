//! Write-behind through the Rust API, on memory and on a real server: what a caller is promised, and what a sink is given.

mod support;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::RedisServer;
use tidegate::config::OptionValue;
use tidegate::protocol::stream::StreamId;
use tidegate::{ErrorKind, Manager, WriteBehind, WriteItem};

type Given = Arc<Mutex<Vec<Vec<WriteItem<u64>>>>>;

async fn manager(url: &str) -> Manager {
    let patience = OptionValue::Millis(5_000.0);
    let builder = Manager::builder(url).service("app").option("command_timeout", patience);
    builder.build().await.expect("right options")
}

fn run(scene: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), scene).await.expect("it ends") });
}

/// On each kind of store; those of one name share it.
fn everywhere<F: Future<Output = ()>>(scene: impl Fn(String) -> F) {
    let server = RedisServer::start_with(&["--appendonly", "yes"]);
    run(scene(format!("memory://behind-{:x}", fastrand::u64(..))));
    run(scene(server.url()));
}

/// A sink that keeps what it is given, and fails as `fails` says.
fn working(
    manager: &Manager,
    options: &[(&str, OptionValue)],
    fails: impl Fn(&WriteItem<u64>) -> bool + Send + Sync + 'static,
) -> (WriteBehind<u64>, Given) {
    let given = Given::default();
    let kept = Arc::clone(&given);
    let mut builder = manager.write_behind("counters").max_delay(Duration::from_millis(20));
    for (name, value) in options {
        builder = builder.option(name, value.clone());
    }
    let queue = builder.sink(move |items: Vec<WriteItem<u64>>| {
        let failed: Vec<_> = items.iter().filter(|item| fails(item)).map(|item| item.id).collect();
        kept.lock().expect("whole").push(items);
        async move { Ok::<Vec<StreamId>, std::io::Error>(failed) }
    });
    (queue.expect("right options"), given)
}

fn seen(given: &Given) -> Vec<(String, u64)> {
    given.lock().expect("whole").iter().flatten().map(|item| (item.key.clone(), item.value)).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_put_is_read_back_at_once_and_reaches_the_sink_in_its_order() {
    everywhere(|url| async move {
        let (a, b) = (manager(&url).await, manager(&url).await);
        let putter = a.write_behind("counters").without_sink::<u64>().expect("right");
        let mut ids = Vec::new();
        for value in 1..=5 {
            ids.push(putter.put("page:views:7", &value).await.expect("put"));
            assert_eq!(b.get("page:views:7").await.expect("right"), Some(value));
        }
        assert!(ids.is_sorted() && putter.pending() == 5);
        let (worker, given) = working(&b, &[], |_| false);
        assert!(putter.flush(PATIENCE).await.expect("open"));
        let expected: Vec<_> = (1..=5).map(|value| ("page:views:7".to_owned(), value)).collect();
        assert_eq!(seen(&given), expected);
        let given_ids: Vec<_> = given.lock().expect("whole").iter().flatten().map(|item| item.id).collect();
        assert_eq!(given_ids, ids);
        assert_eq!(putter.pending(), 0);
        // The value that was committed stays.
        assert_eq!(a.get("page:views:7").await.expect("right"), Some(5_u64));
        assert!(worker.close(PATIENCE).await);
        assert!(a.close().await && b.close().await);
    });
}

#[test]
fn a_fill_that_began_before_the_sink_committed_is_not_stored() {
    everywhere(|url| async move {
        let manager = manager(&url).await;
        let (worker, _) = working(&manager, &[], |_| false);
        let reader = manager.clone();
        let row = Arc::new(Mutex::new(0_u64));
        let read_of = Arc::clone(&row);
        // It reads the row, and takes its time.
        let fetch = async {
            reader
                .get_or_fetch("page:views:7", || async {
                    let read = *read_of.lock().expect("whole");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok::<_, std::io::Error>(read)
                })
                .await
        };
        let write = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            worker.put("page:views:7", &1).await.expect("put");
            assert!(worker.flush(PATIENCE).await.expect("open"));
            *row.lock().expect("whole") = 1;
        };
        let (_, ()) = tokio::join!(fetch, write);
        assert_eq!(manager.get("page:views:7").await.expect("right"), Some(1_u64));
    });
}

#[test]
fn an_operation_is_put_once_and_a_full_queue_says_so() {
    everywhere(|url| async move {
        let manager = manager(&url).await;
        let queue = manager.write_behind("counters").option("max_pending", OptionValue::Int(2));
        let queue = queue.without_sink::<u64>().expect("right");
        let put = |value: u64, operation: Option<&'static str>| {
            let queue = queue.clone();
            async move { queue.put_with("page:views:7", &value, None, operation).await }
        };
        let first = put(1, Some("order-1")).await.expect("put");
        assert_eq!(put(2, Some("order-1")).await.expect("as the first"), first);
        assert_eq!(manager.get("page:views:7").await.expect("right"), Some(1_u64));
        put(3, None).await.expect("put");
        let full = put(4, None).await.expect_err("full");
        assert_eq!(full.kind(), ErrorKind::QueueFull);
        assert_eq!(put(9, Some("order-1")).await.expect("as the first"), first, "though it is full");
        assert_eq!(put(1, Some("")).await.expect_err("no name").kind(), ErrorKind::ConfigError);
        assert_eq!(queue.pending(), 2);
    });
}

#[test]
fn poison_is_set_aside_and_may_be_tried_again_or_dropped() {
    everywhere(|url| async move {
        let manager = manager(&url).await;
        let is_poison = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let fails = Arc::clone(&is_poison);
        let (queue, given) = working(&manager, &[("max_attempts", OptionValue::Int(2))], move |item| {
            item.value == 13 && fails.load(std::sync::atomic::Ordering::Relaxed)
        });
        for value in 12..=14 {
            queue.put(&format!("page:views:{value}"), &value).await.expect("put");
        }
        assert!(queue.flush(PATIENCE).await.expect("open"));
        let letters = queue.dead_letters(10).await.expect("there");
        assert_eq!(letters.len(), 1);
        assert_eq!((&*letters[0].key, letters[0].attempts, &*letters[0].reason), ("page:views:13", 2, "sink"));
        is_poison.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(queue.retry_dead_letters(Some("0-1@0")).await.expect("there"), 0);
        assert_eq!(queue.retry_dead_letters(Some(&letters[0].id)).await.expect("there"), 1);
        assert!(queue.flush(PATIENCE).await.expect("open"));
        let last = given.lock().expect("whole").last().cloned().expect("given")[0].clone();
        assert_eq!((last.id, last.attempt, last.value), (letters[0].write_id, 1, 13), "under the id that it had");
        assert_eq!(queue.drop_dead_letters(None).await.expect("there"), 0);
        assert!(queue.dead_letters(10).await.expect("there").is_empty());
    });
}

#[test]
fn a_close_deals_with_what_is_pending_and_the_next_takes_over_at_once() {
    everywhere(|url| async move {
        let (a, b) = (manager(&url).await, manager(&url).await);
        let slow = [("max_delay", OptionValue::Millis(60_000.0))];
        let (first, given) = working(&a, &slow, |_| false);
        first.put("page:views:7", &1).await.expect("put");
        let (second, given_next) = working(&b, &[], |_| false);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(seen(&given).is_empty() && seen(&given_next).is_empty(), "it waits for more");
        assert!(a.close().await);
        assert_eq!(seen(&given), [("page:views:7".to_owned(), 1)]);
        let began = std::time::Instant::now();
        second.put("page:views:7", &2).await.expect("put");
        assert!(second.flush(PATIENCE).await.expect("open"));
        assert!(began.elapsed() < Duration::from_secs(5), "not after a lease of ten seconds");
        assert_eq!(seen(&given_next), [("page:views:7".to_owned(), 2)]);
        assert_eq!(first.put("page:views:7", &3).await.expect_err("closed").kind(), ErrorKind::ClosedError);
    });
}

#[test]
fn a_close_with_a_sink_that_fails_is_soon_over_and_says_what_is_left_and_where() {
    everywhere(|url| async move {
        let (a, b) = (manager(&url).await, manager(&url).await);
        a.listen(true);
        let (queue, _) = working(&a, &[("max_attempts", OptionValue::Int(100))], |_| true);
        for value in 1..=3 {
            queue.put(&format!("page:views:{value}"), &value).await.expect("put");
        }
        let began = std::time::Instant::now();
        assert!(!a.close().await);
        assert!(began.elapsed() < Duration::from_secs(15), "not its whole thirty seconds");
        let events = a.take_events();
        let told: Vec<_> = events.iter().filter(|event| event.reason.as_deref() == Some("unfinished")).collect();
        let where_to = if url.starts_with("memory") {
            "memory:// ends with this process"
        } else {
            "they stay in the store, for the next process that works on it"
        };
        let message = format!("closed with work undone: 3 pending writes of the queue \"counters\" ({where_to})");
        assert_eq!(told.iter().map(|event| event.message.as_deref()).collect::<Vec<_>>(), [Some(&*message)]);
        let (next, given) = working(&b, &[], |_| false);
        assert!(next.flush(PATIENCE).await.expect("open"));
        assert_eq!(seen(&given).len(), 3, "the next one goes on at once");
        assert!(b.close().await && b.take_events().is_empty());
    });
}

#[test]
fn a_queue_that_closes_by_itself_says_so_too_and_one_that_waits_for_work_is_no_caller() {
    everywhere(|url| async move {
        let manager = manager(&url).await;
        manager.listen(true);
        let (failing, _) = working(&manager, &[("max_attempts", OptionValue::Int(100))], |_| true);
        failing.put("page:views:7", &1).await.expect("put");
        assert!(!failing.close(PATIENCE).await);
        let events = manager.take_events();
        let told = events.iter().filter(|event| event.reason.as_deref() == Some("unfinished"));
        assert_eq!(told.count(), 1);
        let (idle, _) = working(&manager, &[], |_| false);
        assert!(idle.flush(PATIENCE).await.expect("open"));
        let nobody = "tidegate_waiting_callers{service=\"app\",role=\"cache\"} 0\n";
        // Who is answered is counted out right behind.
        while !manager.prometheus_text().contains(nobody) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(idle.close(PATIENCE).await);
        assert!(manager.close().await, "that has been told");
    });
}

#[test]
fn partitions_share_the_work_and_each_keys_order_is_kept() {
    everywhere(|url| async move {
        let (a, b) = (manager(&url).await, manager(&url).await);
        let options = [("partitions", OptionValue::Int(4)), ("batch", OptionValue::Int(3))];
        let (first, given) = working(&a, &options, |_| false);
        let (_second, given_too) = working(&b, &options, |_| false);
        for value in 0..60 {
            first.put(&format!("page:views:{}", value % 6), &value).await.expect("put");
        }
        assert!(first.flush(PATIENCE).await.expect("open"));
        let (mut all, more) = (seen(&given), seen(&given_too));
        assert_eq!(all.len() + more.len(), 60);
        all.extend(more);
        for key in 0..6 {
            let values: Vec<_> = all.iter().filter(|(name, _)| *name == format!("page:views:{key}")).collect();
            assert!(values.len() == 10 && values.is_sorted_by_key(|(_, value)| value), "{values:?}");
        }
    });
}

#[test]
fn a_server_that_may_drop_a_queue_is_refused_by_name() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    run(async {
        let manager = manager(&server.url()).await;
        let queue = manager.write_behind("counters").without_sink::<u64>().expect("right");
        let error = queue.put("page:views:7", &1).await.expect_err("no place for a queue");
        assert_eq!(error.kind(), ErrorKind::ConfigError);
        assert!(error.message().contains("maxmemory-policy is allkeys-lru"), "{error}");
        assert_eq!(server.command("EXISTS app:~queue:counters:0"), "0");
    });
}

#[test]
fn a_server_without_an_append_only_file_is_told_of_once() {
    let server = RedisServer::start();
    run(async {
        for (url, times) in [(server.url(), 1), ("memory://".to_owned(), 0)] {
            let manager = manager(&url).await;
            manager.listen(true);
            let queue = manager.write_behind("counters").without_sink::<u64>().expect("right");
            for value in 0..3 {
                queue.put("page:views:7", &value).await.expect("put");
            }
            let events = manager.take_events();
            let told = events.iter().filter(|event| event.reason.as_deref() == Some("queue_not_durable")).count();
            assert_eq!(told, times, "{url}");
            assert_eq!(events.iter().filter(|event| event.kind.name() == "cache.set").count(), 3, "{url}");
        }
    });
}

#[test]
fn with_the_store_away_a_put_fails_and_one_whose_answer_is_late_is_not_put_after_that() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes"]);
    run(async {
        let builder = Manager::builder(&server.url()).service("app");
        let manager = builder.option("command_timeout", OptionValue::Millis(60.0)).build().await.expect("right");
        let queue = manager.write_behind("counters").without_sink::<u64>().expect("right");
        queue.put("page:views:7", &1).await.expect("put");
        server.stop();
        let error = queue.put("page:views:7", &2).await.expect_err("the server hangs");
        assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.go_on();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(server.command("XLEN app:~queue:counters:0"), "1", "it came too late");
    });
    server.kill();
}
