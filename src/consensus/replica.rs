//! A member of the raft group as a value: ticks, messages and proposals in, effects out. No socket, no clock.

use protobuf::Message as _;
use raft::prelude::{ConfChange, Entry, EntryType, HardState, Message, MessageType};
use raft::{Config, ProgressState, RawNode, SnapshotStatus, StateRole};
use slog::{Drain, Logger};

use super::error::MemberFailure;
use super::log::{Log, LogId};
use super::message_check::is_valid;
use super::panics;
use crate::log_throttle::LogThrottle;

/// Ticks per heartbeat; the driver ticks at the heartbeat's pace.
const HEARTBEAT_TICKS: usize = 1;
/// Bytes of entries delivered at once while a long tail is replayed.
const MAX_COMMITTED_BYTES: u64 = 16 << 20;
const MAX_MESSAGE_BYTES: u64 = 1 << 20;
/// Append messages that a member may be sent before it replies.
const MAX_INFLIGHT_MESSAGES: usize = 256;
/// Bytes of uncommitted entries; beyond that, proposals are refused.
const MAX_UNCOMMITTED_BYTES: u64 = 512 << 20;

/// The context of an empty append that only carries the commit index to a member that keeps up. Raft's reply to it
/// would contain nothing new and wake the leader for every write.
const NO_REPLY: &[u8] = b"no reply";

/// What the owner of the replica must do after a round of work.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Entries to apply, in order.
    pub(super) committed: Vec<Entry>,
    /// Reads that may be served once the state has reached the index.
    pub(super) readable: Vec<(Vec<u8>, u64)>,
    /// The leader, when that changed; 0 is none.
    pub(super) leader: Option<u64>,
    /// The snapshot that replaced the log: the state must be the one at this entry before anything is applied.
    pub(super) installed: Option<LogId>,
}

/// What happened to a proposal so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubmitResult {
    /// It is in the leader's log, or on its way to the leader.
    Accepted,
    /// There is no leader at present.
    NoLeader,
    /// Too much is pending.
    Overloaded,
}

/// The progress of another member, as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberProgress {
    /// The last entry that it is known to have.
    pub(super) matched: u64,
    /// It sent a message within the last election timeout.
    pub(super) active: bool,
    /// It was offered a snapshot and receives nothing else until it confirms it.
    pub(super) waits: bool,
}

/// The replica.
pub(super) struct Replica {
    raw: RawNode<Log>,
    /// Limits lines about messages, which may come from anybody.
    log_throttle: LogThrottle,
}

impl Replica {
    /// Continues where `log` ends; `applied` is the last entry in the state.
    pub(super) fn new(id: u64, log: Log, applied: u64, election_ticks: usize) -> Result<Self, String> {
        let config = Config {
            id,
            election_tick: election_ticks,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: MAX_MESSAGE_BYTES,
            max_inflight_msgs: MAX_INFLIGHT_MESSAGES,
            max_committed_size_per_ready: MAX_COMMITTED_BYTES,
            max_uncommitted_size: MAX_UNCOMMITTED_BYTES,
            check_quorum: true,
            pre_vote: true,
            // The driver does that when no entries follow soon.
            skip_bcast_commit: true,
            ..Config::default()
        };
        let logger = Logger::root(ToTracing.fuse(), slog::o!());
        let raw = RawNode::new(&config, log, &logger).map_err(|error| error.to_string())?;
        Ok(Self { raw, log_throttle: LogThrottle::default() })
    }

    /// For a simulation, which controls raft's random choices.
    #[cfg(test)]
    pub(super) fn raft(&mut self) -> &mut raft::Raft<Log> {
        &mut self.raw.raft
    }

    /// Advances the clock by one heartbeat interval.
    pub(super) fn tick(&mut self) {
        self.raw.tick();
    }

    /// Starts an election at once: no other member could win it, or the leader is known to be gone.
    pub(super) fn campaign(&mut self) {
        // Refused only where it would have no effect.
        self.raw.campaign().ok();
    }

    /// Forgets a leader that is known to be gone. Otherwise raft would refuse to vote for others until the leader's
    /// lease has expired.
    pub(super) fn forget_leader(&mut self) {
        if !self.is_leader() {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
            fault!(VoteWithLeader, self.raw.raft.vote = raft::INVALID_ID);
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.raw.raft.id
    }

    pub(super) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    pub(super) fn leader(&self) -> u64 {
        self.raw.raft.leader_id
    }

    pub(super) fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Returns the last entry of the log.
    pub(super) fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Returns the last entry that member `id` is known to have, if this member leads.
    pub(super) fn confirmed_by(&self, id: u64) -> Option<u64> {
        self.progress().into_iter().find(|(other, _)| *other == id).map(|(_, progress)| progress.matched)
    }

    pub(super) fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// A leader's messages that carry only the commit index. Like all of its messages, they need not wait for its
    /// disk.
    pub(super) fn commit_messages(&mut self) -> Vec<Message> {
        if !self.is_leader() {
            return Vec::new();
        }
        self.raw.raft.bcast_append();
        let mut messages = std::mem::take(&mut self.raw.raft.msgs);
        for message in &mut messages {
            let progress = self.raw.raft.prs().get(message.to);
            let replicates = progress.is_some_and(|progress| progress.state == ProgressState::Replicate);
            if replicates && is_empty_append(message) {
                message.context = NO_REPLY.into();
            }
        }
        messages
    }

    /// Returns all other members on raft's list.
    pub(super) fn others(&self) -> impl Iterator<Item = u64> + '_ {
        let own = self.id();
        self.raw.raft.prs().iter().map(|(id, _)| *id).filter(move |id| *id != own)
    }

    /// Returns whether this member is a candidate in a real election, not only in the pre-vote.
    pub(super) fn is_candidate(&self) -> bool {
        self.raw.raft.state == StateRole::Candidate
    }

    /// Returns whether this member leads and knows everything committed before its term.
    pub(super) fn is_current(&self) -> bool {
        self.is_leader() && self.raw.raft.commit_to_current_term()
    }

    /// Returns whether this member has a vote.
    pub(super) fn is_voter(&self) -> bool {
        self.raw.raft.promotable()
    }

    /// Returns the voters.
    pub(super) fn voters(&self) -> Vec<u64> {
        self.raw.raft.prs().conf().to_conf_state().voters
    }

    /// Returns whether this member is the only voter.
    pub(super) fn is_single_voter(&self) -> bool {
        self.voters() == [self.id()]
    }

    pub(super) fn log(&mut self) -> &mut Log {
        self.raw.mut_store()
    }

    pub(super) fn log_ref(&self) -> &Log {
        self.raw.store()
    }

    /// Returns the progress of the other members, which only a leader knows.
    pub(super) fn progress(&self) -> Vec<(u64, MemberProgress)> {
        if !self.is_leader() {
            return Vec::new();
        }
        let own = self.id();
        let others = self.raw.raft.prs().iter().filter(|(id, _)| **id != own);
        others
            .map(|(id, progress)| {
                let waits = progress.state == ProgressState::Snapshot;
                (*id, MemberProgress { matched: progress.matched, active: progress.recent_active, waits })
            })
            .collect()
    }

    /// Processes a message from another member. One that raft refuses counts as lost on the way.
    ///
    /// # Errors
    /// The message shows that this member lost data that it had acknowledged to the others; it must stop.
    pub(super) fn step(&mut self, message: Message) -> Result<(), MemberFailure> {
        if !is_valid(&message, self.term()) {
            if self.log_throttle.due("invalid") {
                tracing::warn!("an invalid message of member {:x} was ignored", message.from);
            }
            return Ok(());
        }
        let last = self.last_index();
        // No other member leads in this member's term.
        if self.is_leader()
            && message.term == self.term()
            && matches!(message.get_msg_type(), MessageType::MsgHeartbeat | MessageType::MsgAppend)
        {
            return Ok(());
        }
        // Raft panics on this.
        if message.get_msg_type() == MessageType::MsgHeartbeat
            && message.term >= self.term()
            && message.commit > last
        {
            return Err(MemberFailure::LostEntries { last, confirmed: message.commit });
        }
        // Raft would count the index as matched and acknowledge writes that only this member has.
        if self.is_leader()
            && message.get_msg_type() == MessageType::MsgAppendResponse
            && message.term == self.term()
            && !message.reject
            && message.index > last
        {
            if self.log_throttle.due("ahead") {
                tracing::error!(
                    "a message in the name of member {:x} confirms entries up to {}, but the log here ends at {last}, so it \
                     is not counted. If a data folder was replaced by an older copy, acknowledged writes are missing \
                     here: stop that member, move its folder away, remove it and add it again. If none was, something \
                     else sends messages",
                    message.from,
                    message.index
                );
            }
            return Ok(());
        }
        // Raft panics when a leader that was removed from its own group receives a message.
        if !(self.is_leader() && self.raw.raft.prs().get(self.id()).is_none()) {
            // A leader of an earlier term must be notified of the later one.
            let current = message.term >= self.term();
            let no_reply = current && is_empty_append(&message) && *message.context == *NO_REPLY;
            let before = self.raw.raft.msgs.len();
            self.step_raft(message)?;
            if no_reply && self.raw.raft.msgs.len() > before {
                let accepts = |reply: &mut Message| {
                    reply.get_msg_type() == MessageType::MsgAppendResponse && !reply.reject
                };
                self.raw.raft.msgs.pop_if(accepts);
            }
        }
        Ok(())
    }

    /// Passes a message to raft. Raft compares it with its log and panics when a committed entry seems to differ,
    /// which happens when the log cannot be read.
    fn step_raft(&mut self, message: Message) -> Result<(), MemberFailure> {
        let judged = panics::catch(|| self.raw.step(message));
        self.check_reads().map_err(MemberFailure::Log)?;
        match judged {
            // A refused message counts as lost on the way.
            Ok(_) => Ok(()),
            Err(panic) => {
                tracing::error!("raft: {panic}");
                Err(MemberFailure::Thread("consensus"))
            }
        }
    }

    /// Returns the snapshot that raft is about to install.
    pub(super) fn pending_snapshot(&self) -> Option<LogId> {
        let about = self.raw.snap()?.get_metadata();
        Some(LogId { index: about.index, term: about.term })
    }

    /// Records that messages to a member may have been lost.
    pub(super) fn unreachable(&mut self, id: u64) {
        self.raw.report_unreachable(id);
    }

    /// Records that a member failed to fetch a snapshot; it is offered one again after its next message.
    pub(super) fn snapshot_failed(&mut self, id: u64) {
        self.raw.report_snapshot(id, SnapshotStatus::Failure);
    }

    /// Proposes entries (context and data each), all or none.
    pub(super) fn propose(&mut self, batch: Vec<(Vec<u8>, Vec<u8>)>) -> SubmitResult {
        let entries = batch.into_iter().map(|(context, data)| Entry {
            context: context.into(),
            data: data.into(),
            ..Entry::default()
        });
        self.submit(entries.collect())
    }

    /// Proposes a change of raft's own list of members. One at a time: returns `NoLeader` also while another is
    /// pending.
    pub(super) fn propose_change(&mut self, context: Vec<u8>, change: &ConfChange) -> SubmitResult {
        if self.is_leader() && self.raw.raft.has_pending_conf() {
            return SubmitResult::NoLeader;
        }
        let Ok(data) = change.write_to_bytes() else { return SubmitResult::Overloaded };
        let mut entry = Entry { context: context.into(), data: data.into(), ..Entry::default() };
        entry.set_entry_type(EntryType::EntryConfChange);
        let submitted = self.submit(vec![entry]);
        fault!(
            EarlyChange,
            if self.is_leader() && submitted == SubmitResult::Accepted {
                self.raw.apply_conf_change(change).map(|_| self.raw.raft.pending_conf_index = 0).ok();
            }
        );
        submitted
    }

    fn submit(&mut self, entries: Vec<Entry>) -> SubmitResult {
        if self.leader() == raft::INVALID_ID || self.raw.raft.lead_transferee.is_some() {
            return SubmitResult::NoLeader;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.entries = entries.into();
        match self.raw.step(message) {
            Ok(()) => SubmitResult::Accepted,
            Err(_) if self.is_leader() => SubmitResult::Overloaded,
            Err(_) => SubmitResult::NoLeader,
        }
    }

    /// Applies a committed entry about the list of members to raft.
    ///
    /// # Errors
    /// Raft refuses it; the members would no longer agree on the list.
    pub(super) fn apply_conf_change(&mut self, change: &ConfChange) -> Result<(), String> {
        self.raw.apply_conf_change(change).map(drop).map_err(|error| error.to_string())
    }

    /// Transfers the leadership to `id`, unless a transfer is pending. It takes a round trip, during which nothing
    /// can be proposed.
    pub(super) fn transfer_leadership(&mut self, id: u64) {
        self.raw.transfer_leader(id);
    }

    /// Requests the commit index for a read that must not be older than this call. Returns `false` when raft would
    /// silently drop the request.
    pub(super) fn read_index(&mut self, context: Vec<u8>) -> bool {
        let possible = if self.is_leader() {
            self.raw.raft.commit_to_current_term()
        } else {
            self.leader() != raft::INVALID_ID
        };
        if possible {
            self.raw.read_index(context);
        }
        possible
    }

    /// Does one round of work: writes to the log with one sync, sends messages through `send`, and reports the
    /// effects. Returns `false` when there was nothing to do. A leader's messages are sent before its own write; a
    /// follower's confirm what is on disk, so they are sent after it.
    ///
    /// # Errors
    /// The log could not be written or read. The replica must not be used any more.
    pub(super) fn process_ready(
        &mut self,
        effects: &mut Effects,
        send: &mut dyn FnMut(Vec<Message>),
    ) -> Result<bool, String> {
        self.check_reads()?;
        if !self.raw.has_ready() {
            return Ok(false);
        }
        let mut ready = self.raw.ready();
        self.check_reads()?;
        if let Some(soft) = ready.ss() {
            effects.leader = Some(soft.leader_id);
        }
        send_all(send, ready.take_messages());
        self.save_hard_state();
        fault!(SentBeforeSync, send_all(send, ready.take_persisted_messages()));
        if !ready.snapshot().is_empty() {
            let about = ready.snapshot().get_metadata();
            let mark = LogId { index: about.index, term: about.term };
            self.raw.mut_store().replace(mark)?;
            effects.installed = Some(mark);
        }
        effects.committed.extend(ready.take_committed_entries());
        let entries = ready.take_entries();
        if ready.must_sync() {
            self.raw.mut_store().append(entries)?;
        }
        // The commit index alone is saved with the next entries, and no later: a member that holds an entry after a
        // membership change without knowing that the change is committed would count votes by a list that is two
        // changes old.
        send_all(send, ready.take_persisted_messages());
        effects
            .readable
            .extend(ready.take_read_states().into_iter().map(|read| (read.request_ctx, read.index)));
        let mut light = self.raw.advance(ready);
        self.save_hard_state();
        send_all(send, light.take_messages());
        effects.committed.extend(light.take_committed_entries());
        Ok(true)
    }

    /// Raft may have been given false data after a failed read; the result must not be used.
    fn check_reads(&self) -> Result<(), String> {
        self.raw.store().failure().map_or(Ok(()), Err)
    }

    /// Has the next write save raft's term, vote and commit index.
    fn save_hard_state(&mut self) {
        let hard = self.raw.raft.hard_state();
        let commit = fault!(CommitForgotten, self.raw.store().commit(), hard.commit);
        self.raw.mut_store().set_hard_state(HardState { commit, ..hard });
    }

    /// Saves the commit index. After a restart, this member must not count votes by a list of members from before a
    /// committed change: the members on it may have left for good.
    ///
    /// # Errors
    /// The log could not be written. The replica must not be used any more.
    pub(super) fn save_commit_index(&mut self) -> Result<(), String> {
        self.raw.mut_store().append(Vec::new())
    }

    /// Records that everything delivered has been applied.
    pub(super) fn applied(&mut self) {
        self.raw.advance_apply();
    }
}

fn is_empty_append(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgAppend && message.entries.is_empty()
}

fn send_all(send: &mut dyn FnMut(Vec<Message>), messages: Vec<Message>) {
    if !messages.is_empty() {
        send(messages);
    }
}

/// Forwards raft's own log lines, of which only the serious ones are useful to users.
struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        match record.level() {
            // The panic that comes with it is reported with its reason.
            slog::Level::Critical if panics::panic_is_reported() => {
                tracing::trace!("raft: {}", record.msg());
            }
            slog::Level::Critical | slog::Level::Error => tracing::error!("raft: {}", record.msg()),
            slog::Level::Warning => tracing::warn!("raft: {}", record.msg()),
            _ => tracing::trace!("raft: {}", record.msg()),
        }
        Ok(())
    }
}
