//! What a mirror of the state has to write.

use std::collections::HashSet;

use super::Key;

/// Which keys changed since the last `take_changes`: what a mirror of the state has to write.
#[derive(Debug, Default)]
pub struct Changes {
    /// Subtrees that were removed (or replaced); to be carried out before `touched`.
    pub removed: Vec<Key>,
    /// Keys that were written, each once, in no order; their present state is in the keyspace (it may be gone again).
    pub touched: Vec<Key>,
    /// Indexes of events that lost their values, ascending.
    pub cleared: Vec<u64>,
}

/// The changes as they gather. A key that goes and comes back needs no order between the two sets: whatever is there
/// now below a removed directory was written after the removal, so it was touched.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    removed: HashSet<Key>,
    touched: HashSet<Key>,
}

impl Gathering {
    pub(super) fn len(&self) -> usize {
        self.touched.len()
    }

    pub(super) fn touched(&mut self, key: &Key) {
        if !self.touched.contains(key) {
            self.touched.insert(Key::clone(key));
        }
    }

    /// `key` went; a directory went with all below it.
    pub(super) fn removed(&mut self, key: &Key, dir: bool) {
        if dir {
            self.removed.insert(Key::clone(key));
        } else {
            self.touched(key);
        }
    }

    /// Forgets what has gathered.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> Changes {
        let (removed, touched) = (drained(&mut self.removed), drained(&mut self.touched));
        Changes { removed, touched, cleared: Vec::new() }
    }
}

/// What is in `keys`, which keeps its room for the next round unless that is so large that emptying it takes long.
fn drained(keys: &mut HashSet<Key>) -> Vec<Key> {
    if keys.capacity() > 4096 { std::mem::take(keys).into_iter().collect() } else { keys.drain().collect() }
}
