//! The changes that a mirror of the state must write.

use std::collections::HashSet;

use super::Key;

/// The keys changed since the last `take_changes`.
#[derive(Debug, Default)]
pub struct Changes {
    /// Removed (or replaced) subtrees; to be applied before `touched`.
    pub removed: Vec<Key>,
    /// Written keys, each once, in no order; their current state is in the keyspace (they may be gone again).
    pub touched: Vec<Key>,
    /// Indexes of events that lost their values, ascending.
    pub cleared: Vec<u64>,
}

/// The changes collected so far. The two sets need no order between them: a node that now exists below a removed
/// directory was written after the removal, so it is in `touched`.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    removed: HashSet<Key>,
    touched: HashSet<Key>,
}

impl PendingChanges {
    pub(super) fn len(&self) -> usize {
        self.touched.len()
    }

    pub(super) fn touched(&mut self, key: &Key) {
        if !self.touched.contains(key) {
            self.touched.insert(Key::clone(key));
        }
    }

    /// `key` was removed; a directory with everything below it.
    pub(super) fn removed(&mut self, key: &Key, dir: bool) {
        if dir {
            self.removed.insert(Key::clone(key));
        } else {
            self.touched(key);
        }
    }

    /// Drops the accumulated changes.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> Changes {
        let (removed, touched) = (drained(&mut self.removed), drained(&mut self.touched));
        Changes { removed, touched, cleared: Vec::new() }
    }
}

/// Empties `keys`, which keeps its memory for the next round unless that is so large that emptying it takes long.
fn drained(keys: &mut HashSet<Key>) -> Vec<Key> {
    if keys.capacity() > 4096 { std::mem::take(keys).into_iter().collect() } else { keys.drain().collect() }
}
