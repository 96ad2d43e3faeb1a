//! Proposals of this process that wait for their answer, in the order in which they were made.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;

use super::entry::{Order, ProposalId};
use super::outcome::{Position, ProposeError};
use super::state::Applied;

/// What comes back for a proposal: what it came to and where the log stood.
pub(super) type ProposeResult = Result<(Applied, Position), ProposeError>;

/// One proposal under way.
pub(super) struct PendingProposal {
    pub(super) order: Order,
    pub(super) reply: Option<oneshot::Sender<ProposeResult>>,
    /// Bytes that it keeps from the queue's allowance.
    pub(super) bytes: usize,
    /// When it came.
    pub(super) since: Instant,
    /// When it was last put to a leader, and in which term.
    pub(super) put: Option<(u64, Instant)>,
    /// How often it was.
    pub(super) tries: u32,
}

/// The proposals of this process that are in the log, on their way there, or waiting for a leader.
///
/// They are numbered one by one, so a queue finds each by its number, and its front is the oldest.
pub(super) struct Pending {
    process: u64,
    /// The number of the first in the queue.
    first: u64,
    waiting: VecDeque<Option<PendingProposal>>,
    count: usize,
}

impl Pending {
    /// `process` tells this process's entries from those of any other.
    pub(super) fn new(process: u64) -> Self {
        Self { process, first: 1, waiting: VecDeque::new(), count: 0 }
    }

    /// Takes one in; answers its number.
    pub(super) fn add(&mut self, waiting: PendingProposal) -> u64 {
        self.waiting.push_back(Some(waiting));
        self.count += 1;
        self.first + self.waiting.len() as u64 - 1
    }

    /// The proposal that an entry's context names, if it came from here and still waits.
    pub(super) fn take(&mut self, context: &[u8]) -> Option<PendingProposal> {
        let proposal_id =
            ProposalId::decode(context).filter(|proposal_id| proposal_id.process == self.process)?;
        self.remove(proposal_id.count)
    }

    pub(super) fn get(&self, number: u64) -> Option<&PendingProposal> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.waiting.get(at)?.as_ref()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<PendingProposal> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let taken = self.waiting.get_mut(at)?.take()?;
        self.count -= 1;
        self.trim();
        Some(taken)
    }

    /// What `number` is known by in the log. Everything before the oldest one waiting is settled.
    pub(super) fn proposal_id(&self, number: u64) -> ProposalId {
        ProposalId { process: self.process, count: number, floor: self.first }
    }

    /// Those that wait from `number` on, oldest first.
    pub(super) fn iter_from(&mut self, number: u64) -> impl Iterator<Item = (u64, &mut PendingProposal)> {
        let first = self.first;
        let skipped = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        let numbered = self.waiting.iter_mut().enumerate().skip(skipped);
        numbered.filter_map(move |(at, waiting)| Some((first + at as u64, waiting.as_mut()?)))
    }

    /// The number of the oldest one, or of the next to come.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The oldest one.
    pub(super) fn oldest(&self) -> Option<&PendingProposal> {
        self.waiting.front()?.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Takes out every proposal that satisfies `gone`.
    pub(super) fn drain(&mut self, gone: impl Fn(&PendingProposal) -> bool) -> Vec<PendingProposal> {
        let taken = self.waiting.iter_mut().filter_map(|slot| slot.take_if(|waiting| gone(waiting)));
        let taken: Vec<PendingProposal> = taken.collect();
        self.count -= taken.len();
        self.trim();
        taken
    }

    /// So that the front is one that waits.
    fn trim(&mut self) {
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
    }
}
