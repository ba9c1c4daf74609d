//! Pure values and transitions: no async, no I/O, no clock, no lock. Everything here can be checked by reading.

pub mod answer;
pub mod envelope;
pub mod event;
pub mod fields;
pub mod flight;
pub mod freshness;
pub mod held;
pub mod key;
pub mod lease;
pub mod queue;
pub mod server;
pub mod stream;
pub mod subscription;
pub mod tag;
