//! Why a store could not be asked.

use std::path::PathBuf;

/// What went wrong towards a store; each variant is another decision for the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node served the request. Trying again later is right.
    #[error("the store does not answer: {why}")]
    Unavailable {
        /// Each node with its reason.
        why: String,
    },
    /// The store knows who asks and says no, or does not believe who asks.
    #[error("the store at {node} refuses access: {why}")]
    Refused {
        /// The node that said so.
        node: String,
        /// The store's own words.
        why: String,
    },
    /// The API asked for is not there.
    #[error("{node} does not serve {api}")]
    NotServed {
        /// The node that said so.
        node: String,
        /// Which API was asked for.
        api: &'static str,
    },
    /// The answer is not what the API promises.
    #[error("{node} answered something that is not {api}: {why}")]
    Invalid {
        /// The node that answered.
        node: String,
        /// Which API was asked for.
        api: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// The history from the wanted index on is gone: list again.
    #[error("the store no longer holds its history from index {from} on")]
    Cleared {
        /// The index asked for.
        from: u64,
    },
    /// The node is behind what was already seen: it lags, or its data was replaced.
    #[error("{node} is at index {index}, behind {seen}, which was seen before")]
    Behind {
        /// The node that said so.
        node: String,
        /// Where it is.
        index: u64,
        /// What had been seen.
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
