//! Why a request to a store failed.

use std::path::PathBuf;

/// Why a request to a store failed; the caller must act differently for each variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node served the request. A later retry makes sense.
    #[error("the store does not respond: {why}")]
    Unavailable {
        /// Each node with its reason.
        why: String,
    },
    /// The store rejects the credentials, or the user lacks the permission.
    #[error("the store at {node} refuses access: {why}")]
    Refused {
        /// The node that responded.
        node: String,
        /// The store's own message.
        why: String,
    },
    /// The node does not serve the API.
    #[error("{node} does not serve {api}")]
    NotServed {
        /// The node that responded.
        node: String,
        /// The API that was requested.
        api: &'static str,
    },
    /// The response does not match the API.
    #[error("{node} returned something that is not {api}: {why}")]
    Invalid {
        /// The node that responded.
        node: String,
        /// The API that was requested.
        api: &'static str,
        /// What is wrong with the response.
        why: String,
    },
    /// The history since the wanted index is gone: list again.
    #[error("the store no longer has its history from index {from} on")]
    Cleared {
        /// The requested index.
        from: u64,
    },
    /// The node is behind an index seen before: it lags, or its data was replaced.
    #[error("{node} is at index {index}, behind {seen}, which was seen before")]
    Behind {
        /// The node that responded.
        node: String,
        /// Its index.
        index: u64,
        /// The index seen before.
        seen: u64,
    },
    /// A setting cannot work.
    #[error("{0}")]
    Settings(String),
    /// A certificate or key file cannot be used.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
