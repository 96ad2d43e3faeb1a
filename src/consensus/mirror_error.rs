//! Why the mirror cannot be used.

use std::io;

use thiserror::Error;

use super::entry::DecodeError;
use crate::disk;

/// Why the mirror cannot be used.
#[derive(Debug, Error)]
pub(super) enum MirrorError {
    #[error("{}", cause(.0))]
    Sled(#[from] sled::Error),
    #[error("its library failed: {0}")]
    Panicked(String),
    #[error("{0}")]
    Content(#[from] DecodeError),
    #[error("{}", disk::explain(.0))]
    Io(#[from] io::Error),
    #[error("it cannot be opened: {0}")]
    Opening(String),
    #[error("writing it was interrupted")]
    Incomplete,
}

impl MirrorError {
    /// Returns whether the data that sled has in memory or on disk is no longer usable.
    pub(super) fn is_mirror_failure(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

fn cause(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) => disk::explain(error),
        error => error.to_string(),
    }
}
