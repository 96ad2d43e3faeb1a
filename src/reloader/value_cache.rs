//! The daemon's copy of its source: the values, how fresh they are, and which keys they cover.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::last_good::SnapshotCache;
use super::resource::Resource;
use crate::key;
use crate::source::Snapshot;
use crate::values::{Change, Touched, Values};

/// How long after a change the last good snapshot is written: at most one write in that time.
const SNAPSHOT_DELAY: Duration = Duration::from_secs(30);

/// Where the current values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Nothing,
    LastGood,
    Live,
}

/// The latest known values of the source.
pub(super) struct ValueCache {
    values: Arc<Values>,
    freshness: Freshness,
    /// The keys and directories that `values` cover. A resource that reads beyond them must wait: to it, a key that
    /// was never fetched would look like a missing one.
    covered: Vec<String>,
    snapshot_cache: SnapshotCache,
    unsaved_since: Option<Instant>,
}

impl ValueCache {
    pub(super) fn new(snapshot_cache: SnapshotCache) -> Self {
        Self {
            values: Arc::new(Values::default()),
            freshness: Freshness::Nothing,
            covered: Vec::new(),
            snapshot_cache,
            unsaved_since: None,
        }
    }

    pub(super) const fn values(&self) -> &Arc<Values> {
        &self.values
    }

    /// Returns whether there is nothing to render from.
    pub(super) fn is_empty(&self) -> bool {
        self.freshness == Freshness::Nothing
    }

    /// Returns whether the values come from the last good snapshot.
    pub(super) fn is_stale(&self) -> bool {
        self.freshness == Freshness::LastGood
    }

    /// Returns whether everything that a resource may read is known.
    pub(super) fn covers(&self, resource: &Resource) -> bool {
        let roots = &resource.scope.roots;
        !self.is_empty() && roots.iter().all(|root| self.covered.iter().any(|have| key::contains(have, root)))
    }

    /// Stores a snapshot of `roots`. Returns what it touched, and whether it covers more than before or is the first
    /// fresh one.
    pub(super) fn apply_snapshot(
        &mut self,
        snapshot: Snapshot,
        roots: &[String],
        now: Instant,
    ) -> (Vec<Touched>, bool) {
        let covers_more = self.freshness != Freshness::Live || self.covered != roots;
        self.freshness = Freshness::Live;
        self.covered = roots.to_vec();
        let touched = Arc::make_mut(&mut self.values).replace(snapshot.entries);
        self.mark_unsaved(&touched, now);
        (touched, covers_more)
    }

    /// Applies changes and returns what they touched.
    pub(super) fn apply_changes(&mut self, changes: Vec<Change>, now: Instant) -> Vec<Touched> {
        let values = Arc::make_mut(&mut self.values);
        let touched: Vec<_> = changes.into_iter().flat_map(|change| values.apply(change)).collect();
        self.mark_unsaved(&touched, now);
        touched
    }

    fn mark_unsaved(&mut self, touched: &[Touched], now: Instant) {
        if !touched.is_empty() {
            // Counted from the first change, so that the snapshot is also written if the store changes continuously.
            self.unsaved_since.get_or_insert(now);
        }
    }

    /// Takes the last good snapshot, if there is one, while the source is down and no values are known. Returns
    /// whether there was one.
    pub(super) fn load_last_good(&mut self, roots: &[String]) -> bool {
        let Some(last) = self.snapshot_cache.get(roots) else {
            tracing::warn!(
                "there is no last good snapshot to render from; nothing is rendered until the source responds"
            );
            return false;
        };
        let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(last.taken));
        let age = age.unwrap_or_default().as_secs();
        tracing::warn!("rendering from the last good snapshot, {age} s old (stale)");
        self.values = Arc::new(last.values);
        self.covered = roots.to_vec();
        self.freshness = Freshness::LastGood;
        true
    }

    /// Returns when the snapshot has to be written, if it is out of date.
    pub(super) fn save_due(&self) -> Option<Instant> {
        self.unsaved_since.map(|since| since + SNAPSHOT_DELAY)
    }

    /// Writes the snapshot on another thread.
    pub(super) fn save_in_background(&mut self) {
        if let Some(save) = self.saving() {
            tokio::task::spawn_blocking(save);
        }
    }

    /// Writes the snapshot now, if it is out of date. Blocking; called at the end of the daemon.
    pub(super) fn save_now(&mut self) {
        if let Some(save) = self.saving() {
            save();
        }
    }

    fn saving(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        self.unsaved_since.take()?;
        if self.freshness != Freshness::Live {
            return None;
        }
        let (snapshot_cache, covered, values) =
            (self.snapshot_cache.clone(), self.covered.clone(), Arc::clone(&self.values));
        Some(move || {
            if let Err(error) = snapshot_cache.put(&covered, &values) {
                tracing::warn!("the last good snapshot could not be kept: {error}");
            }
        })
    }
}
