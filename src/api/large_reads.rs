//! The large responses that are being sent, so that clients that read the same share one copy.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::render::Depth;
use crate::http::server::{CountedText, HeldResponse};
use crate::keyspace::Time;

/// The number of large responses that are remembered, with their sizes.
const MAX_REMEMBERED: usize = 16;

/// The large responses to reads.
#[derive(Debug, Default)]
pub(super) struct LargeReads {
    /// Oldest first.
    known: Mutex<VecDeque<LargeRead>>,
    /// How many are known. Most requests read only this.
    count: AtomicUsize,
    /// The length of the last recursive listing.
    pub(super) listed: AtomicUsize,
}

/// A large response to a read.
#[derive(Debug)]
pub(super) struct LargeRead {
    pub(super) key: Box<[u8]>,
    pub(super) depth: Depth,
    pub(super) index: u64,
    /// Until when it is right: it contains how many seconds are left to keys.
    pub(super) valid_until: Time,
    pub(super) length: usize,
    /// The response, as long as it is being sent.
    pub(super) text: Weak<CountedText>,
}

impl LargeReads {
    fn known(&self) -> MutexGuard<'_, VecDeque<LargeRead>> {
        // The critical sections leave the list usable at every point.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy that is being sent, and the length of the last response of this kind.
    pub(super) fn find(
        &self,
        key: &[u8],
        depth: Depth,
        index: u64,
        now: Time,
    ) -> (Option<HeldResponse>, Option<usize>) {
        if self.count.load(Relaxed) == 0 {
            return (None, None);
        }
        let known = self.known();
        let found = known.iter().find(|known| *known.key == *key && known.depth == depth);
        let valid = found.filter(|found| found.index == index && now < found.valid_until);
        (valid.and_then(|found| HeldResponse::upgrade(&found.text)), found.map(|found| found.length))
    }

    pub(super) fn remember(&self, large: LargeRead) {
        let mut known = self.known();
        known.retain(|other| other.key != large.key || other.depth != large.depth);
        if known.len() >= MAX_REMEMBERED {
            known.pop_front();
        }
        known.push_back(large);
        self.count.store(known.len(), Relaxed);
    }
}
