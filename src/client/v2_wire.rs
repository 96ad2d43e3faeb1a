//! The JSON of etcd's v2 keys API.

use std::fmt;

use serde::Deserialize;

/// A file or a directory of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Absolute; the root has none.
    pub key: String,
    /// Whether it is a directory.
    pub dir: bool,
    /// A file's text; invalid UTF-8 is replaced by replacement characters.
    pub value: String,
    /// A directory's entries; missing where the store does not list them.
    pub nodes: Option<Vec<Self>>,
    /// The index of the write that created it.
    #[serde(rename = "createdIndex")]
    pub created: u64,
    /// The index of the last write.
    #[serde(rename = "modifiedIndex")]
    pub modified: u64,
    /// When it expires, as the store wrote it.
    pub expiration: Option<String>,
    /// Seconds left; 0: no expiry.
    pub ttl: i64,
}

/// The result of a request, or an event of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `get`, `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    #[serde(default)]
    pub action: String,
    /// The node after the event.
    pub node: Node,
    /// The node before the event.
    #[serde(rename = "prevNode")]
    pub before: Option<Node>,
    /// The store's index at the response.
    #[serde(skip)]
    pub index: u64,
    /// The id of the responding cluster, if it reports one.
    #[serde(skip)]
    pub cluster: Option<u64>,
}

/// An error of the v2 keys API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EtcdError {
    /// The v2 error code, such as 100.
    #[serde(rename = "errorCode")]
    pub code: i64,
    /// What the code means.
    pub message: String,
    /// Usually the key.
    pub cause: String,
    /// The store's index.
    pub index: u64,
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}) [{}]", self.code, self.message, self.cause, self.index)
    }
}
