//! Runs a model to its end, or to the first invariant that it breaks, and tells what was found.

use std::fmt::Debug;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::mutants::{Expected, Mutant};
use super::oracle::{Invariant, Judged};
use super::plan::{Event, Met};

/// A small model: what it is about, and what it must have come by.
pub trait Explorable:
    Model<State: Judged, Action: Clone + PartialEq + Debug + Send + Sync> + Send + Sync + 'static
{
    fn name(&self) -> &'static str;
    fn invariants(&self) -> &[Invariant];
    fn events(&self) -> &[Event];
    fn met(&self) -> &Met;

    /// A property is a plain function, so each bit has one.
    fn judged(&self) -> Vec<Property<Self>> {
        self.invariants().iter().map(|&invariant| Property::always(invariant.name(), condition(invariant))).collect()
    }
}

fn holds<M: Model<State: Judged>, const BIT: u16>(_: &M, state: &M::State) -> bool {
    state.broken().holds(BIT)
}

fn condition<M: Model<State: Judged>>(invariant: Invariant) -> fn(&M, &M::State) -> bool {
    match invariant {
        Invariant::I1 => holds::<M, { Invariant::I1.bit() }>,
        Invariant::I2 => holds::<M, { Invariant::I2.bit() }>,
        Invariant::I3 => holds::<M, { Invariant::I3.bit() }>,
        Invariant::I4 => holds::<M, { Invariant::I4.bit() }>,
        Invariant::I5 => holds::<M, { Invariant::I5.bit() }>,
        Invariant::I7 => holds::<M, { Invariant::I7.bit() }>,
        Invariant::I8 => holds::<M, { Invariant::I8.bit() }>,
        Invariant::I9 => holds::<M, { Invariant::I9.bit() }>,
        Invariant::I10 => holds::<M, { Invariant::I10.bit() }>,
        Invariant::I12 => holds::<M, { Invariant::I12.bit() }>,
        Invariant::Seen => holds::<M, { Invariant::Seen.bit() }>,
        Invariant::Agrees => holds::<M, { Invariant::Agrees.bit() }>,
    }
}

/// What the exploration of one model found.
pub struct Finding {
    pub states: usize,
    pub depth: usize,
    pub millis: u128,
    /// The invariant that broke, and the steps to there.
    pub broken: Option<(&'static str, Vec<String>)>,
}

/// Explores breadth first on one thread, so that figures are the same every time and a counterexample is a short one;
/// until `wanted` is broken, or anything where nothing is wanted.
pub fn explore<M: Explorable>(model: M, wanted: Option<Invariant>) -> Finding {
    let started = Instant::now();
    let until = match wanted {
        Some(invariant) => HasDiscoveries::AllOf([invariant.name()].into()),
        None => HasDiscoveries::AnyFailures,
    };
    let checker = model.checker().threads(1).finish_when(until).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().find_map(|(name, path)| {
        let invariant = Invariant::ALL.into_iter().find(|invariant| invariant.name() == name)?;
        let is_wanted = wanted.is_none_or(|wanted| wanted == invariant);
        // The checker goes on for a while and tells of the last state that it saw broken: up to the first is enough.
        let unbroken = path.into_vec().into_iter().take_while(|(state, _)| state.broken().holds(invariant.bit()));
        is_wanted.then(|| (name, unbroken.filter_map(|(_, step)| step).map(|step| format!("{step:?}")).collect()))
    });
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    Finding { states, depth, millis: started.elapsed().as_millis(), broken }
}

/// The model without mutations: explored to the end, nothing broken, and everything met that it is about.
pub fn assert_proved<M: Explorable>(model: M) {
    let (name, met, events) = (model.name(), model.met().clone(), model.events().to_vec());
    let names: Vec<_> = model.invariants().iter().map(|invariant| format!("{invariant:?}")).collect();
    let Finding { states, depth, millis, broken } = explore(model, None);
    println!("{name:<16} {states:>8} states  depth {depth:>3}  {millis:>6} ms  {}", names.join(" "));
    assert_eq!(broken, None, "{name}");
    let missed: Vec<_> = events.iter().filter(|&&event| !met.has(event)).collect();
    assert!(missed.is_empty(), "{name} came by no {missed:?}: it proves little");
}

/// A model with a mutation: the invariant breaks that is expected to, or nothing does to the end.
pub fn assert_found<P: Explorable>(title: &str, mutant: Mutant<P>) {
    let name = mutant.plan.name();
    let (wanted, why) = match mutant.expected {
        Expected::Breaks(invariant) => (Some(invariant), ""),
        Expected::Redundant(why) => (None, why),
    };
    let Finding { states, broken, .. } = explore(mutant.plan, wanted);
    let told = match &broken {
        Some((broke, path)) => format!("{broke}\n      {} steps: {}", path.len(), path.join(", ")),
        None => format!("nothing breaks: {why}"),
    };
    println!("{title:<26} {name:<16} {states:>8} states  {told}");
    assert_eq!(broken.map(|(broke, _)| broke), wanted.map(Invariant::name), "{title} in {name}");
}
