//! The tenants of a manager: one of each name, however many views of it there are, with what is kept of it.
//!
//! Names come from data, so an endless row of them must not take endless memory: beyond [`TENANTS_MAX`] those whom nobody
//! uses any more (no view, no call under way) are forgotten, the longest unused first, and with them their figures and
//! limits. What they did stays in the manager's own figures.

use std::collections::HashMap;

use super::Engine;
use super::event::Event;
use super::observe::{Figure, Figures};
use crate::config::{CallKind, Dialect, OptionValue, TENANTS_MAX, TenantLimits, Terms};
use crate::error::Error;
use crate::protocol::key::{Key, KeySpace, Part, unescaped};
use crate::sync::{Arc, Mutex, lock};
use crate::tenant::{Count, Tenant};

/// Those that are known, by the prefix of their keys.
#[derive(Default)]
pub(super) struct Tenants {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    // Not hashed by what is fast: the names are strangers'.
    by_prefix: HashMap<Arc<str>, Arc<Tenant>>,
    /// How often a tenant was asked for.
    uses: u64,
    /// How many there are when the unused are looked for next.
    swept_at: usize,
}

impl Tenants {
    /// The tenant of this key space, made where there is none.
    fn of(&self, space: KeySpace) -> Arc<Tenant> {
        let mut known = lock(&self.known);
        known.uses += 1;
        let moment = known.uses;
        if let Some(tenant) = known.by_prefix.get(space.prefix()) {
            tenant.use_at(moment);
            return Arc::clone(tenant);
        }
        if known.by_prefix.len() >= known.swept_at.max(TENANTS_MAX) {
            known.forget_unused();
        }
        let tenant = Arc::new(Tenant::new(space));
        tenant.use_at(moment);
        known.by_prefix.insert(tenant.space().shared_prefix(), Arc::clone(&tenant));
        tenant
    }

    /// Takes in the tenant of another engine, whose views are this one's now.
    fn adopt(&self, tenant: &Arc<Tenant>) {
        let mut known = lock(&self.known);
        known.by_prefix.entry(tenant.space().shared_prefix()).or_insert_with(|| {
            tenant.tally().reset();
            Arc::clone(tenant)
        });
    }

    /// The tenant that a key is of, if it is known.
    fn of_key(&self, key: &Key) -> Option<Arc<Tenant>> {
        key.tenant()?;
        lock(&self.known).by_prefix.get(key.prefix()).cloned()
    }
}

impl Known {
    /// An eighth of what is kept, at most, so that few of those who come pay for it.
    fn forget_unused(&mut self) {
        // Whoever holds one besides this map could only have it from this map, under this lock.
        let unused = self.by_prefix.values().filter(|tenant| Arc::strong_count(tenant) == 1);
        let mut moments: Vec<u64> = unused.map(|tenant| tenant.used()).collect();
        if moments.len() > TENANTS_MAX / 8 {
            moments.select_nth_unstable(TENANTS_MAX / 8);
            moments.truncate(TENANTS_MAX / 8);
        }
        if let Some(last) = moments.into_iter().max() {
            self.by_prefix.retain(|_, tenant| Arc::strong_count(tenant) > 1 || tenant.used() > last);
        }
        self.swept_at = self.by_prefix.len() + TENANTS_MAX / 8;
    }
}

impl Engine {
    /// What calls of a tenant's view go by that say nothing of their own: what the manager says, and of `options` what a
    /// read takes. `max_fallbacks` is the tenant's: whoever names it says it for all its views. `view` is what it is made
    /// of; `namespaces` are that view's, which are the tenant's own here.
    ///
    /// # Errors
    /// `KeyFormatError` for a name that is empty, too long (100 bytes, escaped) or of no type that a key takes;
    /// `ConfigError` that names the option, and where `view` is a tenant's already.
    pub fn tenant(
        &self,
        view: Option<&Arc<Terms>>,
        name: &Part<'_>,
        namespaces: &[String],
        options: &[(String, OptionValue)],
        dialect: Dialect,
    ) -> Result<Arc<Terms>, Error> {
        let space = self.space_of(view).tenant(name)?;
        let (limits, options) = TenantLimits::read(options, dialect)?;
        let tenant = self.tenants.of(space);
        let view = Terms::of_tenant(Terms::clone(&self.terms), Arc::clone(&tenant));
        let mut terms = view.with(CallKind::Tenant, &options, dialect, &self.space)?.into_defaults();
        for namespace in namespaces {
            terms = terms.in_namespace(namespace, &self.space)?;
        }
        if let Some(most) = limits.max_fallbacks {
            tenant.limit_fallbacks(most);
        }
        Ok(Arc::new(terms))
    }

    /// What calls of a namespace within a view go by; `name` is the whole one, `outer:inner`.
    ///
    /// # Errors
    /// `KeyFormatError` for a namespace that is no name of a tag; `ConfigError` for more tags than an entry carries.
    pub fn namespace(&self, view: Option<&Arc<Terms>>, name: &str) -> Result<Arc<Terms>, Error> {
        let terms = Terms::clone(view.unwrap_or(&self.terms));
        Ok(Arc::new(terms.in_namespace(name, &self.space)?))
    }

    /// In a forked child, whose engine is another than the one that `view` was made by: its tenant is the same, and counts
    /// anew.
    pub fn adopt(&self, view: &Terms) {
        if let Some(tenant) = &view.tenant {
            self.tenants.adopt(tenant);
        }
    }

    /// Counts for the manager, and for the tenant of the call.
    pub(super) fn count(&self, terms: &Terms, which: Count) {
        self.count_many(terms, which, 1);
    }

    pub(super) fn count_many(&self, terms: &Terms, which: Count, count: u64) {
        if let Some(counter) = self.figures.counter(which) {
            counter.add(count);
        }
        if let Some(tenant) = &terms.tenant {
            tenant.tally().add(which, count);
        }
    }

    /// Of a fault nobody knows which call it belongs to, but whose key.
    pub(super) fn count_fault(&self, key: Option<&Key>) {
        Figures::count(&self.figures.errors);
        if let Some(tenant) = key.and_then(|key| self.tenants.of_key(key)) {
            tenant.tally().add(Count::Errors, 1);
        }
    }

    /// A read of this call took so long.
    pub(super) fn took(&self, terms: &Terms, duration_us: u64) {
        self.figures.latency(duration_us);
        if let Some(tenant) = &terms.tenant {
            tenant.tally().latency(duration_us);
        }
    }

    /// The figures of a tenant, in the place of its manager's. What is shared by everybody stays.
    pub(super) fn stats_of(tenant: &Tenant, whole: Vec<(&'static str, Figure)>) -> Vec<(&'static str, Figure)> {
        whole.into_iter().map(|(name, figure)| (name, own_figure(tenant, name).unwrap_or(figure))).collect()
    }
}

fn own_figure(tenant: &Tenant, name: &str) -> Option<Figure> {
    let tally = tenant.tally();
    let get = |which| tally.get(which);
    let share = |part: u64, whole: u64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
    let (hits, misses) = (get(Count::Hits) + get(Count::StaleHits) + get(Count::L1Hits), get(Count::Misses));
    let milliseconds = |at: usize| Figure::Measure(tally.latencies_us()[at] / 1_000.0);
    Some(match name {
        "hits" => Figure::Count(hits),
        "misses" => Figure::Count(misses),
        "hit_rate" => Figure::Measure(share(hits, hits + misses)),
        "miss_rate" => Figure::Measure(share(misses, hits + misses)),
        "unavailable" => Figure::Count(get(Count::Unavailable)),
        "avg_latency_ms" => milliseconds(0),
        "p50_ms" => milliseconds(1),
        "p99_ms" => milliseconds(2),
        "sets" => Figure::Count(get(Count::Sets)),
        "invalidation_count" => Figure::Count(get(Count::Invalidations)),
        "waits" => Figure::Count(get(Count::Waits)),
        "avg_wait_ms" => Figure::Measure(share(get(Count::WaitUs), get(Count::Waits)) / 1_000.0),
        "stale_served" => Figure::Count(get(Count::StaleServed)),
        "refreshes" => Figure::Count(get(Count::Refreshes)),
        "early_refreshes" => Figure::Count(get(Count::EarlyRefreshes)),
        "l1_hits" => Figure::Count(get(Count::L1Hits)),
        "fallbacks" => Figure::Count(get(Count::Fallbacks)),
        "fallback_errors" => Figure::Count(get(Count::FallbackErrors)),
        "errors" => Figure::Count(get(Count::Errors)),
        _ => return None,
    })
}

impl Event {
    /// The tenant of a key, as its user wrote it.
    pub(super) fn of_tenant_of(mut self, key: Option<&Key>) -> Self {
        self.tenant = key.and_then(Key::tenant).map(unescaped);
        self
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn space(name: &str) -> KeySpace {
        KeySpace::new("app", 1).and_then(|space| space.tenant(&Part::Text(name))).expect("right")
    }

    #[test]
    fn a_name_has_one_tenant_and_a_key_finds_it() {
        let tenants = Tenants::default();
        let acme = tenants.of(space("acme"));
        assert!(Arc::ptr_eq(&acme, &tenants.of(space("acme"))));
        let other = tenants.of(space("other"));
        assert!(acme != other && acme.number() != other.number());
        let key = acme.space().key("user:1").expect("right");
        assert_eq!(tenants.of_key(&key).as_deref(), Some(&*acme));
        let tag = acme.space().tag("t").expect("right");
        assert_eq!(tag.key().tenant(), Some("acme"));
        assert_eq!(tenants.of_key(&KeySpace::new("app", 1).expect("right").key("user:1").expect("right")), None);
    }

    #[test]
    fn an_endless_row_of_names_takes_bounded_room_and_those_in_use_stay() {
        let tenants = Tenants::default();
        let held = tenants.of(space("held"));
        held.tally().add(Count::Hits, 7);
        for number in 0..3 * TENANTS_MAX {
            tenants.of(space(&number.to_string()));
        }
        assert!(lock(&tenants.known).by_prefix.len() <= TENANTS_MAX);
        assert!(Arc::ptr_eq(&held, &tenants.of(space("held"))));
        let latest = (3 * TENANTS_MAX - 1).to_string();
        assert!(lock(&tenants.known).by_prefix.contains_key(space(&latest).prefix()), "the latest go last");
    }

    #[test]
    fn of_many_that_are_all_in_use_none_is_forgotten() {
        let tenants = Tenants::default();
        let held: Vec<_> = (0..TENANTS_MAX + 100).map(|number| tenants.of(space(&number.to_string()))).collect();
        assert!(held.iter().enumerate().all(|(at, tenant)| Arc::ptr_eq(tenant, &tenants.of(space(&at.to_string())))));
    }

    /// What is shared by everybody: a tenant's `stats()` shows the manager's.
    const SHARED: [&str; 3] = ["l1_entries", "l1_bytes", "events_dropped"];

    #[test]
    fn every_figure_is_a_tenants_own_or_shared() {
        let tenant = Tenant::new(space("acme"));
        for (name, _) in Figures::new().report(0, Default::default()) {
            let is_own = own_figure(&tenant, name).is_some();
            assert!(is_own != SHARED.contains(&name), "{name}: a tenant's own (Count), or shared?");
        }
    }
}
