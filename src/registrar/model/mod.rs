//! The state of every container, and what follows from it. Pure: takes events and the time; returns which containers to
//! inspect, which checks to run and which keys are wanted.
//!
//! Owns: the state of each container ([`entry`]), the state of each of its services ([`phase`]), and which of several
//! services gets a key that all claim ([`registrations`]).
//!
//! A service goes from starting to passing with its first passed checks, and from there to failing and back. When its
//! container gets its stop signal, it is draining until the container's next run. Only a passing service has a key.
//!
//! Promises: a container is gone only when an inspection did not find it; events in any order end in the same state,
//! because a stop that is older than the container's current run is ignored; an inspection that was requested before
//! the last event is repeated.

mod entry;
mod phase;
mod registrations;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::check::{self, Check, CheckTarget};
use super::container::{Container, ContainerState, ListedContainer, Port, Protocol};
use super::describe::{self, DescribeContext};
use super::engine::EngineEvent;
use super::service::{Described, Service, Skipped};
use super::settings::{Checks, Deregister, OwnContainer, Rules};

pub(super) use entry::ServicePhase;
use entry::{ContainerEntry, Draining, ServiceState};
pub(super) use report::unregistered;

/// SIGKILL and SIGTERM end a container whatever its own stop signal is.
const ALWAYS_END: [i32; 2] = [9, 15];
/// Docker's default time between the stop signal and the kill.
const DEFAULT_STOP_TIMEOUT_SECS: u64 = 10;
/// How long after the kill was due a container counts as having survived the stop signal.
const KILL_GRACE_DELAY: Duration = Duration::from_secs(2);
/// How long after the first list a container that cannot be inspected is waited for.
const INSPECTION_WAIT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a service may wait for its first passed check before that is logged.
const FIRST_PASS_TIMEOUT: Duration = Duration::from_secs(60);

/// The configuration, constant for the whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeConfig {
    pub(super) rules: Rules,
    pub(super) node: String,
    /// The address that other hosts reach this host by.
    pub(super) host: Option<IpAddr>,
    /// A sidecar's container; all others are ignored.
    pub(super) own: Option<Sidecar>,
    pub(super) checks: Checks,
    pub(super) deregister: Deregister,
    pub(super) grace: Duration,
    /// The lease of a key that is no longer renewed; `None`: for ever.
    pub(super) ttl: Option<Duration>,
}

/// The one container of a sidecar.
#[derive(Clone, Debug)]
pub(super) struct Sidecar {
    /// Its full id.
    pub(super) id: String,
    pub(super) own: OwnContainer,
    /// Whether this process runs in it, and so reaches its ports by loopback.
    pub(super) inside: bool,
}

/// A check that should be running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) check: Check,
    pub(super) target: CheckTarget,
    /// The run of the container that is checked; a result for an earlier run is ignored.
    pub(super) run_started: Option<i64>,
}

/// The service that a check belongs to.
pub(super) type ServiceId = (String, Port);

/// Values by container and port.
pub(super) type ByService<T> = BTreeMap<ServiceId, T>;

/// The state of all containers.
#[derive(Default)]
pub(super) struct Model {
    node_config: NodeConfig,
    entries: BTreeMap<String, ContainerEntry>,
    /// Which service has a key, as long as it needs it.
    owners: BTreeMap<String, ServiceId>,
    /// Keys that are left to their leases, and until when.
    released: BTreeMap<String, Option<Instant>>,
    /// Collisions that were logged.
    logged_collisions: BTreeSet<(String, ServiceId)>,
    /// The containers of the first list; `None`: nothing was listed yet.
    first: Option<BTreeSet<String>>,
    /// When those are no longer waited for.
    settled: Option<Instant>,
    complete: bool,
    /// Since when the engine has not responded.
    engine_lost: Option<Instant>,
    /// Whether the engine has been unreachable for longer than the grace time.
    engine_timed_out: bool,
    /// Whether anything derived from the model may have changed.
    touched: bool,
}

impl Model {
    pub(super) fn new(node_config: NodeConfig) -> Self {
        Self { node_config, touched: true, ..Self::default() }
    }

    /// Returns whether keys, checks or status may have changed since the last call.
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// Takes a full list. Entries that are new or changed are to be inspected; so are containers that it lacks, because
    /// the list may be older than their start.
    pub(super) fn listed(&mut self, all: Vec<ListedContainer>, now: Instant) {
        self.engine_lost = None;
        self.engine_is_back();
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

    /// Notes that the engine did not respond.
    pub(super) fn lost(&mut self, now: Instant) {
        self.engine_lost.get_or_insert(now);
    }

    /// Ends the time without the engine: its information counts again.
    fn engine_is_back(&mut self) {
        if std::mem::take(&mut self.engine_timed_out) {
            for entry in self.entries.values_mut() {
                // The engine's information counts now; what was found without it is dropped.
                entry.dirty = true;
                entry.redescribe = true;
            }
        }
    }

    /// Returns whether a container matters: for a sidecar, its own and the one whose network it shares.
    fn concerns(&self, id: &str) -> bool {
        let Some(own) = &self.node_config.own else { return true };
        let lender = || {
            let container = self.entries.get(&own.id)?.container.as_ref()?;
            container.network_mode.strip_prefix("container:")
        };
        own.id == id || lender().is_some_and(|lender| lender == id)
    }

    /// Sets the address that other hosts reach this host by. A host that has no route for the moment keeps the address
    /// of its services.
    pub(super) fn set_host(&mut self, host: Option<IpAddr>) {
        if host.is_some() && host != self.node_config.host {
            self.node_config.host = host;
            self.describe_where(|_, _| true);
            self.touched = true;
        }
    }

    /// Takes an event of a container.
    pub(super) fn event(&mut self, event: &EngineEvent, now: Instant) {
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
            // The exit status decides what happens to the key, and only an inspection reports it.
            "die" if deregister == Deregister::Always => Some("ended".to_owned()),
            _ => None,
        };
        let Some(why) = ends else { return };
        let older = entry.container.as_ref().and_then(|container| container.started);
        let stale = matches!((event.at, older), (Some(at), Some(started)) if at < started);
        // A drain on request lasts as long as the person who requested it wants.
        let asked = entry
            .draining
            .as_ref()
            .is_some_and(|drained| drained.until.is_none() && drained.run_started == older);
        if !stale && !asked {
            let timeout = if event.action == "die" { KILL_GRACE_DELAY } else { entry.stop_timeout() };
            entry.draining = Some(Draining {
                why,
                at: event.at,
                run_started: older,
                until: Some(now + timeout),
                is_overdue: false,
            });
            self.touched = true;
        }
    }

    /// Begins (`out`) or cancels a drain on request: the container's keys are removed although it runs. Returns whether
    /// the container exists.
    pub(super) fn drain(&mut self, asked: &str, out: bool) -> bool {
        let named = |(_, entry): &(&String, &ContainerEntry)| {
            entry.container.as_ref().is_some_and(|known| known.name == asked.trim_start_matches('/'))
        };
        let begins = |(id, _): &(&String, &ContainerEntry)| asked.len() >= 4 && id.starts_with(asked);
        let found = self.entries.iter().find(named).or_else(|| self.entries.iter().find(begins));
        let id = found.map(|(id, _)| id.clone());
        let Some(entry) = id.and_then(|id| self.entries.get_mut(&id)) else { return false };
        self.touched = true;
        if !out {
            entry.draining = entry.draining.take().filter(|draining| draining.until.is_some());
            return true;
        }
        let run_started = entry.container.as_ref().and_then(|container| container.started);
        let why = "is being drained on request".to_owned();
        entry.draining = Some(Draining { why, at: None, run_started, until: None, is_overdue: false });
        true
    }

    /// Returns at most `room` containers to inspect now; each needs a later call of [`Model::inspected`].
    pub(super) fn due_inspections(&mut self, room: usize, now: Instant) -> Vec<String> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.is_due(now));
        due.take(room)
            .map(|(id, entry)| {
                (entry.dirty, entry.asked) = (false, Some(now));
                id.clone()
            })
            .collect()
    }

    /// Takes the result of an inspection; an error means that it failed, which says nothing about the container.
    pub(super) fn inspected(&mut self, id: &str, found: Result<Option<Container>, ()>, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let asked = entry.asked.take();
        self.touched = true;
        match found {
            Err(()) => entry.failed(now),
            Ok(None) => {
                self.entries.remove(id);
            }
            Ok(Some(container)) => self.container_found(id, container, asked, now),
        }
    }

    /// Handles the loss of inspections; which ones is unknown.
    pub(super) fn inspections_lost(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.asked.is_some()) {
            (entry.asked, entry.dirty) = (None, true);
        }
    }

    fn container_found(&mut self, id: &str, container: Container, asked: Option<Instant>, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.answered(now);
        let new_run = entry.container.as_ref().is_none_or(|known| known.started != container.started);
        if container.run_state == ContainerState::Running {
            entry.end_draining(container.started, asked);
        }
        let down = matches!(container.run_state, ContainerState::NotRunning | ContainerState::Restarting);
        let ended = down && entry.was_up() && entry.draining.is_none();
        if new_run {
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
        if changed || new_run {
            self.describe(id, new_run);
            // The containers that share its network are reached through it.
            self.describe_where(|guest, entry| guest != id && entry.shares_network());
        }
    }

    /// Computes again which services of a container to register.
    fn describe(&mut self, id: &str, new_run: bool) {
        let Some(container) = self.entries.get(id).and_then(|entry| entry.container.clone()) else { return };
        let context = DescribeContext {
            rules: &self.node_config.rules,
            node: &self.node_config.node,
            host: self.node_config.host,
            own: self.node_config.own.as_ref().map(|own| &own.own),
        };
        let other = |asked: &str| self.container(asked).cloned();
        // A sidecar also tracks the container whose network it shares, but registers nothing of it.
        let mut described = match &self.node_config.own {
            Some(own) if own.id != id => Described::default(),
            _ => describe::describe(&container, &context, &other),
        };
        let mut services: BTreeMap<Port, ServiceState> = BTreeMap::new();
        for service in described.services {
            for odd in check::unknown_words(&service).into_iter().map(Skipped::UnknownAttribute) {
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
        if !new_run {
            for state in services.values_mut() {
                entry.inherit(state);
            }
        }
        entry.services = services;
        if container.run_state == ContainerState::Running && (new_run || entry.skipped != described.skipped) {
            report::log_skipped(container.short(), &described.skipped);
        }
        entry.skipped = described.skipped;
    }

    /// Returns the source of a service's health; an error says what is wrong with its check attributes.
    fn health_source(
        &self,
        service: &Service,
        container: &Container,
        passing: bool,
    ) -> Result<HealthSource, String> {
        let checks = &self.node_config.checks;
        let check = match check::of(service, checks)? {
            Some(check) => Some(check),
            // This check may remove a key and restore it, but not add one that the engine's check had not allowed.
            None if self.engine_timed_out && passing && service.port.protocol == Protocol::Tcp => {
                Some(check::bare_tcp(checks))
            }
            None if container.healthcheck.is_some() => return Ok(HealthSource::Engine),
            None => check::fallback(checks).filter(|_| service.port.protocol == Protocol::Tcp),
        };
        let target = match &self.node_config.own {
            Some(own) if own.inside => CheckTarget {
                host: "127.0.0.1".to_owned(),
                port: service.port.number,
                container: container.id.clone(),
            },
            _ => check::target(service, checks),
        };
        Ok(check.map_or(HealthSource::Running, |check| HealthSource::Check { check, target }))
    }

    fn describe_where(&mut self, wanted: impl Fn(&str, &ContainerEntry) -> bool) {
        let chosen = self.entries.iter().filter(|(id, entry)| wanted(id, entry));
        let ids: Vec<String> = chosen.map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.describe(id, false));
    }

    fn container(&self, asked: &str) -> Option<&Container> {
        let mut known = self.entries.values().filter_map(|entry| entry.container.as_ref());
        known.find(|container| {
            container.name == asked || (asked.len() >= 12 && container.id.starts_with(asked))
        })
    }

    /// Takes a check's result. The error is the reason in a few words.
    pub(super) fn checked(&mut self, service_id: &ServiceId, probe: &Probe, result: Result<(), String>) {
        let Some(entry) = self.entries.get_mut(&service_id.0) else { return };
        let run_started = entry.container.as_ref().and_then(|container| container.started);
        if let Some(state) = entry.services.get_mut(&service_id.1)
            && state.probe(run_started).as_ref() == Some(probe)
        {
            self.touched |= state.checked(&probe.check, result);
        }
    }

    /// Returns the checks that should be running.
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

    /// Applies the passing of time: an engine that is unreachable for too long, stops that a container survived.
    pub(super) fn tick(&mut self, now: Instant) {
        if !self.engine_timed_out
            && self.engine_lost.is_some_and(|since| now >= since + self.node_config.grace)
        {
            (self.engine_timed_out, self.touched) = (true, true);
            self.describe_where(|_, _| true);
        }
        self.entries.values_mut().for_each(|entry| entry.check_survived_stop(now));
        for line in self.first_failures() {
            tracing::info!("{line}");
        }
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

    /// Returns when [`Model::tick`] or [`Model::due_inspections`] would have something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let away =
            self.engine_lost.filter(|_| !self.engine_timed_out).map(|since| since + self.node_config.grace);
        let settled = self.settled.filter(|_| !self.complete);
        let lapses = self.released.values().copied().flatten();
        self.entries.values().filter_map(ContainerEntry::next).chain(away).chain(settled).chain(lapses).min()
    }

    /// Returns whether all containers that ran at the start were listed, inspected, and checked until a result. Waits
    /// only for a limited time for containers that cannot be inspected.
    pub(super) fn complete(&mut self) -> bool {
        if let (false, Some(first)) = (self.complete, &self.first) {
            let entries = &self.entries;
            // All at once: one may have to be described again because of another.
            self.complete = first.iter().all(|id| entries.get(id).is_none_or(ContainerEntry::is_known));
        }
        self.complete
    }
}

/// Where a service's health comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum HealthSource {
    /// A check of our own.
    Check { check: Check, target: CheckTarget },
    /// The HEALTHCHECK of the image or container, which the engine runs.
    Engine,
    /// Nothing but that it runs.
    #[default]
    Running,
}

/// Returns the time between a container's stop signal and the kill, plus a margin.
fn kill_timeout(stop_timeout: Option<u64>) -> Duration {
    Duration::from_secs(stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT_SECS).min(86_400)) + KILL_GRACE_DELAY
}
