//! The names of a lease: a [`Nonce`] asks for it, a [`Grant`] proves it (a fencing token, after Kleppmann's *How to
//! do distributed locking*, 2016, with the server as the one who counts).

use std::fmt;

/// What a holder calls itself: 8 random bytes, new for every lease it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 8]);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The right to fill: generation `g` (the nonce that opened it, a dot, the server's microseconds then; always made by
/// the store) and `n`, the how-manieth grant within it. Given once (I2); `n` only grows within `g` (I3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub generation: Box<str>,
    pub number: u64,
}

impl Grant {
    /// The generation that `nonce` opens at `now_us` of the server's clock.
    pub fn generation(nonce: Nonce, now_us: u64) -> Box<str> {
        format!("{nonce}.{now_us}").into_boxed_str()
    }
}
