//! The small models of the lease protocol: each is about one idea, and is explored to the end.

use super::oracle::Invariant::{self, Agrees, I1, I2, I3, I4, I5, I8, I9, I10, I12, Seen};
use super::plan::{Event, Plan, ReaderPlan, Way, WriterPlan};

const READER: ReaderPlan = ReaderPlan {
    key: 0,
    has_static_tag: false,
    has_dynamic_tag: false,
    refreshes: false,
    is_own: false,
    may_fail: false,
    may_pass: false,
    may_renew: false,
    has_follower: false,
};
const TAGGED: ReaderPlan = ReaderPlan { has_static_tag: true, ..READER };
const LEASES: &[Invariant] = &[I1, I2, I3, I4, I5, I10];
const INVALIDATE: Way = Way::Invalidate { settle: false };

fn after(writer: usize, way: Way) -> WriterPlan {
    WriterPlan { after: Some(writer), ..WriterPlan::new(way) }
}

/// Leases and invalidations.
pub fn of_leases() -> Vec<Plan> {
    vec![fence(), order(), exclusive(), soft(), refresh(), set(), settle(), settle_beside(), journal()]
}

/// Tags, and flights that share them.
pub fn of_tags() -> Vec<Plan> {
    vec![tags(), tags_repeated(), named(), named_beside_static(), flight(), flight_untagged(), tag_journal()]
}

/// Write-through.
pub fn of_writes() -> Vec<Plan> {
    vec![through(), through_three(), through_beside(), through_set(), through_owed()]
}

const THROUGH: Way = Way::Through;

/// Two writers and two readers, marks that run out, a server that forgets.
pub fn through() -> Plan {
    let writer = WriterPlan { may_fail: true, ..WriterPlan::new(THROUGH) };
    Plan {
        readers: vec![READER; 2],
        writers: vec![writer, writer],
        evicts_leases: true,
        marks_run_out: true,
        repeats: 1,
        invariants: [LEASES, &[Agrees]].concat(),
        events: vec![
            Event::Hit,
            Event::Waited,
            Event::Solo,
            Event::Stored,
            Event::Revoked,
            Event::Committed,
            Event::NotCommitted,
            Event::MarkRanOut,
            Event::Repeated,
        ],
        ..Plan::new("through")
    }
}

/// Three writers in every order.
pub fn through_three() -> Plan {
    Plan {
        readers: vec![READER],
        writers: vec![WriterPlan::new(THROUGH); 3],
        evicts_leases: false,
        repeats: 0,
        events: vec![Event::Hit, Event::Solo, Event::Committed, Event::NotCommitted],
        ..Plan { name: "through three", ..through() }
    }
}

/// A writer beside invalidations, and a reader of its own process.
pub fn through_beside() -> Plan {
    let own = WriterPlan { is_own: true, may_fail: true, ..WriterPlan::new(THROUGH) };
    Plan {
        readers: vec![READER, ReaderPlan { is_own: true, ..READER }],
        writers: vec![own, WriterPlan::new(INVALIDATE)],
        invariants: [LEASES, &[Agrees, I8, I12]].concat(),
        events: vec![Event::Hit, Event::Committed, Event::NotCommitted, Event::Stored, Event::Revoked],
        ..Plan { name: "through beside", ..through() }
    }
}

/// A writer that dies behind its change, beside a SET that was sent before; its mark stands.
pub fn through_set() -> Plan {
    Plan {
        readers: vec![READER; 2],
        writers: vec![WriterPlan { dies: true, ..WriterPlan::new(THROUGH) }, WriterPlan::new(Way::Set)],
        marks_run_out: false,
        evicts_leases: false,
        repeats: 0,
        events: vec![Event::Hit, Event::Solo],
        ..Plan { name: "through set", ..through() }
    }
}

/// A writer whose beginning or end the store does not confirm.
pub fn through_owed() -> Plan {
    let own = WriterPlan { is_own: true, may_time_out: true, may_fail: true, ..WriterPlan::new(THROUGH) };
    Plan {
        readers: vec![READER, ReaderPlan { is_own: true, ..READER }],
        writers: vec![own, after(0, INVALIDATE)],
        evicts_leases: false,
        invariants: [LEASES, &[Agrees, I8, I12]].concat(),
        events: vec![Event::Hit, Event::Committed, Event::NotCommitted, Event::Replayed, Event::Repeated],
        ..Plan { name: "through owed", ..through() }
    }
}

/// Readers whose exclusive time runs out, writers, and a server that forgets.
pub fn fence() -> Plan {
    Plan {
        readers: vec![READER; 3],
        writers: vec![WriterPlan::new(INVALIDATE), after(0, INVALIDATE)],
        evicts_entries: true,
        evicts_leases: true,
        repeats: 1,
        invariants: LEASES.to_vec(),
        events: vec![Event::Hit, Event::Waited, Event::Stored, Event::Revoked, Event::Superseded, Event::Repeated],
        ..Plan::new("fence")
    }
}

/// Three holders of one generation.
pub fn order() -> Plan {
    Plan {
        readers: vec![READER; 4],
        writers: vec![WriterPlan::new(INVALIDATE)],
        invariants: LEASES.to_vec(),
        events: vec![Event::Hit, Event::Stored, Event::Superseded],
        ..Plan::new("order")
    }
}

/// Holders that renew, fail and pass.
pub fn exclusive() -> Plan {
    let busy = ReaderPlan { may_fail: true, may_pass: true, may_renew: true, ..READER };
    Plan {
        readers: vec![busy; 3],
        writers: vec![WriterPlan::new(INVALIDATE)],
        repeats: 1,
        invariants: LEASES.to_vec(),
        events: vec![Event::Hit, Event::Waited, Event::Solo, Event::Stored, Event::Revoked, Event::Superseded],
        ..Plan::new("exclusive")
    }
}

/// EXPIRE keeps the entry for fallbacks that fail.
pub fn soft() -> Plan {
    let failing = ReaderPlan { may_fail: true, ..READER };
    Plan {
        readers: vec![failing, failing],
        writers: vec![WriterPlan::new(Way::Expire), after(0, INVALIDATE)],
        evicts_entries: true,
        has_ttl: true,
        repeats: 2,
        invariants: LEASES.to_vec(),
        events: vec![Event::Hit, Event::StaleGiven, Event::Stored, Event::Revoked],
        ..Plan::new("soft")
    }
}

/// A user who has written and refreshes, beside fills that began before.
pub fn refresh() -> Plan {
    Plan {
        readers: vec![READER, READER, ReaderPlan { refreshes: true, is_own: true, ..READER }],
        writers: vec![WriterPlan::new(INVALIDATE)],
        evicts_leases: true,
        repeats: 1,
        invariants: [LEASES, &[I8, I12]].concat(),
        events: vec![Event::Hit, Event::Stored, Event::Revoked, Event::Repeated, Event::Replayed],
        ..Plan::new("refresh")
    }
}

/// A SET whose caller has given up may still sit in a buffer.
pub fn set() -> Plan {
    let own = |way| WriterPlan { is_own: true, may_time_out: way == Way::Set, ..WriterPlan::new(way) };
    Plan {
        readers: vec![READER, ReaderPlan { is_own: true, ..READER }],
        writers: vec![own(Way::Set), after(0, INVALIDATE)],
        evicts_leases: true,
        repeats: 2,
        invariants: [LEASES, &[I8, I12]].concat(),
        events: vec![Event::Hit, Event::Stored, Event::LateSet, Event::Replayed],
        ..Plan::new("set")
    }
}

/// A database read from replicas that lag for less than the settling time.
pub fn settle() -> Plan {
    Plan {
        readers: vec![READER; 2],
        writers: vec![WriterPlan::new(Way::Invalidate { settle: true }), after(0, Way::Invalidate { settle: true })],

        evicts_entries: true,
        has_replica: true,
        repeats: 1,
        invariants: LEASES.to_vec(),
        events: vec![Event::Hit, Event::Solo, Event::Stored, Event::Revoked],
        ..Plan::new("settle")
    }
}

/// A settle time beside a command that takes every right away, of somebody who has changed nothing.
pub fn settle_beside() -> Plan {
    let expires = WriterPlan { changes_nothing: true, ..after(0, Way::Expire) };
    Plan {
        writers: vec![WriterPlan::new(Way::Invalidate { settle: true }), expires],
        ..Plan { name: "settle beside", ..settle() }
    }
}

/// A caller who joins the flight of another, at any time, with a tag that is invalidated too.
pub fn flight() -> Plan {
    let followed = ReaderPlan { has_follower: true, may_fail: true, ..TAGGED };
    Plan {
        readers: vec![followed, TAGGED],
        writers: vec![WriterPlan::new(Way::InvalidateTag(0)), WriterPlan::new(INVALIDATE)],
        has_ttl: true,
        invariants: [LEASES, &[I9, Seen]].concat(),
        events: vec![Event::Hit, Event::Followed, Event::NotFollowed, Event::StaleGiven, Event::DeadByTag],
        ..Plan::new("flight")
    }
}

/// The same without tags: here STORED says enough.
pub fn flight_untagged() -> Plan {
    let followed = ReaderPlan { has_follower: true, may_fail: true, ..READER };
    Plan {
        readers: vec![followed, READER],
        writers: vec![WriterPlan::new(INVALIDATE), after(0, Way::Expire)],
        repeats: 1,
        events: vec![Event::Hit, Event::Followed, Event::NotFollowed, Event::StaleGiven, Event::Revoked],
        invariants: LEASES.to_vec(),
        ..Plan { name: "flight untagged", ..flight() }
    }
}

/// Two keys that share a tag; the server forgets nonces.
pub fn tags() -> Plan {
    Plan {
        readers: vec![TAGGED, TAGGED, ReaderPlan { key: 1, ..TAGGED }],
        writers: vec![WriterPlan::new(Way::InvalidateTag(0))],
        evicts_tags: true,
        invariants: [LEASES, &[I9, Seen]].concat(),
        events: vec![Event::Hit, Event::DeadByTag, Event::Stored],
        ..Plan::new("tags")
    }
}

/// The same where every command may come twice.
pub fn tags_repeated() -> Plan {
    Plan {
        readers: vec![TAGGED, TAGGED],
        writers: vec![WriterPlan::new(Way::InvalidateTag(0)), after(0, Way::InvalidateTag(0))],
        evicts_tags: false,
        repeats: 1,
        events: vec![Event::Hit, Event::DeadByTag, Event::Stored, Event::Repeated],
        ..Plan { name: "tags repeated", ..tags() }
    }
}

/// A tag that the fallback itself names: kept only when its nonce is older than the fallback.
pub fn named() -> Plan {
    let naming = ReaderPlan { has_dynamic_tag: true, ..READER };
    Plan {
        readers: vec![naming, naming],
        writers: vec![WriterPlan::new(Way::InvalidateTag(1))],
        evicts_tags: true,
        ticks: 2,
        invariants: [LEASES, &[I9, Seen]].concat(),
        events: vec![Event::Hit, Event::DeadByTag, Event::AgeAccepted, Event::AgeRefused],
        ..Plan::new("named")
    }
}

/// An entry with a tag of each kind.
pub fn named_beside_static() -> Plan {
    Plan {
        readers: vec![ReaderPlan { has_dynamic_tag: true, ..TAGGED }; 2],
        writers: vec![WriterPlan::new(Way::InvalidateTag(1)), after(0, Way::InvalidateTag(0))],
        evicts_tags: false,
        ticks: 1,
        ..Plan { name: "named + static", ..named() }
    }
}

/// Invalidations of a process that the store does not confirm.
pub fn journal() -> Plan {
    let own = WriterPlan { is_own: true, may_time_out: true, ..WriterPlan::new(INVALIDATE) };
    Plan {
        readers: vec![READER, ReaderPlan { is_own: true, ..READER }],
        writers: vec![own, WriterPlan { after: Some(0), ..own }],
        repeats: 2,
        invariants: [LEASES, &[I8, I12]].concat(),
        events: vec![Event::Hit, Event::Stored, Event::Replayed, Event::Revoked],
        ..Plan::new("journal")
    }
}

/// The same of a tag.
pub fn tag_journal() -> Plan {
    let way = Way::InvalidateTag(0);
    let own = WriterPlan { is_own: true, may_time_out: true, ..WriterPlan::new(way) };
    Plan {
        readers: vec![TAGGED, ReaderPlan { is_own: true, ..TAGGED }],
        writers: vec![own, WriterPlan { after: Some(0), ..own }],
        repeats: 1,
        invariants: [LEASES, &[I8, I9, I12, Seen]].concat(),
        events: vec![Event::Hit, Event::Stored, Event::Replayed, Event::DeadByTag],
        ..Plan::new("tag journal")
    }
}
