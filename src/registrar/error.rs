//! Why a registrar cannot go on.

use thiserror::Error;

/// What ends a registrar; each is another thing for the user to mend.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarError {
    /// Settings that can never work.
    #[error("{0}")]
    Settings(String),
    /// The engine does not answer, and the run is not one that waits.
    #[error("the container engine at {url} cannot be asked: {why}")]
    Engine {
        /// Where it should be.
        url: String,
        /// What went wrong, and what to do.
        why: String,
    },
    /// The engine's socket is mounted as a file that was replaced on the host; only a new start of the container mends that.
    #[error("{0}")]
    StaleSocket(String),
    /// The store does not answer, and the run is not one that waits.
    #[error("the store cannot be asked: {0}")]
    Store(String),
}
