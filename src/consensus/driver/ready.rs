//! Handles the effects of the replica: entries to apply, replies to send, a new leader, a snapshot to install.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use raft::prelude::{ConfChangeType, Entry, Message};

use super::super::entry::RaftCommand;
use super::super::error::MemberFailure;
use super::super::log::LogId;
use super::super::outcome::ProposeError;
use super::super::replica::Effects;
use super::super::request::Hint;
use super::super::snapshot;
use super::super::state::Applied;
use super::{Driver, send_reply};

/// With this many unmirrored keys, the mirror is written at once: they take memory.
const MAX_UNMIRRORED_KEYS: usize = 4096;
/// How many election timeouts a removed leader stays.
const REMOVED_LEADER_ELECTION_TIMEOUTS: u32 = 3;
/// A slower write to the log is logged.
const SLOW_WRITE_THRESHOLD: Duration = Duration::from_secs(1);

impl Driver {
    /// Lets the replica do everything that is due.
    pub(super) fn handle_ready(&mut self, now: Instant) -> Result<(), MemberFailure> {
        loop {
            let Self { reads, replica, .. } = self;
            reads.request(now, |context| replica.read_index(context));
            let mut effects = Effects::default();
            let (started, outbox, broadcast) = (Instant::now(), &mut self.outbox, &mut self.commit_broadcast);
            let mut send = |messages: Vec<Message>| {
                broadcast.sent(&messages);
                outbox.send(messages);
            };
            if !self.replica.process_ready(&mut effects, &mut send).map_err(MemberFailure::Log)? {
                self.broadcast_commit();
                break;
            }
            self.broadcast_commit();
            if started.elapsed() > SLOW_WRITE_THRESHOLD {
                let took = started.elapsed().as_millis();
                tracing::warn!(
                    "writing to the log took {took} ms: the disk is slow, and every write waits for it"
                );
            }
            if let Some(mark) = effects.installed {
                self.install(mark)?;
            }
            let roster_changed = self.apply(&effects.committed)? || effects.installed.is_some();
            self.replica.applied();
            if let Some(leader) = effects.leader {
                self.leader_changed(leader);
            }
            if roster_changed || effects.leader.is_some() {
                self.broadcast_status(now);
            }
            // Not earlier: callers that wait for this read the published addresses.
            if std::mem::take(&mut self.published) {
                self.shared.ready.send_replace(true);
            }
            for (context, index) in effects.readable {
                self.reads.confirmed(&context, index);
            }
            self.reads.release(self.shared.applied());
        }
        if self.replica.log_ref().wants_snapshot() {
            self.shared.hints.try_send(Hint::Snapshot).ok();
        }
        Ok(())
    }

    /// Applies committed entries under one lock, then replies. Returns whether the list of members changed.
    fn apply(&mut self, entries: &[Entry]) -> Result<bool, MemberFailure> {
        if entries.is_empty() {
            return Ok(false);
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        let (mut roster_changed, mut regrouped) = (false, false);
        let mut state = self.shared.write();
        for entry in entries {
            // A snapshot may already include it.
            if entry.index <= state.applied.index {
                continue;
            }
            let mine = self.pending.take(&entry.context);
            let (applied, change) = state.apply(entry, mine.as_ref().map(|waiting| &waiting.command))?;
            if let Some(change) = change {
                // Raft cannot lead a group that it does not belong to; until another member leads, its list is one
                // change behind.
                let own =
                    change.node_id == self.replica.id() && change.change_type == ConfChangeType::RemoveNode;
                if !(own && self.replica.is_leader()) {
                    self.replica.apply_conf_change(&change).map_err(MemberFailure::Raft)?;
                }
                regrouped = true;
            }
            match applied {
                Applied::Expired => self.expiring = false,
                Applied::Roster(_) => roster_changed = true,
                Applied::Key(_) | Applied::Auth(_) | Applied::Nothing => {}
            }
            if let Some(waiting) = mine {
                outcomes.push((waiting, applied));
            }
        }
        let applied = state.applied;
        let changed = state.keyspace.changed();
        self.shared.set_auth(&state.auth);
        drop(state);
        if regrouped {
            self.replica.save_commit_index().map_err(MemberFailure::Log)?;
        }
        self.shared.set_progress(self.replica.committed(), applied.index, applied.term);
        self.shared.counters.pending.store(self.pending.len() as u64, Relaxed);
        let position = self.shared.position();
        if roster_changed {
            // Before the replies: a client that has one must find it in the list.
            self.shared.set_members(&self.shared.read().roster, self.shared.members().leader);
        }
        for (waiting, applied) in outcomes {
            self.published |= matches!(waiting.command, RaftCommand::Publish { .. });
            send_reply(&self.shared, waiting, Ok((applied, position)));
        }
        self.hint(changed);
        Ok(roster_changed)
    }

    /// Notifies the persister that `changed` keys wait to be mirrored, and whether that is urgent.
    fn hint(&self, changed: usize) {
        let hint = if changed >= MAX_UNMIRRORED_KEYS { Hint::MirrorNow } else { Hint::Changed };
        if self.shared.hinted.fetch_max(hint as u8, Relaxed) < hint as u8 {
            // A full queue already holds enough hints.
            self.shared.hints.try_send(hint).ok();
        }
    }

    /// Installs the state of a snapshot. Watches continue as far as its events reach back.
    fn install(&mut self, mark: LogId) -> Result<(), MemberFailure> {
        let Some((_, mut fresh, path)) = self.fetched.take().filter(|(fetched, ..)| *fetched == mark) else {
            return Err(MemberFailure::Raft(format!(
                "the state of the snapshot at entry {} is missing",
                mark.index
            )));
        };
        if let Err(error) = snapshot::adopt(&path) {
            tracing::warn!("{error}; the next start tries again");
        }
        let mut state = self.shared.write();
        fault!(KeysKept, std::mem::swap(&mut state.keyspace, &mut fresh.keyspace));
        let old = state.keyspace.replace(std::mem::take(&mut fresh.keyspace));
        fresh.keyspace = std::mem::take(&mut state.keyspace);
        fresh.keyspace.end_forbidden_watches(&fresh.auth);
        *state = *fresh;
        self.shared.set_auth(&state.auth);
        // Under the lock: the persister must not mistake this state for the previous one.
        self.shared.replaced(mark);
        drop(state);
        // Outside the lock: it may be large.
        drop(old);
        self.shared.set_progress(self.replica.committed(), mark.index, mark.term);
        // The snapshot may include some of the pending proposals, but not their results.
        let sessions = self.shared.read().sessions.clone();
        let numbers: Vec<u64> = self.pending.iter_from(0).map(|(number, _)| number).collect();
        for number in numbers {
            if sessions.knows(self.pending.proposal_id(number))
                && let Some(waiting) = self.pending.remove(number)
            {
                // This member's own proposals are done as well.
                self.published |= matches!(waiting.command, RaftCommand::Publish { .. });
                self.expiring &= waiting.reply.is_some();
                send_reply(&self.shared, waiting, Err(ProposeError::TimedOut));
            }
        }
        self.resend_all();
        tracing::info!("installed a snapshot at log index {}", mark.index);
        self.shared.hints.try_send(Hint::MirrorNow).ok();
        Ok(())
    }

    fn leader_changed(&mut self, leader: u64) {
        let counters = &self.shared.counters;
        let before = self.shared.members().leader;
        let leader = Some(leader).filter(|id| *id != raft::INVALID_ID);
        let leads = self.replica.is_leader();
        match (counters.leads.swap(leads, Relaxed), leads) {
            (false, true) => self.shared.clock.start_leading(self.heartbeat),
            (true, false) => self.shared.clock.stop_leading(),
            _ => {}
        }
        if leader == before {
            return;
        }
        let (own, term) = (self.replica.id(), self.replica.term());
        match leader {
            Some(leader) => {
                counters.leader_changes.fetch_add(1, Relaxed);
                counters.led_since.store(self.shared.clock.now(), Relaxed);
                self.fast_election = None;
                tracing::info!("raft: {own:x} elected leader {leader:x} at term {term}");
            }
            None => tracing::info!("raft: {own:x} lost its leader at term {term}"),
        }
        self.shared.record_leader_change();
    }

    /// Publishes the members and the leader to everything in this process.
    fn broadcast_status(&mut self, now: Instant) {
        let state = self.shared.read();
        let leader = Some(self.replica.leader()).filter(|id| *id != raft::INVALID_ID);
        self.shared.set_members(&state.roster, leader);
        self.outbox.set_group(&state.roster);
        let removed = state.roster.removed.contains(&self.replica.id());
        drop(state);
        if removed && self.leaving.is_none() {
            let leader = self.replica.leader();
            let knows = leader != raft::INVALID_ID && leader != self.replica.id();
            self.leaving =
                Some(if knows { now } else { now + self.election * REMOVED_LEADER_ELECTION_TIMEOUTS });
        }
    }

    /// Leaves the group after its removal. A leader first transfers the leadership and stays for a while: in a
    /// group of two, the other member may not know of the removal yet and needs this one's vote.
    pub(super) fn leave(&mut self, now: Instant) -> Result<(), MemberFailure> {
        match self.leaving {
            Some(until) if now >= until => return Err(MemberFailure::Removed),
            Some(_) if self.replica.is_leader() => self.transfer_leadership(),
            _ => {}
        }
        Ok(())
    }
}
