//! Peers that connected and are unknown.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Unknown peers that wait to be looked up.
const MAX_QUEUED_LOOKUPS: usize = 16;

/// Peers that connected and are unknown.
#[derive(Debug, Default)]
pub(super) struct UnknownPeers {
    waiting: Mutex<BTreeSet<u64>>,
    pub(super) changed: Notify,
}

impl UnknownPeers {
    /// An unknown member has connected.
    pub(super) fn add(&self, id: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_QUEUED_LOOKUPS {
            waiting.insert(id);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    pub(super) fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
