//! Which keys are wanted, and which service gets a key that several claim.

use std::collections::{BTreeMap, BTreeSet};

use super::super::container::short;
use super::super::reconcile::{Registration, WantedKeys};
use super::super::service::Service;
use super::{Model, ServiceId, ServicePhase};

fn registration(service_id: &ServiceId, service: &Service) -> Registration {
    Registration {
        value: service.value.clone(),
        container: service.container.clone(),
        port: service_id.1.to_string(),
        address: format!("{}:{}", service.ip, service.public),
        service: service.id.clone(),
    }
}

impl Model {
    /// Returns the wanted keys. Of several services with one key, the one that has it keeps it; among new ones, the
    /// container that has run the longest gets it. The others have no key: often the rename of the owner is just not
    /// known yet.
    pub(in crate::registrar) fn wanted(&mut self) -> WantedKeys {
        let complete = self.complete();
        let mut passing: Vec<(Option<i64>, ServiceId, &Service)> = Vec::new();
        for (id, entry) in &self.entries {
            let started = entry.container.as_ref().and_then(|container| container.started);
            for (port, state) in &entry.services {
                if entry.phase(state).0 == ServicePhase::Passing {
                    passing.push((started, (id.clone(), *port), &state.service));
                }
            }
        }
        passing.sort_by(|(left, service_id, _), (right, other, _)| (left, service_id).cmp(&(right, other)));
        let owners = &self.owners;
        let has = |service_id: &ServiceId, service: &Service| owners.get(&service.key) == Some(service_id);
        let (old, new): (Vec<_>, Vec<_>) =
            passing.into_iter().partition(|(_, service_id, service)| has(service_id, service));
        let mut keys: BTreeMap<String, Registration> = BTreeMap::new();
        let mut next: BTreeMap<String, ServiceId> = BTreeMap::new();
        let mut beaten = Vec::new();
        let mut unplaced = BTreeSet::new();
        for (_, service_id, service) in old.into_iter().chain(new) {
            match next.get(&service.key) {
                Some(owner) => {
                    unplaced.insert((short(&service_id.0).to_owned(), service_id.1.to_string()));
                    beaten.push((service.key.clone(), service_id, owner.clone()));
                }
                None => {
                    keys.insert(service.key.clone(), registration(&service_id, service));
                    next.insert(service.key.clone(), service_id);
                }
            }
        }
        self.owners = next;
        self.released.retain(|key, _| !keys.contains_key(key));
        self.log_collisions(&beaten);
        let unknown = self.entries.iter().filter(|(_, entry)| !entry.is_known());
        WantedKeys {
            keys,
            released: self.released.keys().cloned().collect(),
            complete,
            listed: self.first.is_some(),
            unplaced,
            unknown: unknown.map(|(id, _)| short(id).to_owned()).collect(),
        }
    }

    fn log_collisions(&mut self, beaten: &[(String, ServiceId, ServiceId)]) {
        self.logged_collisions.retain(|(key, service_id)| {
            beaten.iter().any(|(other, loser, _)| other == key && loser == service_id)
        });
        for (key, loser, owner) in beaten {
            if self.logged_collisions.insert((key.clone(), loser.clone())) {
                let (loser, owner) = (self.called(loser), self.called(owner));
                tracing::error!(
                    "refused: {loser}: its key {key} already belongs to {owner}; give one of them another SERVICE_ID"
                );
            }
        }
    }

    /// Describes a service: the short id of its container, the container's name, the port.
    pub(super) fn called(&self, (id, port): &ServiceId) -> String {
        let container = self.entries.get(id).and_then(|entry| entry.container.as_ref());
        let name = container.map_or("", |container| container.name.as_str());
        format!("{} ({name}) port {port}", short(id))
    }

    /// Returns the owner of a key, unless it is this service.
    pub(super) fn taken_by(&self, key: &str, service_id: &ServiceId) -> Option<&ServiceId> {
        self.owners.get(key).filter(|owner| *owner != service_id)
    }
}
