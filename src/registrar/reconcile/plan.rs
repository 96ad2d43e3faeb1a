//! Computes the difference between the wanted keys and those in the store. Pure: no clock, no store.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::actions::WriteStep;
use super::held::{HeldKey, KeyState};
use super::{Registration, WantedKeys};
use ActionKind::{Forget, Leave, Remove, RenewOurs, Write};

/// A renewal overdue by this much is done before everything else.
const URGENT_RENEWAL_DELAY: Duration = Duration::from_secs(2);

/// One action on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyAction {
    pub(super) key: String,
    pub(super) what: ActionKind,
}

/// What to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActionKind {
    /// Write or renew it, beginning with this request.
    Write(WriteStep),
    /// Renew the lease if the key holds a value of ours: it may still become wanted, or its successor is not confirmed.
    RenewOurs,
    /// Delete the key if it was last written at this index; `None`: if it holds a value of ours.
    Remove(Option<u64>),
    /// Leave the key to its lease, and remember it until then: a container that returns finds its own key.
    Leave,
    /// Forget the key, without a request to the store.
    Forget,
}

impl ActionKind {
    /// Actions that change something for consumers go first.
    const fn rank(self) -> u8 {
        match self {
            Forget | Leave => 0,
            Remove(_) | Write(WriteStep::Create | WriteStep::Swap(_) | WriteStep::Read) => 1,
            Write(WriteStep::Renew(_)) | RenewOurs => 2,
        }
    }
}

/// Returns all actions that are due, the urgent ones first.
pub(super) fn plan_actions(
    wanted: &WantedKeys,
    held: &BTreeMap<String, HeldKey>,
    now: Instant,
) -> Vec<KeyAction> {
    let action = |key: &String, what| KeyAction { key: key.clone(), what };
    let mut actions = Vec::new();
    for (key, registration) in &wanted.keys {
        actions.extend(for_wanted(registration, held.get(key), now).map(|what| action(key, what)));
    }
    for (key, held) in held {
        if !wanted.keys.contains_key(key) {
            actions.extend(unwanted(wanted, key, held, now).map(|what| action(key, what)));
        }
    }
    actions.sort_by_key(|action| if is_late(action, held, now) { 0 } else { action.what.rank() });
    actions
}

/// Returns whether a renewal has waited for other requests so long that its key could expire.
fn is_late(action: &KeyAction, held: &BTreeMap<String, HeldKey>, now: Instant) -> bool {
    let renewal = matches!(action.what, Write(WriteStep::Renew(_)) | RenewOurs);
    renewal && held.get(&action.key).is_some_and(|held| held.due + URGENT_RENEWAL_DELAY <= now)
}

/// Moves the actions after that of `last_failed` to the front, since that one failed last. Overdue renewals stay in front of
/// writes: otherwise a store that rejects new keys would get only writes, one at a time, until the leases expire.
pub(super) fn resume_after(
    last_failed: &str,
    actions: &mut [KeyAction],
    held: &BTreeMap<String, HeldKey>,
    now: Instant,
) {
    let Some(at) = actions.iter().position(|action| action.key == last_failed) else { return };
    let late = actions.iter().take_while(|action| is_late(action, held, now)).count();
    let from = if at < late { 0 } else { late };
    actions[from..].rotate_left(at + 1 - from);
}

fn for_wanted(registration: &Registration, held: Option<&HeldKey>, now: Instant) -> Option<ActionKind> {
    let create = Some(Write(WriteStep::Create));
    let Some(held) = held else { return create };
    let is_due = held.due <= now;
    // A temporary key also waits as its service's old key, but the cycle opens only once it is confirmed.
    if held.waits(now) && held.may_be_anothers(registration) {
        return is_due.then_some(RenewOurs);
    }
    match &held.key_state {
        KeyState::Unknown => create,
        KeyState::Blocked { desired, .. } => create.filter(|_| *desired != registration.value || is_due),
        KeyState::Kept { value, index } if *value != registration.value => {
            Some(Write(WriteStep::Swap(*index)))
        }
        // A key that an earlier run left is taken over at once: until then its service counts as not registered.
        KeyState::Kept { index, .. } => (held.before || is_due).then_some(Write(WriteStep::Renew(*index))),
    }
}

fn unwanted(wanted: &WantedKeys, key: &str, held: &HeldKey, now: Instant) -> Option<ActionKind> {
    let is_due = held.due <= now;
    if held.own_values.is_empty() {
        return Some(Forget);
    }
    if let Some(until) = held.left {
        return (until <= now).then_some(Forget);
    }
    if wanted.released.contains(key) {
        return Some(Leave);
    }
    if may_become_wanted(wanted, held) || held.waits(now) {
        return is_due.then_some(RenewOurs);
    }
    match held.key_state {
        KeyState::Kept { index, .. } => Some(Remove(Some(index))),
        KeyState::Unknown => Some(Remove(None)),
        KeyState::Blocked { .. } => is_due.then_some(Remove(None)),
    }
}

/// Returns whether a key of an earlier run may still become wanted.
fn may_become_wanted(wanted: &WantedKeys, held: &HeldKey) -> bool {
    held.before && (!wanted.complete || held.owners().any(|owner| wanted.unknown.contains(&owner.id)))
}

/// Returns when each key is due if nothing else happens.
pub(super) fn due_times<'k>(
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
