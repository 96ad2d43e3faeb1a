//! The window of past events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Action, Event, HISTORY, HISTORY_BYTES};

/// No number of changes reaches it; what claims to be further is garbage, and counting on from it could overflow.
pub(super) const LAST_INDEX: u64 = 1 << 62;

/// The last [`HISTORY`] indexes, each with its event or a hole: a change that is no key's. The newest slot is the
/// keyspace's index.
#[derive(Debug, Default)]
pub(super) struct History {
    slots: VecDeque<Option<Arc<Event>>>,
    last: u64,
    /// What the slots weigh together.
    bytes: usize,
}

impl History {
    /// A window that ends with `last`. At most [`HISTORY`] slots.
    pub(super) fn restored(slots: VecDeque<Option<Arc<Event>>>, last: u64) -> Self {
        let bytes = slots.iter().map(weight).sum();
        let mut window = Self { slots, last, bytes };
        window.trim();
        window
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn push(&mut self, slot: Option<Arc<Event>>) {
        self.bytes += weight(&slot);
        self.slots.push_back(slot);
        self.last += 1;
        self.trim();
    }

    fn trim(&mut self) {
        while self.slots.len() > HISTORY || (self.bytes > HISTORY_BYTES && self.slots.len() > 1) {
            let gone = self.slots.pop_front();
            self.bytes -= gone.as_ref().map_or(0, weight);
        }
    }

    /// The oldest index that is known; one after the newest when none is.
    pub(super) fn oldest(&self) -> u64 {
        self.last + 1 - self.slots.len() as u64
    }

    /// The slots with an index above `index`.
    pub(super) fn since(&self, index: u64) -> impl Iterator<Item = (u64, Option<&Arc<Event>>)> {
        let oldest = self.oldest();
        let skipped = index.saturating_add(1).saturating_sub(oldest).min(self.slots.len() as u64) as usize;
        (oldest + skipped as u64..).zip(self.slots.range(skipped..).map(Option::as_ref))
    }

    /// The first event with an index of at least `since` that a watch of `key` is sent from history. The rules are not
    /// those of live delivery: hidden keys match, and a removed directory matches all that begins with its bytes.
    pub(super) fn first(&self, key: &[u8], recursive: bool, since: u64) -> Option<&Arc<Event>> {
        self.since(since.saturating_sub(1)).filter_map(|(_, event)| event).find(|event| {
            !event.refresh
                && (*event.key == *key
                    || recursive && contains(key, &event.key)
                    || takes_dir_away(event) && key.starts_with(&event.key))
        })
    }
}

fn weight(slot: &Option<Arc<Event>>) -> usize {
    slot.as_ref().map_or(0, |event| event.weight())
}

fn contains(dir: &[u8], key: &[u8]) -> bool {
    dir.len() == 1 || key.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn takes_dir_away(event: &Event) -> bool {
    matches!(event.action, Action::Delete | Action::Expire)
        && event.prev.as_ref().is_some_and(|prev| prev.dir)
}
