//! The shutdown of a reconciler.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::WantedKeys;
use super::owned::{self, OwnedListState};
use super::plan::{ActionKind, plan_actions};
use super::reconciler::{MAX_CONCURRENT_REQUESTS, Reconciler};
use crate::registrar::settings::OnExit;

/// How long removals that were already pending may take.
const PENDING_REMOVAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may take to remove all keys.
const REMOVE_ALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The delay between attempts of a removal.
const REMOVAL_RETRY_DELAY: Duration = Duration::from_millis(200);

impl Reconciler {
    /// Keeps or removes the keys, as the settings say.
    pub(super) async fn end(&mut self, wanted: &mut watch::Receiver<WantedKeys>) {
        self.desired = wanted.borrow_and_update().clone();
        let leave = self.config.on_exit == OnExit::Remove;
        if leave {
            // No key is wanted any more, so none waits for another.
            let released = std::mem::take(&mut self.desired.released);
            self.desired = WantedKeys { released, complete: true, listed: true, ..WantedKeys::default() };
        }
        self.hand_over(Instant::now());
        let until = Instant::now() + if leave { REMOVE_ALL_TIMEOUT } else { PENDING_REMOVAL_TIMEOUT };
        if timeout_at(until, self.clear(leave)).await.is_err() {
            let left = self.held.keys().filter(|key| !self.desired.keys.contains_key(*key)).count();
            if left > 0 {
                tracing::warn!(
                    "stopping before {left} keys are removed; they stay until their leases expire"
                );
            }
            return;
        }
        // The list must match the remaining keys, or be deleted when none remain.
        let OwnedListState::Ours { index, written, .. } = &self.owned_list else { return };
        let (ours, cluster, config) = (self.ours(), Arc::clone(&self.cluster), Arc::clone(&self.config));
        let last = async {
            match index {
                Some(index) if ours.is_empty() => owned::delete(&cluster, &config, *index).await,
                Some(_) if ours.keys().ne(written.keys()) => {
                    // The next run corrects a list that is too long.
                    owned::write(&cluster, &config, *index, &ours).await.ok();
                }
                _ => {}
            }
        };
        timeout_at(until, last).await.ok();
    }

    /// Waits for requests in progress and tries every removal once, or (`again`) until it succeeds.
    async fn clear(&mut self, again: bool) {
        let mut tried = BTreeSet::new();
        loop {
            let now = Instant::now();
            for held in self.held.values_mut() {
                held.due = now;
            }
            for action in plan_actions(&self.desired, &self.held, now) {
                let fresh = again || !tried.contains(&action.key);
                if !fresh || !matches!(action.what, ActionKind::Remove(_) | ActionKind::Forget) {
                    continue;
                }
                while self.running.len() >= MAX_CONCURRENT_REQUESTS {
                    self.finish_one().await;
                }
                tried.insert(action.key.clone());
                self.start_one(action);
            }
            if self.running.is_empty() {
                return;
            }
            while !self.running.is_empty() {
                self.finish_one().await;
            }
            if again && !self.held.is_empty() {
                sleep(REMOVAL_RETRY_DELAY).await;
            }
        }
    }

    async fn finish_one(&mut self) {
        if let Some(done) = self.running.next().await {
            self.finish(done);
        }
    }
}
