//! Whether a long-running part of the program is ready.
//!
//! Owns: the three states of a daemon, a store, a proxy or a registrar. Leaves out: when each of them counts as ready,
//! and the messages to the service manager.

use std::fmt;

/// The state of a running part as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not ready yet; the text says what it waits for.
    Starting(String),
    /// It works, or the time to wait for that is over; the text describes the state.
    Ready(String),
    /// A stop was requested.
    Stopping,
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting(text) => write!(f, "starting, {text}"),
            Self::Ready(text) => write!(f, "ready, {text}"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}
