//! The leader to ask what this member has confirmed to it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The leader to ask next.
#[derive(Debug, Default)]
pub(super) struct LossQuestion {
    leader: Mutex<Option<u64>>,
    changed: Notify,
}

impl LossQuestion {
    pub(super) fn set(&self, leader: u64) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(leader);
        self.changed.notify_one();
    }

    pub(super) async fn next(&self) -> u64 {
        loop {
            if let Some(leader) = self.leader.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return leader;
            }
            self.changed.notified().await;
        }
    }
}
