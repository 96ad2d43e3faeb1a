//! The state of a running daemon as others see it, and how it ended.

use std::fmt;

/// The state of a running daemon as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonPhase {
    /// A resource has no file in service yet; the text says what the daemon waits for.
    Starting(String),
    /// Every resource was tried and has a file in service, or the wait for that is over; the text describes the state.
    Ready(String),
    /// A stop was requested.
    Stopping,
}

impl fmt::Display for DaemonPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting(text) => write!(f, "starting, {text}"),
            Self::Ready(text) => write!(f, "ready, {text}"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Stopped,
    /// Cut off by a second signal or by its deadline; pending reloads are in the journal.
    CutOff,
}
