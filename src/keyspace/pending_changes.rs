//! The changes that a mirror of the state must write.

use std::collections::{HashMap, HashSet};

use super::{Key, RemovedNode};

/// The nodes changed since the last `take_changes`.
#[derive(Debug, Default)]
pub struct Changes {
    /// Removed nodes; to be applied before `written`.
    pub removed: Vec<RemovedNode>,
    /// Written keys; see [`Keyspace::each_written`](super::Keyspace::each_written).
    pub written: Vec<WrittenKey>,
    /// Indexes of events that lost their values, ascending.
    pub cleared: Vec<u64>,
}

/// A written key, possibly with directories above it that were created for it. One entry stands for all of them:
/// the paths of a thousand levels would take a thousand times the memory of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenKey {
    pub(super) key: Key,
    /// The length of the shortest path to the key whose node was written.
    pub(super) from: usize,
}

/// The changes collected so far. The two sets need no order between them: a node that now exists below a removed
/// directory was written after the removal, so it is in `written`.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    removed: HashSet<RemovedNode>,
    /// With `WrittenKey::from`.
    written: HashMap<Key, usize>,
    /// How many directories were created for the written keys.
    directories: usize,
}

impl PendingChanges {
    /// Returns about how many nodes must be written.
    pub(super) fn len(&self) -> usize {
        self.removed.len() + self.written.len() + self.directories
    }

    pub(super) fn mark_written(&mut self, key: &Key) {
        self.mark_written_from(key, key.len());
    }

    fn mark_written_from(&mut self, key: &Key, from: usize) {
        match self.written.get_mut(key) {
            Some(known) => *known = from.min(*known),
            None => drop(self.written.insert(Key::clone(key), from)),
        }
    }

    /// `directories` directories were created for `key`, the first with a path of length `from`.
    pub(super) fn mark_created_above(&mut self, key: &Key, from: usize, directories: usize) {
        self.directories += directories;
        self.mark_written_from(key, from);
    }

    pub(super) fn removed(&mut self, node: RemovedNode) {
        self.removed.insert(node);
    }

    /// Drops the accumulated changes.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self) -> Changes {
        self.directories = 0;
        let removed = if is_large(self.removed.capacity()) {
            std::mem::take(&mut self.removed).into_iter().collect()
        } else {
            self.removed.drain().collect()
        };
        let written = |(key, from)| WrittenKey { key, from };
        let written = if is_large(self.written.capacity()) {
            std::mem::take(&mut self.written).into_iter().map(written).collect()
        } else {
            self.written.drain().map(written).collect()
        };
        Changes { removed, written, cleared: Vec::new() }
    }
}

/// Returns whether a set is so large that emptying it takes long; a smaller one keeps its memory for the next round.
const fn is_large(capacity: usize) -> bool {
    capacity > 4096
}
