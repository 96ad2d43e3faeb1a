//! The state of one container and of each of its services.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::check::Check;
use super::super::container::{Container, ContainerState, ListedContainer, Port};
use super::super::service::{Service, Skipped};
use super::{FIRST_PASS_TIMEOUT, HealthSource, Probe, kill_timeout};

/// The shortest delay before a failed inspection is retried.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// An inspection older than this is repeated.
const MAX_INSPECTION_AGE: Duration = Duration::from_secs(300);

/// The state of one container.
#[derive(Default)]
pub(super) struct ContainerEntry {
    /// From the last inspection.
    pub(super) container: Option<Container>,
    /// From the last list.
    pub(super) signature: Option<String>,
    pub(super) services: BTreeMap<Port, ServiceState>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) draining: Option<Draining>,
    /// Whether something happened since the last inspection was requested.
    pub(super) dirty: bool,
    /// Since when an inspection is in progress.
    pub(super) asked: Option<Instant>,
    /// Describe the container again even if it is unchanged.
    pub(super) redescribe: bool,
    failures: u32,
    not_before: Option<Instant>,
    /// When it was last inspected.
    seen: Option<Instant>,
}

/// A container that is about to exit.
#[derive(Clone, Debug)]
pub(super) struct Draining {
    /// What happened; messages put it after the container's name.
    pub(super) why: String,
    /// When, by the engine's clock.
    pub(super) at: Option<i64>,
    /// The run of the container that ends.
    pub(super) run_started: Option<i64>,
    /// When the container will have survived the stop if it still runs; `None`: it drains until its next run.
    pub(super) until: Option<Instant>,
    /// That time has passed, and an inspection is to show whether it still runs.
    pub(super) is_overdue: bool,
}

/// One service of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceState {
    pub(super) service: Service,
    pub(super) health_source: HealthSource,
    /// Whether its checks pass; unused for a service without checks.
    pub(super) healthy: bool,
    /// Whether it was ever healthy in this run of its container.
    pub(super) was_healthy: bool,
    /// How many results of the same kind came in a row.
    passes: u32,
    failures: u32,
    /// Why the last check failed.
    pub(super) why: String,
    /// Since when it has waited for its first passed check.
    pub(super) since: Option<Instant>,
    /// Whether that was logged.
    pub(super) is_overdue_logged: bool,
    /// Whether it passed, or why it does not was logged.
    pub(super) is_result_logged: bool,
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registrar) enum ServicePhase {
    /// Its container does not run.
    Absent,
    /// It has not passed a check yet.
    Starting,
    /// It is healthy: it has a key.
    Passing,
    /// It was healthy and is not any more.
    Failing,
    /// Its container is about to exit.
    Draining,
}

impl ServicePhase {
    /// Returns the word that the status uses.
    pub(in crate::registrar) const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Starting => "starting",
            Self::Passing => "passing",
            Self::Failing => "failing",
            Self::Draining => "draining",
        }
    }
}

impl ContainerEntry {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.dirty && self.asked.is_none() && self.not_before.is_none_or(|at| now >= at)
    }

    /// Handles a failed inspection: the container's state stays, and the inspection is to be retried.
    pub(super) fn failed(&mut self, now: Instant) {
        let wait = MIN_RETRY_DELAY.saturating_mul(1 << self.failures.min(10)).min(MAX_RETRY_DELAY);
        self.failures += 1;
        self.not_before = Some(now + wait);
        self.dirty = true;
    }

    pub(super) fn answered(&mut self, now: Instant) {
        (self.failures, self.not_before, self.seen) = (0, None, Some(now));
    }

    /// Notes that the engine responds, so a failed inspection may be retried at once.
    pub(super) fn engine_answers(&mut self) {
        self.not_before = None;
    }

    /// Returns whether a list entry differs from the previous list or from the last inspection.
    pub(super) fn differs(&self, listed: &ListedContainer) -> bool {
        self.signature.as_ref() != Some(&listed.signature)
            || self.container.as_ref().is_none_or(|container| !listed.matches(container))
    }

    /// Returns whether a new inspection is due although nothing indicates a change: a list does not show everything.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.seen.is_some_and(|seen| now >= seen + MAX_INSPECTION_AGE)
    }

    /// Returns whether it was running when last inspected.
    pub(super) fn was_up(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.run_state != ContainerState::NotRunning)
    }

    /// Returns whether it uses another container's network.
    pub(super) fn shares_network(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.network_mode.starts_with("container:"))
    }

    pub(super) fn stop_timeout(&self) -> Duration {
        kill_timeout(self.container.as_ref().and_then(|container| container.stop_timeout))
    }

    /// Carries the health of a service over to its new description, within one run of its container. If the check
    /// itself changed, a healthy service stays healthy until the new check fails.
    pub(super) fn inherit(&self, state: &mut ServiceState) {
        let Some(known) = self.services.get(&state.service.port) else { return };
        if known.health_source == state.health_source {
            let service = state.service.clone();
            *state = ServiceState { service, ..known.clone() };
        } else if self.phase(known).0 == ServicePhase::Passing {
            (state.healthy, state.was_healthy) = (true, true);
        }
    }

    /// Once a stop should have ended the container, has an inspection show whether it did.
    pub(super) fn check_survived_stop(&mut self, now: Instant) {
        if let Some(draining) = &mut self.draining
            && !draining.is_overdue
            && draining.until.is_some_and(|until| now >= until)
        {
            draining.is_overdue = true;
            self.dirty = true;
        }
    }

    /// Ends draining when an inspection requested at `asked` shows a run that began at `started`.
    pub(super) fn end_draining(&mut self, started: Option<i64>, asked: Option<Instant>) {
        let Some(draining) = &self.draining else { return };
        let new_run = match (draining.at, started) {
            (Some(at), Some(started)) => started > at,
            _ => started != draining.run_started,
        };
        let outlived = draining.until.is_some_and(|until| asked.is_some_and(|asked| asked >= until));
        if outlived && !new_run {
            self.services.values_mut().for_each(ServiceState::start_over);
        }
        if new_run || outlived {
            self.draining = None;
        }
    }

    /// Returns whether its service on `port` is passing.
    pub(super) fn passes(&self, port: Port) -> bool {
        self.services.get(&port).is_some_and(|state| self.phase(state).0 == ServicePhase::Passing)
    }

    /// Returns when time alone would change something.
    pub(super) fn next(&self) -> Option<Instant> {
        let draining = self.draining.as_ref().filter(|draining| !draining.is_overdue);
        let outlived = draining.and_then(|draining| draining.until);
        let retry = self.not_before.filter(|_| self.dirty && self.asked.is_none());
        let waits = self
            .services
            .values()
            .filter(|state| !state.is_overdue_logged && self.phase(state).0 == ServicePhase::Starting);
        let overdue = waits.filter_map(|state| Some(state.since? + FIRST_PASS_TIMEOUT));
        outlived.into_iter().chain(retry).chain(overdue).min()
    }

    /// Returns whether it was inspected and all its checks have reached a result.
    pub(super) fn is_known(&self) -> bool {
        let Some(container) = &self.container else { return false };
        container.run_state != ContainerState::Running || self.services.values().all(ServiceState::is_known)
    }
}

impl ServiceState {
    pub(super) fn new(service: Service, health_source: HealthSource) -> Self {
        Self { service, health_source, ..Self::default() }
    }

    fn is_known(&self) -> bool {
        match &self.health_source {
            HealthSource::Check { check, .. } => self.healthy || self.failures >= check.fall,
            HealthSource::Engine | HealthSource::Running => true,
        }
    }

    /// Returns whether a check of its own has failed.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Resets the health for a new run of the container.
    fn start_over(&mut self) {
        *self = Self::new(self.service.clone(), self.health_source.clone());
    }

    /// Returns the check that should be running.
    pub(super) fn probe(&self, run_started: Option<i64>) -> Option<Probe> {
        match &self.health_source {
            HealthSource::Check { check, target } => {
                Some(Probe { check: check.clone(), target: target.clone(), run_started })
            }
            HealthSource::Engine | HealthSource::Running => None,
        }
    }

    /// Counts a result of the running check. Returns whether that changed anything.
    pub(super) fn checked(&mut self, check: &Check, result: Result<(), String>) -> bool {
        let before = (self.healthy, self.was_healthy, self.is_known(), self.why.clone());
        match result {
            Ok(()) => {
                (self.passes, self.failures) = (self.passes.saturating_add(1), 0);
                if self.passes >= check.rise {
                    (self.healthy, self.was_healthy) = (true, true);
                    self.why.clear();
                }
            }
            Err(why) => {
                (self.passes, self.failures) = (0, self.failures.saturating_add(1));
                self.why = why;
                if self.failures >= check.fall {
                    self.healthy = false;
                }
            }
        }
        before != (self.healthy, self.was_healthy, self.is_known(), self.why.clone())
    }
}
