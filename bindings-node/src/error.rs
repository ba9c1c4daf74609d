//! The engine's errors as errors with a stable `code`, of which the package makes its own classes; a panic is one of them.

use napi_derive::napi;
use tidegate::panics::{self, caught};
use tidegate_guard::guarded;

/// What a native function throws: the code takes the place of Node-API's status.
pub(crate) type Thrown = napi::Error<String>;

pub(crate) fn to_js(error: &tidegate::Error) -> Thrown {
    Thrown::new(error.code().to_owned(), error.message())
}

/// What `#[guarded]` has a function throw.
pub(crate) type Raised = Thrown;

/// Runs what JavaScript has called.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, Thrown>) -> Result<T, Thrown> {
    caught(body).unwrap_or_else(|error| Err(to_js(&error)))
}

/// The same of what throws nothing by itself.
pub(crate) fn guarded_plain<T>(body: impl FnOnce() -> T) -> Result<T, Thrown> {
    guarded(|| Ok(body()))
}

/// Has the next `times` passers-by at this place of the native code panic. For tests of what becomes of it only.
#[guarded]
#[napi]
pub fn provoke_panic(place: String, times: u32) -> Result<(), Thrown> {
    let unknown = || Thrown::new("ERR_INVALID_ARG_VALUE".to_owned(), format!("there is no place {place:?}"));
    panics::provoke(panics::Place::named(&place).ok_or_else(unknown)?, times);
    panics::pass_by(panics::Place::Verb);
    Ok(())
}

/// `?` for the engine's results.
pub(crate) trait OrThrow<T> {
    fn or_throw(self) -> Result<T, Thrown>;
}

impl<T> OrThrow<T> for Result<T, tidegate::Error> {
    fn or_throw(self) -> Result<T, Thrown> {
        self.map_err(|error| to_js(&error))
    }
}

/// A failure of Node-API itself: an argument that the package never gives.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn broken(error: napi::Error) -> Thrown {
    Thrown::new(error.status.as_ref().to_owned(), error.reason.clone())
}
