//! The window of past events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Action, Event, HISTORY_BYTES, HISTORY_EVENTS, Key};

/// The upper limit of an index. Real changes never reach it; a larger index means damage and could overflow.
pub(super) const MAX_INDEX: u64 = 1 << 62;
/// A thousand events with values of this size fit into the window, so a smaller one is never cleared.
const LARGE_EVENT_BYTES: usize = HISTORY_BYTES / HISTORY_EVENTS;

/// The entry of one index in the history.
#[derive(Clone, Debug)]
pub enum HistoryEntry {
    /// A change that concerns no key.
    NoKey,
    /// A change of a key.
    Event(Arc<Event>),
    /// A change of a key whose values were dropped to save space.
    Cleared(ClearedEvent),
}

/// A marker that replaces an event whose values were dropped. A watch that would receive the event gets the error
/// "event cleared" instead; all other watches skip it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearedEvent {
    /// The kind of change.
    pub action: Action,
    /// The key.
    pub key: Key,
    /// Whether that key is a directory now. Never true for a removal: a directory has no value to drop.
    pub dir: bool,
    /// The event's index.
    pub index: u64,
}

impl HistoryEntry {
    /// Returns the event if it still has its values.
    #[must_use]
    pub const fn event(&self) -> Option<&Arc<Event>> {
        if let Self::Event(event) = self { Some(event) } else { None }
    }

    /// Returns the index of the change, or `None` where the entry does not contain it.
    pub(super) fn index(&self) -> Option<u64> {
        match self {
            Self::NoKey => None,
            Self::Event(event) => Some(event.index()),
            Self::Cleared(cleared) => Some(cleared.index),
        }
    }

    /// Returns the entry without values. Watches never receive a refresh, so it needs no marker.
    #[must_use]
    pub fn cleared(&self) -> Self {
        match self {
            Self::Event(event) if !event.refresh => Self::Cleared(ClearedEvent {
                action: event.action,
                key: Key::clone(&event.key),
                dir: event.node.dir,
                index: event.index(),
            }),
            Self::Event(_) | Self::NoKey => Self::NoKey,
            Self::Cleared(_) => self.clone(),
        }
    }

    fn weight(&self) -> usize {
        self.event().map_or(0, |event| event.weight())
    }

    /// Returns whether a watch of `key` receives this from history. The rules are not those of live delivery:
    /// hidden keys match, and a removed directory matches all that begins with its bytes.
    fn matches(&self, key: &[u8], recursive: bool) -> bool {
        let (changed, removes_dir) = match self {
            Self::NoKey => return false,
            Self::Event(event) if event.refresh => return false,
            Self::Event(event) => (&event.key, removes_dir(event)),
            Self::Cleared(cleared) => (&cleared.key, false),
        };
        **changed == *key || recursive && contains(key, changed) || removes_dir && key.starts_with(changed)
    }
}

/// The last [`HISTORY_EVENTS`] indexes. The newest slot is the keyspace's index.
#[derive(Debug, Default)]
pub(super) struct History {
    slots: VecDeque<HistoryEntry>,
    last: u64,
    /// The total size of the slots' values.
    bytes: usize,
    /// The indexes of the events with large values, oldest first.
    large: VecDeque<u64>,
    /// The indexes cleared since the last `take_cleared`.
    cleared: Vec<u64>,
}

impl History {
    /// Restores a window that ends with `last`. At most [`HISTORY_EVENTS`] slots.
    pub(super) fn restored(slots: VecDeque<HistoryEntry>, last: u64) -> Self {
        let mut window = Self { last: last - slots.len() as u64, ..Self::default() };
        for slot in slots {
            window.push(slot);
        }
        window
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn push(&mut self, slot: HistoryEntry) {
        self.last += 1;
        let weight = slot.weight();
        self.bytes += weight;
        if weight > LARGE_EVENT_BYTES {
            self.large.push_back(self.last);
        }
        self.slots.push_back(slot);
        self.trim();
    }

    /// Drops the oldest slots beyond the limit, then the oldest large values while there are too many bytes: they
    /// must not push out the events of other keys. The newest event is always kept.
    fn trim(&mut self) {
        while self.slots.len() > HISTORY_EVENTS {
            let oldest = self.oldest();
            let gone = self.slots.pop_front();
            self.bytes -= gone.as_ref().map_or(0, HistoryEntry::weight);
            self.large.pop_front_if(|index| *index == oldest);
        }
        while self.bytes > HISTORY_BYTES
            && let Some(index) = self.large.pop_front_if(|index| *index < self.last)
        {
            let place = (index - self.oldest()) as usize;
            self.bytes -= self.slots[place].weight();
            self.slots[place] = self.slots[place].cleared();
            self.cleared.push(index);
        }
    }

    /// Returns the indexes cleared since the last call that are still in the window.
    pub(super) fn take_cleared(&mut self) -> Vec<u64> {
        let oldest = self.oldest();
        let mut cleared = std::mem::take(&mut self.cleared);
        cleared.retain(|index| *index >= oldest);
        cleared
    }

    /// Returns the oldest index in the window; one after the newest when it is empty.
    pub(super) fn oldest(&self) -> u64 {
        self.last + 1 - self.slots.len() as u64
    }

    /// Returns the slots with an index above `index`.
    pub(super) fn since(&self, index: u64) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        let oldest = self.oldest();
        let skipped = index.saturating_add(1).saturating_sub(oldest).min(self.slots.len() as u64) as usize;
        (oldest + skipped as u64..).zip(self.slots.range(skipped..))
    }

    /// Returns the first change with an index of at least `since` that a watch of `key` receives from history, or
    /// would receive if it were not cleared.
    pub(super) fn first(&self, key: &[u8], recursive: bool, since: u64) -> Option<&HistoryEntry> {
        self.since(since.saturating_sub(1)).map(|(_, slot)| slot).find(|slot| slot.matches(key, recursive))
    }
}

fn contains(dir: &[u8], key: &[u8]) -> bool {
    dir.len() == 1 || key.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn removes_dir(event: &Event) -> bool {
    matches!(event.action, Action::Delete | Action::Expire)
        && event.prev.as_ref().is_some_and(|prev| prev.dir)
}
