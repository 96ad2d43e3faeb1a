//! Getting to know members that joined while this one was away.
//!
//! Who belongs to the group is read from the log, and the log comes from the leader. When that is a member that this one
//! has never heard of, both wait for each other: so a stranger who calls is looked up with the members that are known, and
//! counts as one until the log says more.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::office::Office;
use super::survey::survey;

/// Strangers that wait to be looked up.
const MOST: usize = 16;
/// Between two rounds of asking, and how long one takes at most.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

/// Those who called and are not known.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    waiting: Mutex<BTreeSet<u64>>,
    changed: Notify,
}

impl Strangers {
    /// A member that is not known has called.
    pub(super) fn called(&self, id: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST {
            waiting.insert(id);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks strangers up, one round after the other.
pub(super) async fn run(office: &Office) -> Infallible {
    loop {
        office.strangers.changed.notified().await;
        let strangers = office.strangers.take();
        let book = office.book();
        let own = book.own;
        let known = book.members.values().filter(|known| known.member.id != own);
        let urls: Vec<String> = known.flat_map(|known| known.member.peer_urls.clone()).collect();
        if let Ok(found) = survey(&urls, &office.tls, PATIENCE).await
            && found.cluster_id == book.cluster
        {
            let met = found.members.into_iter().filter(|member| strangers.contains(&member.id));
            office.meet(met.collect());
        }
        sleep(PAUSE).await;
    }
}
