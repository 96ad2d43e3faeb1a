//! Why a source has no values.

use std::path::PathBuf;

use crate::client::ClientError;

/// An error of a source; the caller acts differently on each variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No node responds now; this may pass.
    #[error("{0}")]
    Unavailable(String),
    /// The store refuses the read: check the login, the certificate and the user's role.
    #[error("{0}")]
    Refused(String),
    /// The store does not have the API: check the backend's name and the address.
    #[error("{0}")]
    NotServed(String),
    /// The server is not the expected store, or its response is damaged.
    #[error("{0}")]
    Invalid(String),
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

impl SourceError {
    /// Returns whether a later try may succeed without a change of the settings.
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
        let text = error.to_string();
        match error {
            ClientError::Refused { .. } => Self::Refused(text),
            ClientError::NotServed { .. } => Self::NotServed(text),
            ClientError::Invalid { .. } => Self::Invalid(text),
            ClientError::Settings(_) => Self::Settings(text),
            ClientError::File { path, why } => Self::File { path, line: None, message: why },
            // For the last two, the next request finds the current state.
            ClientError::Unavailable { .. } | ClientError::Cleared { .. } | ClientError::Behind { .. } => {
                Self::Unavailable(text)
            }
        }
    }
}
