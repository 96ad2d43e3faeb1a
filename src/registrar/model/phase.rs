//! Derives a service's state from what is known about it and its container.

use super::super::container::{Container, ContainerState, Healthcheck};
use super::HealthSource;
use super::entry::{ContainerEntry, Draining, ServicePhase, ServiceState};

impl ContainerEntry {
    /// Returns the state of one of its services, and the reason if there is one.
    pub(super) fn phase(&self, state: &ServiceState) -> (ServicePhase, String) {
        let Some(container) = &self.container else { return (ServicePhase::Absent, String::new()) };
        state.phase(container, self.draining.as_ref())
    }
}

impl ServiceState {
    /// Returns its state in its container, and the reason if there is one.
    pub(super) fn phase(&self, container: &Container, draining: Option<&Draining>) -> (ServicePhase, String) {
        match container.run_state {
            ContainerState::Running => {}
            ContainerState::Paused => return (ServicePhase::Failing, "the container is paused".to_owned()),
            ContainerState::Restarting => {
                return (ServicePhase::Absent, "the container is restarting".to_owned());
            }
            ContainerState::NotRunning => {
                return (ServicePhase::Absent, "the container is not running".to_owned());
            }
        }
        if let Some(draining) = draining {
            return (ServicePhase::Draining, format!("the container {}", draining.why));
        }
        match &self.health_source {
            HealthSource::Running => (ServicePhase::Passing, String::new()),
            HealthSource::Engine => by_healthcheck(container),
            HealthSource::Check { .. } if self.healthy => (ServicePhase::Passing, String::new()),
            HealthSource::Check { .. } if self.was_healthy => (ServicePhase::Failing, self.why.clone()),
            HealthSource::Check { .. } => (ServicePhase::Starting, self.why.clone()),
        }
    }
}

fn by_healthcheck(container: &Container) -> (ServicePhase, String) {
    match container.healthcheck {
        Some(Healthcheck::Healthy) => (ServicePhase::Passing, String::new()),
        Some(Healthcheck::Unhealthy) => (ServicePhase::Failing, "its HEALTHCHECK fails".to_owned()),
        Some(Healthcheck::Starting) | None => {
            (ServicePhase::Starting, "its HEALTHCHECK has not passed yet".to_owned())
        }
    }
}
