//! The position of a watch that moves from one endpoint to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::escape;

/// A watch that an endpoint ends before this time was not established.
const MIN_WATCH_DURATION: Duration = Duration::from_secs(1);
/// How long after accepting a watch an endpoint may take to send a past event.
const HISTORY_REPLAY_TIMEOUT: Duration =
    if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(20) };

/// The index from which a watch waits. Advances with the endpoints' responses, so that the next endpoint continues
/// where a failed one stopped.
#[derive(Debug)]
pub(super) struct WatchPosition {
    from: AtomicU64,
    /// The cluster that `from` belongs to, as counted by [`Cluster::epoch`](super::Cluster::epoch).
    pub(super) epoch: u64,
    /// The current endpoint's index when it accepted the watch, and the time of that.
    accepted: Mutex<Option<(u64, Instant)>>,
    recursive: bool,
}

impl WatchPosition {
    /// Starts at index `from` of the cluster `epoch`; 0: from now on.
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

    /// Notes that an endpoint accepted the watch at this index. "From now on" becomes this number.
    pub(super) fn accepted(&self, index: u64) {
        *self.lock() = Some((index, Instant::now()));
        let relaxed = Ordering::Relaxed;
        self.from.compare_exchange(0, index.saturating_add(1), relaxed, relaxed).ok();
    }

    /// Notes that the endpoint no longer holds the watch; returns whether it held it for a while.
    pub(super) fn lost(&self) -> bool {
        self.lock().take().is_some_and(|(_, since)| since.elapsed() >= MIN_WATCH_DURATION)
    }

    /// Notes that no event has come. If the endpoint accepted the watch long enough ago, its history had no event for
    /// it.
    pub(super) fn quiet(&self) {
        if let Some((index, since)) = *self.lock()
            && since.elapsed() >= HISTORY_REPLAY_TIMEOUT
        {
            self.from.fetch_max(index.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        // Nothing panics while the lock is held, so the state is consistent even if the lock is poisoned.
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
