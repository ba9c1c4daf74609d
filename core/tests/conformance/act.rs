//! The `do` steps: one call each, at once.

use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tidegate::client::CallBuilder;
use tidegate::{Context, Manager};
use toml::{Table, Value};

use super::fallback::{End, Fault, Given};
use super::scene::Scene;
use super::step::{Seen, computes, expected, is_set, json, option, sees_stale, text, texts, written};

/// Begins a call with the options that its step gives it.
pub(super) fn call<'a>(manager: &'a Manager, step: &Table) -> CallBuilder<'a> {
    let with = step.get("with").and_then(Value::as_table).into_iter().flatten();
    let ttl = step.get("ttl").map(|ttl| ("ttl", ttl));
    let given = with.map(|(name, value)| (name.as_str(), value)).chain(ttl);
    given.fold(manager.call(), |call, (name, value)| call.option(name, option(value)))
}

/// What a fallback that ends at once went through; none while it has not run.
type Ran = Arc<Mutex<Option<Option<Json>>>>;

impl Scene {
    /// Does it; what does not hold is told, for `eventually`.
    pub(super) async fn act(&self, step: &Table) -> Result<(), String> {
        if let Some(key) = text(step, "fields") {
            return self.act_on_fields(key, step).await;
        }
        let manager = self.view(step).await;
        let key = text(step, "key").unwrap_or_default();
        let ran = Ran::default();
        let fallback = |end: End| {
            let ran = Arc::clone(&ran);
            move |context: Context| async move {
                *ran.lock().expect("no panic") = Some(context.stale());
                end.reach(&context)
            }
        };
        let seen: Seen = match (text(step, "do").expect("a step that the README knows"), computes(step)) {
            ("get", Some(end)) => call(&manager, step).fetch(key, fallback(end)).await.into(),
            ("refresh", Some(end)) => call(&manager, step).refresh(key, fallback(end)).await.into(),
            ("get", None) => match manager.get::<Json>(key).await {
                Ok(value) => value.map_or(Seen::Absent, Seen::Value),
                Err(error) => error.into(),
            },
            ("get_entry", None) => return self.get_entry(&manager, key, step).await,
            ("set", None) => call(&manager, step).set(key, &json(&step["to"])).await.into(),
            ("write_through", None) => {
                let (fails, ran) = (text(step, "fails"), Arc::clone(&ran));
                let persist = |given: Given| async move {
                    assert_eq!(given, written(step));
                    *ran.lock().expect("no panic") = Some(None);
                    fails.map_or(Ok(()), |text| Err(Fault::Text(text.to_owned())))
                };
                call(&manager, step).write_through(key, written(step), persist).await.into()
            }
            ("invalidate", None) => manager.invalidate(key).await.into(),
            ("invalidate_tag", None) => manager.invalidate_tag(text(step, "tag").expect("a tag")).await.into(),
            ("clear", None) => manager.clear().await.into(),
            ("publish_event", None) => super::handlers::publish(&manager, step).await,
            ("expire", None) => manager.expire(key).await.into(),
            ("exists", None) => manager.exists(key).await.into(),
            (other, _) => panic!("no step is called {other}"),
        };
        if let Some(expected) = expected(step)
            && seen != expected
        {
            return Err(format!("{step}: saw {seen}"));
        }
        let ran = ran.lock().expect("no panic").clone();
        if let Some(runs) = step.get("runs").and_then(Value::as_bool)
            && runs != ran.is_some()
        {
            return Err(format!("{step}: the fallback ran: {}", ran.is_some()));
        }
        match (sees_stale(step), ran) {
            (Some(stale), Some(saw)) if stale != saw => Err(format!("{step}: the fallback saw {saw:?} as stale")),
            (Some(_), None) => Err(format!("{step}: the fallback did not run")),
            _ => Ok(()),
        }
    }

    /// The entry with its tags and its version, which is larger than at the last look when it is to grow.
    async fn get_entry(&self, manager: &Manager, key: &str, step: &Table) -> Result<(), String> {
        let entry = match manager.get_entry::<Json>(key).await {
            Ok(Some(entry)) => entry,
            Ok(None) if is_set(step, "absent") => return Ok(()),
            other => return Err(format!("{step}: saw {other:?}")),
        };
        let before = self.versions.borrow_mut().insert(key.to_owned(), entry.details.version);
        let grows = text(step, "version") != Some("grows") || before.is_some_and(|old| old < entry.details.version);
        let mut tags = entry.details.tags.clone();
        tags.sort();
        let is_tagged = step.get("tags").is_none_or(|expected| texts(expected) == tags);
        let value = Seen::Value(entry.value.clone().unwrap_or(Json::Null));
        let is_right = expected(step).is_none_or(|expected| expected == value);
        if grows && is_tagged && is_right { Ok(()) } else { Err(format!("{step}: saw {entry:?} after {before:?}")) }
    }
}
