//! Counters and gauges: written by the threads, read by metrics and statistics.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the sync histogram in seconds; etcd's.
const BOUNDS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

/// Counters and gauges for `/metrics` and `/v2/stats/self`.
#[derive(Clone, Debug, Default)]
pub struct ReplicaMetrics {
    /// Changes of leader seen since the start.
    pub leader_changes: u64,
    /// Entries committed (highest index).
    pub committed: u64,
    /// Entries applied (highest index).
    pub applied: u64,
    /// Proposals that wait for their result.
    pub pending: u64,
    /// Requests and messages that wait for the thread that drives the replica.
    pub queued: u64,
    /// Proposals that failed since the start.
    pub failed: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// Their total time in seconds.
    pub sync_seconds: f64,
    /// Upper bounds in seconds with the number of syncs at or below each (cumulative), as in a Prometheus
    /// histogram.
    pub sync_buckets: Vec<(f64, u64)>,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// When this member started, nanoseconds since 1970.
    pub started: i64,
    /// Since when the current leader leads, nanoseconds since 1970; 0 without a leader.
    pub led_since: i64,
    /// Whether this member leads.
    pub leads: bool,
    /// Raft index of the last snapshot.
    pub snapshot_index: u64,
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) leader_changes: AtomicU64,
    pub(super) pending: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) log_bytes: AtomicU64,
    /// Bytes of entries appended since the start.
    pub(super) appended: AtomicU64,
    pub(super) led_since: AtomicI64,
    pub(super) leads: AtomicBool,
    pub(super) snapshot_index: AtomicU64,
    /// The log failed and the member stops: nothing more may be written.
    pub(super) broken: AtomicBool,
    /// The full disk has been logged.
    pub(super) full: AtomicBool,
    pub(super) syncs: Syncs,
}

/// A histogram of sync times.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    count: AtomicU64,
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len()],
}

impl Syncs {
    pub(super) fn observe(&self, took: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
    }
}

impl Counters {
    /// Returns the current values; fields that are not counted here stay zero.
    pub(super) fn read(&self) -> ReplicaMetrics {
        let mut below = 0;
        let buckets = BOUNDS.iter().zip(&self.syncs.buckets).map(|(bound, bucket)| {
            below += bucket.load(Relaxed);
            (*bound, below)
        });
        ReplicaMetrics {
            leader_changes: self.leader_changes.load(Relaxed),
            pending: self.pending.load(Relaxed),
            failed: self.failed.load(Relaxed),
            syncs: self.syncs.count.load(Relaxed),
            sync_seconds: Duration::from_nanos(self.syncs.nanoseconds.load(Relaxed)).as_secs_f64(),
            sync_buckets: buckets.collect(),
            log_bytes: self.log_bytes.load(Relaxed),
            led_since: self.led_since.load(Relaxed),
            leads: self.leads.load(Relaxed),
            snapshot_index: self.snapshot_index.load(Relaxed),
            ..ReplicaMetrics::default()
        }
    }
}
