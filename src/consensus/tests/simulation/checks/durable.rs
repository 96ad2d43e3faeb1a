//! Everything applied anywhere is in the log of every later leader; everything acknowledged is in the final state;
//! and a member never shows an older state after it was ready.

use std::collections::BTreeMap;

use raft::Storage as _;

use super::super::super::super::log::Log;
use super::{Check, ensure};
use crate::keyspace::{Event, Keyspace};

/// Acknowledged events, by index.
#[derive(Default)]
pub(in super::super) struct Durable {
    answered: BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>,
    shown: BTreeMap<u64, u64>,
}

impl Durable {
    /// Checks `log` of `id`, a new leader, when `last` is the last entry that any member applied.
    pub(in super::super) fn leads(id: u64, log: &Log, last: Option<(u64, u64)>) -> Check {
        let Some((index, term)) = last else { return Ok(()) };
        // Removed entries were in a snapshot, and the states are compared anyway.
        let held = if index < log.start().index { Some(term) } else { log.term(index).ok() };
        ensure(held == Some(term), || {
            format!(
                "durable: {id:x} leads without entry {index} of term {term}, which was applied (has term {held:?})"
            )
        })
    }

    /// A client received `event`.
    pub(in super::super) fn answered(&mut self, event: &Event) -> Check {
        let found = (event.key.to_vec(), event.node.value.as_ref().map(|value| value.to_vec()));
        let known = self.answered.entry(event.index()).or_insert_with(|| found.clone());
        ensure(*known == found, || format!("durable: two answers for index {}", event.index()))
    }

    /// Member `id`, which was ready, shows index `index`.
    pub(in super::super) fn shows(&mut self, id: u64, index: u64) -> Check {
        let before = self.shown.insert(id, index).unwrap_or(0);
        ensure(before <= index, || format!("durable: {id:x} went back from index {before} to {index}"))
    }

    /// Checks the final `keyspace`.
    pub(in super::super) fn end(&self, keyspace: &Keyspace) -> Check {
        let oldest = keyspace.events_since(0).next().map_or(0, |(index, _)| index);
        let events: BTreeMap<_, _> = keyspace.events_since(0).collect();
        for (index, (key, value)) in self.answered.range(oldest..) {
            let kept = events.get(index).and_then(|entry| entry.event());
            let same = kept.is_some_and(|event| {
                event.key[..] == key[..] && event.node.value.as_deref() == value.as_deref()
            });
            ensure(same, || {
                let key = String::from_utf8_lossy(key);
                format!("durable: the answered change {index} of {key} is lost")
            })?;
        }
        Ok(())
    }

    /// Returns the number of acknowledged events.
    pub(in super::super) fn count(&self) -> usize {
        self.answered.len()
    }
}
