//! Computes the difference between the wanted keys and those in the store. Pure: no clock, no store.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::held::{HeldKey, KeyState};
use super::{Registration, WantedKeys};

/// A renewal overdue by this much goes before everything else.
const URGENT_RENEWAL_DELAY: Duration = Duration::from_secs(2);

/// One action on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write the key if it does not exist; if it does, decide by its value.
    Create { key: String },
    /// Write another value, if the key is unchanged.
    Replace { key: String, guard: u64 },
    /// Renew the lease, if the key is unchanged; without a lease, check that the key still exists.
    Renew { key: String, guard: u64 },
    /// Renew the lease if the key holds a value of ours: it may still become wanted, or its successor is not confirmed.
    Tend { key: String },
    /// Delete the key if it is unchanged; without a guard, if it holds a value of ours.
    Remove { key: String, guard: Option<u64> },
    /// Leave the key to its lease, and remember it until then: a container that returns finds its own key.
    Leave { key: String },
    /// Forget the key, without a request to the store.
    Forget { key: String },
}

impl Action {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Create { key }
            | Self::Replace { key, .. }
            | Self::Renew { key, .. }
            | Self::Tend { key }
            | Self::Leave { key }
            | Self::Remove { key, .. }
            | Self::Forget { key } => key,
        }
    }

    /// Actions that change something for consumers go first.
    const fn rank(&self) -> u8 {
        match self {
            Self::Forget { .. } | Self::Leave { .. } => 0,
            Self::Remove { .. } | Self::Replace { .. } | Self::Create { .. } => 1,
            Self::Renew { .. } | Self::Tend { .. } => 2,
        }
    }
}

/// Returns all actions that are due, the urgent ones first.
pub(super) fn reconcile(wanted: &WantedKeys, held: &BTreeMap<String, HeldKey>, now: Instant) -> Vec<Action> {
    let mut actions = Vec::new();
    for (key, registration) in &wanted.keys {
        actions.extend(for_wanted(key, registration, held.get(key), now));
    }
    for (key, held) in held {
        if !wanted.keys.contains_key(key) {
            actions.extend(unwanted(wanted, key, held, now));
        }
    }
    actions.sort_by_key(|action| if is_late(action, held, now) { 0 } else { action.rank() });
    actions
}

/// Returns whether a renewal has waited for other requests so long that its key could expire.
fn is_late(action: &Action, held: &BTreeMap<String, HeldKey>, now: Instant) -> bool {
    let renewal = matches!(action, Action::Renew { .. } | Action::Tend { .. });
    renewal && held.get(action.key()).is_some_and(|held| held.due + URGENT_RENEWAL_DELAY <= now)
}

/// Moves the actions after that of `stuck` to the front, since that one failed last. Overdue renewals stay in front of
/// writes: otherwise a store that rejects new keys would get only writes, one at a time, until the leases expire.
pub(super) fn go_on_after(
    stuck: &str,
    actions: &mut [Action],
    held: &BTreeMap<String, HeldKey>,
    now: Instant,
) {
    let Some(at) = actions.iter().position(|action| action.key() == stuck) else { return };
    let late = actions.iter().take_while(|action| is_late(action, held, now)).count();
    let from = if at < late { 0 } else { late };
    actions[from..].rotate_left(at + 1 - from);
}

fn for_wanted(
    key: &str,
    registration: &Registration,
    held: Option<&HeldKey>,
    now: Instant,
) -> Option<Action> {
    let key = key.to_owned();
    let Some(held) = held else { return Some(Action::Create { key }) };
    // A stand-in also waits as its service's old key, but the cycle opens only once it is confirmed.
    if held.waits(now) && held.may_be_anothers(registration) {
        return (held.due <= now).then_some(Action::Tend { key });
    }
    match &held.key_state {
        KeyState::Unknown => Some(Action::Create { key }),
        KeyState::Blocked { desired, .. } => {
            (*desired != registration.value || held.due <= now).then_some(Action::Create { key })
        }
        KeyState::Kept { value, index } if *value != registration.value => {
            Some(Action::Replace { key, guard: *index })
        }
        // A key that an earlier run left is taken over at once: until then its service counts as not registered.
        KeyState::Kept { index, .. } => {
            (held.before || held.due <= now).then_some(Action::Renew { key, guard: *index })
        }
    }
}

fn unwanted(wanted: &WantedKeys, key: &str, held: &HeldKey, now: Instant) -> Option<Action> {
    let key = key.to_owned();
    if held.mine.is_empty() {
        return Some(Action::Forget { key });
    }
    if let Some(until) = held.left {
        return (until <= now).then_some(Action::Forget { key });
    }
    if wanted.released.contains(&key) {
        return Some(Action::Leave { key });
    }
    if may_become_wanted(wanted, held) || held.waits(now) {
        return (held.due <= now).then_some(Action::Tend { key });
    }
    match held.key_state {
        KeyState::Kept { index, .. } => Some(Action::Remove { key, guard: Some(index) }),
        KeyState::Unknown => Some(Action::Remove { key, guard: None }),
        KeyState::Blocked { .. } => (held.due <= now).then_some(Action::Remove { key, guard: None }),
    }
}

/// Returns whether a key of an earlier run may still become wanted.
fn may_become_wanted(wanted: &WantedKeys, held: &HeldKey) -> bool {
    held.before && (!wanted.complete || held.owners().any(|owner| wanted.unknown.contains(&owner.id)))
}

/// Returns when each key is due if nothing else happens.
pub(super) fn dues<'k>(
    wanted: &'k WantedKeys,
    held: &'k BTreeMap<String, HeldKey>,
) -> impl Iterator<Item = (&'k String, Instant)> {
    let due = |(key, held): (&'k String, &'k HeldKey)| {
        let is_wanted = wanted.keys.contains_key(key);
        let tended = may_become_wanted(wanted, held);
        let at = match held.key_state {
            _ if !is_wanted && held.left.is_some() => held.left,
            _ if !held.waits.is_empty() => held.waits_until().map(|until| until.min(held.due)),
            KeyState::Kept { .. } if is_wanted => Some(held.due),
            KeyState::Blocked { .. } => Some(held.due),
            _ if !is_wanted && tended => Some(held.due),
            KeyState::Kept { .. } | KeyState::Unknown => None,
        };
        Some((key, at?))
    };
    held.iter().filter_map(due)
}
