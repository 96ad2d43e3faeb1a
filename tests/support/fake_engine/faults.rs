//! The faults between the fake engine and its clients.

use std::time::Duration;

use super::Endpoint;

/// The effect of `since`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// The correct one.
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
    /// The response is computed, and held back until this fault ends: it may be out of date by then.
    Hang,
    /// The connection ends in the middle of the body.
    Truncate,
    /// The connection ends without a response.
    Reset,
    /// The response is computed, and sent this much later: it may be out of date by then.
    Slow(Duration),
}

/// All current faults. Shares are in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The share of events that are lost.
    pub lost: u64,
    /// The share of events that arrive twice.
    pub doubled: u64,
    /// Each event arrives this much later.
    pub late: Duration,
    /// Each event arrives up to this much later again, so that events overtake each other.
    pub jitter: Duration,
    /// Event streams are open, and nothing arrives; events in this time are lost.
    pub silent: bool,
    /// A stream's head arrives with its first event, as with some versions of Podman.
    pub late_head: bool,
    /// The effect of `since`.
    pub since: Since,
    /// The share of these requests that fail like this; `None`: all requests.
    pub requests: Vec<(Option<Endpoint>, Failure, u64)>,
}
