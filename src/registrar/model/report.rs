//! What the model reports: to the log, the status, and placement.

use tokio::time::Instant;

use super::super::container::{Container, ContainerState, Port, PublishedPort};
use super::super::service::Skipped;
use super::super::status_board::{ContainerStatus, ServiceStatus};
use super::{ContainerEntry, FIRST_PASS_TIMEOUT, Model, ServicePhase};
use crate::placement;

/// The longest label that is published for placement.
const MAX_LABEL_BYTES: usize = 1024;

/// Logs what is not registered of a container, in Registrator's words.
pub(super) fn log_skipped(short: &str, skipped: &[Skipped]) {
    for skipped in skipped {
        match skipped {
            Skipped::Ignored(why) => tracing::info!("ignored: {short} {why}"),
            Skipped::Refused(why) => tracing::warn!("refused: {short} {why}"),
            Skipped::UnknownAttribute(why) => tracing::warn!("{short} {why}"),
        }
    }
}

/// Returns a service as messages name it.
fn named(container: &str, id: &str, service: &str, port: &str) -> String {
    format!("{container} ({}), service {service} on port {port}", id.get(..12).unwrap_or(id))
}

impl Model {
    /// Returns a message for each service whose first check, or whose HEALTHCHECK, fails; once per service and run.
    pub(in crate::registrar) fn first_failures(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, entry) in &mut self.entries {
            let Some(container) = &entry.container else { continue };
            for (port, state) in entry.services.iter_mut().filter(|(_, state)| !state.is_result_logged) {
                let (phase, why) = state.phase(container, entry.draining.as_ref());
                let fails =
                    phase == ServicePhase::Failing || (phase == ServicePhase::Starting && state.has_failed());
                state.is_result_logged = fails || phase == ServicePhase::Passing;
                if fails {
                    let named = named(&container.name, id, &state.service.name, &port.to_string());
                    lines.push(format!("{named}, is not healthy yet, so it gets no key: {why}"));
                }
            }
        }
        lines
    }

    /// Returns messages about services that waited too long for their first passed check; once per service and run.
    pub(in crate::registrar) fn overdue(&mut self, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, entry) in &mut self.entries {
            let Some(container) = &entry.container else { continue };
            for (port, state) in &mut entry.services {
                if state.phase(container, entry.draining.as_ref()).0 != ServicePhase::Starting {
                    continue;
                }
                let since = *state.since.get_or_insert(now);
                if state.is_overdue_logged || now < since + FIRST_PASS_TIMEOUT {
                    continue;
                }
                state.is_overdue_logged = true;
                let last = if state.why.is_empty() { String::new() } else { format!(": {}", state.why) };
                let named = named(&container.name, id, &state.service.name, &port.to_string());
                let seconds = FIRST_PASS_TIMEOUT.as_secs();
                lines.push(format!("{named}, has passed no check in {seconds} s, so it has no key{last}"));
            }
        }
        lines
    }

    /// Returns all containers that are or were to be registered, by name.
    pub(in crate::registrar) fn status(&self) -> Vec<ContainerStatus> {
        let mut all: Vec<ContainerStatus> =
            self.entries.iter().map(|(id, entry)| self.container_status(id, entry)).collect();
        all.sort_by(|left, right| (&left.name, &left.id).cmp(&(&right.name, &right.id)));
        all
    }

    fn container_status(&self, id: &str, entry: &ContainerEntry) -> ContainerStatus {
        let services: Vec<ServiceStatus> = entry
            .services
            .iter()
            .map(|(port, state)| {
                let (mut phase, mut why) = entry.phase(state);
                if let Some(owner) = self.taken_by(&state.service.key, &(id.to_owned(), *port))
                    && phase == ServicePhase::Passing
                {
                    phase = ServicePhase::Failing;
                    why = format!("its key already belongs to {}", self.called(owner));
                }
                ServiceStatus {
                    name: state.service.name.clone(),
                    id: state.service.id.clone(),
                    port: port.to_string(),
                    state: phase.word().to_owned(),
                    why,
                    key: state.service.key.clone(),
                    value: state.service.value.clone(),
                    kept: None,
                }
            })
            .collect();
        let worst = services.iter().max_by_key(|service| rank(&service.state));
        let (state, why) = match worst {
            Some(worst) => (worst.state.clone(), worst.why.clone()),
            None => (ServicePhase::Absent.word().to_owned(), "no part of it is registered".to_owned()),
        };
        let container = entry.container.as_ref();
        let runs = container.is_some_and(|container| container.run_state == ContainerState::Running);
        let refusal = entry.skipped.iter().find_map(|skipped| match skipped {
            Skipped::Refused(why) if runs => Some(format!("refused: {why}")),
            Skipped::Refused(_) | Skipped::Ignored(_) | Skipped::UnknownAttribute(_) => None,
        });
        let (state, why) = match refusal {
            Some(refusal) if matches!(state.as_str(), "absent" | "passing") => {
                (ServicePhase::Failing.word().to_owned(), refusal)
            }
            _ => (state, why),
        };
        ContainerStatus {
            id: id.to_owned(),
            name: container.map(|container| container.name.clone()).unwrap_or_default(),
            image: container.map(|container| container.image.clone()).unwrap_or_default(),
            state,
            why: if container.is_none() { "it has not been inspected yet".to_owned() } else { why },
            services,
            skipped: entry
                .skipped
                .iter()
                .map(|skipped| match skipped {
                    Skipped::Ignored(why) => format!("ignored: {why}"),
                    Skipped::Refused(why) => format!("refused: {why}"),
                    Skipped::UnknownAttribute(why) => format!("warning: {why}"),
                })
                .collect(),
        }
    }

    /// Returns all containers as placement sees them.
    pub(in crate::registrar) fn facts(&self) -> Vec<placement::Container> {
        self.entries.values().filter_map(|entry| entry.container.as_ref()).map(facts).collect()
    }
}

/// Returns a message for each service that should have a key and has none. `writes` is off where nothing is written.
pub(in crate::registrar) fn unregistered(containers: &[ContainerStatus], writes: bool) -> Vec<String> {
    let all = containers
        .iter()
        .flat_map(|container| container.services.iter().map(move |service| (container, service)));
    let missing = all.filter_map(|(container, service)| {
        let why = match (service.state.as_str(), &service.kept) {
            ("passing", _) if !writes => return None,
            ("passing", Some(kept)) if kept.held => return None,
            ("passing", Some(kept)) => kept.why.clone(),
            ("passing", None) => "its key could not be written in time".to_owned(),
            ("absent" | "draining", _) => return None,
            (_, _) if service.why.is_empty() => "its check has had no result yet".to_owned(),
            (_, _) => service.why.clone(),
        };
        Some(format!(
            "{} is not registered: {why}",
            named(&container.name, &container.id, &service.name, &service.port)
        ))
    });
    missing.collect()
}

/// Ranks states by how much attention they need.
fn rank(state: &str) -> usize {
    ["passing", "absent", "draining", "starting", "failing"]
        .iter()
        .position(|word| *word == state)
        .unwrap_or_default()
}

fn facts(container: &Container) -> placement::Container {
    let bindings = |(port, published): (&Port, &Vec<PublishedPort>)| {
        let protocol = port.protocol.word();
        published
            .iter()
            .map(|published| placement::PortBinding {
                ip: published.ip.clone(),
                host_port: published.port.clone(),
                protocol: protocol.to_owned(),
            })
            .collect::<Vec<_>>()
    };
    let mut ports: Vec<placement::PortBinding> = Vec::new();
    for binding in container.configured_ports.iter().chain(&container.ports).flat_map(bindings) {
        if !ports.contains(&binding) {
            ports.push(binding);
        }
    }
    placement::Container {
        id: container.id.clone(),
        names: vec![container.name.clone()],
        image: container.image.clone(),
        labels: container
            .labels
            .iter()
            .filter(|(name, text)| name.len() + text.len() <= MAX_LABEL_BYTES)
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect(),
        ports,
        host_network: container.network_mode == "host",
        exposed: container.exposed.iter().map(ToString::to_string).collect(),
        cpus: container.cpu_shares,
        memory: container.memory,
    }
}
