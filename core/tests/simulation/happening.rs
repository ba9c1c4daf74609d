//! What may happen at a time.

use tidegate::ports::{Address, Command, Notice, Reply, StoreError};
use tidegate::protocol::key::Key;
use tidegate::store::memory::table::Table;

/// What happens at a time.
pub(crate) enum Happening {
    /// A command reaches the server.
    Arrives {
        process: u64,
        command: Command,
        address: Address,
        /// The primary that it was sent to.
        era: u32,
    },
    Answers {
        process: u64,
        address: Address,
        answer: Result<Reply, StoreError>,
        /// The primary that gave it; none for a timeout.
        era: Option<u32>,
    },
    /// The primary dies, and a replica that has copied it up to a moment ago takes its place.
    FailsOver {
        copy: Box<Table>,
        copied_us: u64,
    },
    /// A process learns of the new primary.
    Switches {
        process: u64,
        era: u32,
    },
    Notice {
        process: u64,
        notice: Notice,
    },
    /// Something on the push connection of that number.
    Pushed {
        process: u64,
        session: u64,
        notice: Notice,
    },
    /// A heartbeat is sent, and if it is answered, the next one.
    Heartbeat {
        process: u64,
        session: u64,
    },
    /// The push connection is made.
    Connects {
        process: u64,
    },
    Subscribed {
        process: u64,
        key: Key,
    },
    /// A fallback ends.
    Ends {
        process: u64,
        call: u64,
    },
    /// The database changes a row for a writer, who may be dead by then.
    Persists {
        process: u64,
        call: u64,
        row: usize,
    },
    /// Its `persist` ends.
    Persisted {
        process: u64,
        call: u64,
    },
    /// The SET of a writer that died can no longer run.
    WriterForgotten {
        rows: Vec<usize>,
    },
    /// The workload's next step.
    Next,
}
