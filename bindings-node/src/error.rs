//! The engine's errors as errors with a stable `code`, of which the package makes its own classes.

/// What a native function throws: the code takes the place of Node-API's status.
pub(crate) type Thrown = napi::Error<String>;

pub(crate) fn to_js(error: &tidegate::Error) -> Thrown {
    Thrown::new(error.code().to_owned(), error.message())
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
