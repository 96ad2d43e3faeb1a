//! What the persister writes to the mirror: the changes of a round, or everything; and when it is compacted.

use std::fs;
use std::ops::Range;
use std::sync::{Arc, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::mirror::{Delta, Mirror};
use super::mirror_error::MirrorError;
use super::pairs::Pairs;
use super::persister::{Compaction, Persister};
use super::snapshot::{self, is_oversized};
use super::state_codec::{self, SetChecksum, StateHead};
use crate::keyspace::{Changes, Keyspace};

/// The minimum time between two compactions, and how many times as long as the last one took.
const MIN_COMPACTION_INTERVAL: Duration = Duration::from_secs(20);
const MIN_COMPACTION_PAUSES: u32 = 20;

/// Returns what a mirror lacks that holds the past events `mirrored`.
pub(super) fn delta(keyspace: &Keyspace, changes: Changes, mirrored: Range<u64>) -> Delta {
    let mut pairs = Pairs::default();
    keyspace.each_written(&changes, |place, record| {
        pairs.push(&state_codec::node_key(place), &state_codec::node_value(&record));
    });
    // The events that lost their values; those not mirrored yet follow below.
    let known = changes.cleared.iter().filter(|index| **index < mirrored.end);
    let known = known.filter_map(|index| keyspace.events_since(index - 1).next());
    for (index, entry) in known.chain(keyspace.events_since(mirrored.end - 1)) {
        pairs.push(&state_codec::event_key(index), &state_codec::event_value(entry));
    }
    // Events that have since left the window.
    let oldest = keyspace.oldest_event().min(mirrored.end);
    Delta { removed: changes.removed, pairs, dropped_events: mirrored.start..oldest }
}

impl Persister {
    /// Writes what changed to the mirror.
    pub(super) fn mirror(&mut self) -> Result<(), MirrorError> {
        let (delta, head, oldest) = self.next_delta()?;
        let Some(mirror) = &mut self.mirror else { return Ok(()) };
        (self.mirrored_index, self.mirrored_oldest) = (head.index, oldest);
        mirror.write(delta, head)
    }

    /// Returns the delta to write to the mirror, or everything when there is no mirror.
    fn next_delta(&mut self) -> Result<(Delta, StateHead, u64), MirrorError> {
        if self.mirror.is_none() {
            self.rebuild_mirror()?;
            self.mirrored_index = 0;
            let mut state = self.shared.write();
            drop(state.keyspace.take_changes());
            let state = RwLockWriteGuard::downgrade(state);
            let mut pairs = Pairs::default();
            state_codec::each_pair(&state.keyspace, |key, value| {
                pairs.push(key, value);
                Ok(())
            })?;
            let delta = Delta { pairs, ..Delta::default() };
            return Ok((delta, StateHead::of(&state, SetChecksum::default()), state.keyspace.oldest_event()));
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.write();
        // The state was replaced during this round: changes of the old one no longer apply.
        if let Some(index) = shared.take_replaced() {
            drop(state);
            self.discard_mirror(index);
            return self.next_delta();
        }
        let changes = state.keyspace.take_changes();
        let state = RwLockWriteGuard::downgrade(state);
        let oldest = state.keyspace.oldest_event();
        let delta = delta(&state.keyspace, changes, self.mirrored_oldest..self.mirrored_index + 1);
        Ok((delta, StateHead::of(&state, SetChecksum::default()), oldest))
    }

    /// Removes the rest of a failed mirror; it only ever copied what is in memory and in the log.
    fn rebuild_mirror(&mut self) -> Result<(), MirrorError> {
        let path = self.folder.mirror();
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        self.mirror = Some(Mirror::make(&path)?);
        Ok(())
    }

    /// Writes the mirror anew when its files take much more space than its pairs.
    pub(super) fn compact_when_due(&mut self) -> Result<(), MirrorError> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        let size = mirror.size_on_disk()?;
        self.compaction.due = is_oversized(size, mirror.bytes());
        let now = Instant::now();
        if !self.compaction.due || self.compaction.next.is_some_and(|next| now < next) {
            return Ok(());
        }
        let (pairs, head) = (mirror.pairs()?, mirror.head().clone());
        self.drop_mirror();
        self.rebuild_mirror()?;
        if let Some(mirror) = &mut self.mirror {
            mirror.write(Delta { pairs, ..Delta::default() }, head)?;
            let (before, after) = (size >> 20, mirror.size_on_disk()? >> 20);
            tracing::debug!("the mirror was compacted from {before} to {after} MiB in {:.1?}", now.elapsed());
        }
        let pause = MIN_COMPACTION_INTERVAL.max(now.elapsed() * MIN_COMPACTION_PAUSES);
        self.compaction = Compaction { due: false, next: Some(Instant::now() + pause) };
        Ok(())
    }

    /// Returns whether the newest snapshot was written when the state was much larger.
    pub(super) fn has_oversized_snapshot(&self) -> bool {
        let bytes = self.mirror.as_ref().map(Mirror::bytes);
        bytes.is_some_and(|bytes| is_oversized(snapshot::newest_bytes(&self.folder.snapshots()), bytes))
    }
}
