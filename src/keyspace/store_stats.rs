//! The counters of `/v2/stats/store`.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of `/v2/stats/store`, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are etcd's words")]
pub struct StoreStats {
    pub gets_success: u64,
    pub gets_fail: u64,
    pub sets_success: u64,
    pub sets_fail: u64,
    pub delete_success: u64,
    pub delete_fail: u64,
    pub update_success: u64,
    pub update_fail: u64,
    pub create_success: u64,
    pub create_fail: u64,
    pub compare_and_swap_success: u64,
    pub compare_and_swap_fail: u64,
    pub compare_and_delete_success: u64,
    pub compare_and_delete_fail: u64,
    pub expire_count: u64,
    pub watchers: u64,
}

/// The live counters. Those of writes are in `writes`; reads only have a shared reference.
#[derive(Debug, Default)]
pub(super) struct StoreCounters {
    pub(super) writes: StoreStats,
    gets_success: AtomicU64,
    gets_fail: AtomicU64,
}

impl StoreCounters {
    pub(super) fn got(&self, success: bool) {
        let counter = if success { &self.gets_success } else { &self.gets_fail };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, watchers: u64) -> StoreStats {
        StoreStats {
            gets_success: self.gets_success.load(Ordering::Relaxed),
            gets_fail: self.gets_fail.load(Ordering::Relaxed),
            watchers,
            ..self.writes
        }
    }
}
