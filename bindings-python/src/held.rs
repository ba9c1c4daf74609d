//! What Python keeps of an entry in L1: the object that one coder made of its payload. It belongs to that coder's type: a
//! caller who asks for another `type` is never given it.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use tidegate::engine::outcome::Held;
use tidegate::protocol::envelope::Codec;

struct Kept {
    coder: Option<Py<PyAny>>,
    /// The coder's own for the codec of the entry; coders of one type have it in common.
    decode: Option<Py<PyAny>>,
    /// None where a value must not be shared: every hit decodes anew.
    value: Option<Py<PyAny>>,
}

impl Drop for Kept {
    /// An entry is dropped by whoever drops it, under L1's locks and without the GIL: no code of Python's may run here.
    fn drop(&mut self) {
        bury([self.coder.take(), self.decode.take(), self.value.take()]);
    }
}

/// The value of a held entry for a caller who reads with `coder`; None where it cannot be read so.
pub(crate) fn value_of(
    py: Python<'_>,
    held: &Held,
    coder: &Bound<'_, PyAny>,
    shares_all: bool,
) -> PyResult<Option<Py<PyAny>>> {
    let Some(codec) = held.codec else { return Ok(Some(py.None())) };
    let kept = held.object.get().and_then(|object| object.downcast_ref::<Kept>());
    let fetched;
    let decode = match kept {
        Some(Kept { coder: Some(by), decode: Some(decode), value }) if by.is(coder) => {
            if let Some(value) = value {
                return Ok(Some(value.clone_ref(py)));
            }
            decode.bind(py)
        }
        _ => {
            fetched = decode_of(coder, codec)?;
            if let Some(Kept { decode: Some(by), value: Some(value), .. }) = kept
                && by.is(&fetched)
            {
                return Ok(Some(value.clone_ref(py)));
            }
            &fetched
        }
    };
    let value = match decode.call1((PyBytes::new(py, held.bytes().unwrap_or_default()),)) {
        Ok(value) => value,
        // Told and mended by the call that asks the engine next.
        Err(error) if error.is_instance_of::<PyException>(py) => return Ok(None),
        Err(error) => return Err(error),
    };
    if kept.is_none() {
        let is_shared = shares_all || is_immutable(&value)?;
        let kept = Kept {
            coder: Some(coder.clone().unbind()),
            decode: Some(decode.clone().unbind()),
            value: is_shared.then(|| value.clone().unbind()),
        };
        // Somebody else was first: his stays.
        drop(held.object.set(Arc::new(kept)));
    }
    Ok(Some(value.unbind()))
}

/// What a coder reads payloads of a codec with.
fn decode_of<'py>(coder: &Bound<'py, PyAny>, codec: Codec) -> PyResult<Bound<'py, PyAny>> {
    let py = coder.py();
    coder.getattr(match codec {
        Codec::Json => intern!(py, "json"),
        Codec::Msgpack => intern!(py, "msgpack"),
        Codec::Raw => intern!(py, "raw"),
    })
}

fn is_immutable(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static IS_IMMUTABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let is_immutable = IS_IMMUTABLE
        .get_or_try_init(py, || py.import("tidegate._sharing")?.getattr("is_immutable").map(Bound::unbind))?;
    is_immutable.call1(py, (value,))?.extract(py)
}

struct Grave {
    _objects: [Option<Py<PyAny>>; 3],
    next: *mut Grave,
}

/// Objects that wait for a thread with the GIL and without a lock. A list without a lock of its own, so that a fork in
/// the middle leaves nobody waiting.
static GRAVES: AtomicPtr<Grave> = AtomicPtr::new(ptr::null_mut());

fn bury(objects: [Option<Py<PyAny>>; 3]) {
    let grave = Box::into_raw(Box::new(Grave { _objects: objects, next: ptr::null_mut() }));
    let mut first = GRAVES.load(Ordering::Relaxed);
    loop {
        // SAFETY: `grave` was made above and nobody else knows it until the exchange below succeeds.
        unsafe { (*grave).next = first };
        match GRAVES.compare_exchange_weak(first, grave, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// Lets go of what was buried. Called with the GIL and without any lock: an object's end may run code of its own.
pub(crate) fn clear_graves(_py: Python<'_>) {
    if GRAVES.load(Ordering::Relaxed).is_null() {
        return;
    }
    let mut next = GRAVES.swap(ptr::null_mut(), Ordering::Acquire);
    while !next.is_null() {
        // SAFETY: made by `Box::into_raw` in `bury`, and taken off the list by the swap: it is this thread's alone.
        let grave = unsafe { Box::from_raw(next) };
        next = grave.next;
    }
}
