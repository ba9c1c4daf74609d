//! tidegate: a cache-aside library that is correct under races, calm under stampedes and invisible when Redis fails.
//!
//! ```text
//! host code ─ bindings ─ engine ─── protocol   pure: keys, envelope, freshness, flight
//!                        decides ── ports ◄─── store::{memory, redis}
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`client`] | the Rust API: futures on top of the verbs |
//! | [`engine`] | the verbs, and everything that decides |
//! | [`protocol`] | pure values and transitions |
//! | [`ports`] | what the engine asks of the world: store, clock, wake |
//! | [`store`] | the drivers: memory (the reference) and Redis |
//! | [`payload`] | compression, signatures, and a look at a payload's shape |
//! | [`config`] | every default and limit |
//! | `dialect` | how each language writes what a message shows |
//! | [`error`] | every error, its code and message |
//! | [`tenant`] | what a manager keeps of one tenant |
//! | [`panics`] | what becomes of a panic |
//! | `signals` | whose they are |
//! | [`testing`] | a clock and a store for the tests of those who use it |
//! | [`key`] | building and checking keys |

/// Why it is built this way.
#[doc = include_str!("../DESIGN.md")]
pub mod design {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod read_me {}

pub mod client;
pub mod clock;
pub mod config;
mod dialect;
pub mod engine;
pub mod error;
#[cfg(all(any(test, feature = "fuzz"), feature = "redis", not(tidegate_loom)))]
pub mod fuzz;
pub mod panics;
pub mod payload;
pub mod ports;
pub mod protocol;
mod signals;
pub mod store;
mod sync;
pub mod tenant;
pub mod testing;

pub use client::{Context, GetError, Manager, OnStoreDown, WriteBehind, WriteError, WriteItem};
pub use engine::Engine;
pub use error::{Error, ErrorKind};
pub use protocol::key;

/// To be called in a forked child before anything else: threads and connections of the parent are not the child's.
pub fn after_fork() {
    engine::timers::after_fork();
    #[cfg(feature = "redis")]
    store::redis::after_fork();
}
