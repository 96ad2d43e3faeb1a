//! The difference between the keys that should be and those that are. Pure: no clock, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Claim, Wanted};

/// A renewal that is overdue by so much goes before everything else.
const LATE: Duration = Duration::from_secs(2);

/// How a key of ours does in the store, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It stands there with this value, last written at this index.
    Kept { value: String, index: u64 },
    /// It may stand there: written before a crash, or by a request whose answer was lost.
    Unknown,
    /// The store or somebody else is in the way of this value, and that was said.
    Blocked { wish: String, why: String },
}

/// A key that is ours or was to be.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) standing: Standing,
    /// The values that may stand there and are ours; whatever else stands there is somebody else's.
    pub(super) mine: BTreeSet<String>,
    /// When it is to be looked at again.
    pub(super) due: Instant,
    /// Known from the list of an earlier life only; nobody has asked for it in this one.
    pub(super) before: bool,
    /// When it is no longer ours, of one that is left to its lease.
    pub(super) left: Option<Instant>,
    /// Until when it must not be deleted nor given to another service, because the new key of its own is not confirmed.
    pub(super) waits: Option<Instant>,
    /// The beginning of the container's id.
    pub(super) id: String,
    /// The container's port.
    pub(super) port: String,
    /// Where its key sends consumers.
    pub(super) address: String,
    /// The service, for the log.
    pub(super) service: String,
}

impl Held {
    /// One of which nothing is known.
    pub(super) const fn new(due: Instant) -> Self {
        Self {
            standing: Standing::Unknown,
            mine: BTreeSet::new(),
            due,
            before: false,
            left: None,
            waits: None,
            id: String::new(),
            port: String::new(),
            address: String::new(),
            service: String::new(),
        }
    }

    /// A request is about to change or delete it: until the answer is there it confirms nothing, should the wish change meanwhile.
    pub(super) fn in_motion(&mut self) {
        if matches!(self.standing, Standing::Kept { .. }) {
            self.standing = Standing::Unknown;
        }
    }
}

/// One thing to do about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write it if nothing is there; what is there is looked at.
    Create { key: String },
    /// Write another value, if it is as it was left.
    Replace { key: String, guard: u64 },
    /// Renew its lease, if it is as it was left; without leases, see that it is still there.
    Renew { key: String, guard: u64 },
    /// Renew its lease if it holds a value of ours: whether it is still wanted will show, or its successor is not confirmed.
    Tend { key: String },
    /// Delete it if it is as it was left; without a guard, if it holds a value of ours.
    Remove { key: String, guard: Option<u64> },
    /// Leave it to its lease, and know it until then: a container that comes back finds its own key.
    Leave { key: String },
    /// Know it no more; the store is not asked.
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

    /// What changes for consumers goes before what does not.
    const fn rank(&self) -> u8 {
        match self {
            Self::Forget { .. } | Self::Leave { .. } => 0,
            Self::Remove { .. } | Self::Replace { .. } | Self::Create { .. } => 1,
            Self::Renew { .. } | Self::Tend { .. } => 2,
        }
    }
}

/// Everything that is to be done now, the urgent first.
pub(super) fn reconcile(wanted: &Wanted, held: &BTreeMap<String, Held>, now: Instant) -> Vec<Action> {
    let mut actions = Vec::new();
    for (key, claim) in &wanted.keys {
        actions.extend(on_wish(key, claim, held.get(key), now));
    }
    for (key, held) in held {
        if !wanted.keys.contains_key(key) {
            actions.extend(unwanted(wanted, key, held, now));
        }
    }
    // A renewal that waits for too many writes is as urgent as they are: its key would be lost.
    let late = |action: &Action| {
        let renewal = matches!(action, Action::Renew { .. } | Action::Tend { .. });
        renewal && held.get(action.key()).is_some_and(|held| held.due + LATE <= now)
    };
    actions.sort_by_key(|action| if late(action) { 0 } else { action.rank() });
    actions
}

fn on_wish(key: &str, claim: &Claim, held: Option<&Held>, now: Instant) -> Option<Action> {
    let key = key.to_owned();
    let Some(held) = held else { return Some(Action::Create { key }) };
    // A stand-in waits as its service's old key too, but it must be confirmed for the circle to open.
    if held.waits(now) && held.by() != claim.by() {
        return (held.due <= now).then_some(Action::Tend { key });
    }
    match &held.standing {
        Standing::Unknown => Some(Action::Create { key }),
        Standing::Blocked { wish, .. } => {
            (*wish != claim.value || held.due <= now).then_some(Action::Create { key })
        }
        Standing::Kept { value, index } if *value != claim.value => {
            Some(Action::Replace { key, guard: *index })
        }
        Standing::Kept { index, .. } => (held.due <= now).then_some(Action::Renew { key, guard: *index }),
    }
}

fn unwanted(wanted: &Wanted, key: &str, held: &Held, now: Instant) -> Option<Action> {
    let key = key.to_owned();
    if held.mine.is_empty() {
        return Some(Action::Forget { key });
    }
    if let Some(until) = held.left {
        return (until <= now).then_some(Action::Forget { key });
    }
    if wanted.let_go.contains(&key) {
        return Some(Action::Leave { key });
    }
    let unsure = held.before && (!wanted.complete || wanted.unknown.contains(&held.id));
    if unsure || held.waits(now) {
        return (held.due <= now).then_some(Action::Tend { key });
    }
    match held.standing {
        Standing::Kept { index, .. } => Some(Action::Remove { key, guard: Some(index) }),
        Standing::Unknown => Some(Action::Remove { key, guard: None }),
        Standing::Blocked { .. } => (held.due <= now).then_some(Action::Remove { key, guard: None }),
    }
}

/// When each key is to be looked at without anything else happening.
pub(super) fn dues<'k>(
    wanted: &'k Wanted,
    held: &'k BTreeMap<String, Held>,
) -> impl Iterator<Item = (&'k String, Instant)> {
    let due = |(key, held): (&'k String, &'k Held)| {
        let wished = wanted.keys.contains_key(key);
        let tended = held.before && (!wanted.complete || wanted.unknown.contains(&held.id));
        let at = match held.standing {
            _ if !wished && held.left.is_some() => held.left,
            _ if held.waits.is_some() => held.waits.map(|until| until.min(held.due)),
            Standing::Kept { .. } if wished => Some(held.due),
            Standing::Blocked { .. } => Some(held.due),
            _ if !wished && tended => Some(held.due),
            Standing::Kept { .. } | Standing::Unknown => None,
        };
        Some((key, at?))
    };
    held.iter().filter_map(due)
}
