//! What became of a proposal.

use std::sync::Arc;

use crate::keyspace::{Error, Event};

/// Where this member's log stands; for the `X-Raft-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last committed log index known.
    pub index: u64,
    /// The term of the last applied entry.
    pub term: u64,
}

/// What became of a proposal.
#[derive(Clone, Debug)]
pub struct ProposeOutcome {
    /// The keyspace's word.
    pub result: Result<Arc<Event>, Error>,
    /// Where the log stood.
    pub position: Position,
}

/// Why a proposal has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// No answer in time; the write is undecided.
    TimedOut,
    /// As `TimedOut`, begun shortly before a new leader was elected.
    LeaderLost,
    /// As `TimedOut`, with a leader known that is not connected.
    ConnectionLost,
    /// The queue is full; nothing was done.
    Overloaded,
    /// The disk is nearly full or the state has reached its quota; nothing was done. Deletes are still taken.
    NoSpace,
    /// This member is stopping; the write is undecided.
    Stopping,
}
