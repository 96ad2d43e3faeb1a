//! What is known about one key of ours: its value in the store, and its service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Registration;
use crate::registrar::container::short;

/// A service: the beginning of its container's id, and its port.
pub(super) type ServiceRef<'k> = (&'k str, &'k str);

impl Registration {
    pub(super) fn by(&self) -> ServiceRef<'_> {
        (short(&self.container), &self.port)
    }
}

/// The service that a value was written for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    /// The beginning of the container's id.
    pub(super) id: String,
    /// The container's port.
    pub(super) port: String,
    /// The address in the value.
    pub(super) address: String,
    /// The service's id, for the log.
    pub(super) service: String,
}

impl Owner {
    pub(super) fn of(registration: &Registration) -> Self {
        Self {
            id: short(&registration.container).to_owned(),
            port: registration.port.clone(),
            address: registration.address.clone(),
            service: registration.service.clone(),
        }
    }

    pub(super) fn by(&self) -> ServiceRef<'_> {
        (&self.id, &self.port)
    }
}

/// The state of one of our keys in the store, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    /// The key has this value, last written at this index.
    Kept { value: String, index: u64 },
    /// The key may exist: written before a crash, or by a request whose response was lost.
    Unknown,
    /// The store rejects this value, or another owner holds the key; that was reported.
    Blocked { desired: String, why: String },
}

/// A key that is ours or should become ours.
#[derive(Clone, Debug)]
pub(super) struct HeldKey {
    pub(super) key_state: KeyState,
    /// The values that are ours and may be at the key, each with its service; any other value is another owner's.
    pub(super) own_values: BTreeMap<String, Owner>,
    /// When to look at the key again.
    pub(super) due: Instant,
    /// Known only from the list of an earlier run; not wanted so far in this one.
    pub(super) before: bool,
    /// For a key that is left to its lease: when it is no longer ours.
    pub(super) left: Option<Instant>,
    /// The key must not be deleted or given to another service before this, because its service's new key is not
    /// confirmed.
    /// One entry for each value and length of wait: a wait that begins for another reason has its whole time.
    pub(super) waits: BTreeMap<(String, Duration), Instant>,
    /// The service that it was last meant for, for the log.
    pub(super) owner: Owner,
}

impl HeldKey {
    /// Returns a key about which nothing is known.
    pub(super) fn new(due: Instant) -> Self {
        Self {
            key_state: KeyState::Unknown,
            own_values: BTreeMap::new(),
            due,
            before: false,
            left: None,
            waits: BTreeMap::new(),
            owner: Owner::default(),
        }
    }

    /// Returns the services that consumers may find under the key: one if its value is known, else one per value of
    /// ours.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.possible().map(|(_, owner)| owner)
    }

    /// Returns the values that may be under the key, each with its service.
    pub(super) fn possible(&self) -> impl Iterator<Item = (&String, &Owner)> {
        let kept = match &self.key_state {
            KeyState::Kept { value, .. } => Some(value),
            KeyState::Unknown | KeyState::Blocked { .. } => None,
        };
        self.own_values.iter().filter(move |(value, _)| kept.is_none_or(|kept| kept == *value))
    }

    /// Returns whether consumers may find a service other than that of `registration` under the key.
    pub(super) fn may_be_anothers(&self, registration: &Registration) -> bool {
        self.owners().any(|owner| owner.by() != registration.by())
    }

    /// Returns whether the key certainly holds the value of `registration`.
    pub(super) fn is_confirmed(&self, registration: &Registration) -> bool {
        let KeyState::Kept { value, .. } = &self.key_state else { return false };
        *value == registration.value
            && self.own_values.get(value).is_some_and(|owner| owner.by() == registration.by())
    }

    /// Returns the end of the longest wait; `None`: it waits for nothing.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waits.values().max().copied()
    }

    /// Waits for each of `reasons`, a value and how long it may stay; a wait that continues keeps its end.
    pub(super) fn wait_for(&mut self, reasons: Vec<(String, Duration)>, now: Instant) {
        let mut before = std::mem::take(&mut self.waits);
        self.waits = reasons
            .into_iter()
            .map(|reason| {
                let until = before.remove(&reason).unwrap_or(now + reason.1);
                (reason, until)
            })
            .collect();
    }

    /// Returns whether the key must not be deleted or given to another service now.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.waits_until().is_some_and(|until| now < until)
    }

    /// Notes that a request is about to change or delete the key: until its response arrives, the key's value is not
    /// confirmed.
    pub(super) fn request_started(&mut self) {
        if matches!(self.key_state, KeyState::Kept { .. }) {
            self.value_unknown(self.due);
        }
    }

    /// Notes that the key's value is unknown from now on; it may be read from `due` on.
    pub(super) fn value_unknown(&mut self, due: Instant) {
        self.key_state = KeyState::Unknown;
        self.due = due;
    }
}
