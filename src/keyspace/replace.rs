//! Replaces the whole state, for a member that lagged too far behind and installs a snapshot.

use std::mem;

use super::tree::{NodeMeta, TreeNode};
use super::{Action, HistoryEntry, Keyspace, Value, path};

impl Keyspace {
    /// Adopts the tree and the window of past events of `new`, which is this state some changes later. The counters
    /// continue, and so do the watches: they receive the events in between as if they happened now. A watch that
    /// would miss an event, because the window of `new` does not reach back that far or holds only a marker, ends;
    /// its client then watches again and gets the error.
    ///
    /// The changed keys are not known: `take_changes` returns only what follows, and a mirror must be rebuilt.
    /// Returns the old state, so that the caller can drop it, which takes time, outside its locks.
    pub fn replace(&mut self, mut new: Self) -> Self {
        let from = self.index() + 1;
        mem::swap(&mut self.root, &mut new.root);
        mem::swap(&mut self.history, &mut new.history);
        mem::swap(&mut self.expiry, &mut new.expiry);
        self.changes.forget();
        if !self.hub.is_empty() {
            self.catch_up(from, &mut new.root);
        }
        new
    }

    /// Delivers the events from `from` on. `before` is the tree just before `from`.
    fn catch_up(&mut self, from: u64, before: &mut TreeNode) {
        let Self { history, hub, .. } = self;
        let oldest = history.oldest();
        // With events missing in between, the old tree cannot be updated, and only watches that began late enough
        // get the events.
        let whole = oldest <= from;
        hub.skip(from, oldest, history.since(from - 1).count());
        for (_, entry) in history.since(from - 1) {
            match entry {
                HistoryEntry::Event(event) if !event.refresh => {
                    if let Some(gone) = update_tree(before, event.action, &event.key, event.node.dir) {
                        let below = event.key.len();
                        hub.removed(event, |watched| {
                            !whole || gone.as_ref().is_some_and(|node| node.find(&watched[below..]).is_ok())
                        });
                    }
                    hub.notify(event);
                }
                HistoryEntry::Cleared(cleared) => {
                    update_tree(before, cleared.action, &cleared.key, cleared.dir);
                    hub.cleared(cleared);
                }
                HistoryEntry::Event(_) | HistoryEntry::NoKey => {}
            }
        }
    }
}

/// Applies a change of `key` to the shape of a tree; `dir`: the key is a directory afterwards. For a removal it
/// returns the removed node.
fn update_tree(tree: &mut TreeNode, action: Action, key: &[u8], dir: bool) -> Option<Option<TreeNode>> {
    if action.removes() {
        return Some(tree.take(key).map(|(node, _)| node));
    }
    if let Some((parent, name)) = path::split(key)
        && let Ok(parent) = tree.open(parent, NodeMeta::default(), |_| {})
        && parent.children.get(name).is_none_or(|present| present.is_dir() != dir)
    {
        let meta = NodeMeta::default();
        let node = if dir { TreeNode::dir(meta) } else { TreeNode::file(Value::from([]), meta) };
        parent.insert(name, node);
    }
    None
}
