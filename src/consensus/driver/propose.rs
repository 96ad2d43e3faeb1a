//! Sends proposals to the leader, and again when they may have been lost.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::super::entry::{ProposalId, RaftCommand};
use super::super::outcome::ProposeError;
use super::super::pending::PendingProposal;
use super::super::replica::SubmitResult;
use super::{Driver, MAX_ROUND_BYTES, MAX_ROUND_PROPOSALS, send_reply};

/// After this many election timeouts without a result, proposals are sent again.
const RETRY_ELECTION_TIMEOUTS: u32 = 3;

/// A proposal to be sent.
struct QueuedProposal {
    number: u64,
    context: Vec<u8>,
    data: Vec<u8>,
    /// The command, when it changes the list of members.
    change: Option<RaftCommand>,
}

impl Driver {
    /// Proposes a change whose result no client waits for.
    pub(super) fn propose_internal(&mut self, command: RaftCommand, now: Instant) {
        self.pending.add(PendingProposal {
            command,
            reply: None,
            bytes: 0,
            since: now,
            put: None,
            attempts: 0,
        });
    }

    /// Marks all pending proposals to be sent again, since the leader may not have received them. Duplicates are
    /// recognised by their id.
    pub(super) fn resend_all(&mut self) {
        self.next_to_send = 0;
    }

    /// Sends the leader the proposals that it has not received, in order. Returns whether there were any.
    pub(super) fn send_proposals(&mut self, now: Instant) -> bool {
        let proposal_target = (self.replica.leader(), self.replica.term());
        if proposal_target != self.proposal_target {
            self.proposal_target = proposal_target;
            self.resend_all();
        }
        let mut any = false;
        loop {
            let batch = if proposal_target.0 == raft::INVALID_ID { Vec::new() } else { self.next_batch(now) };
            if batch.is_empty() {
                break;
            }
            let numbers: Vec<u64> = batch.iter().map(|item| item.number).collect();
            let after = numbers.last().map_or(self.next_to_send, |last| last + 1);
            match self.submit(batch) {
                SubmitResult::Accepted => (any, self.next_to_send) = (true, after),
                SubmitResult::NoLeader => break,
                SubmitResult::Overloaded => {
                    any = true;
                    self.refuse(&numbers);
                    self.next_to_send = after;
                }
            }
        }
        self.shared.counters.pending.store(self.pending.len() as u64, Relaxed);
        any
    }

    /// Returns the next proposals. One that changes the list of members is returned alone.
    fn next_batch(&mut self, now: Instant) -> Vec<QueuedProposal> {
        let (next, term) = (self.next_to_send, self.proposal_target.1);
        let mut batch = Vec::new();
        let mut bytes = 0;
        let floor = self.pending.proposal_id(0);
        for (number, waiting) in self.pending.iter_from(next) {
            let change = waiting.command.conf_change().is_some().then(|| waiting.command.clone());
            if batch.len() >= MAX_ROUND_PROPOSALS
                || bytes >= MAX_ROUND_BYTES
                || (change.is_some() && !batch.is_empty())
            {
                break;
            }
            let alone = change.is_some();
            let data = if alone { Vec::new() } else { waiting.command.encode() };
            bytes += data.len();
            waiting.put = Some((term, now));
            waiting.attempts += 1;
            let context = ProposalId { count: number, ..floor }.encode();
            batch.push(QueuedProposal { number, context, data, change });
            if alone {
                break;
            }
        }
        batch
    }

    fn submit(&mut self, mut batch: Vec<QueuedProposal>) -> SubmitResult {
        if let [QueuedProposal { context, change: Some(command), .. }] = &mut *batch {
            let own = self.replica.id();
            if self.leaving.is_some() {
                return SubmitResult::NoLeader;
            }
            if *command == (RaftCommand::Remove { id: own })
                && self.replica.is_leader()
                && !self.replica.is_single_voter()
            {
                // The next leader applies it: a leader that leaves would lose the pending proposals.
                self.transfer_leadership();
                return SubmitResult::NoLeader;
            }
            let change = command.conf_change().expect("only such commands come with themselves");
            return self.replica.propose_change(std::mem::take(context), &change);
        }
        let entries = batch.into_iter().map(|item| (item.context, item.data)).collect();
        self.replica.propose(entries)
    }

    fn refuse(&mut self, numbers: &[u64]) {
        // A proposal that was sent before may have been applied, so it cannot be refused as "nothing was done".
        let fresh = |waiting: &PendingProposal| waiting.attempts <= 1;
        for number in numbers {
            if !self.pending.get(*number).is_some_and(fresh) {
                continue;
            }
            if let Some(waiting) = self.pending.remove(*number) {
                self.internal_proposal_lost(&waiting.command);
                send_reply(&self.shared, waiting, Err(ProposeError::Overloaded));
            }
        }
    }

    /// Stops waiting for a change that this member made itself.
    fn internal_proposal_lost(&mut self, command: &RaftCommand) {
        match command {
            RaftCommand::Publish { .. } => self.publish_proposed = false,
            RaftCommand::Key(_) => self.expiring = false,
            RaftCommand::Version(_)
            | RaftCommand::PeerUrls { .. }
            | RaftCommand::Auth(_)
            | RaftCommand::Add { .. }
            | RaftCommand::Promote { .. }
            | RaftCommand::Remove { .. } => {}
        }
    }

    /// Fails proposals that have waited too long, and resends those whose result is overdue.
    pub(super) fn expire_proposals(&mut self, now: Instant) {
        let limit = self.shared.request_timeout;
        while let Some(oldest) = self.pending.oldest()
            && now.saturating_duration_since(oldest.since) > limit
        {
            let number = self.pending.first();
            let Some(waiting) = self.pending.remove(number) else { break };
            if waiting.reply.is_none() {
                self.internal_proposal_lost(&waiting.command);
            }
            send_reply(&self.shared, waiting, Err(ProposeError::TimedOut));
        }
        let late = self.pending.oldest().and_then(|oldest| oldest.put);
        if late.is_some_and(|(_, at)| {
            now.saturating_duration_since(at) > self.election * RETRY_ELECTION_TIMEOUTS
        }) {
            self.resend_all();
        }
    }
}
