//! Why a source has no values to give.

use std::path::PathBuf;

use crate::client::ClientError;

/// What went wrong at a source; each variant is another decision for the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No node serves. It may by and by.
    #[error("{0}")]
    Unavailable(String),
    /// The store does not let us read: look at the login, the certificate or the user's role.
    #[error("{0}")]
    Refused(String),
    /// The store does not have the API: look at the backend's name and the address.
    #[error("{0}")]
    NotServed(String),
    /// What answers is not the store it should be, or its answer is damaged.
    #[error("{0}")]
    Invalid(String),
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// A file cannot be read or understood.
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

impl SourceError {
    /// Whether trying again later may help without anybody changing the settings.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Invalid(_) | Self::File { .. } => true,
            Self::Refused(_) | Self::NotServed(_) | Self::Settings(_) => false,
        }
    }
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        let said = error.to_string();
        match error {
            ClientError::Refused { .. } => Self::Refused(said),
            ClientError::NotServed { .. } => Self::NotServed(said),
            ClientError::Invalid { .. } => Self::Invalid(said),
            ClientError::Settings(_) => Self::Settings(said),
            ClientError::File { path, why } => Self::File { path, line: None, message: why },
            // The last two pass by asking again.
            ClientError::Unavailable { .. } | ClientError::Cleared { .. } | ClientError::Behind { .. } => {
                Self::Unavailable(said)
            }
        }
    }
}
