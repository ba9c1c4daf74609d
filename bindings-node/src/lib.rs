//! The native half of tidegate for Node: takes a call, hands it to the engine, gives the outcome back. Nothing here
//! knows what a cache is; the package's TypeScript runs the fallback and the codec.
//!
//! | file | owns |
//! |---|---|
//! | `cache` | the engine's verbs as methods |
//! | `feeds` | those of streams: events, write-behind |
//! | `behind` | a queue of write-behind |
//! | `wake` | how an outcome reaches its caller: a mailbox, emptied by one callback of the loop per batch |
//! | `record` | outcomes as records of the mailbox |
//! | `word` | what a record is, and its text |
//! | `fields` | values that are split over fields, in both directions |
//! | `terms` | what calls go by |
//! | `limits` | the core's figures that the package goes by |
//! | `l1` | what the package's index of the tier in the process stands on |
//! | `command` | the `tidegate` command |
//! | `metrics` | what a monitoring system scrapes |
//! | `convert` | values, in both directions |
//! | `error` | the engine's errors as what JavaScript throws |
//! | `testing` | the clock and the store of the testing kit |

mod behind;
mod cache;
pub mod command;
pub mod convert;
pub mod error;
mod feeds;
mod fields;
pub mod l1;
pub mod limits;
pub mod metrics;
pub mod record;
pub mod terms;
pub mod testing;
mod wake;
mod word;

/// Messages are in Node's spelling, from before the first call on.
#[napi_derive::module_init]
fn speak() {
    tidegate::config::Dialect::Node.speak();
}
