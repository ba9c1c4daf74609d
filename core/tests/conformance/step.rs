//! Reading a step: what it gives, says and expects.

use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;
use tidegate::config::OptionValue;
use tidegate::{Context, Error, GetError, WriteError};
use toml::{Table, Value};

use super::fallback::{End, Fault, Given};

/// What a call was seen to end with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Value(Json),
    Unstorable,
    Absent,
    Error(String),
    Code(String),
    Confirmed(bool),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<Result<Given, Fault>> for Seen {
    fn from(given: Result<Given, Fault>) -> Self {
        match given {
            Ok(Given::Json(value)) => Self::Value(value),
            Ok(Given::Unstorable) => Self::Unstorable,
            Err(Fault::Text(text)) => Self::Error(text),
            Err(Fault::Refused(code)) => Self::Code(code),
        }
    }
}

impl From<Result<Given, GetError<Fault>>> for Seen {
    fn from(result: Result<Given, GetError<Fault>>) -> Self {
        match result {
            Ok(given) => Self::from(Ok::<_, Fault>(given)),
            Err(GetError::Fallback(fault)) => Self::from(Err::<Given, _>((*fault).clone())),
            Err(GetError::Cache(error)) => error.into(),
        }
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        Self::Code(error.code().to_owned())
    }
}

impl From<Result<bool, WriteError<Fault>>> for Seen {
    fn from(answer: Result<bool, WriteError<Fault>>) -> Self {
        match answer {
            Ok(is_confirmed) => Self::Confirmed(is_confirmed),
            Err(WriteError::Persist(fault)) => Self::from(Err::<Given, _>(fault)),
            Err(WriteError::Cache(error)) => error.into(),
        }
    }
}

impl From<Result<bool, Error>> for Seen {
    fn from(answer: Result<bool, Error>) -> Self {
        answer.map_or_else(Self::from, Self::Confirmed)
    }
}

/// What a fallback says on its context.
#[derive(Clone, Debug, Default)]
pub(super) struct Says {
    ttl: Option<Duration>,
    tags: Vec<String>,
    skip: bool,
    not_modified: bool,
}

impl Says {
    fn of(step: &Table) -> Self {
        let Some(says) = step.get("says").and_then(Value::as_table) else { return Self::default() };
        Self {
            ttl: text(says, "ttl").map(duration),
            tags: says.get("tags").map(texts).unwrap_or_default(),
            skip: is_set(says, "skip"),
            not_modified: is_set(says, "not_modified"),
        }
    }

    pub(super) fn to(&self, context: &Context) -> Result<(), Error> {
        if let Some(ttl) = self.ttl {
            context.set_ttl(ttl);
        }
        if !self.tags.is_empty() {
            context.set_tags(&self.tags)?;
        }
        if self.skip {
            context.skip();
        }
        if self.not_modified {
            context.not_modified();
        }
        Ok(())
    }
}

pub(super) fn text<'a>(step: &'a Table, name: &str) -> Option<&'a str> {
    step.get(name).map(|value| value.as_str().unwrap_or_else(|| panic!("{name} is a text in {step}")))
}

pub(super) fn number(step: &Table, name: &str) -> Option<u64> {
    step.get(name).map(|value| value.as_integer().and_then(|number| number.try_into().ok()).expect("a number"))
}

pub(super) fn is_set(step: &Table, name: &str) -> bool {
    step.get(name).is_some_and(|value| value.as_bool() == Some(true))
}

pub(super) fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts.map(|text| text.as_str().expect("a list of texts").to_owned()).collect()
}

pub(super) fn json(value: &Value) -> Json {
    serde_json::to_value(value).expect("TOML fits JSON")
}

/// `"300ms"` or `"3s"`.
pub(super) fn duration(text: &str) -> Duration {
    let (digits, scale) = text.strip_suffix("ms").map_or((text.trim_end_matches('s'), 1_000), |digits| (digits, 1));
    Duration::from_millis(scale * digits.parse::<u64>().expect("a time in s or ms"))
}

pub(super) fn option(value: &Value) -> OptionValue {
    match value {
        Value::Integer(number) => OptionValue::Int(*number),
        Value::Float(number) => OptionValue::Float(*number),
        Value::String(text) => OptionValue::Text(text.clone()),
        Value::Boolean(is_on) => OptionValue::Bool(*is_on),
        Value::Array(list) => OptionValue::List(list.iter().map(option).collect()),
        other => panic!("an option is no {other}"),
    }
}

fn value_of(step: &Table) -> Option<Json> {
    let large = number(step, "large").map(|count| Json::from("x".repeat(count as usize)));
    step.get("value").map(json).or(large).or_else(|| is_set(step, "null").then_some(Json::Null))
}

/// What a step writes through.
pub(super) fn written(step: &Table) -> Given {
    if is_set(step, "to_unstorable") {
        return Given::Unstorable;
    }
    let large = number(step, "to_large").map(|count| Json::from("x".repeat(count as usize)));
    Given::Json(large.unwrap_or_else(|| json(&step["to"])))
}

fn given(step: &Table) -> Option<Result<Given, Fault>> {
    let unstorable = || is_set(step, "unstorable").then_some(Ok(Given::Unstorable));
    let error = || text(step, "error").map(|error| Err(Fault::Text(error.to_owned())));
    value_of(step).map(|value| Ok(Given::Json(value))).or_else(unstorable).or_else(error)
}

/// How a `finish` lets a fallback end; with `not_modified` its value does not matter.
pub(super) fn end_of(step: &Table) -> End {
    let says = Says::of(step);
    let gives = given(step).or_else(|| says.not_modified.then_some(Ok(Given::Json(Json::Null))));
    End { gives: gives.expect("a finish says with what"), says }
}

/// How the fallback of a `do` step ends.
pub(super) fn computes(step: &Table) -> Option<End> {
    let value = step.get("computes").map(json).or_else(|| is_set(step, "computes_null").then_some(Json::Null));
    value.map(|value| End { gives: Ok(Given::Json(value)), says: Says::of(step) })
}

/// What the call is to end with.
pub(super) fn expected(step: &Table) -> Option<Seen> {
    let code = text(step, "code").map(|code| Seen::Code(code.to_owned()));
    let confirmed = || step.get("confirmed").and_then(Value::as_bool).map(Seen::Confirmed);
    let absent = || is_set(step, "absent").then_some(Seen::Absent);
    code.or_else(|| given(step).map(Seen::from)).or_else(confirmed).or_else(absent)
}

/// What the fallback is to find as `ctx.stale`.
pub(super) fn sees_stale(step: &Table) -> Option<Option<Json>> {
    step.get("sees_stale").map(|value| (value.as_str() != Some("none")).then(|| json(value)))
}
