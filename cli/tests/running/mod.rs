//! What the tests of the command share: running it, and a server with something in it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

#[path = "../../../core/tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
pub use support::RedisServer;
use tidegate::Manager;
use tidegate::config::OptionValue;

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

pub fn tidegate(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).env_remove("TIDEGATE_URL").env_remove("TIDEGATE_SERVICE").env_remove("NO_COLOR");
    let ran = command.stdin(Stdio::null()).output().expect("the program is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
}

/// A command line on a server's service `billing`.
pub fn on(server: &RedisServer, args: &[&str]) -> Ran {
    let url = server.url();
    tidegate(&[args, &["--url", &url, "--service", "billing", "--timeout", "20"]].concat())
}

pub fn with_manager<T>(server: &RedisServer, version: u32, work: impl AsyncFnOnce(&Manager) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let patient = OptionValue::Millis(10_000.0);
        let manager = Manager::builder(&server.url()).service("billing").version(version);
        let manager = manager.option("command_timeout", patient).build().await.expect("right options");
        let done = work(&manager).await;
        manager.close().await;
        done
    })
}

pub const KEY: &str = "user:profile:42";
pub const VALUE_KEY: &str = "billing:v1:user:profile:42";

pub fn store(server: &RedisServer) {
    with_manager(server, 1, async |manager| {
        let value = serde_json::json!({"name": "Ada", "evil": "\u{9b}31m"});
        let call = manager.call().ttl(Duration::from_secs(60)).tags(["user:42"]);
        assert!(call.set(KEY, &value).await.expect("it is stored"));
    });
}
