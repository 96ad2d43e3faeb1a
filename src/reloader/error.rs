//! Why the reloader could not run at all. A failure of one resource is a `DestOutcome` instead.

use std::io;
use std::path::Path;

use crate::source::SourceError;
use crate::stop::EndedLoop;

/// Why the reloader could not run.
#[derive(Debug, thiserror::Error)]
pub enum ReloaderError {
    /// The source did not respond in time.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state folder cannot be used.
    #[error("cannot use the state folder {dir}: {why}; give another with --state-dir, or --state-dir none")]
    State {
        /// The folder.
        dir: String,
        /// The system's error.
        why: io::Error,
    },
    /// Another daemon renders the same confdir.
    #[error(
        "another watch (process {holder}) renders {confdir} with this state folder (lock {lock}): stop it, or give this \
         one a folder of its own with --state-dir"
    )]
    Busy {
        /// The folder of resources.
        confdir: String,
        /// The other's process id, as the lock file holds it.
        holder: String,
        /// The lock file.
        lock: String,
    },
    /// There is nothing to do.
    #[error("{0}")]
    Confdir(String),
    /// A background loop ended early.
    #[error("{0}")]
    Loop(EndedLoop),
}

impl ReloaderError {
    pub(super) fn state(dir: Option<&Path>, why: io::Error) -> Self {
        Self::State { dir: dir.unwrap_or(Path::new("(none)")).display().to_string(), why }
    }
}
