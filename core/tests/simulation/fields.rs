//! Rows that are cached by two fields as well: some of the reads, sets and invalidations are of these. A value is the older of
//! the two.

use std::sync::Arc;

use tidegate::Engine;
use tidegate::config::Terms;
use tidegate::protocol::envelope::Payload;
use tidegate::protocol::fields::{Field, FieldState};

const FIELDS: [&str; 2] = ["a", "b"];

/// The same terms, for a call of the fields.
pub(crate) fn by_fields(engine: &Engine, terms: Option<&Arc<Terms>>) -> Arc<Terms> {
    engine.terms_of_fields(terms, FIELDS).expect("right names")
}

/// What is set.
pub(crate) fn of_both(version: u64) -> Payload {
    filled_up(&[], version)
}

/// What a fallback gives that has read this version, beside those that stand there.
pub(crate) fn filled_up(standing: &[Field], version: u64) -> Payload {
    let fresh: Vec<Field> = standing.iter().filter(|field| field.state == FieldState::Fresh).cloned().collect();
    let is_missing = |name: &&&str| !fresh.iter().any(|field| *field.name == ***name);
    let fetched = FIELDS.iter().filter(is_missing).map(|name| Field {
        name: (*name).into(),
        state: FieldState::New,
        payload: Payload::json(version.to_string()),
    });
    Payload::of_fields(fresh.iter().cloned().chain(fetched).collect())
}
