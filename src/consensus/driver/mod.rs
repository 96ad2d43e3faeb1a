//! The thread that owns the replica: takes queued requests, has them logged and sent, applies committed entries,
//! replies.
//!
//! Owns: the loop, and with it the order in which things happen: requests and messages, then timers, then
//! proposals, then the replica's effects, until there are none left.
//!
//! Promises: the thread waits only for the log's disk and for the next request. Time is an argument, so a
//! simulation can drive it without a thread or a clock.
//!
//! Leaves out: what raft decides (`replica`), what an entry means (`state`), and how messages travel (`peers`).

mod commit_broadcast;
mod inbound;
mod loss;
mod propose;
mod reads;
mod ready;
mod timers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use raft::prelude::Message;

use super::error::MemberFailure;
use super::log::LogId;
use super::outcome::ProposeError;
use super::peers::PeerSender;
use super::pending::{PendingProposal, PendingProposals, ProposeResult};
use super::replica::Replica;
use super::request::{DriverRequest, Proposal};
use super::roster::Roster;
use super::shared::Shared;
use super::state::State;

use commit_broadcast::CommitBroadcast;
use loss::LossClaim;
use reads::PendingReads;
use timers::FastElection;

/// Proposals per round: more gain nothing, and the state is locked while they are applied.
const MAX_ROUND_PROPOSALS: usize = 1024;
const MAX_ROUND_BYTES: usize = 4 << 20;
/// How long the driver polls for the next request before it sleeps.
const SPIN_TIMEOUT: Duration = Duration::from_micros(100);

/// What a member publishes about itself at each start.
pub(super) struct PublishAttributes {
    pub(super) name: String,
    pub(super) client_urls: Vec<String>,
    pub(super) incarnation: u64,
    pub(super) version: String,
}

/// Where messages to the others are put.
pub(super) enum Outbox {
    /// To the threads that send them.
    PeerSender(PeerSender),
    /// Buffered for the caller, which takes them.
    #[cfg(test)]
    Buffered(Vec<Message>),
}

impl Outbox {
    fn send(&mut self, messages: Vec<Message>) {
        match self {
            Self::PeerSender(peer_sender) => peer_sender.send(messages),
            #[cfg(test)]
            Self::Buffered(buffer) => buffer.extend(messages),
        }
    }

    /// Returns whether messages are certainly from members.
    fn senders_are_proven(&self) -> bool {
        match self {
            Self::PeerSender(peer_sender) => peer_sender.senders_are_proven(),
            #[cfg(test)]
            Self::Buffered(_) => true,
        }
    }

    /// Asks a leader which entry this member has confirmed to it.
    fn check_loss(&self, leader: u64) {
        match self {
            Self::PeerSender(peer_sender) => peer_sender.check_loss(leader),
            #[cfg(test)]
            Self::Buffered(_) => {}
        }
    }

    fn set_group(&self, roster: &Roster) {
        match self {
            Self::PeerSender(peer_sender) => peer_sender.set_group(roster),
            #[cfg(test)]
            Self::Buffered(_) => {}
        }
    }
}

/// A snapshot of another member: its mark, its state, and its file.
type Fetched = (LogId, Box<State>, PathBuf);

/// The parts of a driver.
pub(super) struct DriverInit {
    pub(super) replica: Replica,
    pub(super) shared: Arc<Shared>,
    pub(super) requests: Receiver<DriverRequest>,
    /// Distinguishes this process's proposals from any other's.
    pub(super) process: u64,
    pub(super) publish_attributes: PublishAttributes,
    pub(super) outbox: Outbox,
    pub(super) heartbeat: Duration,
    pub(super) election: Duration,
}

/// The driver.
pub(super) struct Driver {
    pub(super) replica: Replica,
    pub(super) shared: Arc<Shared>,
    pub(super) outbox: Outbox,
    requests: Receiver<DriverRequest>,
    pending: PendingProposals,
    publish_attributes: PublishAttributes,
    heartbeat: Duration,
    election: Duration,
    reads: PendingReads,
    commit_broadcast: CommitBroadcast,
    /// The first proposal that the current leader has not received.
    next_to_send: u64,
    /// The leader and the term to which proposals were last sent.
    proposal_target: (u64, u64),
    /// How many proposals the last round had.
    last_round: usize,
    next_tick: Instant,
    next_expiry: Instant,
    expiring: bool,
    publish_proposed: bool,
    /// This member's addresses were applied; handles that wait for this must be notified.
    published: bool,
    /// The leader is certainly gone: the election timeout is skipped.
    fast_election: Option<FastElection>,
    /// A message says that this member lost entries.
    loss_claim: LossClaim,
    /// The commit index one tick ago.
    previous_committed: u64,
    /// Members that install a snapshot, and since when.
    offered: BTreeMap<u64, Instant>,
    /// This member was removed; the latest time at which it leaves.
    leaving: Option<Instant>,
    /// The state of a snapshot that was passed to raft.
    fetched: Option<Fetched>,
}

impl Driver {
    pub(super) fn new(parts: DriverInit, now: Instant) -> Self {
        let DriverInit {
            replica,
            shared,
            requests,
            process,
            publish_attributes,
            outbox,
            heartbeat,
            election,
        } = parts;
        let mut driver = Self {
            replica,
            shared,
            outbox,
            requests,
            pending: PendingProposals::new(process),
            publish_attributes,
            heartbeat,
            election,
            reads: PendingReads::new(process),
            commit_broadcast: CommitBroadcast::default(),
            next_to_send: 1,
            proposal_target: (0, 0),
            last_round: 0,
            next_tick: now,
            next_expiry: now,
            expiring: false,
            publish_proposed: false,
            published: false,
            fast_election: None,
            loss_claim: LossClaim::default(),
            previous_committed: u64::MAX,
            offered: BTreeMap::new(),
            leaving: None,
            fetched: None,
        };
        driver.outbox.set_group(&driver.shared.read().roster);
        if driver.replica.is_single_voter() {
            // There is nobody else to wait for.
            driver.replica.campaign();
        }
        driver
    }

    /// Runs until the stop is requested.
    ///
    /// # Errors
    /// The log failed, an entry cannot be decoded, or this member was removed.
    pub(super) fn run(mut self) -> Result<(), MemberFailure> {
        let result = loop {
            if let Err(failure) = self.step(Instant::now()) {
                break Err(failure);
            }
            match self.gather() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        for waiting in self.pending.drain(|_| true) {
            send_reply(&self.shared, waiting, Err(ProposeError::Stopping));
        }
        result
    }

    /// Does everything that is due at `now`.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub(super) fn step(&mut self, now: Instant) -> Result<(), MemberFailure> {
        self.tick(now);
        self.send_proposals(now);
        self.handle_ready(now)?;
        if !self.publish_proposed {
            // Clients wait for it, and a tick is long.
            self.publish(now);
        }
        // A new leader immediately gets the proposals that the previous one may have lost.
        if self.send_proposals(now) {
            self.handle_ready(now)?;
        }
        self.leave(now)?;
        self.handle_ready(now)
    }

    /// Waits for work, then takes everything queued, up to a round's size. Returns `false` at the end.
    fn gather(&mut self) -> Result<bool, MemberFailure> {
        let (mut count, mut bytes) = (0, 0);
        let mut next = match self.next() {
            Ok(request) => Some(request),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        };
        let mut proposals = 0;
        while let Some(request) = next {
            if let DriverRequest::Stop = request {
                return Ok(false);
            }
            if let DriverRequest::Propose(proposal) = &request {
                (proposals, bytes) = (proposals + 1, bytes + proposal.bytes);
            }
            count += 1;
            self.take(request, Instant::now())?;
            next = match count < MAX_ROUND_PROPOSALS && bytes < MAX_ROUND_BYTES {
                true => self.requests.try_recv().ok().or_else(|| self.next_in_batch(proposals)),
                false => None,
            };
        }
        self.last_round = proposals;
        Ok(true)
    }

    /// Takes a request; [`Driver::step`] does the resulting work.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub(super) fn take(&mut self, request: DriverRequest, now: Instant) -> Result<(), MemberFailure> {
        match request {
            DriverRequest::Propose(Proposal { command, reply, bytes }) => {
                self.pending.add(PendingProposal {
                    command,
                    reply: Some(reply),
                    bytes,
                    since: now,
                    put: None,
                    attempts: 0,
                });
            }
            DriverRequest::Read(reply) => self.reads.add(reply),
            DriverRequest::Inbound(inbound) => self.inbound(inbound, now)?,
            DriverRequest::Snapshotted { offer, cut } => {
                let busy = !self.offered.is_empty();
                let log = self.replica.log();
                // A member that installs the previous snapshot would have to start over.
                if !(busy && log.has_offer()) {
                    log.offer(offer);
                }
                log.truncate_to(cut);
            }
            DriverRequest::TransferLeadership => self.transfer_leadership(),
            DriverRequest::Stop => {}
        }
        Ok(())
    }

    /// Returns the next request. A lone client sends its next one right after a reply, and waking a sleeping thread
    /// takes as long as half a sync, so this polls before it sleeps. With many clients, more requests gather
    /// meanwhile.
    fn next(&self) -> Result<DriverRequest, RecvTimeoutError> {
        if (1..=2).contains(&self.last_round) {
            let until = Instant::now() + SPIN_TIMEOUT;
            while Instant::now() < until {
                if let Ok(request) = self.requests.try_recv() {
                    return Ok(request);
                }
                std::thread::yield_now();
            }
        }
        self.requests.recv_timeout(self.max_sleep(Instant::now()))
    }

    /// Under load, waits a moment for further requests: a fuller round costs no more syncs. A lone client never
    /// waits.
    fn next_in_batch(&self, gathered: usize) -> Option<DriverRequest> {
        if gathered == 0 || gathered >= self.last_round {
            return None;
        }
        std::thread::yield_now();
        self.requests.try_recv().ok()
    }
}

/// Sends the result to the receiver that waits for a proposal.
fn send_reply(shared: &Shared, waiting: PendingProposal, outcome: ProposeResult) {
    if waiting.bytes > 0 {
        shared.queued.fetch_sub(waiting.bytes, Relaxed);
    }
    if let Some(reply) = waiting.reply {
        if outcome.is_err() {
            shared.counters.failed.fetch_add(1, Relaxed);
        }
        // The receiver is gone when the request timed out.
        reply.send(outcome).ok();
    }
}
