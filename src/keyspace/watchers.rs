//! The registered watches, by key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::auth::{Auth, WatchRights};
use super::delivery::Deliveries;
use super::watch::{Watch, WatchFeedback, WatchOptions, WatchSlot};
use super::{ClearedEvent, Delivery, Event, Key, path};

/// The watches that wait for events, by their keys.
#[derive(Debug, Default)]
pub(super) struct Hub {
    watched: BTreeMap<Key, Vec<Watcher>>,
    next_id: u64,
    feedback: Arc<WatchFeedback>,
    pub(super) deliveries: Deliveries,
}

#[derive(Debug)]
struct Watcher {
    /// Ascending within a key.
    id: u64,
    since: u64,
    recursive: bool,
    stream: bool,
    rights: WatchRights,
    slot: Arc<WatchSlot>,
}

impl Hub {
    /// Returns how many watches wait.
    pub(super) fn waiting(&self) -> u64 {
        self.feedback.waiting()
    }

    /// Registers a watch. Removes dropped watches too: if clients only connect and disconnect, no event does it.
    pub(super) fn register(
        &mut self,
        key: &[u8],
        what: WatchOptions,
        rights: WatchRights,
        index: u64,
    ) -> Watch {
        self.remove_dropped_watches();
        self.next_id += 1;
        let id = self.next_id;
        let WatchOptions { recursive, stream, since } = what;
        let key = self.watched.get_key_value(key).map_or_else(|| Key::from(key), |(key, _)| Key::clone(key));
        let (watch, slot) = Watch::waiting(index, &key, id, &self.feedback);
        self.watched.entry(key).or_default().push(Watcher { id, since, recursive, stream, rights, slot });
        watch
    }

    /// Delivers the event to watches of its key and of the directories above it.
    pub(super) fn notify(&mut self, event: &Arc<Event>) {
        if self.watched.is_empty() {
            return;
        }
        self.remove_dropped_watches();
        for watched in path::upward(&event.key) {
            self.notify_at(watched, event, false);
        }
    }

    /// Ends the watches that a cleared event would be sent to, so that their clients watch again and get the error.
    pub(super) fn cleared(&mut self, event: &ClearedEvent) {
        for watched in path::upward(&event.key) {
            self.visit(watched, &event.key, event.index, false, |one, feedback, _| {
                one.slot.end(feedback);
                false
            });
        }
    }

    /// Delivers a removal to watches of the key and of every key below it that `existed`. A stream at the key
    /// itself gets it again through `notify`, as in etcd.
    pub(super) fn removed(&mut self, event: &Arc<Event>, existed: impl Fn(&[u8]) -> bool) {
        if self.watched.is_empty() {
            return;
        }
        self.remove_dropped_watches();
        if event.node.dir {
            let (from, to) = path::bounds(&event.key);
            let range = (Bound::Included(&*from), Bound::Excluded(&*to));
            let below = self.watched.range::<[u8], _>(range).map(|(key, _)| key);
            for watched in below.filter(|key| existed(key)).cloned().collect::<Vec<_>>() {
                self.notify_at(&watched, event, true);
            }
        }
        self.notify_at(&event.key, event, true);
    }

    /// Delivers the event to watches of exactly `watched`; removes one-shot and overrun watches.
    fn notify_at(&mut self, watched: &[u8], event: &Arc<Event>, removed: bool) {
        let mut delivery: Option<Arc<Delivery>> = None;
        self.visit(watched, &event.key, event.index(), removed, |one, feedback, deliveries| {
            let delivery = delivery.get_or_insert_with(|| deliveries.of(event));
            one.slot.deliver(delivery, one.stream, feedback)
        });
    }

    /// Ends the watches whose clients may no longer read what they watch.
    pub(super) fn revoke(&mut self, auth: &Auth) {
        let feedback = &*self.feedback;
        self.watched.retain(|key, waiting| {
            waiting.retain(|one| {
                let stays = auth.allows_watch(&one.rights, key, one.recursive);
                if !stays {
                    one.slot.revoke(feedback);
                }
                stays
            });
            !waiting.is_empty()
        });
    }

    /// Calls `act` for each watch of exactly `watched` that must receive the change `index` of `key`; `act` returns
    /// whether the watch stays.
    fn visit(
        &mut self,
        watched: &[u8],
        key: &[u8],
        index: u64,
        removed: bool,
        mut act: impl FnMut(&Watcher, &WatchFeedback, &mut Deliveries) -> bool,
    ) {
        let Self { watched: all, feedback, deliveries, .. } = self;
        let Some(waiting) = all.get_mut(watched) else { return };
        let same = *key == *watched;
        // Below a removed directory the watched key is the longer one; nothing lies between it and the event's key.
        if !same && path::hidden(watched, key) {
            return;
        }
        waiting.retain(|one| {
            let wanted = (one.recursive || same || removed) && index >= one.since;
            !wanted || act(one, feedback, deliveries)
        });
        if waiting.is_empty() {
            all.remove(watched);
        }
    }

    /// Returns whether there are no watches.
    pub(super) fn is_empty(&mut self) -> bool {
        self.remove_dropped_watches();
        self.watched.is_empty()
    }

    /// Skips the unknown events from `from` up to `oldest`: ends the watches that waited for them, and makes room
    /// in the others for `coming` events at once.
    pub(super) fn skip(&mut self, from: u64, oldest: u64, coming: usize) {
        let feedback = &*self.feedback;
        self.watched.retain(|_, waiting| {
            waiting.retain(|one| {
                let misses = one.since.max(from) < oldest;
                if misses {
                    one.slot.end(feedback);
                } else {
                    one.slot.add_capacity(coming);
                }
                !misses
            });
            !waiting.is_empty()
        });
    }

    /// Returns whether it still holds watches that were dropped.
    pub(super) fn has_dropped_watches(&self) -> bool {
        self.feedback.has_dropped_watches()
    }

    /// Removes the watches that were dropped.
    pub(super) fn remove_dropped_watches(&mut self) {
        let mut dropped = self.feedback.take_dropped();
        // Thousands of clients of one key may leave at once when their network fails: make one pass per key.
        dropped.sort_unstable();
        for group in dropped.chunk_by(|one, next| one.0 == next.0) {
            let key = &group[0].0;
            let Some(waiting) = self.watched.get_mut(key) else { continue };
            match group {
                [(_, id)] => {
                    if let Ok(place) = waiting.binary_search_by_key(id, |one| one.id) {
                        waiting.remove(place);
                    }
                }
                _ => waiting.retain(|one| group.binary_search_by_key(&one.id, |(_, id)| *id).is_err()),
            }
            if waiting.is_empty() {
                self.watched.remove(key);
            }
        }
    }

    /// Returns how many watches the hub holds, including dropped ones.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.watched.values().map(Vec::len).sum()
    }
}
