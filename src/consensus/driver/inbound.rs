//! Handles what arrives from the other members.

use std::time::Instant;

use raft::prelude::{Entry, EntryType, Message, MessageType};

use super::super::entry::RaftCommand;
use super::super::error::MemberFailure;
use super::super::log::LogId;
use super::super::peers::Inbound;
use super::Driver;

/// Returns whether a message proposes to remove `id`. Such a proposal is never batched.
fn removes(message: &Message, id: u64) -> bool {
    let proposal = |entry: &Entry| {
        entry.get_entry_type() == EntryType::EntryConfChange
            && RaftCommand::of(entry).is_ok_and(|command| command == RaftCommand::Remove { id })
    };
    message.get_msg_type() == MessageType::MsgPropose && message.entries.iter().any(proposal)
}

impl Driver {
    /// Processes one item from another member.
    pub(super) fn inbound(&mut self, inbound: Inbound, now: Instant) -> Result<(), MemberFailure> {
        match inbound {
            Inbound::Messages { from, time, messages } => {
                for message in messages {
                    // As with its own removal, the next leader applies it; the proposer sends it again.
                    if self.replica.is_leader()
                        && !self.replica.is_single_voter()
                        && removes(&message, self.replica.id())
                    {
                        self.transfer_leadership();
                        continue;
                    }
                    self.step_message(message, now)?;
                }
                // Before the first message of a leader, any member's time is better than this host's.
                if self.replica.leader() == from || !(self.shared.clock.settled() || self.replica.is_leader())
                {
                    self.shared.clock.adopt(time);
                }
            }
            Inbound::Connected(id) => {
                // A snapshot announced on the previous stream may have been lost with it.
                self.replica.snapshot_failed(id);
                // Proposals sent on the previous stream may never have arrived.
                if id == self.replica.leader() {
                    self.resend_all();
                }
            }
            Inbound::Unreachable(id) => {
                self.replica.unreachable(id);
                self.replica.snapshot_failed(id);
            }
            Inbound::Gone(id) => {
                self.replica.unreachable(id);
                if id == self.replica.leader() && !self.replica.is_leader() {
                    self.leader_gone(id, now);
                }
            }
            Inbound::Fetched { mut message, state, path } => {
                tracing::debug!("{}: fetched", path.display());
                let mark = state.applied;
                let about = message.mut_snapshot().mut_metadata();
                if (LogId { index: about.index, term: about.term }) != mark {
                    return Ok(());
                }
                about.set_conf_state(state.roster.conf_state());
                self.replica.step(*message)?;
                let wanted = fault!(FetchedReplaced, true, self.replica.pending_snapshot() == Some(mark));
                // A snapshot that raft does not want must not replace one that it waits for.
                if wanted {
                    self.fetched = Some((mark, state, path));
                }
            }
            Inbound::SnapshotFailed(id) => self.replica.snapshot_failed(id),
            Inbound::AskConfirmed { of, reply } => {
                // The caller is gone when it did not wait long enough.
                reply.send(self.replica.confirmed_by(of)).ok();
            }
            Inbound::LossChecked { confirmed } => self.loss_checked(confirmed, now)?,
            // The senders know of the removal and do not need this member's vote any more.
            Inbound::Removed => return Err(MemberFailure::Removed),
        }
        Ok(())
    }
}
