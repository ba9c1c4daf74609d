//! Hostile input, for tests and for the runner of `make fuzz`: each [`Target`] takes any bytes, makes of them what a part of
//! the core is given by others, and panics where that breaks a promise. Bytes are spent in order by a [`Source`], so that a
//! small change of an input is a small change of what is made of it.

mod answers;
mod engine;
mod entries;
mod options;
mod source;
mod words;

pub(crate) use source::Source;

/// What takes hostile input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any bytes where an entry should be.
    Entry,
    /// An entry that was right, bent, with its signature and checksum made right again.
    BentEntry,
    /// Any bytes as a compressed payload of any length.
    Compressed,
    /// Any bytes as JSON and as msgpack.
    Payload,
    /// Keys, parts of keys, tags, names of tenants, queues and events.
    Names,
    /// URLs of all schemes.
    Url,
    /// Options of every kind of call, in every language's way.
    Options,
    /// Frames as answers to every command.
    Reply,
    /// Frames as pushes, and what they make of what is tracked.
    Push,
    /// What Sentinels and a Cluster's nodes say.
    Topology,
    /// Any bytes as RESP3.
    Wire,
    /// Pending writes and events, as streams hold them.
    Stream,
    /// An engine whose store answers anything, at any time.
    Engine,
}

impl Target {
    pub const ALL: [Self; 13] = [
        Self::Entry,
        Self::BentEntry,
        Self::Compressed,
        Self::Payload,
        Self::Names,
        Self::Url,
        Self::Options,
        Self::Reply,
        Self::Push,
        Self::Topology,
        Self::Wire,
        Self::Stream,
        Self::Engine,
    ];

    /// The folder of its inputs in `tests/corpus`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::BentEntry => "bent_entry",
            Self::Compressed => "compressed",
            Self::Payload => "payload",
            Self::Names => "names",
            Self::Url => "url",
            Self::Options => "options",
            Self::Reply => "reply",
            Self::Push => "push",
            Self::Topology => "topology",
            Self::Wire => "wire",
            Self::Stream => "stream",
            Self::Engine => "engine",
        }
    }

    /// How often it is chosen among all: what is quick is cheap to look at often.
    pub fn weight(self) -> u64 {
        if self == Self::Engine { 1 } else { 8 }
    }

    /// What one input may have allocated at any moment, in bytes, beside what the limits of entries allow.
    pub fn allowance(self, input: &[u8]) -> usize {
        MAX_VALUE_BYTES + (256 << 10) + 64 * input.len()
    }

    /// Spends an input.
    ///
    /// # Panics
    /// Where a promise is broken.
    pub fn run(self, input: &[u8]) {
        let (mut source, seen) = (Source::new(input), crate::panics::seen_here());
        match self {
            Self::Entry => entries::any(&mut source),
            Self::BentEntry => entries::bent(&mut source),
            Self::Compressed => entries::compressed(&mut source),
            Self::Payload => entries::payload(&mut source),
            Self::Names => words::names(&mut source),
            Self::Url => crate::store::redis::fuzz::url(&mut source),
            Self::Options => options::all(&mut source),
            Self::Reply => crate::store::redis::fuzz::reply(&mut source),
            Self::Push => crate::store::redis::fuzz::push(&mut source),
            Self::Topology => crate::store::redis::fuzz::topology(&mut source),
            Self::Wire => crate::store::redis::fuzz::wire(&mut source),
            Self::Stream => words::stream(&mut source),
            Self::Engine => engine::run(&mut source),
        }
        assert_eq!(crate::panics::seen_here(), seen, "a panic was caught inside");
    }
}

/// As the defaults have it.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// What a reader does who believes the length that an entry says: what the runner's limit is seen to catch.
pub fn naive_reader(entry: &[u8]) -> usize {
    let Some(length) = entry.get(48..52) else { return 0 };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
    let mut payload: Vec<u8> = Vec::with_capacity(length as usize);
    payload.extend_from_slice(&entry[entry.len().min(72)..]);
    payload.len()
}

/// What people and their logs are shown has no control character: nobody writes lines of his own into it.
fn must_be_one_line(shown: &str, what: &str) {
    assert!(!shown.chars().any(char::is_control), "{what} shows a control character: {shown:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use super::*;

    fn storm(target: Target, cases: u32) {
        let input = prop_oneof![prop::collection::vec(any::<u8>(), 0..64), prop::collection::vec(any::<u8>(), 64..600)];
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
        let run = |input: Vec<u8>| {
            target.run(&input);
            Ok(())
        };
        TestRunner::new(config).run(&input, run).unwrap_or_else(|failure| panic!("{failure}"));
    }

    macro_rules! storms {
        ($($name:ident: $target:ident, $cases:literal;)*) => {$(
            #[test]
            fn $name() {
                storm(Target::$target, $cases);
            }
        )*};
    }

    storms! {
        any_bytes_are_an_entry_or_refused: Entry, 2_000;
        a_bent_entry_is_read_or_refused: BentEntry, 2_000;
        any_bytes_are_decompressed_or_refused: Compressed, 200;
        any_payload_is_looked_through: Payload, 2_000;
        any_name_is_taken_or_refused_in_one_line: Names, 500;
        any_url_is_taken_or_refused_without_its_password: Url, 2_000;
        any_options_are_taken_or_refused_in_one_line: Options, 300;
        any_frame_is_an_answer_or_makes_no_sense: Reply, 2_000;
        any_frame_is_a_push_or_nothing: Push, 500;
        any_frame_is_a_topology_or_nothing: Topology, 1_000;
        any_bytes_are_frames_or_no_resp: Wire, 2_000;
        any_entry_of_a_stream_is_taken: Stream, 1_000;
        an_engine_answers_every_caller_whatever_its_store_says: Engine, 200;
    }

    #[test]
    fn what_was_found_once_is_not_found_again() {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
        let mut count = 0;
        for target in Target::ALL {
            let Ok(folder) = std::fs::read_dir(top.join(target.name())) else {
                panic!("{} has no corpus", target.name())
            };
            for file in folder {
                let path = file.expect("readable").path();
                println!("{}", path.display());
                target.run(&std::fs::read(&path).expect("readable"));
                count += 1;
            }
        }
        assert!(count >= 2 * Target::ALL.len(), "{count} inputs");
    }
}
