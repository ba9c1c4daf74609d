//! The world of a scenario: managers of one fleet on one store, and what can be done to that store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate::config::OptionValue;
use tidegate::engine::{Event, Figure};
use tidegate::{Manager, protocol::key::Key};
use tokio::time::timeout;
use toml::{Table, Value};

use super::scene::{PATIENCE, Scene};
use super::step::{option, text};
use super::support::RedisServer;

pub(super) const SERVICE: &str = "conformance";

/// A server, or the URL of a store in this process that no other scenario has.
pub(super) fn store_of(on: &str) -> (String, Option<RedisServer>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = (on == "redis").then(RedisServer::start);
    let url = server.as_ref().map(RedisServer::url);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    (url.unwrap_or_else(|| format!("memory://conformance-{number}")), server)
}

impl Scene {
    pub(super) async fn manager(&self, name: &str) -> Manager {
        if let Some(manager) = self.managers.borrow().get(name) {
            return manager.clone();
        }
        let mut builder = Manager::builder(&self.url).service(SERVICE);
        // A busy machine is no outage.
        if !self.options.contains_key("command_timeout") {
            builder = builder.option("command_timeout", OptionValue::Text("5s".into()));
        }
        for (name, value) in &self.options {
            builder = builder.option(name, option(value));
        }
        for (option_name, value) in self.options_of.get(name).and_then(Value::as_table).into_iter().flatten() {
            builder = match value.as_array() {
                Some(versions) if option_name == "upgrade" => versions.iter().fold(builder, |builder, version| {
                    builder.upgrade(version.as_integer().expect("a version") as u32, |old| {
                        Ok((old.as_u64().ok_or("no number")? + 100).into())
                    })
                }),
                _ => builder.option(option_name, option(value)),
            };
        }
        let manager = builder.build().await.expect("the scenario's options are right");
        manager.listen(self.observes);
        if self.is_up.get() && self.server.borrow().is_some() && self.options.contains_key("command_timeout") {
            warm_up(&manager).await;
        }
        self.managers.borrow_mut().insert(name.to_owned(), manager.clone());
        manager
    }

    /// The manager of a step, or the view of it that the step names: a tenant's; `"shop:books"` is `books` within `shop`.
    pub(super) async fn view(&self, step: &Table) -> Manager {
        let mut manager = self.manager(text(step, "manager").expect("a manager")).await;
        if let Some(tenant) = text(step, "tenant") {
            let options = step.get("tenant_with").and_then(Value::as_table).into_iter().flatten();
            let given = options
                .fold(manager.tenant_builder(tenant), |tenant, (name, value)| tenant.option(name, option(value)));
            manager = given.build().expect("the name of a tenant, and its options");
        }
        let names = text(step, "namespace").into_iter().flat_map(|names| names.split(':'));
        names.fold(manager, |view, name| view.namespace(name).expect("the name of a namespace"))
    }

    pub(super) async fn figures(&self, step: &Table) -> HashMap<&'static str, u64> {
        let stats = self.view(step).await.stats();
        let counts = stats.into_iter().filter_map(|(name, figure)| match figure {
            Figure::Count(count) => Some((name, count)),
            Figure::Measure(_) => None,
        });
        counts.collect()
    }

    pub(super) fn store(&self, state: &str) {
        let mut server = self.server.borrow_mut();
        let server = server.as_mut().expect("only scenarios for Redis do that");
        match state {
            "hang" => server.stop(),
            "run" => server.go_on(),
            "kill" => server.kill(),
            "start" => server.restart(),
            other => panic!("no state is called {other}"),
        }
        self.is_up.set(matches!(state, "run" | "start"));
    }

    /// The server ends the push connections.
    pub(super) fn kill_pushes(&self) {
        let server = self.server.borrow();
        let server = server.as_ref().expect("only scenarios for Redis do that");
        let clients = server.command("CLIENT LIST");
        let mut killed = 0;
        for client in clients.lines() {
            let field = |name: &str| client.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            if field("name").is_some_and(|name| name.ends_with(":push")) {
                server.command(&format!("CLIENT KILL ID {}", field("id").expect("a client has an id")));
                killed += 1;
            }
        }
        assert!(killed > 0, "no push connection in {clients}");
    }

    pub(super) fn raw_lease(&self, key: &str, exclusive_ms: u64) {
        let lease = format!("{{{SERVICE}:v1:{key}}}:lease");
        let script = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) \
                      redis.call('HSET', KEYS[1], 'g', 'dead.1', 'n', 1, 'h', 'dead', 'f', 0, 'u', \
                      string.format('%.0f', now + ARGV[1])) redis.call('PEXPIRE', KEYS[1], 60000) return 1";
        let exclusive_ms = exclusive_ms.to_string();
        let parts = [b"EVAL", script.as_bytes(), b"1", lease.as_bytes(), exclusive_ms.as_bytes()];
        assert_eq!(self.server.borrow().as_ref().expect("Redis").raw(&parts), "1");
    }
}

/// Until it has its connection: where a command may not take long, its first would have to pay for that.
async fn warm_up(manager: &Manager) {
    let until_answered = async {
        while let Err(error) = manager.exists("warm:up:0").await {
            assert_eq!(error.code(), "ERR_TIDEGATE_STORE_UNAVAILABLE");
        }
    };
    timeout(PATIENCE, until_answered).await.expect("an answer");
}

/// Whether an event has these fields with these values.
pub(super) fn is_event(event: &Event, fields: &Table) -> bool {
    fields.iter().all(|(name, expected)| {
        let value = match name.as_str() {
            "type" => Some(event.kind.name()),
            "key" => event.key.as_ref().map(Key::relative),
            "tag" => event.tag.as_deref(),
            "reason" => event.reason.as_deref(),
            "source" => event.source.map(tidegate::engine::Source::name),
            "state" => event.state,
            "tenant" => event.tenant.as_deref(),
            other => panic!("no field of an event is called {other}"),
        };
        value == Value::as_str(expected)
    })
}
