//! Where a watch is, while it moves from one endpoint to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::escape;

/// A watch that an endpoint ends sooner than this did not run.
const SHORTEST: Duration = Duration::from_secs(1);
/// An event of the past comes sooner than this after an endpoint accepted the watch.
const PROOF: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(20) };

/// From which index on a watch waits. It moves on with what the endpoints say, so that the next endpoint goes on where
/// one that failed was.
#[derive(Debug)]
pub(super) struct WatchPosition {
    from: AtomicU64,
    /// The cluster in which `from` means something, as [`Cluster::epoch`](super::Cluster::epoch) counts them.
    pub(super) epoch: u64,
    /// The index of the endpoint that holds the watch now, when it accepted it, and when that was.
    accepted: Mutex<Option<(u64, Instant)>>,
    recursive: bool,
}

impl WatchPosition {
    /// From index `from` of the cluster `epoch` on; 0 is from now on.
    pub(super) fn new(from: u64, epoch: u64, recursive: bool) -> Self {
        Self { from: AtomicU64::new(from), epoch, accepted: Mutex::new(None), recursive }
    }

    pub(super) fn query(&self) -> String {
        escape::pairs(vec![
            ("recursive", self.recursive.to_string().into_bytes()),
            ("wait", b"true".to_vec()),
            ("waitIndex", self.from.load(Ordering::Relaxed).to_string().into_bytes()),
        ])
    }

    /// An endpoint accepted the watch when its index was this. "From now on" is known by number from here on.
    pub(super) fn accepted(&self, index: u64) {
        *self.lock() = Some((index, Instant::now()));
        let relaxed = Ordering::Relaxed;
        self.from.compare_exchange(0, index.saturating_add(1), relaxed, relaxed).ok();
    }

    /// The endpoint does not hold the watch any more; whether it did for a while.
    pub(super) fn lost(&self) -> bool {
        self.lock().take().is_some_and(|(_, since)| since.elapsed() >= SHORTEST)
    }

    /// No event has come. What was already in the history when the endpoint accepted the watch would have, if that was
    /// long enough ago.
    pub(super) fn quiet(&self) {
        if let Some((index, since)) = *self.lock()
            && since.elapsed() >= PROOF
        {
            self.from.fetch_max(index.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        // Nothing can panic while the lock is held; a poisoned one still holds whole state.
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
