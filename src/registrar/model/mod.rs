//! The state of every container, and what follows from it. Pure: news and the time come in, and which containers to look at,
//! which checks to run and which keys there should be can be asked.
//!
//! Owns: what is known of each container ([`entry`]), the state of each of its services ([`judge`]), and which of several claims
//! on one key counts ([`registrations`]).
//!
//! A service goes from starting to passing with its first good checks, and from there to failing and back; told to stop, its
//! container is draining until it begins a new life. Only what passes has a key.
//!
//! Promises: a container is gone only when an inspection found none; news out of order end in the same state, because a stop
//! that is older than the present life of its container is none; an answer to a question from before the last news is asked for
//! again.

mod entry;
mod judge;
mod registrations;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::check::{self, Check, Target};
use super::container::{Container, ContainerState, ListedContainer, Port, Protocol};
use super::describe::{self, DescribeContext};
use super::engine::Event;
use super::service::{Described, Service, Skipped};
use super::settings::{Checks, Deregister, OwnContainer, Rules};

use entry::{Draining, Entry, ServiceState};
pub(super) use judge::ServicePhase;

/// SIGKILL and SIGTERM end what they reach, whatever the container's own stop signal is.
const ALWAYS_END: [i32; 2] = [9, 15];
/// Docker's own time from the stop signal to the kill.
const DEFAULT_STOP_TIMEOUT_SECS: u64 = 10;
/// So long after the kill was due, a container that still runs has outlived the signal.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// So long after the first list, a container that could not be looked at is no longer waited for.
const INSPECTION_WAIT_TIMEOUT: Duration = Duration::from_secs(15);

/// After so long without a passed check, a service that waits for its first one is told.
const FIRST_PASS: Duration = Duration::from_secs(60);

/// What stays the same for the whole run.
#[derive(Clone, Debug)]
pub(super) struct NodeConfig {
    pub(super) rules: Rules,
    pub(super) node: String,
    /// The address of this host towards others.
    pub(super) host: Option<IpAddr>,
    /// A sidecar's container; all others do not exist for it.
    pub(super) own: Option<Sidecar>,
    pub(super) checks: Checks,
    pub(super) deregister: Deregister,
    pub(super) grace: Duration,
    /// How long a key lives that is left to its lease; `None`: for ever.
    pub(super) ttl: Option<Duration>,
}

/// The one container of a sidecar.
#[derive(Clone, Debug)]
pub(super) struct Sidecar {
    /// Its whole id.
    pub(super) id: String,
    pub(super) own: OwnContainer,
    /// Whether this process runs in it, and so reaches its ports by loopback.
    pub(super) inside: bool,
}

/// A check that should be running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) check: Check,
    pub(super) target: Target,
    /// The life of the container that it is about: a result of an earlier one means nothing.
    pub(super) life: Option<i64>,
}

/// Whose check it is.
pub(super) type ServiceId = (String, Port);

/// Everything that is known.
pub(super) struct Model {
    node_config: NodeConfig,
    entries: BTreeMap<String, Entry>,
    /// Which service has a key, as long as it wants it.
    owners: BTreeMap<String, ServiceId>,
    /// Keys that are left to their leases, and until when.
    released: BTreeMap<String, Option<Instant>>,
    /// Collisions that were told.
    told: BTreeSet<(String, ServiceId)>,
    /// What the first list held; `None`: nothing was listed.
    first: Option<BTreeSet<String>>,
    /// When it is no longer waited for.
    settled: Option<Instant>,
    complete: bool,
    /// Since when the engine has not answered.
    lost: Option<Instant>,
    /// Whether it has been away for longer than is borne.
    alone: bool,
    /// Whether anything that follows from it may be different from before.
    touched: bool,
}

impl Model {
    pub(super) fn new(node_config: NodeConfig) -> Self {
        Self {
            node_config,
            entries: BTreeMap::new(),
            owners: BTreeMap::new(),
            released: BTreeMap::new(),
            told: BTreeSet::new(),
            first: None,
            settled: None,
            complete: false,
            lost: None,
            alone: false,
            touched: true,
        }
    }

    /// Whether keys, checks or status may be other than when this was last asked.
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// A whole list. What is new in it or looks changed is to be inspected; so is what it lacks, because the list may be older
    /// than a start.
    pub(super) fn listed(&mut self, all: Vec<ListedContainer>, now: Instant) {
        self.lost = None;
        self.leave_alone();
        if self.first.is_none() {
            let ids = all.iter().map(|listed| listed.id.clone()).filter(|id| self.concerns(id));
            self.first = Some(ids.collect());
            self.settled = Some(now + INSPECTION_WAIT_TIMEOUT);
            self.touched = true;
        }
        let mut missing: BTreeSet<String> = self.entries.keys().cloned().collect();
        for listed in all {
            missing.remove(&listed.id);
            if !self.concerns(&listed.id) {
                continue;
            }
            let entry = self.entries.entry(listed.id.clone()).or_default();
            entry.dirty |= entry.differs(&listed) || entry.is_old(now);
            entry.engine_answers();
            entry.signature = Some(listed.signature);
        }
        for id in missing {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.dirty = true;
                entry.engine_answers();
            }
        }
    }

    /// The engine did not answer.
    pub(super) fn lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    /// Back from being alone: the engine's word counts again.
    fn leave_alone(&mut self) {
        if std::mem::take(&mut self.alone) {
            for entry in self.entries.values_mut() {
                // What the engine says now counts, and what was found out without it is forgotten.
                entry.dirty = true;
                entry.redescribe = true;
            }
        }
    }

    /// Whether a container is looked at: a sidecar's own, and the one whose network it shares.
    fn concerns(&self, id: &str) -> bool {
        let Some(own) = &self.node_config.own else { return true };
        let lender = || {
            let container = self.entries.get(&own.id)?.container.as_ref()?;
            container.network_mode.strip_prefix("container:")
        };
        own.id == id || lender().is_some_and(|lender| lender == id)
    }

    /// The address of this host towards others, which may come and change while it runs. A host without a route has none for
    /// the moment, which says nothing against the one that its services were found at.
    pub(super) fn set_host(&mut self, host: Option<IpAddr>) {
        if host.is_some() && host != self.node_config.host {
            self.node_config.host = host;
            let ids: Vec<String> = self.entries.keys().cloned().collect();
            ids.iter().for_each(|id| self.describe(id, false));
            self.touched = true;
        }
    }

    /// Something happened to a container.
    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        if !self.concerns(&event.id) {
            return;
        }
        let deregister = self.node_config.deregister;
        let entry = self.entries.entry(event.id.clone()).or_default();
        entry.dirty = true;
        let stop_signal = entry.container.as_ref().map_or(15, |container| container.stop_signal);
        let ends = match event.action.as_str() {
            "kill" => event
                .signal
                .filter(|signal| *signal == stop_signal || ALWAYS_END.contains(signal))
                .map(|signal| format!("was sent signal {signal}")),
            // Its exit status decides what becomes of the key, and only an inspection tells that.
            "die" if deregister == Deregister::Always => Some("ended".to_owned()),
            _ => None,
        };
        let Some(why) = ends else { return };
        let older = entry.container.as_ref().and_then(|container| container.started);
        let stale = matches!((event.at, older), (Some(at), Some(started)) if at < started);
        // Somebody who drains it has said how long that is to last.
        let asked =
            entry.draining.as_ref().is_some_and(|drained| drained.until.is_none() && drained.life == older);
        if !stale && !asked {
            let patience = if event.action == "die" { KILL_GRACE } else { entry.stop_patience() };
            entry.draining = Some(Draining {
                why,
                at: event.at,
                life: older,
                until: Some(now + patience),
                doubted: false,
            });
            self.touched = true;
        }
    }

    /// Somebody asked that a container's keys go although it runs (`out`), or took that back. Returns whether there is such a
    /// container.
    pub(super) fn drain(&mut self, asked: &str, out: bool) -> bool {
        let named = |(_, entry): &(&String, &Entry)| {
            entry.container.as_ref().is_some_and(|known| known.name == asked.trim_start_matches('/'))
        };
        let begins = |(id, _): &(&String, &Entry)| asked.len() >= 4 && id.starts_with(asked);
        let found = self.entries.iter().find(named).or_else(|| self.entries.iter().find(begins));
        let id = found.map(|(id, _)| id.clone());
        let Some(entry) = id.and_then(|id| self.entries.get_mut(&id)) else { return false };
        self.touched = true;
        if !out {
            entry.draining = entry.draining.take().filter(|draining| draining.until.is_some());
            return true;
        }
        let life = entry.container.as_ref().and_then(|container| container.started);
        let why = "is being drained on request".to_owned();
        entry.draining = Some(Draining { why, at: None, life, until: None, doubted: false });
        true
    }

    /// The containers to inspect now, at most `room` of them; each is to be answered by [`Model::inspected`].
    pub(super) fn due_inspections(&mut self, room: usize, now: Instant) -> Vec<String> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.is_due(now));
        due.take(room)
            .map(|(id, entry)| {
                (entry.dirty, entry.asked) = (false, Some(now));
                id.clone()
            })
            .collect()
    }

    /// What an inspection found; an error is that it could not be made, which says nothing of the container.
    pub(super) fn inspected(&mut self, id: &str, found: Result<Option<Container>, ()>, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let asked = entry.asked.take();
        self.touched = true;
        match found {
            Err(()) => entry.failed(now),
            Ok(None) => {
                self.entries.remove(id);
            }
            Ok(Some(container)) => self.found(id, container, asked, now),
        }
    }

    /// Inspections were lost on the way; which ones is not known.
    pub(super) fn inspections_lost(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.asked.is_some()) {
            (entry.asked, entry.dirty) = (None, true);
        }
    }

    fn found(&mut self, id: &str, container: Container, asked: Option<Instant>, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.answered(now);
        let new_life = entry.container.as_ref().is_none_or(|known| known.started != container.started);
        if container.run_state == ContainerState::Running {
            entry.end_draining(container.started, asked);
        }
        let down = matches!(container.run_state, ContainerState::Nothing | ContainerState::Restarting);
        let ended = down && entry.was_up() && entry.draining.is_none();
        if new_life {
            entry.services.clear();
        }
        let changed = entry.container.as_ref() != Some(&container) || std::mem::take(&mut entry.redescribe);
        let failed = (1..128).contains(&container.exit_code);
        let known = entry.container.replace(container).is_some();
        if changed && known {
            // It may have been on its way back to what the last list said: the next list is not compared with that.
            entry.signature = None;
        }
        if ended && failed && self.node_config.deregister == Deregister::OnSuccess {
            let until = self.node_config.ttl.map(|ttl| now + ttl);
            let mine = self.owners.iter().filter(|(_, (owner, _))| owner == id);
            self.released.extend(mine.map(|(key, _)| (key.clone(), until)));
        }
        if changed || new_life {
            self.describe(id, new_life);
            self.describe_guests(id);
        }
    }

    /// Says anew what of a container is to be registered.
    fn describe(&mut self, id: &str, new_life: bool) {
        let Some(container) = self.entries.get(id).and_then(|entry| entry.container.clone()) else { return };
        let ground = DescribeContext {
            rules: &self.node_config.rules,
            node: &self.node_config.node,
            host: self.node_config.host,
            own: self.node_config.own.as_ref().map(|own| &own.own),
        };
        let other = |asked: &str| self.container(asked).cloned();
        // A sidecar knows the container whose network it shares, and registers nothing of it.
        let mut described = match &self.node_config.own {
            Some(own) if own.id != id => Described::default(),
            _ => describe::describe(&container, &ground, &other),
        };
        let mut services: BTreeMap<Port, ServiceState> = BTreeMap::new();
        for service in described.services {
            for odd in check::unknown_words(&service).into_iter().map(Skipped::Odd) {
                if !described.skipped.contains(&odd) {
                    described.skipped.push(odd);
                }
            }
            let passing = self.entries.get(id).is_some_and(|entry| entry.passes(service.port));
            match self.health_source(&service, &container, passing) {
                Ok(health_source) => {
                    services.insert(service.port, ServiceState::new(service, health_source));
                }
                Err(why) => described.skipped.push(Skipped::Refused(why)),
            }
        }
        let Some(entry) = self.entries.get_mut(id) else { return };
        if !new_life {
            for state in services.values_mut() {
                entry.inherit(state);
            }
        }
        entry.services = services;
        if container.run_state == ContainerState::Running && (new_life || entry.skipped != described.skipped)
        {
            report::log_skipped(container.short(), &described.skipped);
        }
        entry.skipped = described.skipped;
    }

    /// What tells whether a service is well; an error is what is wrong with its wishes for that.
    fn health_source(
        &self,
        service: &Service,
        container: &Container,
        passing: bool,
    ) -> Result<HealthSource, String> {
        let checks = &self.node_config.checks;
        let check = match check::of(service, checks)? {
            Some(check) => Some(check),
            // It may take a key away and bring it back, but not bring one that the engine had not.
            None if self.alone && passing && service.port.protocol == Protocol::Tcp => {
                Some(check::bare_tcp(checks))
            }
            None if container.healthcheck.is_some() => return Ok(HealthSource::Engine),
            None => check::fallback(checks).filter(|_| service.port.protocol == Protocol::Tcp),
        };
        let target = match &self.node_config.own {
            Some(own) if own.inside => Target {
                host: "127.0.0.1".to_owned(),
                port: service.port.number,
                container: container.id.clone(),
            },
            _ => check::target(service, checks),
        };
        Ok(check.map_or(HealthSource::Running, |check| HealthSource::Check { check, target }))
    }

    /// Containers that share the network of this one are found where it is.
    fn describe_guests(&mut self, host: &str) {
        let guests: Vec<String> = self
            .entries
            .iter()
            .filter(|(id, entry)| *id != host && entry.is_guest())
            .map(|(id, _)| id.clone())
            .collect();
        for id in guests {
            self.describe(&id, false);
        }
    }

    fn container(&self, asked: &str) -> Option<&Container> {
        let mut known = self.entries.values().filter_map(|entry| entry.container.as_ref());
        known.find(|container| {
            container.name == asked || (asked.len() >= 12 && container.id.starts_with(asked))
        })
    }

    /// What a check found out. An error is the reason in a few words.
    pub(super) fn checked(&mut self, service_id: &ServiceId, probe: &Probe, result: Result<(), String>) {
        let Some(entry) = self.entries.get_mut(&service_id.0) else { return };
        let life = entry.container.as_ref().and_then(|container| container.started);
        if let Some(state) = entry.services.get_mut(&service_id.1)
            && state.probe(life).as_ref() == Some(probe)
        {
            self.touched |= state.checked(&probe.check, result);
        }
    }

    /// The checks that should be running.
    pub(super) fn probes(&self) -> BTreeMap<ServiceId, Probe> {
        let mut probes = BTreeMap::new();
        for (id, entry) in &self.entries {
            let Some(container) = &entry.container else { continue };
            if container.run_state != ContainerState::Running {
                continue;
            }
            for (port, state) in &entry.services {
                if let Some(probe) = state.probe(container.started) {
                    probes.insert((id.clone(), *port), probe);
                }
            }
        }
        probes
    }

    /// Lets time have its effect: an engine that is away for too long, stops that were outlived.
    pub(super) fn tick(&mut self, now: Instant) {
        if !self.alone && self.lost.is_some_and(|since| now >= since + self.node_config.grace) {
            (self.alone, self.touched) = (true, true);
            let ids: Vec<String> = self.entries.keys().cloned().collect();
            ids.iter().for_each(|id| self.describe(id, false));
        }
        self.entries.values_mut().for_each(|entry| entry.outlive(now));
        for line in self.overdue(now) {
            tracing::warn!("{line}");
        }
        if !self.complete && self.settled.is_some_and(|at| now >= at) {
            (self.complete, self.touched) = (true, true);
        }
        let before = self.released.len();
        self.released.retain(|_, until| until.is_none_or(|until| now < until));
        self.touched |= before != self.released.len();
    }

    /// When [`Model::tick`] or [`Model::due_inspections`] would have something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let away = self.lost.filter(|_| !self.alone).map(|since| since + self.node_config.grace);
        let settled = self.settled.filter(|_| !self.complete);
        let lapses = self.released.values().copied().flatten();
        self.entries.values().filter_map(Entry::next).chain(away).chain(settled).chain(lapses).min()
    }

    /// Whether everything that was there at the start has been looked at: listed, inspected, and checked as often as it takes. A
    /// container that cannot be looked at is not waited for without end.
    pub(super) fn complete(&mut self) -> bool {
        if let (false, Some(first)) = (self.complete, &self.first) {
            let entries = &self.entries;
            // All at the same time: one may have to be described anew because of another.
            self.complete = first.iter().all(|id| entries.get(id).is_none_or(Entry::is_known));
        }
        self.complete
    }
}

/// What tells whether a service is well.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HealthSource {
    /// A check of our own.
    Check { check: Check, target: Target },
    /// The image's or the container's HEALTHCHECK, which the engine runs.
    Engine,
    /// It runs.
    Running,
}

/// Seconds from a container's stop signal to the kill, with what it takes to be sure.
fn patience(stop_timeout: Option<u64>) -> Duration {
    Duration::from_secs(stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT_SECS).min(86_400)) + KILL_GRACE
}
