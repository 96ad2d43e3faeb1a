//! Counts of requests to `/v2/keys`, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counted kinds of request, in the order of etcd's labels.
pub(super) const KINDS: [&str; 6] = ["DELETE", "GET", "HEAD", "POST", "PUT", "QGET"];
/// The counted statuses of failures; the last includes all others.
pub(super) const STATUSES: [u16; 6] = [400, 403, 404, 412, 500, 503];
/// The number of upper bounds of the durations: 0.5 ms, doubled each time.
pub(super) const BUCKET_COUNT: usize = 13;
const FIRST_BUCKET_BOUND: Duration = Duration::from_micros(500);

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Delete,
    Get,
    Head,
    Post,
    Put,
    QuorumGet,
}

/// Counters of one kind.
#[derive(Debug, Default)]
pub(super) struct CounterRow {
    pub(super) received: AtomicU64,
    pub(super) failed: [AtomicU64; STATUSES.len()],
    /// Requests by the lowest bound that covers them; the last element counts those beyond all.
    pub(super) within: [AtomicU64; BUCKET_COUNT + 1],
    pub(super) nanoseconds: AtomicU64,
}

/// All counters. Each costs an addition per request; sums are computed only when read.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rows: [CounterRow; KINDS.len()],
    pub(super) reads: AtomicU64,
    pub(super) recursive_reads: AtomicU64,
    pub(super) watches: AtomicU64,
    pub(super) healthy: AtomicU64,
    pub(super) unhealthy: AtomicU64,
}

impl Counters {
    pub(super) fn received(&self, kind: RequestKind) {
        add(&self.rows[kind as usize].received, 1);
    }

    pub(super) fn failed(&self, kind: RequestKind, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 2);
        add(&self.rows[kind as usize].failed[at], 1);
    }

    pub(super) fn succeeded(&self, kind: RequestKind, took: Duration) {
        let row = &self.rows[kind as usize];
        add(&row.within[bound(took)], 1);
        add(&row.nanoseconds, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn read(&self, recursive: bool) {
        add(if recursive { &self.recursive_reads } else { &self.reads }, 1);
    }
}

/// Adds to a counter without ordering other memory accesses.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Returns the index of the lowest bound that covers `took`.
pub(super) fn bound(took: Duration) -> usize {
    (0..BUCKET_COUNT).find(|at| took <= FIRST_BUCKET_BOUND * (1 << at)).unwrap_or(BUCKET_COUNT)
}

/// Returns the upper bound number `at` in seconds.
pub(super) fn seconds(at: usize) -> f64 {
    (FIRST_BUCKET_BOUND * (1 << at)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKET_COUNT, bound, seconds};

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        for (micros, at) in
            [(0, 0), (500, 0), (501, 1), (1000, 1), (2_048_000, 12), (2_048_001, BUCKET_COUNT)]
        {
            assert_eq!(bound(Duration::from_micros(micros)), at, "{micros}");
        }
        assert!((seconds(12) - 2.048).abs() < 1e-9);
    }
}
