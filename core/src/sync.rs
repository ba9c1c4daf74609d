//! The locks and atomics of the engine: std's, or loom's under `cfg(tidegate_loom)` so that every interleaving of
//! small models can be tried.

#[cfg(tidegate_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(tidegate_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

/// std's under loom too: loom's has neither `Weak` nor trait objects, and the counting is not what we try.
pub(crate) use std::sync::Arc;
use std::sync::PoisonError;

/// Locks; a panic elsewhere does not spread through a poisoned lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
