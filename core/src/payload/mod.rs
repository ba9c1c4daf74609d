//! What is done to a payload on its way into an envelope and out of it: a look at its shape, compression, a signature.
//! Pure functions of bytes; what becomes of their verdicts is decided in [`crate::protocol::envelope`].

pub mod compress;
mod json;
mod msgpack;
pub mod sign;

pub(crate) use json::{has_big_integers, nests_too_deep};
pub use msgpack::{Foreign, foreign};
pub(crate) use msgpack::{Look, look};

/// Lists and maps within one another, at the most.
pub const DEPTH_MAX: usize = 64;
