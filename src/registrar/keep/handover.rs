//! Make before break: a key that a running service is found under stays until the service's new key is confirmed.
//!
//! Owns: which keys wait before they are deleted or given to another service, for how long, and the stand-in keys that
//! let services swap their keys.
//! Promises: a key waits only while its service is wanted under another key; a service that is no longer wanted (its
//! container ended, its check fails) holds nothing up. One whose new key is another's counts as wanted.
//! Leaves out: the requests (`act`). Pure: no clock, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::held::{HeldKey, KeyState, Owner, Service};
#[cfg(test)]
use super::{Planted, is_planted};
use super::{Registration, WantedKeys};
use crate::registrar::container::short;

/// How long an old key with a right address waits for its successor while the store answers.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for an old key whose address is no longer the container's: somebody else may get that address.
const OLD_ADDRESS_HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);
/// A key that an earlier run left of a container that is not looked at yet waits until it is; that has a bound of its own.
const UNKNOWN_HANDOVER_TIMEOUT: Duration = Duration::from_secs(3_600);
/// What a stand-in key has after the name of the key it stands in for, before the id of the container that it is for.
const STAND_IN: &str = "~moving";

/// Sets for every key until when it waits for the new key of its service.
pub(super) fn mark(wanted: &WantedKeys, held: &mut BTreeMap<String, HeldKey>, now: Instant) {
    let missing: BTreeSet<&str> = wanted
        .keys
        .iter()
        .filter(|(key, registration)| !held.get(*key).is_some_and(|held| held.is_confirmed(registration)))
        .map(|(_, registration)| short(&registration.container))
        .collect();
    // The common case: every wanted key is confirmed, so nothing waits.
    if missing.is_empty() && wanted.unplaced.is_empty() {
        held.values_mut().for_each(|known| known.waits = None);
        return;
    }
    let places: BTreeMap<Service<'_>, (&String, &Registration)> =
        wanted.keys.iter().map(|(key, registration)| (registration.by(), (key, registration))).collect();
    let wait = |(key, known): (&String, &HeldKey)| wait(wanted, &places, &missing, held, (key, known));
    let waits: Vec<Option<Duration>> = held.iter().map(wait).collect();
    for (known, wait) in held.values_mut().zip(waits) {
        known.waits = wait.map(|wait| known.waits.map_or(now + wait, |until| until.min(now + wait)));
    }
}

/// How long a key may wait from now on; `None`: not at all.
fn wait(
    wanted: &WantedKeys,
    places: &BTreeMap<Service<'_>, (&String, &Registration)>,
    missing: &BTreeSet<&str>,
    held: &BTreeMap<String, HeldKey>,
    (key, known): (&String, &HeldKey),
) -> Option<Duration> {
    if known.left.is_some() || wanted.released.contains(key) {
        return None;
    }
    let desired = wanted.keys.get(key);
    #[cfg(test)]
    if is_planted(Planted::NoWait) || (desired.is_some() && is_planted(Planted::NoWaitForAnothers)) {
        return None;
    }
    let others =
        known.owners().filter(|owner| desired.is_none_or(|registration| registration.by() != owner.by()));
    // Whoever of them is really found there must not be lost.
    others.filter_map(|owner| wait_for(owner, wanted, places, missing, held, (key, known))).max()
}

/// How long a key may wait for the new key of `owner`, which may be found under it.
fn wait_for(
    owner: &Owner,
    wanted: &WantedKeys,
    places: &BTreeMap<Service<'_>, (&String, &Registration)>,
    missing: &BTreeSet<&str>,
    held: &BTreeMap<String, HeldKey>,
    (key, known): (&String, &HeldKey),
) -> Option<Duration> {
    let given_away = wanted.keys.contains_key(key);
    let unlooked = wanted.unknown.contains(&owner.id) || !(wanted.complete || wanted.listed);
    if known.before && unlooked && given_away {
        return Some(UNKNOWN_HANDOVER_TIMEOUT);
    }
    let Some((new_key, registration)) = places.get(&owner.by()) else {
        let unplaced = wanted.unplaced.contains(&(owner.id.clone(), owner.port.clone()));
        #[cfg(test)]
        let unplaced = unplaced && !is_planted(Planted::NoWaitForUnplaced);
        // Another configuration may describe the same container by other ports.
        return (unplaced || known.before && missing.contains(owner.id.as_str())).then_some(HANDOVER_TIMEOUT);
    };
    let new = held.get(*new_key);
    if new.is_some_and(|new| new.is_confirmed(registration)) {
        return None;
    }
    // A key that goes to another service is free as soon as its present service is found under any other key.
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

/// The keys that services need for a moment that want to swap theirs: each waits for another, so one of them is
/// written under a third name first.
pub(super) fn stand_ins(
    wanted: &WantedKeys,
    held: &BTreeMap<String, HeldKey>,
    now: Instant,
) -> BTreeMap<String, Registration> {
    let places: BTreeMap<Service<'_>, (&String, &Registration)> =
        wanted.keys.iter().map(|(key, registration)| (registration.by(), (key, registration))).collect();
    // From a key that another service is to get, to the key that its present service waits for.
    let next = |key: &String| {
        let (known, desired) = (held.get(key).filter(|known| known.waits(now))?, wanted.keys.get(key)?);
        let mut others = known.owners().filter(|owner| owner.by() != desired.by());
        others.find_map(|owner| places.get(&owner.by()))
    };
    let mut found = BTreeMap::new();
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    for start in held.iter().filter(|(_, known)| known.waits.is_some()).map(|(key, _)| key) {
        let mut path: Vec<&String> = Vec::new();
        let mut at = start;
        while seen.insert(at) {
            let Some((new_key, _)) = next(at) else { break };
            path.push(at);
            at = new_key;
        }
        // A way that comes back to one of its own keys is a circle; keys of earlier ways have been dealt with.
        if path.contains(&at)
            && let Some((_, registration)) = next(at)
        {
            // With the service's own name: the key of an earlier circle may still stand in for another.
            found.insert(
                format!("{at}{STAND_IN}-{}", short(&registration.container)),
                (*registration).clone(),
            );
        }
    }
    found
}
