//! The end of a keeper in good order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::Wanted;
use super::keeper::{AT_ONCE, Keeper};
use super::owned::{self, Ledger};
use super::reconcile::{Action, reconcile};
use crate::registrar::settings::OnExit;

/// How long removals that were wished for already may take.
const KEEP: Duration = Duration::from_secs(3);
/// How long it may take to remove everything.
const REMOVE: Duration = Duration::from_secs(5);
/// Between tries of a removal.
const PAUSE: Duration = Duration::from_millis(200);

impl Keeper {
    /// Does what the settings say is to become of the keys.
    pub(super) async fn end(&mut self, wanted: &mut watch::Receiver<Wanted>) {
        self.wish = wanted.borrow_and_update().clone();
        let leave = self.keeping.on_exit == OnExit::Remove;
        if leave {
            // Nothing is wanted any more, so no key waits for another.
            let let_go = std::mem::take(&mut self.wish.let_go);
            self.wish = Wanted { let_go, complete: true, listed: true, ..Wanted::default() };
        }
        self.hand_over(Instant::now());
        let until = Instant::now() + if leave { REMOVE } else { KEEP };
        if timeout_at(until, self.clear(leave)).await.is_err() {
            let left = self.held.keys().filter(|key| !self.wish.keys.contains_key(*key)).count();
            if left > 0 {
                tracing::warn!(
                    "stopping although {left} keys are not removed yet; they are left to their leases"
                );
            }
            return;
        }
        // The list is to say what stands, or not to be there when nothing does.
        let Ledger::Ours { index, written, .. } = &self.ledger else { return };
        let (ours, cluster, keeping) = (self.ours(), Arc::clone(&self.cluster), Arc::clone(&self.keeping));
        let last = async {
            match index {
                Some(index) if ours.is_empty() => owned::delete(&cluster, &keeping, *index).await,
                Some(_) if ours.keys().ne(written.keys()) => {
                    // A list that says too much is put right by the next life.
                    owned::write(&cluster, &keeping, *index, &ours).await.ok();
                }
                _ => {}
            }
        };
        timeout_at(until, last).await.ok();
    }

    /// Waits for what is under way and tries every removal once, or (`again`) until it is done.
    async fn clear(&mut self, again: bool) {
        let mut tried = BTreeSet::new();
        loop {
            let now = Instant::now();
            for held in self.held.values_mut() {
                held.due = now;
            }
            for action in reconcile(&self.wish, &self.held, now) {
                let fresh = again || !tried.contains(action.key());
                if !fresh || !matches!(action, Action::Remove { .. } | Action::Forget { .. }) {
                    continue;
                }
                while self.running.len() >= AT_ONCE {
                    self.finish_one().await;
                }
                tried.insert(action.key().to_owned());
                self.start_one(action);
            }
            if self.running.is_empty() {
                return;
            }
            while !self.running.is_empty() {
                self.finish_one().await;
            }
            if again && !self.held.is_empty() {
                sleep(PAUSE).await;
            }
        }
    }

    async fn finish_one(&mut self) {
        if let Some(done) = self.running.next().await {
            self.finish(done);
        }
    }
}
