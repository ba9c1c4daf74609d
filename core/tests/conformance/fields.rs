//! The steps that are about fields of a key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tidegate::{GetError, Manager};
use toml::{Table, Value};

use super::act::call;
use super::fallback::{Fault, Gate, Given};
use super::scene::Scene;
use super::step::{Seen, json, text, texts};

impl Scene {
    /// Does it; what does not hold is told, for `eventually`.
    pub(super) async fn act_on_fields(&self, key: &str, step: &Table) -> Result<(), String> {
        let manager = self.view(step).await;
        let names = names_of(step);
        let names = names.iter().map(String::as_str);
        let ran: Arc<Mutex<Option<Vec<String>>>> = Arc::default();
        let seen: Seen = match (text(step, "do").expect("a step that the README knows"), fetched(step)) {
            ("get", Some(gives)) => {
                let ran = Arc::clone(&ran);
                let fetch = |missing: Vec<String>| async move {
                    *ran.lock().expect("no panic") = Some(missing);
                    gives
                };
                seen_of(call(&manager, step).get_fields(key, names, fetch).await)
            }
            ("get", None) => seen_of(manager.get_cached_fields(key, names).await.map_err(GetError::Cache)),
            ("set", None) => {
                let values = map_of(&json(&step["to"]));
                let pairs = values.iter().map(|(name, value)| (name.as_str(), value));
                call(&manager, step).set_fields(key, pairs).await.into()
            }
            ("invalidate", None) => manager.invalidate_fields(key, names).await.into(),
            (other, _) => panic!("no step about fields is called {other}"),
        };
        if let Some(expected) = expected(step)
            && seen != expected
        {
            return Err(format!("{step}: saw {seen}"));
        }
        let asked = ran.lock().expect("no panic").clone().unwrap_or_default();
        match step.get("asked").map(texts) {
            Some(expected) if expected != asked => Err(format!("{step}: the fetch was asked for {asked:?}")),
            _ => Ok(()),
        }
    }
}

/// A call whose fetch is held by its gate.
pub(super) async fn held(manager: &Manager, key: &str, step: &Table, gate: Arc<Gate>) -> Seen {
    let names = names_of(step);
    let fetch = |missing: Vec<String>| async move {
        match gate.fetch(missing).await? {
            Given::Json(found) => Ok(map_of(&found)),
            Given::Unstorable => panic!("a fetch gives a table"),
        }
    };
    seen_of(call(manager, step).get_fields(key, names.iter().map(String::as_str), fetch).await)
}

fn names_of(step: &Table) -> Vec<String> {
    step.get("names").map(texts).unwrap_or_default()
}

fn map_of(table: &Json) -> BTreeMap<String, Json> {
    let table = table.as_object().expect("a table of fields");
    table.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn fetched(step: &Table) -> Option<Result<BTreeMap<String, Json>, Fault>> {
    let fails = || text(step, "fails").map(|error| Err(Fault::Text(error.to_owned())));
    step.get("fetches").map(|found| Ok(map_of(&json(found)))).or_else(fails)
}

fn seen_of(found: Result<BTreeMap<String, Option<Json>>, GetError<Fault>>) -> Seen {
    let whole = |(name, value): (String, Option<Json>)| (name, value.unwrap_or(Json::Null));
    found.map(|found| Given::Json(Json::Object(found.into_iter().map(whole).collect()))).into()
}

fn expected(step: &Table) -> Option<Seen> {
    let found = step.get("found").and_then(Value::as_table).map(|found| {
        let nulls = step.get("nulls").map(texts).unwrap_or_default().into_iter().map(|name| (name, Json::Null));
        let values = found.iter().map(|(name, value)| (name.clone(), json(value)));
        Seen::Value(Json::Object(values.chain(nulls).collect()))
    });
    found.or_else(|| super::step::expected(step))
}
