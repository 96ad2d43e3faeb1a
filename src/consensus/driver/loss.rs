//! Messages that claim that this member lost entries: without proof of their sender they are checked before they count.
//!
//! A member that lost entries which it had confirmed must not vote, and must leave its group. But without TLS and
//! without a peer secret anybody who reaches the peer port can claim that. So the leader in whose name the message came
//! is asked at its own address, and until it responds this member does not vote and starts no election.

use std::time::{Duration, Instant};

use raft::prelude::{Message, MessageType};

use super::super::error::MemberFailure;
use super::Driver;
use crate::log_throttle::LogThrottle;

/// How many election timeouts a claim that cannot be checked keeps this member from voting.
const PAUSE_ELECTION_TIMEOUTS: u32 = 10;
/// How long after a claim was checked further ones are ignored, and how often the leader is asked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The claim that is being checked.
#[derive(Debug, Default)]
pub(super) struct LossClaim {
    /// Until then this member does not vote.
    paused_until: Option<Instant>,
    /// When the leader was asked last, or responded.
    checked_at: Option<Instant>,
    log_throttle: LogThrottle,
}

impl LossClaim {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}

impl Driver {
    /// Returns whether this member takes no part in elections for now.
    pub(super) fn is_vote_paused(&self, now: Instant) -> bool {
        self.loss_claim.is_paused(now) && !self.replica.is_leader()
    }

    /// Processes one message of another member.
    pub(super) fn step_message(&mut self, message: Message, now: Instant) -> Result<(), MemberFailure> {
        if self.is_vote_paused(now) && concerns_votes(&message) {
            return Ok(());
        }
        let from = message.from;
        match self.replica.step(message) {
            Err(MemberFailure::LostEntries { last, confirmed }) if !self.outbox.senders_are_proven() => {
                self.check_loss(from, last, confirmed, now);
                Ok(())
            }
            other => other,
        }
    }

    fn check_loss(&mut self, leader: u64, last: u64, confirmed: u64, now: Instant) {
        let claim = &mut self.loss_claim;
        if claim.checked_at.is_some_and(|at| now < at + CHECK_INTERVAL) {
            return;
        }
        claim.checked_at = Some(now);
        if !claim.is_paused(now) {
            claim.paused_until = Some(now + self.election * PAUSE_ELECTION_TIMEOUTS);
        }
        if claim.log_throttle.due("claim") {
            tracing::warn!(
                "a message in the name of member {leader:x} says that this member confirmed entry {confirmed}, but its log \
                 ends at {last}: that member is asked, and this one does not vote meanwhile"
            );
        }
        self.outbox.check_loss(leader);
    }

    /// The leader has responded; `None`: it does not lead.
    pub(super) fn loss_checked(&mut self, confirmed: Option<u64>, now: Instant) -> Result<(), MemberFailure> {
        self.loss_claim.paused_until = None;
        self.loss_claim.checked_at = Some(now);
        let last = self.replica.last_index();
        if let Some(confirmed) = confirmed.filter(|confirmed| *confirmed > last) {
            return Err(MemberFailure::LostEntries { last, confirmed });
        }
        if self.loss_claim.log_throttle.due("refuted") {
            tracing::warn!(
                "the leader does not know of any lost entries: something else sent a message in its name. Keep strangers \
                 off the peer port, or give all members the same --peer-secret-file"
            );
        }
        Ok(())
    }
}

/// Returns whether a message asks for a vote, or to start an election.
fn concerns_votes(message: &Message) -> bool {
    matches!(
        message.get_msg_type(),
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote | MessageType::MsgTimeoutNow
    )
}
