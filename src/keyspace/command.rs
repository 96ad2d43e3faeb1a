//! What can be asked of the keyspace to change it.

use super::{Key, Time, Value};

/// One change, as the log carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The clock of the member that took the request; `ttl` in answers is counted from it.
    pub at: Time,
    /// The change.
    pub operation: Operation,
}

/// The changes. `expires` is absolute; `None` is permanent. `refresh` keeps the value, sets the TTL and tells no
/// watcher. An empty `prev_value` and a `prev_index` of 0 compare with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says what its fields are for")]
pub enum Operation {
    /// Put a file there, whatever file was there before; with `dir`, a directory.
    Set { key: Key, dir: bool, value: Value, expires: Option<Time>, refresh: bool },
    /// Put a file or directory where nothing is. `in_order`: below `key`, named by the new index.
    Create { key: Key, dir: bool, value: Value, expires: Option<Time>, in_order: bool },
    /// Change a file or a directory's TTL.
    Update { key: Key, value: Value, expires: Option<Time>, refresh: bool },
    /// `Update` of a file whose value or modifiedIndex is as given.
    CompareAndSwap {
        key: Key,
        prev_value: Option<Value>,
        prev_index: Option<u64>,
        value: Value,
        expires: Option<Time>,
        refresh: bool,
    },
    /// Remove. `dir` allows an empty directory, `recursive` any.
    Delete { key: Key, dir: bool, recursive: bool },
    /// Remove a file whose value or modifiedIndex is as given.
    CompareAndDelete { key: Key, prev_value: Option<Value>, prev_index: Option<u64> },
    /// Remove all that expires at `Command::at` or before.
    Expire,
}
