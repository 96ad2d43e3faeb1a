//! What is known of one key of ours: what stands there, and for whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Registration;
use crate::registrar::container::short;

/// A service: the beginning of its container's id, and its port.
pub(super) type Service<'k> = (&'k str, &'k str);

impl Registration {
    pub(super) fn by(&self) -> Service<'_> {
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
    /// Where the value sends consumers.
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

    pub(super) fn by(&self) -> Service<'_> {
        (&self.id, &self.port)
    }
}

/// How a key of ours does in the store, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    /// It stands there with this value, last written at this index.
    Kept { value: String, index: u64 },
    /// It may stand there: written before a crash, or by a request whose answer was lost.
    Unknown,
    /// The store or somebody else is in the way of this value, and that was said.
    Blocked { desired: String, why: String },
}

/// A key that is ours or was to be.
#[derive(Clone, Debug)]
pub(super) struct HeldKey {
    pub(super) key_state: KeyState,
    /// The values that may stand there and are ours, each with the service that it was written for; whatever else stands
    /// there is somebody else's.
    pub(super) mine: BTreeMap<String, Owner>,
    /// When it is to be looked at again.
    pub(super) due: Instant,
    /// Known from the list of an earlier life only; nobody has asked for it in this one.
    pub(super) before: bool,
    /// When it is no longer ours, of one that is left to its lease.
    pub(super) left: Option<Instant>,
    /// Until when it must not be deleted nor given to another service, because the new key of its own is not confirmed.
    pub(super) waits: Option<Instant>,
    /// The service that it was meant for last, for the log.
    pub(super) owner: Owner,
}

impl HeldKey {
    /// One of which nothing is known.
    pub(super) const fn new(due: Instant) -> Self {
        let nobody =
            Owner { id: String::new(), port: String::new(), address: String::new(), service: String::new() };
        Self {
            key_state: KeyState::Unknown,
            mine: BTreeMap::new(),
            due,
            before: false,
            left: None,
            waits: None,
            owner: nobody,
        }
    }

    /// The services that may be found under the key: one where its value is known, else one for each value of ours.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        let kept = match &self.key_state {
            KeyState::Kept { value, .. } => Some(value),
            KeyState::Unknown | KeyState::Blocked { .. } => None,
        };
        self.mine
            .iter()
            .filter(move |(value, _)| kept.is_none_or(|kept| kept == *value))
            .map(|(_, owner)| owner)
    }

    /// Whether a service other than that of `registration` may be found under the key.
    pub(super) fn may_be_anothers(&self, registration: &Registration) -> bool {
        self.owners().any(|owner| owner.by() != registration.by())
    }

    /// Whether the service of `registration` is found under the key for certain, with its value.
    pub(super) fn is_confirmed(&self, registration: &Registration) -> bool {
        let KeyState::Kept { value, .. } = &self.key_state else { return false };
        *value == registration.value
            && self.mine.get(value).is_some_and(|owner| owner.by() == registration.by())
    }

    /// Whether it must not be deleted nor given to another service now.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.waits.is_some_and(|until| now < until)
    }

    /// A request is about to change or delete it: until the answer is there it confirms nothing, should the wish change meanwhile.
    pub(super) fn in_motion(&mut self) {
        if matches!(self.key_state, KeyState::Kept { .. }) {
            self.lost_sight(self.due);
        }
    }

    /// What stands there is unknown from now on; it may be looked at from `due` on.
    pub(super) fn lost_sight(&mut self, due: Instant) {
        self.key_state = KeyState::Unknown;
        self.due = due;
    }
}
