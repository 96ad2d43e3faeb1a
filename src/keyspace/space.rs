//! The keyspace: its content, reads and watches. The changes are in `change`.

use super::auth::{Auth, WatchRights};
use super::bottom_up::bottom_up;
use super::expiry::Expiry;
use super::history::History;
use super::pending_changes::PendingChanges;
use super::store_stats::StoreCounters;
use super::tree::{TreeNode, Walk};
use super::watchers::Hub;
use super::{
    Changes, Code, DirId, Error, HistoryEntry, Key, NodePlace, NodeRecord, NodeView, StoreStats, Time, Watch,
    WatchOptions, WrittenKey, path,
};

/// The store's state.
#[derive(Debug, Default)]
pub struct Keyspace {
    pub(super) root: TreeNode,
    pub(super) history: History,
    pub(super) expiry: Expiry,
    pub(super) hub: Hub,
    pub(super) counters: StoreCounters,
    pub(super) changes: PendingChanges,
}

impl Keyspace {
    /// Returns the empty state with index 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of changes so far.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.history.last()
    }

    /// Removes everything that expires at `now` or before, in order of expiration. Returns the number of removed
    /// nodes; a directory with its content counts as one.
    pub fn expire(&mut self, now: Time) -> usize {
        std::iter::from_fn(|| self.expire_next(now)).count()
    }

    /// Takes an index for a change that concerns no key (membership, auth); the history has no event for it.
    pub fn reserve(&mut self) -> u64 {
        self.history.push(HistoryEntry::NoKey);
        self.index()
    }

    /// Returns when the next key expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.expiry.next()
    }

    /// Returns the node at `key` (clean). Counted as a client's read.
    ///
    /// # Errors
    /// `KeyNotFound`, `NotADirectory`.
    pub fn get(&self, key: &[u8]) -> Result<NodeView<'_>, Error> {
        let found = self.peek(key);
        self.note_get(found.is_ok());
        found
    }

    /// As `get`, but not counted.
    ///
    /// # Errors
    /// `KeyNotFound`, `NotADirectory`.
    pub fn peek(&self, key: &[u8]) -> Result<NodeView<'_>, Error> {
        let found = self.root.find(key);
        found.map(|node| NodeView { node }).map_err(|stop| self.path_error(stop))
    }

    /// Counts a read that `get` did not see: etcd reads its auth flag from the store at every request, and that shows
    /// in its counters.
    pub fn note_get(&self, success: bool) {
        self.counters.got(success);
    }

    /// Returns the node at `key` in a mirror's form; `None` when it does not exist, and for the root, which always
    /// does.
    #[must_use]
    pub fn record(&self, key: &[u8]) -> Option<NodeRecord> {
        if path::is_root(key) {
            return None;
        }
        self.root.find(key).ok().map(TreeNode::record)
    }

    /// Passes every node but the root to `take`, children before their directory.
    ///
    /// # Errors
    /// The first error of `take`.
    pub fn each_node<E>(
        &self,
        take: impl FnMut(NodePlace<'_>, NodeRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        bottom_up(&self.root, take)
    }

    /// Passes the nodes of `changes` that were written and still exist to `take`, in no order; a node may come more
    /// than once.
    pub fn each_written(&self, changes: &Changes, mut take: impl FnMut(NodePlace<'_>, NodeRecord)) {
        for WrittenKey { key, from } in &changes.written {
            let (mut parent, mut node) = (DirId::ROOT, &self.root);
            for (name, path) in path::segments(key) {
                let Some(next) = node.children().and_then(|children| children.get(name)) else { break };
                if path.len() >= *from {
                    take(NodePlace { parent, name }, next.record());
                }
                (parent, node) = (parent.child(next.meta().created), next);
            }
        }
    }

    /// Returns the number of nodes without the root.
    #[must_use]
    pub fn node_count(&self) -> usize {
        let mut walk = self.root.walk(b"/");
        std::iter::from_fn(|| walk.step().map(drop)).count()
    }

    /// Iterates over every node but the root, parents before their children. Allocates each key: for small states.
    pub fn nodes(&self) -> impl Iterator<Item = (Key, NodeRecord)> {
        let mut walk: Walk<'_> = self.root.walk(b"/");
        std::iter::from_fn(move || walk.step().map(|(_, path, _, node)| (Key::from(path), node.record())))
    }

    /// Returns the slots of the window of past events with an index above `index`.
    pub fn events_since(&self, index: u64) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        self.history.since(index)
    }

    /// Returns the oldest index in the window of past events; one after the newest when it is empty.
    #[must_use]
    pub fn oldest_event(&self) -> u64 {
        self.history.oldest()
    }

    /// Registers a watch.
    ///
    /// # Errors
    /// `HistoryCleared`.
    pub fn watch(&mut self, key: &[u8], what: WatchOptions) -> Result<Watch, Error> {
        self.watch_with(key, what, WatchRights::default())
    }

    /// Registers a watch that ends when its client loses these rights; see [`Keyspace::end_forbidden_watches`].
    ///
    /// # Errors
    /// `HistoryCleared`.
    pub fn watch_with(
        &mut self,
        key: &[u8],
        what: WatchOptions,
        rights: WatchRights,
    ) -> Result<Watch, Error> {
        let index = self.index();
        let since = if what.since == 0 { index + 1 } else { what.since };
        let cleared = |oldest: u64| {
            let cause = format!("the requested history has been cleared [{oldest}/{since}]");
            Err(self.error(Code::HistoryCleared, cause.as_bytes()))
        };
        let oldest = self.history.oldest();
        if since < oldest {
            return cleared(oldest);
        }
        match self.history.first(key, what.recursive, since) {
            Some(HistoryEntry::Event(event)) => {
                Ok(Watch::from_history(index, self.hub.deliveries.of(event), what.stream))
            }
            // For this key the history begins after it.
            Some(HistoryEntry::Cleared(marker)) => cleared(marker.index + 1),
            Some(HistoryEntry::NoKey) | None => {
                Ok(self.hub.register(key, WatchOptions { since, ..what }, rights, index))
            }
        }
    }

    /// Ends the watches whose clients may no longer read what they watch. Must be called when `auth` has changed.
    pub fn end_forbidden_watches(&mut self, auth: &Auth) {
        if auth.enabled() {
            self.hub.revoke(auth);
        }
    }

    /// Returns whether memory of dropped watches can be freed.
    #[must_use]
    pub fn has_dropped_watches(&self) -> bool {
        self.hub.has_dropped_watches()
    }

    /// Frees the memory of dropped watches. Each change and each new watch does so too; this is for a store without
    /// either.
    pub fn remove_dropped_watches(&mut self) {
        self.hub.remove_dropped_watches();
    }

    /// Returns the counters.
    #[must_use]
    pub fn counts(&self) -> StoreStats {
        self.counters.read(self.hub.waiting())
    }

    /// Returns how many keys changed since the last `take_changes`.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.changes.len()
    }

    /// Returns the changes since the last call. They accumulate until taken: the caller of `apply` must take them.
    pub fn take_changes(&mut self) -> Changes {
        Changes { cleared: self.history.take_cleared(), ..self.changes.take() }
    }
}
