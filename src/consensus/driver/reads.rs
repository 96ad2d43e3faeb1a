//! Reads that must not be stale: asked of the group together, answered when the state has come far enough.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

#[cfg(test)]
use super::super::tests::simulation::plant::{Plant, planted};

/// The reads that wait.
pub(super) struct Reads {
    /// Tells this process's questions from another member's.
    process: u64,
    asked: u64,
    asked_at: Option<Instant>,
    waiting: Vec<PendingRead>,
}

struct PendingRead {
    /// The question it went with; 0: not asked yet.
    question: u64,
    /// How far the state must have come.
    index: Option<u64>,
    reply: oneshot::Sender<()>,
}

impl Reads {
    pub(super) fn new(process: u64) -> Self {
        Self { process, asked: 0, asked_at: None, waiting: Vec::new() }
    }

    pub(super) fn add(&mut self, reply: oneshot::Sender<()>) {
        self.waiting.push(PendingRead { question: 0, index: None, reply });
        #[cfg(test)]
        if planted(Plant::ReadNotAsked) {
            self.waiting.iter_mut().for_each(|read| read.index = Some(0));
        }
    }

    /// Puts those that were not asked for yet to the group, all with one question, by `request`, which answers whether it could.
    pub(super) fn request(&mut self, now: Instant, request: impl FnOnce(Vec<u8>) -> bool) {
        if !self.waiting.iter().any(|read| read.question == 0) {
            return;
        }
        let question = self.asked + 1;
        let context = [self.process.to_le_bytes(), question.to_le_bytes()].concat();
        if request(context) {
            self.asked = question;
            self.asked_at = Some(now);
            self.waiting
                .iter_mut()
                .filter(|read| read.question == 0)
                .for_each(|read| read.question = question);
        }
    }

    /// Raft drops questions without a word, for instance when the leader changes: those without an answer after `patience`
    /// are asked anew.
    pub(super) fn retry(&mut self, now: Instant, patience: Duration) {
        // Nobody waits any more for those that took too long.
        self.waiting.retain(|read| !read.reply.is_closed());
        if self.asked_at.is_some_and(|at| now.saturating_duration_since(at) < patience) {
            return;
        }
        self.waiting.iter_mut().filter(|read| read.index.is_none()).for_each(|read| read.question = 0);
    }

    /// The group's word on a question.
    pub(super) fn confirmed(&mut self, context: &[u8], index: u64) {
        let Some((process, question)) = context.split_first_chunk::<8>() else { return };
        let question = question.try_into().map_or(0, u64::from_le_bytes);
        if u64::from_le_bytes(*process) != self.process || question == 0 {
            return;
        }
        // An answer to a later question is not too old for an earlier one, whose own may be lost.
        self.waiting.iter_mut().filter(|read| (1..=question).contains(&read.question)).for_each(|read| {
            read.index.get_or_insert(index);
        });
    }

    /// Answers those for which the state has come far enough.
    pub(super) fn release(&mut self, applied: u64) {
        #[cfg(test)]
        let applied = if planted(Plant::ReadNotWaited) { u64::MAX } else { applied };
        let due = |read: &mut PendingRead| read.index.is_some_and(|index| index <= applied);
        for read in self.waiting.extract_if(.., due) {
            read.reply.send(()).ok();
        }
    }
}
