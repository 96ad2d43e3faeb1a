//! Reads that must not be stale: requested from the group together, released when the state is new enough.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// The pending reads.
pub(super) struct PendingReads {
    /// Distinguishes this process's requests from another member's.
    process: u64,
    last_request_id: u64,
    requested_at: Option<Instant>,
    waiting: Vec<PendingRead>,
}

struct PendingRead {
    /// The request that it is part of; 0: not requested yet.
    request_id: u64,
    /// The index that the state must reach.
    index: Option<u64>,
    reply: oneshot::Sender<()>,
}

impl PendingReads {
    pub(super) fn new(process: u64) -> Self {
        Self { process, last_request_id: 0, requested_at: None, waiting: Vec::new() }
    }

    pub(super) fn add(&mut self, reply: oneshot::Sender<()>) {
        self.waiting.push(PendingRead { request_id: 0, index: None, reply });
        fault!(ReadNotAsked, self.waiting.iter_mut().for_each(|read| read.index = Some(0)));
    }

    /// Sends all reads that were not requested yet to the group in one request. `request` returns whether it could
    /// send it.
    pub(super) fn request(&mut self, now: Instant, request: impl FnOnce(Vec<u8>) -> bool) {
        if !self.waiting.iter().any(|read| read.request_id == 0) {
            return;
        }
        let request_id = self.last_request_id + 1;
        let context = [self.process.to_le_bytes(), request_id.to_le_bytes()].concat();
        if request(context) {
            self.last_request_id = request_id;
            self.requested_at = Some(now);
            self.waiting
                .iter_mut()
                .filter(|read| read.request_id == 0)
                .for_each(|read| read.request_id = request_id);
        }
    }

    /// Repeats requests without a reply after `timeout`: raft silently drops some, for instance when the leader
    /// changes.
    pub(super) fn retry(&mut self, now: Instant, timeout: Duration) {
        // Reads whose receiver is gone have timed out.
        self.waiting.retain(|read| !read.reply.is_closed());
        if self.requested_at.is_some_and(|at| now.saturating_duration_since(at) < timeout) {
            return;
        }
        self.waiting.iter_mut().filter(|read| read.index.is_none()).for_each(|read| read.request_id = 0);
    }

    /// Handles the group's reply to a request.
    pub(super) fn confirmed(&mut self, context: &[u8], index: u64) {
        let Some((process, request_id)) = context.split_first_chunk::<8>() else { return };
        let request_id = request_id.try_into().map_or(0, u64::from_le_bytes);
        if u64::from_le_bytes(*process) != self.process || request_id == 0 {
            return;
        }
        // The reply to a later request is also new enough for an earlier one, whose own may be lost.
        self.waiting.iter_mut().filter(|read| (1..=request_id).contains(&read.request_id)).for_each(|read| {
            read.index.get_or_insert(index);
        });
    }

    /// Releases the reads for which the state is new enough.
    pub(super) fn release(&mut self, applied: u64) {
        let newest = fault!(ReadNotWaited, u64::MAX, applied);
        let due = |read: &mut PendingRead| read.index.is_some_and(|index| index <= newest);
        for read in self.waiting.extract_if(.., due) {
            read.reply.send(()).ok();
        }
    }
}
