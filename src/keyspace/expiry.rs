//! The order in which keys expire.

use std::collections::BTreeSet;

use super::{Key, Time};

/// The keys with a TTL, by expiration and then by bytes, so that every member removes them in the same order.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    due: BTreeSet<(Time, Key)>,
}

impl Expiry {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// `key` expired at `before` and now expires at `now`.
    pub(super) fn update(&mut self, key: &Key, before: Option<Time>, now: Option<Time>) {
        if before == now {
            return;
        }
        if let Some(time) = before {
            self.due.remove(&(time, Key::clone(key)));
        }
        if let Some(time) = now {
            self.due.insert((time, Key::clone(key)));
        }
    }

    /// Returns when the next key expires.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Returns the next key that expires at `now` or before. It stays until it is updated.
    pub(super) fn due(&self, now: Time) -> Option<Key> {
        self.due.first().filter(|(time, _)| *time <= now).map(|(_, key)| Key::clone(key))
    }
}
