//! One request to the store, and the error codes of its response.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::cluster::{Cluster, EtcdError, Get, Keys, RequestError};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Key not found.
pub(in crate::registrar) const NOT_FOUND: i64 = 100;
/// Compare failed.
pub(in crate::registrar) const COMPARE_FAILED: i64 = 101;
/// A parent of the key is a file.
pub(in crate::registrar) const NOT_A_DIRECTORY: i64 = 104;
/// Not a file.
pub(super) const NOT_A_FILE: i64 = 102;
/// Key already exists.
pub(in crate::registrar) const KEY_EXISTS: i64 = 105;
/// Insufficient credentials.
pub(in crate::registrar) const UNAUTHORIZED: i64 = 110;

/// Returns access to the keys of `cluster` for one request, with the request timeout.
pub(in crate::registrar) fn keys_of(cluster: &Cluster) -> Keys<'_> {
    Keys::new(cluster, Some(Instant::now() + REQUEST_TIMEOUT))
}

/// How to read before a write: the value from a member that lags behind would make the write fail again and again.
pub(in crate::registrar) const NEWEST: Get = Get { recursive: false, sorted: false, quorum: true };

/// Describes why the store rejects a request, and what to do.
pub(super) fn refusal(error: &EtcdError) -> String {
    match error.code {
        UNAUTHORIZED => {
            "these credentials have no right to the key: grant their role readwrite on it".to_owned()
        }
        NOT_A_DIRECTORY => {
            format!("{} is a key in the store, where a directory is needed: delete it", error.cause)
        }
        NOT_A_FILE => format!("{} is a directory in the store: delete it", error.cause),
        _ => format!("the store returned {error}"),
    }
}

/// Formats an error in one line.
pub(in crate::registrar) fn one_line(error: &RequestError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
