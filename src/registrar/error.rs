//! Errors that stop a registrar.

use thiserror::Error;

/// Why a registrar stops; the user must act differently for each.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarError {
    /// Settings that can never work.
    #[error("{0}")]
    Settings(String),
    /// The engine does not respond, and this run does not wait for it.
    #[error("the container engine at {url} is unavailable: {why}")]
    Engine {
        /// The engine's address.
        url: String,
        /// What went wrong, and what to do.
        why: String,
    },
    /// The engine's socket is mounted as a file and was replaced on the host; only a restart of the container helps.
    #[error("{0}")]
    StaleSocket(String),
    /// The store does not respond, and this run does not wait for it.
    #[error("the store is unavailable: {0}")]
    Store(String),
}
