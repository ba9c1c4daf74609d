//! Those who wait in a flight, and what each may be given.

use super::words::Patience;

/// One caller's place in the row.
#[derive(Clone, Debug)]
pub(super) struct Member<T> {
    pub(super) caller: T,
    pub(super) patience: Patience,
    /// Joined before the fallback that runs was started.
    pub(super) is_elder: bool,
    /// Joined before the command was sent that brought the stale value which the flight holds.
    pub(super) sees_stale: bool,
}

impl<T> Member<T> {
    pub(super) fn new(caller: T, patience: Patience) -> Self {
        Self { caller, patience, is_elder: false, sees_stale: false }
    }
}

/// In the order in which they joined.
#[derive(Clone, Debug)]
pub(super) struct Members<T>(Vec<Member<T>>);

impl<T: PartialEq> Members<T> {
    pub(super) fn new(callers: Vec<(T, Patience)>) -> Self {
        Self(callers.into_iter().map(|(caller, patience)| Member::new(caller, patience)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, member: Member<T>) {
        self.0.push(member);
    }

    pub(super) fn append(&mut self, others: &mut Self) {
        self.0.append(&mut others.0);
    }

    pub(super) fn remove(&mut self, caller: &T) {
        self.0.retain(|member| member.caller != *caller);
    }

    pub(super) fn take_first(&mut self) -> Option<Member<T>> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    pub(super) fn first(&self) -> Option<&Member<T>> {
        self.0.first()
    }

    pub(super) fn take_first_if(&mut self, is_meant: impl FnOnce(&Member<T>) -> bool) -> Option<Member<T>> {
        self.first().is_some_and(is_meant).then(|| self.0.remove(0))
    }

    pub(super) fn put_first(&mut self, member: Member<T>) {
        self.0.insert(0, member);
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = T> {
        self.take(|_| true)
    }

    /// Takes out those of whom `is_meant` says so; the others stay, in their order.
    pub(super) fn take(&mut self, is_meant: impl Fn(&Member<T>) -> bool) -> impl Iterator<Item = T> {
        let (meant, left) = std::mem::take(&mut self.0).into_iter().partition::<Vec<_>, _>(|member| is_meant(member));
        self.0 = left;
        meant.into_iter().map(|member| member.caller)
    }

    pub(super) fn each(&mut self, mark: impl FnMut(&mut Member<T>)) {
        self.0.iter_mut().for_each(mark);
    }

    pub(super) fn into_callers(self) -> Vec<(T, Patience)> {
        self.0.into_iter().map(|member| (member.caller, member.patience)).collect()
    }
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
