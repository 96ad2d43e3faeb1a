//! A node as stored in a mirror of the state.

use super::{Time, Value};

/// One node without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Whether it is a directory.
    pub dir: bool,
    /// A file's value; `None` for a directory.
    pub value: Option<Value>,
    /// createdIndex.
    pub created: u64,
    /// modifiedIndex.
    pub modified: u64,
    /// When it expires.
    pub expires: Option<Time>,
}
