//! Why a source has no values.

use std::path::PathBuf;

use crate::client::ClientError;

/// An error of a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ClientError),
    /// The values did not come in time, or reading them was interrupted.
    #[error("{0}")]
    Unavailable(String),
    /// The settings are invalid.
    #[error("{0}")]
    Settings(String),
    /// A file cannot be read or parsed.
    #[error("{}{}: {message}", path.display(), line.map_or_else(String::new, |line| format!(":{line}")))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
}
