//! A watch on a member receives every event once and in order, also across a snapshot that replaces the state; or
//! it ends and reports it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::super::super::shared::Shared;
use super::{Check, ensure};
use crate::keyspace::{Keyspace, Watch, WatchOptions};

/// A watch on everything, and its progress.
pub(in super::super) struct WatchProgress {
    watch: Watch,
    seen: u64,
}

impl WatchProgress {
    /// Starts a watch now.
    pub(in super::super) fn begin(shared: &Arc<Shared>) -> Self {
        Self::on(&mut shared.write().keyspace)
    }

    fn on(keyspace: &mut Keyspace) -> Self {
        let seen = keyspace.index();
        let what = WatchOptions { recursive: true, stream: true, since: 0 };
        Self { watch: keyspace.watch(b"/", what).expect("a watch from now on is never refused"), seen }
    }

    /// Compares the received events with the state.
    pub(in super::super) fn compare(&mut self, shared: &Arc<Shared>, id: u64) -> Check {
        let mut keyspace = shared.write();
        let keyspace = &mut keyspace.keyspace;
        if keyspace.index() == self.seen {
            return Ok(());
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut came = Vec::new();
        let mut ended = false;
        while let Poll::Ready(event) = self.watch.poll_next(&mut context) {
            let Some(event) = event else {
                ended = true;
                break;
            };
            came.push(event.index());
        }
        let happened =
            keyspace.events_since(self.seen).filter_map(|(index, entry)| entry.event().map(|_| index));
        let happened: Vec<u64> = happened.collect();
        let since = self.seen;
        if ended {
            let order = came.iter().all(|index| happened.contains(index)) && came.is_sorted();
            ensure(order, || format!("watches: on {id:x} after {since} came {came:?} and then an end"))?;
            *self = Self::on(keyspace);
            return Ok(());
        }
        self.seen = keyspace.index();
        ensure(came == happened, || {
            format!("watches: on {id:x} after {since} happened {happened:?}, and {came:?} came")
        })
    }
}
