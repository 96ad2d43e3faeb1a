//! Work that only time causes: raft's ticks, expired keys, an early election, members to promote.

use std::time::{Duration, Instant};

use super::super::entry::RaftCommand;
use super::super::replica::MemberProgress;
use super::Driver;
use crate::keyspace::{Command, Operation};

/// The minimum time between two checks for expired keys.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(20);
/// A new member gets its vote when it lacks no more entries than this.
const MAX_PROMOTION_LAG: u64 = 256;
/// How many election timeouts a member may take to install a snapshot before it is asked.
const SNAPSHOT_CHECK_ELECTION_TIMEOUTS: u32 = 5;
/// When the leader is certainly gone, the others start elections one after the other, this far apart.
const CAMPAIGN_STAGGER_DELAY: Duration = Duration::from_millis(60);

/// An election that starts without waiting for the timeout.
pub(super) struct FastElection {
    next: Instant,
    until: Instant,
    /// How many of the others start theirs first.
    rank: u32,
}

impl Driver {
    /// Returns how long only a request can cause work.
    pub(super) fn max_sleep(&self, now: Instant) -> Duration {
        let mut until = self.next_tick;
        if !self.expiring && self.replica.is_leader() && self.next_expiry < until {
            until = self.next_expiry;
        }
        if let Some(fast_election) = &self.fast_election {
            until = until.min(fast_election.next);
        }
        until.saturating_duration_since(now)
    }

    /// Does what is due at `now`.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_tick {
            // After a pause of the whole process, missed ticks are not repeated: that would depose a leader that
            // the others still follow.
            self.next_tick = now + self.heartbeat;
            if !self.is_vote_paused(now) {
                self.replica.tick();
            }
            self.expire_proposals(now);
            self.reads.retry(now, self.heartbeat * 3);
            self.publish(now);
            self.promote(now);
            self.retry_offered(now);
            self.remove_dropped_watches();
        }
        self.campaign_early(now);
        self.expire(now);
    }

    fn remove_dropped_watches(&self) {
        // Checked under the read lock first: the lock for writing would make readers wait at each heartbeat.
        let dropped = self.shared.read().keyspace.has_dropped_watches();
        if dropped {
            self.shared.write().keyspace.remove_dropped_watches();
        }
    }

    fn expire(&mut self, now: Instant) {
        if now < self.next_expiry || !self.replica.is_leader() || self.expiring {
            return;
        }
        let at = self.shared.clock.now();
        let due = self.shared.read().keyspace.next_expiry();
        let left = due.map_or(i64::MAX, |due| due.saturating_sub(at));
        if left <= 0 {
            self.expiring = true;
            self.propose_internal(RaftCommand::Key(Command { at, operation: Operation::Expire }), now);
        }
        // A key written meanwhile may expire sooner: check again at each heartbeat.
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
        self.next_expiry = now + left.min(self.heartbeat).max(EXPIRY_INTERVAL);
    }

    /// Publishes this member's name and addresses once per start; the leader also settles the version.
    pub(super) fn publish(&mut self, now: Instant) {
        // The entries in a leader's log must be applied first, or the same would be published twice.
        let current = self.replica.is_current() && self.shared.applied() >= self.replica.committed();
        let has_leader = self.replica.leader() != raft::INVALID_ID;
        if !has_leader || (self.replica.is_leader() && !current) {
            return;
        }
        if !std::mem::replace(&mut self.publish_proposed, true) {
            let own = &self.publish_attributes;
            let command = RaftCommand::Publish {
                id: self.replica.id(),
                name: own.name.clone(),
                client_urls: own.client_urls.clone(),
                incarnation: own.incarnation,
            };
            self.propose_internal(command, now);
        }
        if current && self.shared.read().roster.version != self.publish_attributes.version {
            let command = RaftCommand::Version(self.publish_attributes.version.clone());
            if !self.pending.iter_from(0).any(|(_, waiting)| waiting.command == command) {
                self.propose_internal(command, now);
            }
        }
    }

    /// Gives members that have caught up their vote.
    fn promote(&mut self, now: Instant) {
        if !self.replica.is_leader() {
            return;
        }
        // Under load they are always some rounds behind, so compare with the commit index of a tick ago.
        let committed = std::mem::replace(&mut self.previous_committed, self.replica.committed());
        let near = |progress: &MemberProgress| {
            progress.active && progress.matched.saturating_add(MAX_PROMOTION_LAG) >= committed
        };
        let caught_up = self.replica.progress().into_iter().filter(|(_, progress)| near(progress));
        let caught_up: Vec<u64> = caught_up.map(|(id, _)| id).collect();
        let state = self.shared.read();
        // A member that never started cannot have caught up; it publishes its name once it has.
        let ready = |id: &u64| {
            state.roster.members.get(id).is_some_and(|member| member.learner && member.incarnation != 0)
        };
        let promoted = caught_up.into_iter().find(ready);
        drop(state);
        let Some(id) = promoted else { return };
        let command = RaftCommand::Promote { id };
        if !self.pending.iter_from(0).any(|(_, waiting)| waiting.command == command) {
            tracing::info!("member {id:x} has caught up and gets a vote");
            self.propose_internal(command, now);
        }
    }

    /// Raft sends nothing to a member that installs a snapshot until it confirms it, and the confirmation can be
    /// lost. So a member that takes long is asked: either it has the snapshot, or it is offered again.
    fn retry_offered(&mut self, now: Instant) {
        let offered = self.replica.progress().into_iter().filter(|(_, progress)| progress.waits);
        let before = std::mem::take(&mut self.offered);
        self.offered = offered.map(|(id, _)| (id, before.get(&id).copied().unwrap_or(now))).collect();
        for (id, since) in &mut self.offered {
            if now.saturating_duration_since(*since) > self.election * SNAPSHOT_CHECK_ELECTION_TIMEOUTS {
                *since = now;
                self.replica.snapshot_failed(*id);
            }
        }
    }

    /// The leader's process is gone: the others need not wait until its lease has expired.
    pub(super) fn leader_gone(&mut self, gone: u64, now: Instant) {
        if !self.replica.is_voter() {
            return;
        }
        self.replica.forget_leader();
        let own = self.replica.id();
        let state = self.shared.read();
        let voters = state.roster.members.values().filter(|member| !member.learner);
        let before = voters.filter(|member| member.id < own && member.id != gone).count();
        drop(state);
        let rank = u32::try_from(before).unwrap_or(0);
        self.fast_election = Some(FastElection {
            next: now + CAMPAIGN_STAGGER_DELAY * rank,
            until: now + self.election,
            rank,
        });
    }

    fn campaign_early(&mut self, now: Instant) {
        if self.is_vote_paused(now) {
            return;
        }
        let Some(fast_election) = &mut self.fast_election else { return };
        if now >= fast_election.until {
            self.fast_election = None;
        } else if now >= fast_election.next {
            // Each rank waits differently, so two members that collided once do not collide again.
            fast_election.next = now + CAMPAIGN_STAGGER_DELAY * (fast_election.rank + 2);
            // Do not restart a running election: with a slow disk it takes longer than one turn.
            if !self.replica.is_candidate() {
                self.replica.campaign();
            }
        }
    }

    /// Transfers the leadership to the member with the longest log.
    pub(super) fn transfer_leadership(&mut self) {
        let voters = self.replica.voters();
        let able = self.replica.progress().into_iter();
        let able = able.filter(|(id, _)| voters.contains(id));
        // Once per election timeout raft resets who is active; until it learns it again, nobody seems to be.
        if let Some((id, _)) = able.max_by_key(|(_, progress)| (progress.active, progress.matched)) {
            self.replica.transfer_leadership(id);
        }
    }
}
