//! What goes wrong between the fake engine and whoever asks it.

use std::time::Duration;

use super::Endpoint;

/// What `since` leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// What it should.
    #[default]
    Honest,
    /// Nothing is replayed.
    Nothing,
    /// Everything that is remembered is replayed.
    Everything,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Status 500.
    Error,
    /// The answer stands, and is kept back until this fault ends: it may be out of date by then.
    Hang,
    /// The connection ends in the middle of the body.
    Truncate,
    /// The connection ends without an answer.
    Reset,
    /// The answer stands, and is sent this much later: it may be out of date by then.
    Slow(Duration),
}

/// Everything that goes wrong now. Shares are in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many events are lost.
    pub lost: u64,
    /// So many events come twice.
    pub doubled: u64,
    /// Each event comes this much later.
    pub late: Duration,
    /// Each event comes up to this much later than that, so that they overtake each other.
    pub jitter: Duration,
    /// Streams of events are open, and nothing comes; what happens meanwhile is lost.
    pub silent: bool,
    /// A stream's head comes with its first event, as with some versions of Podman.
    pub late_head: bool,
    /// What `since` leads to.
    pub since: Since,
    /// So many of these requests fail like this; `None`: all kinds of requests.
    pub requests: Vec<(Option<Endpoint>, Failure, u64)>,
}
