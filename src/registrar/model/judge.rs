//! How a service is, from everything that is known of it and its container.

use super::super::container::{Container, Doing, Healthcheck};
use super::Basis;
use super::entry::{Entry, State};

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registrar) enum Phase {
    /// Its container does not run.
    Absent,
    /// It has not passed a check yet.
    Starting,
    /// It is well: it has a key.
    Passing,
    /// It was well and is not.
    Failing,
    /// Its container is about to end.
    Draining,
}

impl Phase {
    /// As the status has it.
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

impl Entry {
    /// How one of its services is, and why where there is something to say.
    pub(super) fn judge(&self, state: &State) -> (Phase, String) {
        let Some(container) = &self.container else { return (Phase::Absent, String::new()) };
        match container.doing {
            Doing::Running => {}
            Doing::Paused => return (Phase::Failing, "the container is paused".to_owned()),
            Doing::Restarting => {
                return (Phase::Absent, "the container is between two restarts".to_owned());
            }
            Doing::Nothing => return (Phase::Absent, "the container does not run".to_owned()),
        }
        if let Some(draining) = &self.draining {
            return (Phase::Draining, format!("the container {}", draining.why));
        }
        match &state.basis {
            Basis::Running => (Phase::Passing, String::new()),
            Basis::Engine => by_healthcheck(container),
            Basis::Check { .. } if state.well => (Phase::Passing, String::new()),
            Basis::Check { .. } if state.was_well => (Phase::Failing, state.why.clone()),
            Basis::Check { .. } => (Phase::Starting, state.why.clone()),
        }
    }
}

fn by_healthcheck(container: &Container) -> (Phase, String) {
    match container.healthcheck {
        Some(Healthcheck::Healthy) => (Phase::Passing, String::new()),
        Some(Healthcheck::Unhealthy) => (Phase::Failing, "its HEALTHCHECK fails".to_owned()),
        Some(Healthcheck::Starting) | None => {
            (Phase::Starting, "its HEALTHCHECK has not passed yet".to_owned())
        }
    }
}
