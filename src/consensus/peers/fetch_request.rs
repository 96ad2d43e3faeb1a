//! The snapshot to fetch: the newest that was announced.

use std::sync::{Mutex, PoisonError};

use raft::prelude::Message;
use tokio::sync::Notify;

/// A snapshot that was announced.
#[derive(Debug, Clone)]
pub(super) struct WantedSnapshot {
    pub(super) from: u64,
    pub(super) message: Message,
}

/// The newest announcement that is not handled yet.
#[derive(Debug, Default)]
pub(super) struct FetchRequest {
    wanted: Mutex<Option<WantedSnapshot>>,
    changed: Notify,
}

impl WantedSnapshot {
    pub(super) fn index(&self) -> u64 {
        self.message.get_snapshot().get_metadata().index
    }

    pub(super) fn term(&self) -> u64 {
        self.message.get_snapshot().get_metadata().term
    }
}

impl FetchRequest {
    pub(super) fn set(&self, wanted: WantedSnapshot) {
        let mut slot = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|before| before.message.term <= wanted.message.term) {
            *slot = Some(wanted);
        }
        drop(slot);
        self.changed.notify_one();
    }

    pub(super) async fn next(&self) -> WantedSnapshot {
        loop {
            if let Some(wanted) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return wanted;
            }
            self.changed.notified().await;
        }
    }

    /// Waits for an announcement of another leader, which replaces `current`; one of the same file only renews it.
    pub(super) async fn other(&self, current: &Mutex<WantedSnapshot>) -> WantedSnapshot {
        loop {
            let next = self.next().await;
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            if next.message.term < current.message.term {
                continue;
            }
            // A later snapshot of the same leader is not worth a restart: its log brings the difference.
            let same_leader = next.from == current.from && next.message.term == current.message.term;
            if !same_leader {
                return next;
            }
            if next.index() == current.index() {
                *current = next;
            }
        }
    }
}
