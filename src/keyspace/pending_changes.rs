//! The changes that a mirror of the state must write.

use std::collections::HashSet;

use super::Key;

/// The keys changed since the last `take_changes`.
#[derive(Debug, Default)]
pub struct Changes {
    /// Removed (or replaced) subtrees; to be applied before `written`.
    pub removed: Vec<Key>,
    /// Written keys, each once, in no order; their current state is in the keyspace (they may be gone again).
    pub written: Vec<Key>,
    /// Indexes of events that lost their values, ascending.
    pub cleared: Vec<u64>,
}

/// The changes collected so far. The two sets need no order between them: a node that now exists below a removed
/// directory was written after the removal, so it is in `written`.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    removed: HashSet<Key>,
    written: HashSet<Key>,
}

impl PendingChanges {
    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    pub(super) fn mark_written(&mut self, key: &Key) {
        if !self.written.contains(key) {
            self.written.insert(Key::clone(key));
        }
    }

    /// `key` was removed; a directory with everything below it.
    pub(super) fn removed(&mut self, key: &Key, dir: bool) {
        if dir {
            self.removed.insert(Key::clone(key));
        } else {
            self.mark_written(key);
        }
    }

    /// Drops the accumulated changes.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> Changes {
        let (removed, written) = (drained(&mut self.removed), drained(&mut self.written));
        Changes { removed, written, cleared: Vec::new() }
    }
}

/// Empties `keys`, which keeps its memory for the next round unless that is so large that emptying it takes long.
fn drained(keys: &mut HashSet<Key>) -> Vec<Key> {
    if keys.capacity() > 4096 { std::mem::take(keys).into_iter().collect() } else { keys.drain().collect() }
}
