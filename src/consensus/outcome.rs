//! The result of a proposal.

use std::sync::Arc;

use crate::keyspace::{Error, Event};

/// The state of this member's log, for the `X-Raft-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last committed log index that this member knows.
    pub index: u64,
    /// The term of the last applied entry.
    pub term: u64,
}

/// The result of a proposal.
#[derive(Clone, Debug)]
pub struct ProposeOutcome {
    /// The keyspace's result.
    pub result: Result<Arc<Event>, Error>,
    /// The state of the log at that time.
    pub position: Position,
}

/// Why a proposal has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// No result in time; the write is undecided.
    TimedOut,
    /// As `TimedOut`, for a proposal made shortly before a new leader was elected.
    LeaderLost,
    /// As `TimedOut`, when the leader is known but not connected.
    ConnectionLost,
    /// The queue is full; nothing was done.
    Overloaded,
    /// The disk is nearly full or the state has reached its quota; nothing was done. Deletes are still accepted.
    NoSpace,
    /// This member is stopping; the write is undecided.
    Stopping,
}
