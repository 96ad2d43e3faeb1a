//! The world of one seed: members, network, clients and time, and the checks after each step.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use raft::prelude::{Message, MessageType};
use raft::{GetEntriesContext, Storage as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use super::super::super::driver::Outbox;
use super::super::super::error::{MemberFailure, OpenError};
use super::super::super::request::DriverRequest;
use super::super::super::request::Hint;
use super::super::super::settings::StartMode;
use super::checks::durable::Durable;
use super::checks::election::Election;
use super::checks::linear::Linear;
use super::checks::matching::Matching;
use super::checks::membership::Membership;
use super::checks::once::Once;
use super::checks::{Check, ensure};
use super::clients::Client;
use super::faults::Operator;
use super::member::{Member, RunningMember, settings};
use super::network::{Network, Notice, Packet};
use super::plan::Plan;
use super::plant::cut_power_after;

/// Milliseconds per step.
pub(super) const STEP_MS: u64 = 10;
/// Lines of the event log that are kept.
const MAX_LINES: usize = 400;

/// The world.
pub(super) struct World {
    pub(super) random: StdRng,
    pub(super) plan: Plan,
    /// Milliseconds since the start.
    pub(super) now: u64,
    base: Instant,
    moments: u64,
    lives: u64,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) network: Network,
    pub(super) clients: Vec<Client>,
    pub(super) operator: Operator,
    /// The last known value of each key.
    pub(super) last_values: [u64; 3],
    pub(super) answers: usize,
    /// Faults have ended.
    pub(super) healed: bool,
    pub(super) election: Election,
    pub(super) matching: Matching,
    pub(super) durable: Durable,
    pub(super) linear: Linear,
    pub(super) once: Once,
    pub(super) membership: Membership,
    /// The last events, when they are recorded.
    pub(super) lines: Option<VecDeque<String>>,
    pub(super) root: TempDir,
}

/// Makes a folder in memory, if possible: these tests do not concern disks.
fn folder() -> TempDir {
    TempDir::with_prefix_in("retune-simulation-", "/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a temporary folder")
}

impl World {
    pub(super) fn new(seed: u64, stormy: bool, telling: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let plan = Plan::of(&mut random, stormy);
        Self::planned(random, plan, telling)
    }

    pub(super) fn planned(random: StdRng, plan: Plan, telling: bool) -> Self {
        let root = folder();
        let names: Vec<String> = (1..=plan.founders).map(|number| format!("m{number}")).collect();
        let mut world = Self {
            random,
            now: 0,
            base: Instant::now(),
            moments: 0,
            lives: 0,
            members: BTreeMap::new(),
            network: Network::default(),
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            operator: Operator::default(),
            last_values: [0; 3],
            answers: 0,
            healed: false,
            election: Election::default(),
            matching: Matching::default(),
            durable: Durable::default(),
            linear: Linear::default(),
            once: Once::default(),
            membership: Membership::default(),
            lines: telling.then(VecDeque::new),
            root,
            plan,
        };
        for name in &names {
            let settings = settings(world.root.path(), name, &names, StartMode::New);
            let mut member = Member::new(0, settings, None);
            member.open(world.process(), world.time()).expect("a new member opens");
            let id = member.id;
            world.members.insert(id, member);
            world.calm_election(id);
        }
        world
    }

    pub(super) fn time(&self) -> Instant {
        self.base + Duration::from_millis(self.now)
    }

    /// Returns a different number at each call.
    pub(super) fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// Returns a new process's number.
    pub(super) fn process(&mut self) -> u64 {
        self.random.random()
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(lines) = &mut self.lines {
            lines.push_back(format!("{:>6}.{:03} {}", now / 1000, now % 1000, line()));
            if lines.len() > MAX_LINES {
                lines.pop_front();
            }
        }
    }

    /// Returns the members that are up.
    pub(super) fn up(&self) -> Vec<u64> {
        self.members.values().filter(|member| member.life.is_some()).map(|member| member.id).collect()
    }

    pub(super) fn life(&mut self, id: u64) -> Option<&mut RunningMember> {
        self.members.get_mut(&id)?.life.as_mut()
    }

    /// Does everything that is due now, then advances the time.
    pub(super) fn advance(&mut self, asking: bool) -> Check {
        self.start_those_due()?;
        if !self.healed {
            self.inject_faults()?;
        }
        self.operate()?;
        if self.now.is_multiple_of(500) {
            self.notify_removed();
        }
        self.step_clients(asking)?;
        while let Some((to, parcel)) = self.network.arrive(self.now) {
            self.deliver(to, parcel)?;
            // Sometimes several arrive before the member handles any.
            let looks = if self.plan.lump > 1 { 0.2 } else { 0.6 };
            if self.random.random_bool(looks) {
                self.run_member(to)?;
            }
        }
        for id in self.up() {
            self.run_member(id)?;
        }
        self.now += STEP_MS;
        Ok(())
    }

    /// Passes a member a request.
    pub(super) fn send_request(&mut self, id: u64, request: DriverRequest) -> Check {
        let now = self.time();
        let Some(life) = self.life(id) else { return Ok(()) };
        let taken = life.driver.take(request, now);
        self.calm_election(id);
        taken.or_else(|failure| self.handle_failure(id, &failure))
    }

    /// Raft draws its election timeout from its own random source; this replaces it.
    fn calm_election(&mut self, id: u64) {
        let ticks = 10 + self.random.random_range(0..self.plan.ticks);
        let Some(life) = self.life(id) else { return };
        let raft = life.driver.replica.raft();
        if raft.election_elapsed == 0 {
            raft.set_randomized_election_timeout(ticks);
        }
    }

    /// Lets a member do what is due.
    fn run_member(&mut self, id: u64) -> Check {
        let now = self.time();
        let cut = !self.healed && self.random.random_bool(self.plan.crashes / 1000.0 * STEP_MS as f64 / 2.0);
        cut_power_after(cut.then_some(0));
        let Some(life) = self.life(id) else { return Ok(()) };
        let stepped = life.step(now);
        cut_power_after(None);
        self.calm_election(id);
        match stepped {
            Ok(()) => {
                self.check_member(id)?;
                self.send(id, usize::MAX);
                self.run_persister(id);
                Ok(())
            }
            Err(MemberFailure::Log(text)) if cut => {
                // Messages sent before the write may be on their way, or still in this member's own buffers.
                let sent = self.random.random_range(0..8);
                self.send(id, sent);
                self.note(|| format!("{id:x} {text}"));
                self.crash(id);
                Ok(())
            }
            Err(failure) => {
                self.send(id, usize::MAX);
                self.handle_failure(id, &failure)
            }
        }
    }

    /// Handles a member that stopped by itself.
    fn handle_failure(&mut self, id: u64, failure: &MemberFailure) -> Check {
        self.note(|| format!("{id:x} stops: {failure}"));
        if let Some(life) = self.life(id) {
            let shared = std::sync::Arc::clone(&life.shared);
            let state = shared.read();
            if let Some(member) = self.members.get_mut(&id).filter(|_| state.applied.index > 0) {
                self.membership.holds(
                    id,
                    &state.roster,
                    &member.life.as_ref().expect("it lives").driver.replica,
                )?;
            }
        }
        ensure(*failure == MemberFailure::Removed && self.membership.left(id), || {
            format!("{id:x} failed: {failure}")
        })?;
        self.crash(id);
        if let Some(member) = self.members.get_mut(&id) {
            (member.left, member.up_at) = (true, None);
        }
        Ok(())
    }

    /// Checks the state of a member.
    fn check_member(&mut self, id: u64) -> Check {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let Some(life) = &mut member.life else { return Ok(()) };
        let replica = &life.driver.replica;
        let state = life.shared.read();
        let (applied, index) = (state.applied.index, state.keyspace.index());
        if applied != life.seen {
            let first = (life.seen + 1).max(replica.log_ref().start().index + 1);
            if first <= applied {
                let entries =
                    replica.log_ref().entries(first, applied + 1, None, GetEntriesContext::empty(false));
                for entry in entries.map_err(|error| format!("matching: the log of {id:x}: {error}"))? {
                    self.matching.applied(id, &entry)?;
                }
            }
            life.seen = applied;
            self.matching.holds(id, &state)?;
            self.membership.holds(id, &state.roster, replica)?;
        }
        drop(state);
        life.watching.compare(&life.shared, id)?;
        life.ready |= *life.shared.ready.borrow();
        if life.ready {
            self.durable.shows(id, index)?;
        }
        let (leads, term) = (replica.is_leader(), replica.term());
        if leads && self.election.leads(id, term)? {
            Durable::leads(id, replica.log_ref(), self.matching.last())?;
            self.note(|| format!("{id:x} leads in term {term}"));
        }
        Ok(())
    }

    /// Sends the first messages of a member.
    fn send(&mut self, id: u64, count: usize) {
        let Some(life) = self.life(id) else { return };
        let Outbox::Buffered(kept) = &mut life.driver.outbox else { return };
        let kept = std::mem::take(kept);
        let mut voted = false;
        for message in kept.into_iter().take(count) {
            voted |= message.get_msg_type() == MessageType::MsgRequestVoteResponse && !message.reject;
            self.post(id, &message);
        }
        // The worst moment to lose data.
        if voted && !self.healed && self.plan.lump > 1 && self.random.random_bool(0.3) {
            self.crash(id);
        }
    }

    fn post(&mut self, from: u64, message: &Message) {
        let to = message.to;
        let lost = !self.network.passes(from, to) || self.random.random_bool(self.plan.lost);
        let beat =
            matches!(message.get_msg_type(), MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse);
        if self.lines.is_some() && !beat {
            let text = format!(
                "{from:x} → {to:x} {:?} term {} index {} commit {} entries {}{}{}",
                message.get_msg_type(),
                message.term,
                message.index,
                message.commit,
                message.entries.len(),
                if message.reject { " rejected" } else { "" },
                if lost { " LOST" } else { "" }
            );
            self.note(|| text);
        }
        let copies = if self.random.random_bool(self.plan.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.random.random_bool(self.plan.twice / 4.0);
            let most = if late { self.plan.late } else { self.plan.delay };
            let at = self.now + self.random.random_range(0..=most);
            if lost {
                break;
            }
            let lump = self.plan.lump;
            let place = if lump > 1 { self.random.random_range(0..1000) } else { 0 };
            let parcel = Packet::Message { from, message: Box::new(message.clone()) };
            self.network.send_at(at.div_ceil(lump) * lump, place, to, parcel);
        }
        if lost {
            self.lose(from, message);
        }
    }

    /// Handles a lost message: its sender may be notified; for a snapshot it always is.
    pub(super) fn lose(&mut self, from: u64, message: &Message) {
        let at = self.now + self.random.random_range(1..500);
        if message.get_msg_type() == MessageType::MsgSnapshot {
            self.network.send(at, from, Packet::Notice(Notice::SnapshotFailed(message.to)));
        } else if self.random.random_bool(0.5) {
            self.network.send(at, from, Packet::Notice(Notice::Unreachable(message.to)));
        }
    }

    /// Does the persister's work now and then.
    fn run_persister(&mut self, id: u64) {
        let (now, every) = (self.now, self.plan.snapshot_every);
        let delay = self.random.random_range(0..300);
        let Some(life) = self.life(id) else { return };
        while let Ok(hint) = life.hints.try_recv() {
            if hint == Hint::Snapshot {
                life.wanted_at.get_or_insert(now + 300);
            }
        }
        let applied = life.seen;
        if applied < life.last_snapshot + every && life.wanted_at.is_none_or(|at| at > now) {
            return;
        }
        life.wanted_at = None;
        let request = life.snapshot();
        life.told_at = life.told_at.max(now + delay);
        let at = life.told_at;
        let life = life.shared.started as u64;
        self.note(|| format!("{id:x} has a snapshot at entry {applied}"));
        self.network.send(at, id, Packet::Kept { life, request });
    }

    /// Starts the members that are due.
    fn start_those_due(&mut self) -> Check {
        let due = self.members.values().filter(|member| member.up_at.is_some_and(|at| at <= self.now));
        for id in due.map(|member| member.id).collect::<Vec<_>>() {
            self.open(id)?;
        }
        Ok(())
    }

    fn open(&mut self, id: u64) -> Check {
        let (process, time) = (self.process(), self.time());
        self.lives += 1;
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        member.up_at = None;
        match member.open(process, time) {
            Ok(()) => {}
            Err(OpenError::Removed { .. }) => {
                member.left = true;
                return ensure(self.membership.left(id), || format!("membership: {id:x} was not removed"));
            }
            Err(error) => return Err(format!("{id:x} does not open: {error}")),
        }
        let at = member.life.as_ref().map_or(0, |life| life.seen);
        self.calm_election(id);
        self.note(|| format!("{id:x} starts at entry {at}"));
        for other in self.up().into_iter().filter(|other| *other != id) {
            let at = self.now + self.random.random_range(1..300);
            self.network.send(at, other, Packet::Notice(Notice::Connected(id)));
            self.network.send(at, id, Packet::Notice(Notice::Connected(other)));
        }
        Ok(())
    }

    /// Kills a member's process.
    pub(super) fn crash(&mut self, id: u64) {
        let back = self.now + self.random.random_range(10..=self.plan.back.max(10));
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.life.take().is_none() {
            return;
        }
        member.up_at = Some(back);
        self.note(|| format!("{id:x} crashes"));
        for other in self.up() {
            let at = self.now + self.random.random_range(1..200);
            let notice =
                if self.random.random_bool(0.7) { Notice::Gone(id) } else { Notice::Unreachable(id) };
            if self.network.passes(other, id) {
                self.network.send(at, other, Packet::Notice(notice));
            }
        }
    }
}
