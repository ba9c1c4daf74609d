//! What becomes of a panic. It is a bug of tidegate's, and it must end neither the host's process nor anybody's waiting: it
//! is caught where work comes in, told, and whoever waited for that work is answered.
//!
//! | where it happens | what catches it |
//! |---|---|
//! | in a verb, on its caller's thread | the binding's `guarded`: the caller gets an `InternalError` |
//! | in a step of a flight, a store's answer or a push, on any thread | `engine::mishaps`: its callers go on without the store |
//! | in a task of the Redis driver | the task itself: it answers what is out, and connects anew |
//! | in work that is done aside | the work is gone without |
//! | in what the keeper of time calls | the keeper, which goes on |

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};

/// How many have been caught in this process.
static SEEN: AtomicU64 = AtomicU64::new(0);
thread_local! {
    static SEEN_HERE: Cell<u64> = const { Cell::new(0) };
}
/// The place that is to panic, and how often: see [`provoke`].
static PROVOKED: AtomicU64 = AtomicU64::new(0);

/// Runs `work`.
///
/// # Errors
/// `InternalError` where it panicked. The panic hook has told of it before, with its place.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    // loom speaks by panics.
    #[cfg(tidegate_loom)]
    return Ok(work());
    #[cfg(not(tidegate_loom))]
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|payload| error_of(&*payload))
}

/// Runs what hands an outcome to a host.
///
/// # Errors
/// As [`caught`].
pub fn handed_over<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    caught(|| {
        pass_by(Place::Handing);
        work()
    })
}

/// What a panic said.
#[cold]
pub fn error_of(payload: &(dyn Any + Send)) -> Error {
    SEEN.fetch_add(1, Ordering::Relaxed);
    SEEN_HERE.set(SEEN_HERE.get() + 1);
    let said = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let said = said.unwrap_or("no reason was given");
    Error::new(ErrorKind::InternalError, format!("tidegate has failed inside ({said}): please report it as a bug"))
}

/// How many panics have been caught in this process: zero, unless tidegate has a bug.
pub fn seen() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

/// The same on this thread.
pub fn seen_here() -> u64 {
    SEEN_HERE.get()
}

/// Where [`provoke`] can have a panic happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// In a verb, before it has done anything.
    Verb = 1,
    /// In what a store's answer means.
    Answer,
    /// While a caller is given what is his.
    Serving,
    /// In the Redis driver's task, with a command at hand.
    Driver,
    /// In the Redis driver's task, with an answer at hand.
    Reply,
    /// In the task of the push connection.
    Push,
    /// In a Cluster's task.
    Cluster,
    /// In work that is done aside.
    Aside,
    /// In what is done when a deadline passes.
    Time,
    /// While a binding hands an outcome to its caller.
    Handing,
}

impl Place {
    pub const ALL: [Self; 10] = [
        Self::Verb,
        Self::Answer,
        Self::Serving,
        Self::Driver,
        Self::Reply,
        Self::Push,
        Self::Cluster,
        Self::Aside,
        Self::Time,
        Self::Handing,
    ];

    /// The place of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| format!("{place:?}").eq_ignore_ascii_case(name))
    }
}

/// Has the next `times` passers-by at this place panic. For tests, which see what becomes of it; nothing else calls it.
pub fn provoke(place: Place, times: u32) {
    PROVOKED.store(u64::from(times) << 8 | place as u64, Ordering::SeqCst);
}

/// Panics where a test wants it to.
#[inline]
pub fn pass_by(place: Place) {
    if PROVOKED.load(Ordering::Relaxed) as u8 == place as u8 {
        panic_if_asked(place);
    }
}

#[cold]
fn panic_if_asked(place: Place) {
    let one_less = |asked: u64| {
        let (asked_place, times) = (asked as u8, asked >> 8);
        (asked_place == place as u8 && times > 0).then(|| if times == 1 { 0 } else { asked - (1 << 8) })
    };
    if PROVOKED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
        panic!("on purpose, at {place:?}");
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        let error = caught(|| panic!("{} of {}", 1, 2)).expect_err("it panics");
        assert_eq!(error.code(), "ERR_TIDEGATE_INTERNAL");
        assert!(error.message().contains("(1 of 2)"), "{error}");
        let error = caught(|| std::panic::panic_any(7_u8)).expect_err("it panics");
        assert!(error.message().contains("no reason was given"), "{error}");
    }

    #[test]
    fn every_place_has_a_name() {
        for place in Place::ALL {
            assert_eq!(Place::named(&format!("{place:?}").to_lowercase()), Some(place));
        }
        assert_eq!(Place::named("nowhere"), None);
    }
}
