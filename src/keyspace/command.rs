//! The commands that change the keyspace.

use super::{Key, Time, Value};

/// One change, as stored in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The clock of the member that received the request; `ttl` in responses counts from it.
    pub at: Time,
    /// The change.
    pub operation: Operation,
}

/// The changes. `expires` is absolute; `None` is permanent. `refresh` keeps the value, sets the TTL and notifies no
/// watcher. An empty `prev_value` and a `prev_index` of 0 mean no comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says what its fields are for")]
pub enum Operation {
    /// Writes a file, replacing any file; with `dir`, a directory.
    Set { key: Key, dir: bool, value: Value, expires: Option<Time>, refresh: bool },
    /// Creates a file or directory that must not exist. `in_order`: below `key`, named by the new index.
    Create { key: Key, dir: bool, value: Value, expires: Option<Time>, in_order: bool },
    /// Changes a file or a directory's TTL.
    Update { key: Key, value: Value, expires: Option<Time>, refresh: bool },
    /// `Update` of a file whose value or modifiedIndex matches.
    CompareAndSwap {
        key: Key,
        prev_value: Option<Value>,
        prev_index: Option<u64>,
        value: Value,
        expires: Option<Time>,
        refresh: bool,
    },
    /// Removes a node. `dir` allows an empty directory, `recursive` any.
    Delete { key: Key, dir: bool, recursive: bool },
    /// Removes a file whose value or modifiedIndex matches.
    CompareAndDelete { key: Key, prev_value: Option<Value>, prev_index: Option<u64> },
    /// Removes everything that expires at `Command::at` or before.
    Expire,
}
