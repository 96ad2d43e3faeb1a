//! Make before break: the key of a running service stays until the service's new key is confirmed.
//!
//! Owns: which keys wait before they are deleted or given to another service, how long they wait, and the temporary keys
//! that let services swap their keys.
//! Promises: a key waits only while its service is wanted under another key; a service that is no longer wanted (its
//! container ended, its check fails) delays nothing. A service whose new key belongs to another counts as wanted.
//! Leaves out: the requests (`actions`). Pure: no clock, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::held::{HeldKey, KeyState, Owner, ServiceRef};
use super::{Registration, WantedKeys};
use crate::registrar::container::short;

/// How long an old key with a correct address waits for its successor while the store responds.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for an old key whose address the container no longer has: another container may get that address.
const OLD_ADDRESS_HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a key of an earlier run whose container is not inspected yet; inspection has its own timeout.
const UNKNOWN_HANDOVER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The suffix of a temporary key: the name of the key it stands in for, this, then the id of its container.
const TEMPORARY_KEY_SUFFIX: &str = "~moving";

/// Sets for each key how long it waits for the new key of its service.
pub(super) fn mark(wanted: &WantedKeys, held: &mut BTreeMap<String, HeldKey>, now: Instant) {
    let missing: BTreeSet<&str> = wanted
        .keys
        .iter()
        .filter(|(key, registration)| !held.get(*key).is_some_and(|held| held.is_confirmed(registration)))
        .map(|(_, registration)| short(&registration.container))
        .collect();
    // The common case: all wanted keys are confirmed, so nothing waits.
    if missing.is_empty() && wanted.unplaced.is_empty() {
        held.values_mut().for_each(|known| known.waits.clear());
        return;
    }
    let places: BTreeMap<ServiceRef<'_>, (&String, &Registration)> =
        wanted.keys.iter().map(|(key, registration)| (registration.by(), (key, registration))).collect();
    let present = CurrentKeys { wanted, places, missing, held };
    let waits: Vec<_> = held.iter().map(|(key, known)| present.wait(key, known)).collect();
    for (known, reasons) in held.values_mut().zip(waits) {
        known.wait_for(reasons, now);
    }
}

/// What decides how long keys wait.
struct CurrentKeys<'k> {
    wanted: &'k WantedKeys,
    /// The key and registration of each wanted service.
    places: BTreeMap<ServiceRef<'k>, (&'k String, &'k Registration)>,
    /// The containers with a key that is not confirmed.
    missing: BTreeSet<&'k str>,
    held: &'k BTreeMap<String, HeldKey>,
}

impl CurrentKeys<'_> {
    /// Returns what a key waits for: the values that must not be lost, and how long each may stay.
    fn wait(&self, key: &String, known: &HeldKey) -> Vec<(String, Duration)> {
        if known.left.is_some() || self.wanted.released.contains(key) {
            return Vec::new();
        }
        let desired = self.wanted.keys.get(key);
        fault!(NoWait, return Vec::new());
        fault!(
            NoWaitForAnothers,
            if desired.is_some() {
                return Vec::new();
            }
        );
        let others = known
            .possible()
            .filter(|(_, owner)| desired.is_none_or(|registration| registration.by() != owner.by()));
        // Consumers may find any of them under the key, so none may lose it.
        others.filter_map(|(value, owner)| Some((value.clone(), self.wait_for(owner, key, known)?))).collect()
    }

    /// Returns how long a key may wait for the new key of `owner`, which may be the service under it.
    fn wait_for(&self, owner: &Owner, key: &String, known: &HeldKey) -> Option<Duration> {
        let Self { wanted, places, missing, held } = self;
        let given_away = wanted.keys.contains_key(key);
        let unlooked = wanted.unknown.contains(&owner.id) || !(wanted.complete || wanted.listed);
        if known.before && unlooked && given_away {
            return Some(UNKNOWN_HANDOVER_TIMEOUT);
        }
        let Some((new_key, registration)) = places.get(&owner.by()) else {
            let beaten = (owner.id.clone(), owner.port.clone());
            let unplaced = fault!(NoWaitForUnplaced, false, wanted.unplaced.contains(&beaten));
            // Another configuration may describe the same container with other ports.
            let unknown = known.before && missing.contains(owner.id.as_str());
            return (unplaced || unknown).then_some(HANDOVER_TIMEOUT);
        };
        let new = held.get(*new_key);
        if new.is_some_and(|new| new.is_confirmed(registration)) {
            return None;
        }
        // A key that goes to another service is free once its present service has any other key.
        let elsewhere = |(other, found): (&String, &HeldKey)| {
            other != key
                && found.is_confirmed(registration)
                && found.owners().all(|owner| owner.address == registration.address)
                && wanted.keys.get(other).is_none_or(|desired| desired.by() == registration.by())
        };
        if given_away && held.iter().any(elsewhere) {
            return None;
        }
        let right = owner.address == registration.address;
        let refused = new.is_some_and(|new| matches!(new.key_state, KeyState::Blocked { .. }));
        match (right, refused) {
            (true, _) => Some(HANDOVER_TIMEOUT),
            (false, false) => Some(OLD_ADDRESS_HANDOVER_TIMEOUT),
            (false, true) => None,
        }
    }
}

/// Returns the temporary keys of services that swap their keys. Each waits for another's key, so one of them is written
/// under a third name first.
pub(super) fn temporary_keys(
    wanted: &WantedKeys,
    held: &BTreeMap<String, HeldKey>,
    now: Instant,
) -> BTreeMap<String, Registration> {
    let places: BTreeMap<ServiceRef<'_>, (&String, &Registration)> =
        wanted.keys.iter().map(|(key, registration)| (registration.by(), (key, registration))).collect();
    // Maps a key that another service is to get to the key that its present service waits for.
    let next = |key: &String| {
        let (known, desired) = (held.get(key).filter(|known| known.waits(now))?, wanted.keys.get(key)?);
        let mut others = known.owners().filter(|owner| owner.by() != desired.by());
        others.find_map(|owner| places.get(&owner.by()))
    };
    let mut found = BTreeMap::new();
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    for start in held.iter().filter(|(_, known)| !known.waits.is_empty()).map(|(key, _)| key) {
        let mut path: Vec<&String> = Vec::new();
        let mut at = start;
        while seen.insert(at) {
            let Some((new_key, _)) = next(at) else { break };
            path.push(at);
            at = new_key;
        }
        // A path that returns to one of its own keys is a cycle; keys of earlier paths are already handled.
        if path.contains(&at)
            && let Some((_, registration)) = next(at)
        {
            // Include the service's own name: the key of an earlier cycle may still stand in for another.
            found.insert(
                format!("{at}{TEMPORARY_KEY_SUFFIX}-{}", short(&registration.container)),
                (*registration).clone(),
            );
        }
    }
    found
}
