//! What the outside may know of a running daemon, and how it ended.

/// What the outside may know of a running daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonPhase {
    /// A resource has no file in service yet; the text says what is waited for.
    Starting(String),
    /// Every resource was tried and has a file in service, or the wait for that is over; the text says how things
    /// stand.
    Ready(String),
    /// The stop was asked for.
    Stopping,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Stopped,
    /// Cut off by a second signal or by its deadline; what was owed is on paper.
    CutOff,
}
