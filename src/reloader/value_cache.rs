//! What the daemon holds of its source: the values, how fresh they are, and which keys they cover.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::last_good::SnapshotCache;
use super::resource::Resource;
use crate::key;
use crate::source::Snapshot;
use crate::values::{Change, Touched, Values};

/// How long after a change the last good snapshot is kept: at most one write in that time.
const SNAPSHOT_DELAY: Duration = Duration::from_secs(30);

/// Where the values come from at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Nothing,
    LastGood,
    Live,
}

/// The values of the source as far as they are known.
pub(super) struct ValueCache {
    values: Arc<Values>,
    freshness: Freshness,
    /// The keys and directories that `values` cover. A resource that reads beyond them must wait: to it a key
    /// that was never fetched would look like one that is not there.
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

    /// Whether there is nothing to render from.
    pub(super) fn is_empty(&self) -> bool {
        self.freshness == Freshness::Nothing
    }

    /// Whether the values are the last good ones rather than the source's.
    pub(super) fn is_stale(&self) -> bool {
        self.freshness == Freshness::LastGood
    }

    /// Whether everything that a resource may read is known.
    pub(super) fn cover(&self, resource: &Resource) -> bool {
        let roots = &resource.scope.roots;
        !self.is_empty() && roots.iter().all(|root| self.covered.iter().any(|have| key::contains(have, root)))
    }

    /// Takes a snapshot of `roots`. Answers what it touched, and whether it covers more than was known, or is
    /// the first that is fresh.
    pub(super) fn take_snapshot(
        &mut self,
        snapshot: Snapshot,
        roots: &[String],
        now: Instant,
    ) -> (Vec<Touched>, bool) {
        let news = self.freshness != Freshness::Live || self.covered != roots;
        self.freshness = Freshness::Live;
        self.covered = roots.to_vec();
        let touched = Arc::make_mut(&mut self.values).replace(snapshot.entries);
        self.note(&touched, now);
        (touched, news)
    }

    /// Takes changes and answers what they touched.
    pub(super) fn take_changes(&mut self, changes: Vec<Change>, now: Instant) -> Vec<Touched> {
        let values = Arc::make_mut(&mut self.values);
        let touched: Vec<_> = changes.into_iter().flat_map(|change| values.apply(change)).collect();
        self.note(&touched, now);
        touched
    }

    fn note(&mut self, touched: &[Touched], now: Instant) {
        if !touched.is_empty() {
            // From the first change on, so that a store that never rests is kept as well.
            self.unsaved_since.get_or_insert(now);
        }
    }

    /// The source is down and nothing is held yet: takes the last good snapshot, if there is one. Answers whether
    /// there was.
    pub(super) fn fall_back(&mut self, roots: &[String]) -> bool {
        let Some(last) = self.snapshot_cache.get(roots) else {
            tracing::warn!(
                "there is no last good snapshot to render from; nothing is rendered until it answers"
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

    /// When the snapshot is to be kept, if anything changed since it was.
    pub(super) fn save_due(&self) -> Option<Instant> {
        self.unsaved_since.map(|since| since + SNAPSHOT_DELAY)
    }

    /// Keeps the snapshot, on a thread of its own.
    pub(super) fn save_aside(&mut self) {
        if let Some(save) = self.saving() {
            tokio::task::spawn_blocking(save);
        }
    }

    /// Keeps the snapshot now, if anything changed since it was. Blocking; for the end.
    pub(super) fn save_now(&mut self) {
        if self.unsaved_since.is_none() {
            return;
        }
        if let Some(save) = self.saving() {
            save();
        }
    }

    fn saving(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        self.unsaved_since = None;
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
