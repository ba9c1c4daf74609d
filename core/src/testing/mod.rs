//! For the tests of those who use tidegate: a clock that is set by hand, and a store in this process that fails on command.
//!
//! What runs on them is the real engine; only the time and the way to the server are made.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tidegate::Manager;
//! use tidegate::testing::{FakeClock, Fault, MemoryStore};
//!
//! let clock = FakeClock::new();
//! let store = MemoryStore::on(&clock).with_seed(7);
//! let manager = Manager::builder_on(&store).ttl(Duration::from_secs(60)).build().await?;
//! manager.set("user:name:42", &"Ada", None).await?;
//!
//! clock.advance(Duration::from_secs(61));
//! assert_eq!(manager.get::<String>("user:name:42").await?, None);
//!
//! store.fail(Fault::Hang);
//! let name = manager.get_or_fetch("user:name:42", || async { Ok::<_, std::io::Error>("Grace".to_owned()) }).await?;
//! assert_eq!(name, "Grace");
//! store.heal();
//! # Ok(()) }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `clock` | the time, what is due by it, and who is told |
//! | `fault` | the ways to fail |
//! | `store` | what managers share, and what is done to it |
//! | `link` | one manager's way to it, with its own fault |
//! | `out` | commands that are out, and the thread that answers them where the clock is the real one |

mod clock;
mod fault;
mod link;
mod out;
mod store;
mod time;

pub use clock::FakeClock;
pub use fault::Fault;
pub use store::{Failing, MemoryStore};
