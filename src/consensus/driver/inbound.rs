//! What comes from the other members.

use std::time::Instant;

use raft::prelude::{Entry, EntryType, Message, MessageType};

use super::super::entry::Order;
use super::super::error::Failure;
use super::super::log::LogId;
use super::super::peers::Inbound;
#[cfg(test)]
use super::super::tests::simulation::plant::{Plant, planted};
use super::Driver;

/// Whether somebody asks that `id` be removed. Such a wish comes alone.
fn removes(message: &Message, id: u64) -> bool {
    let proposal = |entry: &Entry| {
        entry.get_entry_type() == EntryType::EntryConfChange
            && Order::of(entry).is_ok_and(|order| order == Order::Remove { id })
    };
    message.get_msg_type() == MessageType::MsgPropose && message.entries.iter().any(proposal)
}

impl Driver {
    /// Takes it in.
    pub(super) fn inbound(&mut self, inbound: Inbound, now: Instant) -> Result<(), Failure> {
        match inbound {
            Inbound::Messages { from, time, messages } => {
                for message in messages {
                    // As with a wish of its own: whoever leads next carries it out, and is asked again by whoever asked.
                    if self.replica.leads() && !self.replica.alone() && removes(&message, self.replica.id()) {
                        self.hand_over();
                        continue;
                    }
                    self.replica.step(message)?;
                }
                // Before a leader was heard of, any member knows the time better than this host.
                if self.replica.leader() == from || !(self.shared.clock.settled() || self.replica.leads()) {
                    self.shared.clock.hear(time);
                }
            }
            Inbound::Connected(id) => {
                // A snapshot that was announced on the stream before may have been lost with it.
                self.replica.snapshot_failed(id);
                // What was under way on the stream before may never have arrived.
                if id == self.replica.leader() {
                    self.put_again();
                }
            }
            Inbound::Unreachable(id) => {
                self.replica.unreachable(id);
                self.replica.snapshot_failed(id);
            }
            Inbound::Gone(id) => {
                self.replica.unreachable(id);
                if id == self.replica.leader() && !self.replica.leads() {
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
                let wanted = self.replica.pending_snapshot() == Some(mark);
                #[cfg(test)]
                let wanted = wanted || planted(Plant::FetchedReplaced);
                // One that raft does not want must not take the place of one that it waits for.
                if wanted {
                    self.fetched = Some((mark, state, path));
                }
            }
            Inbound::SnapshotFailed(id) => self.replica.snapshot_failed(id),
            // Whoever says so knows it, and does not need this member's vote any more.
            Inbound::Removed => return Err(Failure::Removed),
        }
        Ok(())
    }
}
