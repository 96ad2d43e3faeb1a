//! All members apply the same entries in the same order, and have the same state after each.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use raft::prelude::Entry;

use super::super::super::super::state::State;
use super::{Check, ensure};

/// The entry applied at each index, and the state after it.
#[derive(Default)]
pub(in super::super) struct Matching {
    entries: BTreeMap<u64, (u64, u64)>,
    states: BTreeMap<u64, (u64, u64)>,
}

impl Matching {
    /// Checks that `id` applied `entry`.
    pub(in super::super) fn applied(&mut self, id: u64, entry: &Entry) -> Check {
        let mut hasher = DefaultHasher::new();
        (&*entry.data, &*entry.context).hash(&mut hasher);
        let found = (entry.term, hasher.finish());
        let known = *self.entries.entry(entry.index).or_insert(found);
        ensure(known == found, || {
            let (index, before, now) = (entry.index, known.0, found.0);
            format!(
                "matching: {id:x} applied another entry {index} (term {now}) than was applied before (term {before})"
            )
        })
    }

    /// Checks that `id` has `state`.
    pub(in super::super) fn holds(&mut self, id: u64, state: &State) -> Check {
        let mut hasher = DefaultHasher::new();
        (state.keyspace.digest(), state.roster.encode(), state.sessions.encode()).hash(&mut hasher);
        let (index, digest) = (state.applied.index, hasher.finish());
        let (first, known) = *self.states.entry(index).or_insert((id, digest));
        ensure(known == digest, || {
            format!("matching: {first:x} and {id:x} hold different states at entry {index}")
        })
    }

    /// Returns the last entry that any member applied, with its term.
    pub(in super::super) fn last(&self) -> Option<(u64, u64)> {
        self.entries.last_key_value().map(|(index, (term, _))| (*index, *term))
    }
}
