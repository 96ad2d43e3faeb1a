//! The keyspace: what it holds, and how it is read and watched. What changes it is in `change`.

use std::sync::Arc;

use super::counts::RunningCounts;
use super::expiry::Expiry;
use super::history::History;
use super::touched::Gathering;
use super::tree::{Node, NodeMeta, Walk};
use super::watchers::Hub;
use super::{Changes, Code, Counts, Error, HistoryEntry, Key, Record, Time, View, Watch, WatchFor, path};

/// The store's state.
#[derive(Debug)]
pub struct Keyspace {
    pub(super) root: Node,
    pub(super) history: History,
    pub(super) expiry: Expiry,
    pub(super) hub: Hub,
    pub(super) tally: RunningCounts,
    pub(super) changes: Gathering,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyspace {
    /// The empty state, index 0.
    #[must_use]
    pub fn new() -> Self {
        Self::restored(Node::dir(NodeMeta::default()), History::default(), Expiry::default())
    }

    /// The state of that tree and window; `expiry` has the tree's TTLs.
    pub(super) fn restored(root: Node, history: History, expiry: Expiry) -> Self {
        let (hub, tally, changes) = (Hub::default(), RunningCounts::default(), Gathering::default());
        Self { root, history, expiry, hub, tally, changes }
    }

    /// How many changes there were.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.history.last()
    }

    /// Removes all that expires at `now` or before, in order of expiration; answers how many nodes went, a directory
    /// with all below it counting as one.
    pub fn expire(&mut self, now: Time) -> usize {
        std::iter::from_fn(|| self.expire_next(now)).count()
    }

    /// Takes an index for a change that is no key's (membership, auth): a hole in the history.
    pub fn reserve(&mut self) -> u64 {
        self.history.push(HistoryEntry::NoKey);
        self.index()
    }

    /// When the next key expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.expiry.next()
    }

    /// The node at `key` (clean). Counted as a client's read.
    ///
    /// # Errors
    /// `KeyNotFound`, `NotADirectory`.
    pub fn get(&self, key: &[u8]) -> Result<View<'_>, Error> {
        let found = self.root.find(key);
        self.note_get(found.is_ok());
        found.map(|node| View { node }).map_err(|stop| self.stopped(stop))
    }

    /// Counts a read that `get` did not see: etcd reads its auth flag from the store at every request, and that shows
    /// in its counters.
    pub fn note_get(&self, success: bool) {
        self.tally.got(success);
    }

    /// The node at `key` as a mirror keeps it; `None` when it is not there, and for the root, which always is.
    #[must_use]
    pub fn record(&self, key: &[u8]) -> Option<Record> {
        if path::is_root(key) {
            return None;
        }
        self.root.find(key).ok().map(Node::record)
    }

    /// Every node but the root, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = (Key, Record)> {
        let mut walk: Walk<'_> = self.root.walk(b"/");
        std::iter::from_fn(move || walk.step().map(|(_, path, _, node)| (Key::from(path), node.record())))
    }

    /// The slots of the window of past events with an index above `index`.
    pub fn events_since(&self, index: u64) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        self.history.since(index)
    }

    /// The oldest index that the window of past events has; one after the newest when it is empty.
    #[must_use]
    pub fn oldest_event(&self) -> u64 {
        self.history.oldest()
    }

    /// Registers a watch.
    ///
    /// # Errors
    /// `HistoryCleared`.
    pub fn watch(&mut self, key: &[u8], what: WatchFor) -> Result<Watch, Error> {
        let index = self.index();
        let since = if what.since == 0 { index + 1 } else { what.since };
        let cleared = |oldest: u64| {
            let cause = format!("the requested history has been cleared [{oldest}/{since}]");
            Err(self.refusal(Code::HistoryCleared, cause.as_bytes()))
        };
        let oldest = self.history.oldest();
        if since < oldest {
            return cleared(oldest);
        }
        match self.history.first(key, what.recursive, since) {
            Some(HistoryEntry::Event(event)) => Ok(Watch::answered(index, Arc::clone(event), what.stream)),
            // For this key the history begins behind it.
            Some(HistoryEntry::Cleared(marker)) => cleared(marker.index + 1),
            Some(HistoryEntry::NoKey) | None => Ok(self.hub.register(key, WatchFor { since, ..what }, index)),
        }
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tally.read(self.hub.waiting())
    }

    /// How many keys changed since the last `take_changes`.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.changes.len()
    }

    /// What changed since the last call. It gathers until it is taken: whoever applies commands has to take it.
    pub fn take_changes(&mut self) -> Changes {
        Changes { cleared: self.history.take_cleared(), ..self.changes.take() }
    }
}
