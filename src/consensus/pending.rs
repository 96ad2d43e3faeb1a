//! Proposals of this process that wait for their result, oldest first.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;

use super::entry::{ProposalId, RaftCommand};
use super::outcome::{Position, ProposeError};
use super::state::Applied;

/// The result of a proposal: what it did, and the state of the log then.
pub(super) type ProposeResult = Result<(Applied, Position), ProposeError>;

/// One pending proposal.
pub(super) struct PendingProposal {
    pub(super) command: RaftCommand,
    pub(super) reply: Option<oneshot::Sender<ProposeResult>>,
    /// Bytes that it takes from the queue's budget.
    pub(super) bytes: usize,
    /// When it arrived.
    pub(super) since: Instant,
    /// When it was last sent to a leader, and in which term.
    pub(super) put: Option<(u64, Instant)>,
    /// How often it was sent.
    pub(super) attempts: u32,
}

/// The proposals of this process that are in the log, on their way there, or waiting for a leader.
///
/// They are numbered consecutively, so each is found by its offset in a queue whose front is the oldest.
pub(super) struct PendingProposals {
    process: u64,
    /// The number of the first entry in the queue.
    first: u64,
    waiting: VecDeque<Option<PendingProposal>>,
    count: usize,
}

impl PendingProposals {
    /// `process` distinguishes this process's entries from those of any other.
    pub(super) fn new(process: u64) -> Self {
        Self { process, first: 1, waiting: VecDeque::new(), count: 0 }
    }

    /// Adds a proposal and returns its number.
    pub(super) fn add(&mut self, waiting: PendingProposal) -> u64 {
        self.waiting.push_back(Some(waiting));
        self.count += 1;
        self.first + self.waiting.len() as u64 - 1
    }

    /// Takes the proposal that an entry's context names, if it came from this process and still waits.
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

    /// Returns the id of `number` in the log. Everything before the oldest pending one is settled.
    pub(super) fn proposal_id(&self, number: u64) -> ProposalId {
        ProposalId { process: self.process, count: number, floor: self.first }
    }

    /// Iterates over the pending proposals from `number` on, oldest first.
    pub(super) fn iter_from(&mut self, number: u64) -> impl Iterator<Item = (u64, &mut PendingProposal)> {
        let first = self.first;
        let skipped = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        let numbered = self.waiting.iter_mut().enumerate().skip(skipped);
        numbered.filter_map(move |(at, waiting)| Some((first + at as u64, waiting.as_mut()?)))
    }

    /// Returns the number of the oldest one, or of the next to be added.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the oldest one.
    pub(super) fn oldest(&self) -> Option<&PendingProposal> {
        self.waiting.front()?.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Removes and returns every proposal for which `gone` is true.
    pub(super) fn drain(&mut self, gone: impl Fn(&PendingProposal) -> bool) -> Vec<PendingProposal> {
        let taken = self.waiting.iter_mut().filter_map(|slot| slot.take_if(|waiting| gone(waiting)));
        let taken: Vec<PendingProposal> = taken.collect();
        self.count -= taken.len();
        self.trim();
        taken
    }

    /// Drops settled entries from the front.
    fn trim(&mut self) {
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
    }
}
