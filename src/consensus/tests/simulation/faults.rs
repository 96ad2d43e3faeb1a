//! Faults, and an operator: crashes, network cuts, false reports, changes of the members.

use std::fs;

use raft::prelude::MessageType;
use rand::RngExt as _;
use tokio::sync::oneshot;

use super::super::super::entry::RaftCommand;
use super::super::super::peers::{Inbound, RemoteCluster};
use super::super::super::pending::ProposeResult;
use super::super::super::request::{DriverRequest, Proposal};
use super::super::super::settings::StartMode;
use super::super::super::snapshot;
use super::checks::Check;
use super::member::{Member, settings, url};
use super::network::{Notice, Packet};
use super::world::{STEP_MS, World};

/// The operator, who changes the list of members, one change after the other.
#[derive(Default)]
pub(super) struct Operator {
    asked: Option<(RaftCommand, oneshot::Receiver<ProposeResult>)>,
    added: u64,
    /// Members that were proposed, by name, but not set up yet.
    coming: Vec<(u64, String)>,
}

impl World {
    fn happens(&mut self, in_a_second: f64) -> bool {
        self.random.random_bool((in_a_second * STEP_MS as f64 / 1000.0).min(1.0))
    }

    fn someone(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        ids.get(self.random.random_range(0..ids.len().max(1))).copied()
    }

    /// Injects the faults of this moment.
    pub(super) fn inject_faults(&mut self) -> Check {
        if self.happens(self.plan.crashes)
            && let Some(id) = self.someone()
        {
            self.crash(id);
        }
        if self.happens(self.plan.cuts) {
            self.cut();
        }
        if self.happens(self.plan.cuts) {
            self.mend();
        }
        if self.happens(self.plan.lies)
            && let (Some(id), Some(about)) = (self.someone(), self.someone())
            && id != about
        {
            let notice = match self.random.random_range(0..4) {
                0 => Notice::Connected(about),
                1 => Notice::Unreachable(about),
                2 => Notice::SnapshotFailed(about),
                _ => {
                    let leader = self.life(id).map_or(0, |life| life.driver.replica.leader());
                    Notice::Gone(if leader == 0 { about } else { leader })
                }
            };
            self.network.send(self.now, id, Packet::Notice(notice));
        }
        if self.happens(self.plan.hand_overs)
            && let Some(id) = self.someone()
        {
            self.note(|| format!("{id:x} is asked to hand over"));
            self.send_request(id, DriverRequest::TransferLeadership)?;
        }
        Ok(())
    }

    /// Isolates one member, splits them into two halves, or blocks one direction.
    fn cut(&mut self) {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        let half: Vec<u64> = ids.iter().copied().filter(|_| self.random.random_bool(0.5)).collect();
        let lone = ids[self.random.random_range(0..ids.len())];
        let way = self.random.random_range(0..4);
        for from in &ids {
            for to in &ids {
                let parted = match way {
                    0 => half.contains(from) != half.contains(to),
                    1 => half.contains(from) && !half.contains(to),
                    2 => *from == lone,
                    _ => *from == lone || *to == lone,
                };
                if parted && from != to {
                    self.network.cut.insert((*from, *to));
                }
            }
        }
        self.note(|| format!("the network is cut ({way}: {half:x?} or {lone:x})"));
    }

    /// Reconnects all members.
    pub(super) fn mend(&mut self) {
        let cut = std::mem::take(&mut self.network.cut);
        if !cut.is_empty() {
            self.note(|| "the network is mended".to_owned());
        }
        for (from, to) in cut {
            let at = self.now + self.random.random_range(1..300);
            self.network.send(at, from, Packet::Notice(Notice::Connected(to)));
        }
    }

    /// Delivers a packet.
    pub(super) fn deliver(&mut self, to: u64, parcel: Packet) -> Check {
        match parcel {
            Packet::Message { from, message } => self.deliver_message(from, to, *message),
            Packet::Kept { life, request } => {
                let same = self.life(to).is_some_and(|now| now.shared.started as u64 == life);
                if same { self.send_request(to, request) } else { Ok(()) }
            }
            Packet::Notice(notice) => {
                if self.life(to).is_none() {
                    return Ok(());
                }
                if let Notice::Connected(other) = notice
                    && self.knows_as_removed(other, to)
                {
                    self.network.send(self.now + 20, to, Packet::Notice(Notice::Removed));
                    return Ok(());
                }
                self.note(|| format!("{to:x} hears: {notice:x?}"));
                let inbound = match notice {
                    Notice::Connected(id) => Inbound::Connected(id),
                    Notice::Unreachable(id) => Inbound::Unreachable(id),
                    Notice::Gone(id) => Inbound::Gone(id),
                    Notice::SnapshotFailed(id) => Inbound::SnapshotFailed(id),
                    Notice::Removed => Inbound::Removed,
                };
                self.send_request(to, DriverRequest::Inbound(inbound))
            }
        }
    }

    fn deliver_message(&mut self, from: u64, to: u64, message: raft::prelude::Message) -> Check {
        if self.life(to).is_none() || !self.network.passes(from, to) {
            self.lose(from, &message);
            return Ok(());
        }
        if self.knows_as_removed(to, from) {
            self.network.send(self.now + 20, from, Packet::Notice(Notice::Removed));
            return Ok(());
        }
        if message.get_msg_type() == MessageType::MsgSnapshot {
            return self.fetch(from, to, message);
        }
        let inbound = Inbound::Messages { from, time: 0, messages: vec![message] };
        self.send_request(to, DriverRequest::Inbound(inbound))
    }

    /// Returns whether `id` knows that `other` was removed, and would report it when `other` opens a stream.
    fn knows_as_removed(&mut self, id: u64, other: u64) -> bool {
        self.life(id).is_some_and(|life| life.shared.read().roster.removed.contains(&other))
    }

    /// A removed member finds its streams closed, opens new ones, and is notified.
    pub(super) fn notify_removed(&mut self) {
        for id in self.up() {
            let knows = self.up().into_iter().find(|other| self.knows_as_removed(*other, id));
            if knows.is_some_and(|other| other != id && self.network.passes(id, other)) {
                self.network.send(self.now, id, Packet::Notice(Notice::Removed));
            }
        }
    }

    /// A snapshot was announced: its file is fetched, if it still exists.
    fn fetch(&mut self, from: u64, to: u64, message: raft::prelude::Message) -> Check {
        let file = format!("{:016x}.snapshot", message.get_snapshot().get_metadata().index);
        let file = self.members[&from].snapshots().join(file);
        let up = self.life(to).is_some() && self.life(from).is_some();
        let Some(bytes) = fs::read(&file).ok().filter(|_| up) else {
            self.lose(from, &message);
            return Ok(());
        };
        let both = (message, bytes);
        let before = self.members.get_mut(&to).and_then(|member| member.fetched.replace(both.clone()));
        self.take_over(to, both)?;
        // The previous one arrives once more, late.
        match before.filter(|_| self.random.random_bool(self.plan.twice)) {
            Some(before) if self.life(to).is_some() => self.take_over(to, before),
            _ => Ok(()),
        }
    }

    /// A snapshot was fetched.
    fn take_over(&mut self, to: u64, (message, bytes): (raft::prelude::Message, Vec<u8>)) -> Check {
        let ending = fault!(FetchedCounts, "snapshot", snapshot::FETCHED);
        let index = message.get_snapshot().get_metadata().index;
        let path = self.members[&to].snapshots().join(format!("{index:016x}.{ending}"));
        fs::write(&path, bytes).map_err(|error| error.to_string())?;
        let state = Box::new(snapshot::read(&path).map_err(|error| error.to_string())?);
        self.note(|| format!("{to:x} fetched the snapshot at entry {index}"));
        if !self.healed && self.random.random_bool(self.plan.crashes / 10.0) {
            self.crash(to);
        }
        self.send_request(
            to,
            DriverRequest::Inbound(Inbound::Fetched { message: Box::new(message), state, path }),
        )
    }

    /// Does what the operator does at this moment.
    pub(super) fn operate(&mut self) -> Check {
        if let Some((_, answer)) = &mut self.operator.asked {
            match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {}
                outcome => {
                    self.note(|| format!("operator is told {outcome:?}"));
                    self.operator.asked = None;
                }
            }
        }
        self.set_up_added_member()?;
        if self.healed || self.operator.asked.is_some() || !self.happens(self.plan.regroups) {
            return Ok(());
        }
        let up = self.up();
        if up.is_empty() {
            return Ok(());
        }
        let asked = up[self.random.random_range(0..up.len())];
        let Some(command) = self.change(asked) else { return Ok(()) };
        self.note(|| format!("operator asks {asked:x}: {command:x?}"));
        let (reply, answer) = oneshot::channel();
        self.operator.asked = Some((command.clone(), answer));
        self.send_request(asked, DriverRequest::Propose(Proposal { command, reply, bytes: 0 }))
    }

    /// Makes a change of members that member `asked` would accept.
    fn change(&mut self, asked: u64) -> Option<RaftCommand> {
        let life = self.members.get(&asked)?.life.as_ref()?;
        let state = life.shared.read();
        let ids: Vec<u64> = state.roster.members.keys().copied().collect();
        let started = state.roster.members.values().all(|member| member.incarnation != 0);
        drop(state);
        let few = ids.len() < 2;
        if self.random.random_bool(if few { 1.0 } else { 0.5 }) {
            if !started || ids.len() > 6 {
                return None;
            }
            return Some(self.propose_member());
        }
        Some(RaftCommand::Remove { id: ids[self.random.random_range(0..ids.len())] })
    }

    /// Proposes a new member, which is set up once it was added.
    pub(super) fn propose_member(&mut self) -> RaftCommand {
        self.operator.added += 1;
        let name = format!("n{}", self.operator.added);
        let id = 0xadd0 + self.operator.added;
        self.operator.coming.push((id, name.clone()));
        RaftCommand::Add { id, urls: vec![url(&name)] }
    }

    /// Sets up a member that was added, as an operator would by hand.
    fn set_up_added_member(&mut self) -> Check {
        for (id, name) in std::mem::take(&mut self.operator.coming) {
            let knows = |member: &&Member| {
                member.life.as_ref().is_some_and(|life| life.shared.read().roster.members.contains_key(&id))
            };
            let Some(known) = self.members.values().find(knows) else {
                self.operator.coming.push((id, name));
                continue;
            };
            let shared = &known.life.as_ref().expect("it was just looked at").shared;
            let members: Vec<_> = shared.read().roster.members.values().cloned().collect();
            let cluster_id = shared.members().cluster_id;
            let mut names: Vec<String> = (1..members.len()).map(|number| format!("other{number}")).collect();
            names.push(name.clone());
            let settings = settings(self.root.path(), &name, &names, StartMode::Join);
            let found = RemoteCluster { cluster_id, members, from: known.settings.name.clone() };
            let mut member = Member::new(id, settings, Some(found));
            member.up_at = Some(self.now + self.random.random_range(0..2_000));
            self.members.insert(id, member);
        }
        Ok(())
    }
}
